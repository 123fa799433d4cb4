"""The command line: what it says, how it fails, and every verb but predict's own results."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import typer

import nerveseg
from nerveseg.cli import app
from nerveseg.errors import SourceError
from nerveseg.resources import weights_dir
from nerveseg.vision.segment import DEFAULT_MODEL
from tests import tiny
from tests.commands import (
    assert_fails,
    lines_of,
    names_in,
    picture,
    predictor,
    runner,
    write,
    write_clip,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Nerve where it is brighter than 128, vessel below 64, fascia above 223."""
    return tiny.write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def run(capsys):
    return runner(capsys)


@pytest.fixture
def predict(capsys, model, tmp_path):
    return predictor(capsys, model, tmp_path / "out")


def png_header(width, height):
    """The beginning of a PNG that claims this size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + chunk + end


class TestBadInput:
    def test_a_missing_file(self, predict, tmp_path):
        assert_fails(predict(tmp_path / "gone.png"), "gone.png", "No such file")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", ["a.png", "a.mp4", "a.dcm", "a.mha", "a.xyz"])
    @pytest.mark.parametrize("content", [b"", b"hello, I am a text file\n" * 40])
    def test_a_file_that_is_not_what_its_name_says(self, predict, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        assert_fails(predict(tmp_path / name), name)

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
    def test_a_truncated_picture(self, predict, tmp_path, name):
        rng = np.random.default_rng(0)
        path = write(tmp_path / name, rng.integers(0, 255, (200, 200), np.uint8))
        path.write_bytes(path.read_bytes()[:5000])
        assert_fails(predict(path), name)

    def test_a_truncated_mp4(self, run, predict, tmp_path):
        run("phantom", tmp_path / "a.mp4", "--frames", "5", "--size", "128x128")
        content = (tmp_path / "a.mp4").read_bytes()
        (tmp_path / "a.mp4").write_bytes(content[: len(content) // 3])
        assert_fails(predict(tmp_path / "a.mp4"), "a.mp4")

    def test_a_codec_that_nobody_knows(self, predict, tmp_path):
        path = write_clip(tmp_path / "a.avi")
        path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZZZ"))
        assert_fails(predict(path), "a.avi", "ZZZZ")

    @pytest.mark.parametrize("size", [(1, 1), (10_000, 10_000)])
    def test_a_picture_beyond_all_sizes(self, predict, tmp_path, size):
        path = tmp_path / "a.png"
        path.write_bytes(png_header(*size))
        assert_fails(predict(path), "a.png", f"{size[0]}x{size[1]}")

    @pytest.mark.parametrize("uri", ["phantom:elbow", "phantom:axillary?frames=x", "phantom:?a=1"])
    def test_a_wrong_phantom(self, predict, uri):
        assert predict(uri).code == 2

    def test_a_class_that_the_model_does_not_know(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        assert_fails(predict(source, "--classes", "nerve,bone"), "bone", "nerve, vessel, fascia")

    def test_a_video_of_a_picture(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        assert_fails(predict(source, "--video"), "no clip")


class TestBadModel:
    def call(self, run, tmp_path, model, *words):
        source = write(tmp_path / "arm.png", picture())
        out = tmp_path / "out"
        words = (*words, "--model", model)
        return run("predict", source, "--out", out, *words)

    def test_a_missing_one(self, run, tmp_path):
        assert_fails(self.call(run, tmp_path, tmp_path / "gone.onnx"), "gone.onnx")

    @pytest.mark.parametrize("content", [b"", b"no network at all"])
    def test_one_that_is_no_onnx(self, run, tmp_path, content):
        (tmp_path / "a.onnx").write_bytes(content)
        assert_fails(self.call(run, tmp_path, tmp_path / "a.onnx"), "a.onnx")

    def test_one_without_a_spec(self, run, tmp_path):
        path = tiny.write(tmp_path / "a.onnx", spec=None)
        assert_fails(self.call(run, tmp_path, path), "a.onnx", "spec")

    def test_one_that_answers_otherwise_than_promised(self, run, tmp_path):
        path = tiny.write(tmp_path / "a.onnx", channels=2)
        assert_fails(self.call(run, tmp_path, path), "a.onnx")

    def test_a_backend_that_is_not_there(self, run, tmp_path, model):
        result = self.call(run, tmp_path, model, "--backend", "abacus")
        assert_fails(result, "abacus", "onnxruntime")


class TestCommandLine:
    @pytest.mark.parametrize(
        "words",
        [
            ["predict"],
            ["predict", "a.png"],
            ["predict", "a.png", "--out", "o", "--opacity", "2"],
            ["predict", "a.png", "--out", "o", "--palette", "pretty"],
            ["predict", "a.png", "--out", "o", "--threads", "0"],
            ["predict", "a.png", "--out", "o", "--nonsense"],
            ["nonsense"],
            ["data", "check", "nonsense"],
            ["data", "fetch", "usgra-seg", "--to", "/proc/nope/x", "--from", "/nowhere"],
            ["model", "show", "--model", "nowhere.onnx"],
            ["app", "--host", "0.0.0.0", "--no-browser"],
        ],
        ids=" ".join,
    )
    def test_a_wrong_line_is_answered_in_one_line(self, run, words):
        assert_fails(run(*words))

    def test_a_bug_is_told_in_one_line_that_names_debug(self, predict, monkeypatch):
        def broken(*args, **kwargs):
            raise RuntimeError("first\nsecond")

        monkeypatch.setattr("nerveseg.video.sources.open", broken)
        assert_fails(predict("a.png"), "RuntimeError", "first second", "--debug")

    def test_debug_shows_the_trace_wherever_it_stands(self, run, monkeypatch):
        def broken(*args, **kwargs):
            raise SourceError("no such thing")

        monkeypatch.setattr("nerveseg.video.sources.open", broken)
        line = ["predict", "a.png", "--out", "o"]
        for words in (["--debug", *line], [*line, "--debug"]):
            result = run(*words)
            assert result.code == 2
            assert "Traceback" in result.err
            assert "nerveseg: no such thing" in result.err

    def test_ctrl_c_before_anything_is_done(self, predict, monkeypatch):
        def stopped(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("nerveseg.video.sources.open", stopped)
        result = predict("a.png")
        assert result.code == 130
        assert result.err.splitlines() == ["nerveseg: stopped"]

    def test_version(self, run):
        result = run("--version")
        assert result.out.strip() == f"nerveseg {nerveseg.__version__}"
        assert result.code == 0

    def test_every_command_and_option_says_what_it_is_for(self):
        command = typer.main.get_command(app)
        seen = []

        def walk(command, path):
            assert command.help, path
            for parameter in command.params:
                assert parameter.help or parameter.name == "help", (path, parameter.name)
                seen.append((path, parameter.name))
            for name, child in getattr(command, "commands", {}).items():
                walk(child, f"{path} {name}")

        walk(command, "nerveseg")
        paths = {path for path, _ in seen}
        verbs = ("predict", "needle", "app", "phantom", "bench", "model show")
        data = ("data list", "data check", "data fetch", "data split")
        assert {f"nerveseg {verb}" for verb in (*verbs, *data)} <= paths

    def test_help_opens_for_every_command(self, run):
        for words in (
            ["predict"],
            ["needle"],
            ["app"],
            ["phantom"],
            ["bench"],
            ["model", "show"],
            ["data"],
        ):
            result = run(*words, "--help")
            assert result.code == 0
            assert "Usage" in result.out


class TestOtherVerbs:
    def test_phantom_writes_a_clip_and_its_truth(self, run, tmp_path):
        clip, truth = tmp_path / "clips/p.mp4", tmp_path / "truth"
        words = ["--frames", "4", "--size", "128x96", "--seed", "2", "--truth", truth, "--needle"]
        result = run("phantom", clip, *words, "--set", "depth=40")
        assert result.code == 0, result.err
        capture = cv2.VideoCapture(str(clip))
        shapes = []
        while (answer := capture.read())[0]:
            shapes.append(answer[1].shape)
        assert shapes == [(96, 128, 3)] * 4
        assert len(names_in(truth)) == 4 * 8
        mask = cv2.imread(str(truth / "p_000003_nerve.png"), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) == {0, 255}

    @pytest.mark.parametrize(
        "words",
        [["--block", "elbow"], ["--size", "big"], ["--set", "depth"], ["--set", "seed=3"],
         ["--set", "depth=900"], ["--probe", "round"]],
        ids=" ".join,
    )  # fmt: skip
    def test_phantom_refuses_what_makes_no_sense(self, run, tmp_path, words):
        assert_fails(run("phantom", tmp_path / "p.mp4", *words))
        assert not (tmp_path / "p.mp4").exists()

    def test_phantom_replaces_a_clip_only_when_told(self, run, tmp_path):
        clip = tmp_path / "p.mp4"
        clip.write_text("mine")
        words = ["phantom", clip, "--frames", "2", "--size", "96x96"]
        assert_fails(run(*words), "--overwrite")
        assert clip.read_text() == "mine"
        assert run(*words, "--overwrite").code == 0
        assert clip.stat().st_size > 1000

    def test_phantom_wants_an_mp4(self, run, tmp_path):
        assert_fails(run("phantom", tmp_path / "p.gif"), ".mp4")

    def test_model_show_tells_what_a_model_is(self, run, model):
        result = run("model", "show", "--model", model)
        assert result.code == 0
        for word in ("tiny@1", "nerve, vessel, fascia", "96 by 64", "education only"):
            assert word in result.out.replace(" (from 0.50)", "")

    def test_model_show_as_json_is_the_spec(self, run, model):
        result = run("model", "show", "--json", "--model", model)
        assert tiny.SPEC.from_json(result.out) == tiny.SPEC

    def test_data_list_names_every_card(self, run):
        text, raw = (run("data", "list", *w) for w in ([], ["--json"]))
        entries = json.loads(raw.out)
        assert {"usgra-seg", "femoral-nerve-block", "dl-track"} <= {e["name"] for e in entries}
        for entry in entries:
            assert entry["licence"]
            assert entry["name"] in text.out

    def test_app_serves_where_it_is_told(self, run, monkeypatch):
        calls = []
        fake = SimpleNamespace(serve=lambda **options: calls.append(options))
        monkeypatch.setattr(nerveseg, "ui", fake, raising=False)
        assert run("app", "--port", "7999", "--no-browser").code == 0
        assert (calls[0]["host"], calls[0]["port"]) == ("127.0.0.1", 7999)
        assert calls[0]["open_browser"] is False

    @pytest.mark.parametrize("as_json", [True, False])
    def test_bench_prints_its_report(self, run, monkeypatch, as_json):
        timing = {"median_ms": 1.5, "p95_ms": 2.5, "frames": 3}
        stages = {
            "size_wh": (640, 480), "threads": 2, "backend": "onnxruntime",
            "stages": {"whole": timing},
        }  # fmt: skip
        report = {
            "machine": {"processor": "an abacus"}, "model": "m.onnx", "stages": [stages],
            "cold_start_s": 1.0, "peak_memory_mb": 100.0,
        }  # fmt: skip
        monkeypatch.setattr("nerveseg.bench.bench", lambda **options: report)
        result = run("bench", *(["--json"] if as_json else []))
        assert result.code == 0
        if as_json:
            assert json.loads(result.out)["stages"][0]["stages"]["whole"] == timing
        else:
            assert "640x480" in result.out
            assert "1.50 / 2.50" in result.out


class TestNeedles:
    def test_predict_says_when_the_model_does_not_look_for_needles(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        assert "the model tiny@1 doesn't look for needles\n" in predict(source).out

    def test_and_is_silent_about_one_that_does(self, capsys, tmp_path):
        model = tiny.write_needle(tmp_path / "needle.onnx")
        source = write(tmp_path / "arm.png", picture())
        result = predictor(capsys, model, tmp_path / "out")(source)
        assert (result.code, len(result.out.splitlines())) == (0, 1)


class TestAsAProcess:
    def start(self, *words):
        command = [sys.executable, "-m", "nerveseg", *(str(word) for word in words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_ctrl_c_leaves_what_is_done_readable(self, tmp_path, model):
        out = tmp_path / "out"
        words = ["--out", out, "--model", model, "--backend", "onnxruntime", "--masks", "--video"]
        source = "phantom:axillary?frames=100000&size=128x128"
        process = self.start("predict", source, *words)
        results, deadline = out / "results.jsonl", time.monotonic() + 60
        while not (results.exists() and results.read_bytes().count(b"\n") > 3):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert stdout == ""
        assert len(stderr.strip().splitlines()) == 1, stderr
        lines = lines_of(out)
        assert f"{len(lines):,} frames" in stderr
        for line in lines:
            for name in line["masks"].values():
                assert (out / name).stat().st_size
        video = cv2.VideoCapture(str(out / "overlays/phantom_axillary.mp4"))
        assert video.read()[0]

    def test_one_picture_waits_for_nothing_it_does_not_need(self, tmp_path, model):
        source = write(tmp_path / "arm.png", picture())
        code = (
            "import sys; from nerveseg.cli import main\n"
            f"code = main(['predict', {str(source)!r}, '--out', {str(tmp_path / 'out')!r},"
            f" '--model', {str(model)!r}, '--backend', 'onnxruntime'])\n"
            "heavy = ('gradio', 'fastapi', 'pydicom', 'openvino', 'av', 'torch', 'httpx',"
            " 'rich.progress', 'nerveseg.ui', 'nerveseg.data', 'nerveseg.bench')\n"
            "print([name for name in heavy if name in sys.modules]); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.skipif(
        not (weights_dir() / DEFAULT_MODEL).is_file(), reason="the shipped model is not built yet"
    )
    def test_the_shipped_model_finds_something_on_a_phantom(self, tmp_path):
        process = self.start("predict", "phantom:axillary?frames=5", "--out", tmp_path / "out")
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        found = {
            name
            for line in lines_of(tmp_path / "out")
            for name, stats in line["classes"].items()
            if stats["area_px"]
        }
        assert {"nerve", "vessel"} <= found
