"""``nerveseg live``: what is refused at once, and the command itself as a user starts it."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest

from tests.commands import assert_fails, runner


@pytest.fixture
def run(capsys):
    return runner(capsys)


# what is typed -> what the one line of complaint has to say
REFUSED = [
    ("nowhere.mp4", "nowhere.mp4"),
    ("file:nowhere.mp4", "nowhere.mp4"),
    ("phantom:knee", "knee"),
    ("PHANTOM:knee", "knee"),
    ("phantom:axillary?colour=red", "colour"),
    ("mha:nowhere.mha", "nowhere.mha"),
]


@pytest.mark.parametrize(("source", "word"), REFUSED)
def test_a_source_that_cannot_be_is_refused_before_the_app_starts(run, source, word):
    assert_fails(run("live", source, "--no-browser"), word)


def test_an_unknown_block_is_refused(run):
    refused = run("live", "uvc:0", "--block", "knee", "--no-browser", "--port", "0")
    assert_fails(refused, "there is no block 'knee'", "axillary")


@pytest.mark.parametrize(
    ("source", "uri", "block"),
    [
        ("uvc:0?size=1280x720", "uvc:0?size=1280x720", None),
        ("phantom:femoral?needle", "phantom:femoral?needle&loop&realtime", "femoral"),
        ("igtl://127.0.0.1:18944", "igtl://127.0.0.1:18944", None),
    ],
)
def test_the_app_is_served_at_the_source_as_from_a_device(run, monkeypatch, source, uri, block):
    calls = []
    fake = SimpleNamespace(serve=lambda **options: calls.append(options))
    monkeypatch.setitem(sys.modules, "nerveseg.ui", fake)
    monkeypatch.setattr("nerveseg.ui", fake, raising=False)
    options = ("--no-browser", "--port", "7999", "--share", "127.0.0.1", "--igtl-out", "18945")
    assert run("live", source, *options).code == 0
    (served,) = calls
    assert (served["live"], served["block"], served["port"]) == (uri, block, 7999)
    assert (served["share_host"], served["igtl_port"]) == ("127.0.0.1", 18945)
    assert not served["open_browser"]


@pytest.mark.parametrize("verb", [("live", "phantom:axillary?size=96x96"), ("app",)])
def test_the_log_is_added_to_a_file(run, monkeypatch, tmp_path, verb):
    logger = logging.getLogger("nerveseg.live.journal")
    fake = SimpleNamespace(serve=lambda **options: logger.info("drawn: state: live"))
    monkeypatch.setitem(sys.modules, "nerveseg.ui", fake)
    monkeypatch.setattr("nerveseg.ui", fake, raising=False)
    path = tmp_path / "live.log"
    for _ in range(2):
        assert run(*verb, "--log", path).code == 0
    logger.info("of another time")
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert all(line.endswith("INFO nerveseg.live.journal: drawn: state: live") for line in lines)
    assert_fails(run(*verb, "--log", tmp_path), "a folder has that name")


def test_the_terminal_shows_no_password(run, monkeypatch):
    fake = SimpleNamespace(serve=lambda on_ready, **options: on_ready("http://127.0.0.1:1/"))
    monkeypatch.setitem(sys.modules, "nerveseg.ui", fake)
    monkeypatch.setattr("nerveseg.ui", fake, raising=False)
    told = run("live", "rtsp://doctor:secret@192.0.2.7/probe").out
    assert "rtsp://192.0.2.7/probe is live at http://127.0.0.1:1/" in told


def test_the_command_serves_the_page_at_its_source_until_it_is_stopped():
    command = [sys.executable, "-m", "nerveseg", "live", "phantom:axillary?needle"]
    process = subprocess.Popen(
        [*command, "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", told)
        assert address, told
        with httpx.Client(base_url=address[0], timeout=60) as client:
            facts = client.get("replay/facts").json()
            assert facts["live"]["uri"] == "phantom:axillary?needle&loop&realtime"
            assert facts["live"]["block"] == "axillary"
            assert client.get("").status_code == 200
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in complaints
    finally:
        process.kill()
