"""Recordings and snapshots as a user meets them: in a folder, in a list, in Replay."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from selenium.webdriver.common.by import By

from nerveseg import anatomy
from nerveseg.errors import SourceError, StoreError
from nerveseg.labels import rasterise, read_labelme
from nerveseg.live import snapshot
from nerveseg.live.keeping import Recordings
from nerveseg.live.recorder import Recorder
from nerveseg.live.settings import DeviceSettings
from nerveseg.ui import build_app
from nerveseg.video import sources
from nerveseg.video.recorded import is_recording
from tests.browser import ReplayPage, chromium, near, serving
from tests.discs import drawn_frame, fake_segmenter, nerve_centre
from tests.recordings import REGION, drawn, result_of, shot_of

FRAMES = 24


def record_discs(folder: Path, *, grown_at: int = FRAMES) -> Recorder:
    """The moving disc, as a live source would have shown it; all but closed.

    From frame ``grown_at`` on the picture is twice as large.
    """
    recorder = Recorder(folder, source="drawn:")
    for number in range(FRAMES):
        pixels = drawn_frame(number)
        if number >= grown_at:
            pixels = np.asarray(cv2.resize(pixels, None, fx=2, fy=2), np.uint8)
        recorder.on_capture(shot := shot_of(number, pixels=pixels, time_s=number / 25))
        if number % 3 == 0 or number == grown_at:
            recorder.on_result(result_of(shot, region=None))
    deadline = time.monotonic() + 20
    while recorder.frames < FRAMES:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return recorder


@pytest.fixture(scope="module")
def disc_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once") / "disc"
    folder.mkdir()
    record_discs(folder).close()
    return folder


@pytest.fixture(scope="module")
def cut_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies on the disk while it is being recorded, and so after a kill."""
    folder = tmp_path_factory.mktemp("cut") / "disc"
    folder.mkdir()
    recorder = record_discs(folder)
    left = shutil.copytree(folder, folder.with_name("left"))
    recorder.close()
    return left


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path / "recordings")


def one_more(recordings: Recordings, name: str, like: Path) -> Path:
    return shutil.copytree(like, recordings.new(name), dirs_exist_ok=True)


# --- where they lie ----------------------------------------------------------------------------


def test_a_new_one_is_named_after_the_time_and_what_it_shows(recordings: Recordings) -> None:
    path = recordings.new("phantom: axillary?needle")
    assert path.is_dir()
    assert path.parent == recordings.root
    day, clock, *words = path.name.split(" ")
    time.strptime(f"{day} {clock}", "%Y-%m-%d %H-%M-%S")
    assert words == ["phantom", "axillary", "needle"]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(max_size=200) | st.sampled_from(["../../etc", "a/b\\c", "con", ".", "\0", "…"]))
def test_no_name_leads_out_of_the_folder(recordings: Recordings, name: str) -> None:
    path = recordings.new(name)
    assert path.parent == recordings.root
    assert path.resolve().parent == recordings.root.resolve()
    assert len(path.name) <= 19 + 1 + 60 + len(" (999)")
    assert path.name.isprintable()


def test_two_within_a_second_have_two_names(recordings: Recordings) -> None:
    assert len({recordings.new("twice") for _ in range(5)}) == 5


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NERVESEG_RECORDINGS", str(tmp_path / "mine"))
    assert Recordings().root == tmp_path / "mine"
    assert Recordings().list() == (), "a folder that isn't there yet holds nothing"
    monkeypatch.delenv("NERVESEG_RECORDINGS")
    assert Recordings().root.name == "recordings"


def test_a_folder_that_can_not_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't write"):
        Recordings(tmp_path / "file").new("x")


def test_all_are_listed_the_newest_first_and_what_is_wrong_with_them(
    recordings: Recordings, disc_recording: Path, cut_recording: Path
) -> None:
    good = one_more(recordings, "good", disc_recording)
    cut = one_more(recordings, "cut", cut_recording)
    damaged = one_more(recordings, "damaged", disc_recording)
    (damaged / "recording.json").write_text("{", "utf-8")
    bare = one_more(recordings, "bare", disc_recording)
    (bare / "recording.json").unlink()
    (recordings.root / "something else").mkdir()
    (recordings.root / "notes.txt").write_text("mine")
    entries = json.loads((good / "recording.json").read_text("utf-8"))
    entries["started"] = "2020-01-01T00:00:00+00:00"
    (good / "recording.json").write_text(json.dumps(entries), "utf-8")
    found = {facts.name: facts for facts in recordings.list()}
    assert list(found)[-1] == good.name, "the oldest comes last"
    assert set(found) == {good.name, cut.name, damaged.name, bare.name}
    facts = found[good.name]
    assert (facts.kind, facts.frames, facts.note) == ("recording", FRAMES, None)
    assert facts.seconds == pytest.approx((FRAMES - 1) / 25)
    assert facts.size_bytes > 100_000
    assert "was not closed" in str(found[cut.name].note)
    assert (found[damaged.name].kind, found[bare.name].kind) == ("damaged", "damaged")
    assert "recording.json is damaged (it is no JSON)" in str(found[damaged.name].note)


@pytest.mark.parametrize("name", ["..", ".", "", "../recordings", "notes.txt", "no such", "/etc"])
def test_only_what_is_listed_is_found(
    recordings: Recordings, disc_recording: Path, name: str
) -> None:
    there = one_more(recordings, "there", disc_recording)
    assert recordings.find(there.name) == there
    with pytest.raises(StoreError, match="there is no recording"):
        recordings.find(name)


def test_a_link_to_elsewhere_is_no_recording(recordings: Recordings, disc_recording: Path) -> None:
    recordings.root.mkdir()
    (recordings.root / "linked").symlink_to(disc_recording)
    assert recordings.list() == ()


# --- as a clip ---------------------------------------------------------------------------------

WRONG: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("a later format", lambda t: t.update(format=99), "its format is 99, expected 1"),
    ("no parts", lambda t: t.pop("parts"), "it lacks 'parts'"),
    ("parts of text", lambda t: t.update(parts="all"), "its parts are no list"),
    ("a part elsewhere", lambda t: t["parts"][0].update(file="../x.mkv"), "a part is called"),
    ("a part of another name", lambda t: t["parts"][0].update(file="recording.json"), "is called"),
    ("a number of text", lambda t: t.update(frames="many"), "'many' stands where a number"),
    ("a negative time", lambda t: t["parts"][0].update(start_s=-1), "'-1' stands where a number"),
    ("no size at all", lambda t: t["parts"][0].update(width=0), "too small"),
    ("a scale of nothing", lambda t: t["parts"][0].update(mm_per_px=0), "its scale is 0"),
    ("half a region", lambda t: t["parts"][0].update(region=[1, 2]), "damaged"),
]


@pytest.mark.parametrize(("change", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_damaged_recording_is_told_in_a_line(
    disc_recording: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    folder = shutil.copytree(disc_recording, tmp_path / "disc")
    entries = json.loads((folder / "recording.json").read_text("utf-8"))
    change(entries)
    (folder / "recording.json").write_text(json.dumps(entries), "utf-8")
    with pytest.raises(SourceError) as error:
        sources.open(folder)
    assert words in str(error.value)
    assert "disc/recording.json is damaged" in str(error.value)
    assert "\n" not in str(error.value)


@given(junk=st.binary(max_size=200))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_junk_for_a_recording_is_a_source_error(junk: bytes, tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_bytes(junk)
    assert is_recording(tmp_path)
    with pytest.raises(SourceError):
        sources.open(tmp_path)


def test_a_missing_part_is_told_when_its_turn_comes(disc_recording: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(disc_recording, tmp_path / "disc")
    (folder / "picture.mkv").unlink()
    with (
        sources.open(folder) as clip,
        pytest.raises(SourceError, match=r"can't read .*picture\.mkv"),
    ):
        next(clip)


def test_a_closed_recording_that_lost_its_end_says_so(disc_recording: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(disc_recording, tmp_path / "disc")
    picture = folder / "picture.mkv"
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])
    frames = []
    with sources.open(folder) as clip, pytest.raises(SourceError, match="what was read is good"):
        frames.extend(clip)
    with sources.open(folder) as clip:
        assert np.array_equal(next(clip).pixels, drawn_frame(0))


def test_a_folder_of_pictures_is_no_recording(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), drawn(0))
    assert not is_recording(tmp_path)
    with sources.open(tmp_path) as clip:
        assert len(list(clip)) == 1


# --- snapshots ---------------------------------------------------------------------------------


def test_a_snapshot_is_a_still_with_the_models_outlines(recordings: Recordings) -> None:
    found = result_of(shot_of(7))
    folder = snapshot.save(
        recordings.new("snapshot"), found, source="uvc:0", block="axillary", device={"rate": 30}
    )
    with sources.open(folder) as clip:
        (frame,) = clip
        assert (clip.frame_count, clip.facts) == (1, {"rate": 30})
        assert clip.frame_name(0) == folder.name
    expected = np.zeros_like(drawn(7))
    expected[REGION.slices] = drawn(7)[REGION.slices]
    assert np.array_equal(frame.pixels, expected), "black around the image, and lossless"
    assert frame.mm_per_px == 0.1
    outlined = read_labelme(folder / "picture.json")
    assert outlined.file_name == "picture.png"
    assert {label.structure for label in outlined.labels} == {"nerve"}
    mask = rasterise([label.polygon for label in outlined.labels], outlined.shape)
    assert np.array_equal(mask, found.result.masks["nerve"])
    (line,) = (folder / "results.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["index"] == 0
    (facts,) = recordings.list()
    assert (facts.kind, facts.note, facts.source) == ("snapshot", None, "uvc:0")


def test_a_snapshot_without_an_image_is_refused_and_leaves_nothing(recordings: Recordings) -> None:
    """The whole of a blank picture may hold a name; with the crop off the user wants it all."""
    blank = np.full((240, 320), 8, np.uint8)
    cv2.putText(blank, "DOE, JANE", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    found = result_of(shot_of(0, pixels=blank), region=None)
    folder = recordings.new("blank")
    with pytest.raises(StoreError, match="no ultrasound image is found"):
        snapshot.save(folder, found, source="uvc:0")
    assert not folder.exists()
    folder = recordings.new("blank")
    snapshot.save(folder, found, source="uvc:0", settings=DeviceSettings(crop="off"))
    with sources.open(folder) as clip:
        assert np.array_equal(next(clip).pixels, blank)


def test_a_snapshot_that_can_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't"):
        snapshot.save(tmp_path / "nowhere", result_of(shot_of(0)), source="uvc:0")


# --- in Replay ---------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("NERVESEG_RECORDINGS", str(tmp_path / "recordings"))
    return build_app(segmenter=fake_segmenter())


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        yield client


def settled(client: TestClient, clip_id: str) -> dict[str, Any]:
    for _ in range(600):
        status: dict[str, Any] = client.get(f"/replay/clips/{clip_id}").json()
        if status["state"] not in ("waiting", "running"):
            return status
        time.sleep(0.05)
    raise AssertionError(f"the analysis never ended: {status}")


def opened(client: TestClient, name: str) -> dict[str, Any]:
    answer = client.post(f"/replay/recordings/{name}")
    assert answer.status_code == 200, answer.text
    return settled(client, answer.json()["id"])


def test_replay_lists_and_opens_recordings(
    client: TestClient, recordings: Recordings, disc_recording: Path
) -> None:
    assert client.get("/replay/recordings").json() == []
    name = one_more(recordings, "axillary", disc_recording).name
    (entry,) = client.get("/replay/recordings").json()
    assert entry == {
        "name": name,
        "kind": "recording",
        "seconds": pytest.approx((FRAMES - 1) / 25, abs=0.05),
        "frames": FRAMES,
        "note": None,
    }
    status = opened(client, name)
    assert (status["state"], status["frames"], status["note"]) == ("done", FRAMES, None)
    assert (status["name"], status["mm_per_px"]) == (name, 0.1)
    assert status["times"] == pytest.approx([n / 25 for n in range(FRAMES)], abs=6e-4)
    assert (recordings.root / name / "picture.mkv").is_file(), "it is left as it was"


def test_what_a_kill_left_is_shown_with_a_word_about_its_end(
    client: TestClient, recordings: Recordings, cut_recording: Path
) -> None:
    name = one_more(recordings, "cut", cut_recording).name
    status = opened(client, name)
    assert FRAMES - 2 <= status["frames"] < FRAMES
    assert status["note"].startswith(f"{name} ends here, at 0.")
    assert str(recordings.root) not in status["note"]


def test_a_snapshot_opens_as_a_still(client: TestClient, recordings: Recordings) -> None:
    folder = snapshot.save(recordings.new("still"), result_of(shot_of(3)), source="uvc:0")
    status = opened(client, folder.name)
    assert (status["state"], status["frames"], status["note"]) == ("done", 1, None)


@pytest.mark.parametrize(
    "name", ["no such", "..", "%2e%2e", "..%2f..%2fetc", "%00", "a%5cb", "x" * 5000]
)
def test_a_name_that_is_not_listed_opens_nothing(
    client: TestClient, recordings: Recordings, disc_recording: Path, name: str
) -> None:
    one_more(recordings, "there", disc_recording)
    answer = client.post(f"/replay/recordings/{name}")
    assert answer.status_code in (404, 405), answer.text
    assert "Traceback" not in answer.text


def centre(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


@pytest.mark.browser
def test_each_frame_is_drawn_at_its_own_size(
    app: FastAPI, recordings: Recordings, tmp_path: Path
) -> None:
    folder = recordings.new("grown")
    record_discs(folder, grown_at=FRAMES // 2).close()
    with serving(app) as address, chromium(tmp_path / "profile") as driver:
        page = ReplayPage(driver, address)
        page.part("demo").click()
        page.until(lambda: driver.find_elements(By.CSS_SELECTOR, '[data-part="demo"] optgroup'))
        driver.find_element(By.CSS_SELECTOR, '[data-part="demo"] optgroup option').click()
        page.until(lambda: f"/ {FRAMES} " in page.where and "analysing" not in page.facts)
        for name in ("names", "planes"):
            page.set_switch(page.part(name), on=False)
        page.set_slider("opacity", 0)
        for number, larger in ((0, 1), (FRAMES - 1, 2)):
            page.go_to(number)
            picture = page.picture()
            outline = near(picture, anatomy.default().classes["nerve"].color)
            where = larger * (np.array(nerve_centre(number)) + 0.5)
            assert centre(outline) / page.scale == pytest.approx(where, abs=larger * 1.5)


@pytest.mark.browser
def test_the_users_recordings_are_in_the_list_of_clips(
    app: FastAPI, recordings: Recordings, tmp_path: Path, disc_recording: Path, cut_recording: Path
) -> None:
    with serving(app) as address, chromium(tmp_path / "profile") as driver:
        page = ReplayPage(driver, address)
        groups = '[data-part="demo"] optgroup'
        assert not driver.find_elements(By.CSS_SELECTOR, groups), "none yet"
        folder = one_more(recordings, "axillary", disc_recording)
        one_more(recordings, "cut", cut_recording)
        snapshot.save(recordings.new("still"), result_of(shot_of(3)), source="uvc:0")
        page.part("demo").click()
        page.until(lambda: driver.find_elements(By.CSS_SELECTOR, groups))
        options = {
            option.text: option
            for option in driver.find_elements(By.CSS_SELECTOR, f"{groups} option")
        }
        day, clock, _ = folder.name.split(" ")
        assert len(options) == 3
        options[f"axillary · {day} {clock.replace('-', ':')} · 0:01"].click()
        page.until(lambda: folder.name in page.facts and f"/ {FRAMES} " in page.where)
        page.until(lambda: "analysing" not in page.facts)
        page.stand_on_first()
        assert "0.100 mm per pixel" in page.facts
        color = anatomy.default().classes["nerve"].color
        assert near(page.picture(), color).sum() > 100
        page.press("h")
        assert not near(page.picture(), color).any(), "the picture alone"
        page.press("h")
        next(options[name] for name in options if name.endswith("was not closed")).click()
        page.until(lambda: "ends here" in page.part("notice-text").text)
        assert page.painted_frame >= 0
        assert page.complaints() == []
