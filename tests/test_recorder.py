"""A recording: what it holds, what it must not hold, and what happens when things go wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from nerveseg.errors import SourceError, StoreError
from nerveseg.live import reel
from nerveseg.live.keeping import ENOUGH_BYTES, LEAST_BYTES
from nerveseg.live.recorder import Recorder
from nerveseg.live.session import LiveSession
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveFrame, LiveStatus, Notice
from nerveseg.results import record
from nerveseg.types import Box, Frame, GrayImage
from nerveseg.video import sources
from tests.discs import fake_segmenter
from tests.recording_kill import kill_once
from tests.recordings import NAME_AT, REGION, SIZE, drawn, result_of, shot_of

TICK_S = 0.0005
"""Times are kept to the nearest millisecond."""


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    process = psutil.Process()
    files = len(process.open_files())
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("nerveseg-recorder")] == []
    assert len(process.open_files()) == files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    path.mkdir()
    return path


def recorded(folder: Path, shots: list[LiveFrame], **options: Any) -> Recorder:
    """Record ``shots``, with a result on the first and on every third."""
    recorder = Recorder(folder, source="drawn:", **options)
    for number, shot in enumerate(shots):
        recorder.on_capture(shot)
        if number % 3 == 0:
            recorder.on_result(result_of(shot))
    recorder.close()
    return recorder


def about(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "recording.json").read_text("utf-8")))


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def frames_in(folder: Path) -> list[Frame]:
    with sources.open(folder) as clip:
        return list(clip)


def kept(pixels: GrayImage, region: Box = REGION) -> GrayImage:
    """What may be stored of a picture."""
    inside = np.zeros_like(pixels)
    inside[region.slices] = pixels[region.slices]
    return inside


# --- what it holds -----------------------------------------------------------------------------


def test_every_grey_level_comes_back_at_its_own_time(folder: Path) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.004, 0.3, 40)) + 1000.0
    shots = [shot_of(number, time_s=float(at)) for number, at in enumerate(times)]
    shots[5].frame.pixels[REGION.top + 1, REGION.left : REGION.left + 200] = np.arange(200)
    shots[5].frame.pixels[REGION.top + 2, REGION.left : REGION.left + 200] = np.arange(56, 256)
    recorder = recorded(folder, shots)
    assert (recorder.frames, recorder.dropped, recorder.notices()) == (40, 0, ())
    with sources.open(folder) as clip:
        frames = list(clip)
        assert (clip.broken_frames, clip.problems) == (0, [])
    assert [frame.index for frame in frames] == list(range(40))
    for frame, shot in zip(frames, shots, strict=True):
        assert np.array_equal(frame.pixels, kept(shot.frame.pixels))
        assert frame.time_s == pytest.approx(shot.frame.time_s - times[0], abs=TICK_S)
        assert frame.mm_per_px == 0.1


def test_frames_at_one_moment_are_kept_apart_and_in_order(folder: Path) -> None:
    recorded(folder, [shot_of(number, time_s=number * 1e-5) for number in range(12)])
    frames = frames_in(folder)
    assert [frame.time_s for frame in frames] == sorted({frame.time_s for frame in frames})
    assert all(np.array_equal(f.pixels, kept(drawn(f.index))) for f in frames)


def test_results_are_lines_about_frames_of_the_recording(folder: Path) -> None:
    shots = [shot_of(number, time_s=7 + number / 20) for number in range(50, 62)]
    recorder = Recorder(folder, source="drawn:")
    before = shot_of(49)
    for shot in shots:
        recorder.on_capture(shot)
    recorder.on_result(result_of(before))  # of a frame that isn't recorded
    for shot in (shots[2], shots[5], shots[5], shots[4]):
        recorder.on_result(result_of(shot))
    recorder.close()
    found, frames = lines(folder, "results.jsonl"), frames_in(folder)
    assert [line["index"] for line in found] == [2, 5], "once each, in order"
    assert [line["live"]["number"] for line in found] == [52, 55]
    for line in found:
        frame = frames[line["index"]]
        assert line["time_s"] == pytest.approx(frame.time_s, abs=TICK_S)
        plain = record(result_of(shot_of(0)).result, file=line["file"], classes=("nerve",))
        plain = json.loads(json.dumps(plain))
        assert set(line) == {*plain, "live"}
        assert line["classes"] == plain["classes"]


@pytest.mark.parametrize(("fps", "status"), [(25, True), (25, False), (61, False)])
def test_the_picture_file_opens_by_itself_and_knows_its_rate(
    folder: Path, fps: float, status: bool
) -> None:
    recorder = Recorder(folder, source="drawn:")
    if status:
        recorder.on_status(LiveStatus("live", promised_fps=fps))
    for number in range(30):
        recorder.on_capture(shot := shot_of(number, time_s=number / fps))
        if number == 5 or status:
            recorder.on_result(result_of(shot))
    recorder.close()
    with sources.open(folder / "picture.mkv") as clip:
        assert clip.fps == pytest.approx(fps, rel=1e-3)
        assert len(list(clip)) == 30
        assert clip.broken_frames == 0


def test_recording_json_tells_where_it_came_from(folder: Path) -> None:
    settings = DeviceSettings(crop=REGION, mm_per_px=0.1, scale_from="two clicks on the ruler")
    recorder = Recorder(folder, source="uvc:0?fps=30", settings=settings, block="axillary")
    recorder.on_status(
        LiveStatus("live", promised_fps=25.0, source={"asked size": "640x480", "rate": 25.0})
    )
    for number in range(11):
        recorder.on_capture(shot := shot_of(number, time_s=number / 20))
        recorder.on_result(result_of(shot))
    recorder.on_status(LiveStatus("lost"))
    recorder.close()
    told = about(folder)
    assert (told["source"], told["block"], told["model_id"]) == (
        "uvc:0?fps=30", "axillary", "drawn@1",
    )  # fmt: skip
    assert told["device"] == {"asked size": "640x480", "rate": 25.0}
    assert told["settings"] == {
        "crop": [60, 30, 260, 220],
        "mm_per_px": 0.1,
        "scale_from": "two clicks on the ruler",
        "mirrored": False,
    }
    assert told["scale_from"] == "two clicks on the ruler"
    assert (told["frames"], told["seconds"], told["results"]) == (11, 0.5, 11)
    assert (told["dropped"], told["left_out"], told["closed"], told["ended"]) == (0, 0, True, None)
    assert told["outside_the_image"] == "blacked out"
    assert told["started"].count(":") >= 3, "a time with its zone"
    assert told["software"].startswith("nerveseg ")
    with sources.open(folder) as clip:
        assert clip.fps == pytest.approx(20.0)
        assert (clip.frame_count, clip.size_wh, clip.mm_per_px) == (11, SIZE, 0.1)
        assert clip.facts == told["device"]


def test_a_password_in_an_address_is_not_kept(folder: Path) -> None:
    Recorder(folder, source="rtsp://me:secret@192.0.2.7/live").close()
    assert about(folder)["source"] == "rtsp://192.0.2.7/live"


def test_notices_are_lines_as_they_come_and_go(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:")
    dark = Notice("too dark", "Too dark to judge", "turn the gain up")
    darker = Notice("too dark", "Too dark to judge, by 3 more", "turn the gain up")
    for status in (
        LiveStatus("live"),
        LiveStatus("live", (dark,)),
        LiveStatus("live", (darker,)),
        LiveStatus("lost"),
    ):
        recorder.on_status(status)
    recorder.change(DeviceSettings(mm_per_px=0.2, scale_from="the depth"))
    recorder.close()
    told = [(line["key"], line["text"]) for line in lines(folder, "events.jsonl")]
    assert told[:2] == [("state", "live"), ("too dark", "Too dark to judge")]
    assert sorted(told[2:4]) == [("state", "lost"), ("too dark", "over")]
    assert told[4][0] == "settings"
    assert "the depth" in told[4][1]
    assert about(folder)["settings"]["mm_per_px"] == 0.2


def test_another_size_or_scale_begins_a_part_of_its_own(folder: Path) -> None:
    wide = Box(60, 30, 400, 300)
    shots = [shot_of(number) for number in range(4)]
    shots += [
        shot_of(number, pixels=drawn(number, size=(480, 360), region=wide))
        for number in range(4, 8)
    ]
    shots += [shot_of(number, mm_per_px=0.25) for number in range(8, 12)]
    recorder = Recorder(folder, source="drawn:")
    for shot in shots:
        recorder.on_capture(shot)
        recorder.on_result(result_of(shot, region=wide if 4 <= shot.number < 8 else REGION))
    recorder.close()
    assert [part["file"] for part in about(folder)["parts"]] == [
        "picture.mkv", "picture-2.mkv", "picture-3.mkv",
    ]  # fmt: skip
    for frame, shot in zip(frames_in(folder), shots, strict=True):
        region = wide if 4 <= shot.number < 8 else REGION
        assert frame.index == shot.number
        assert np.array_equal(frame.pixels, kept(shot.frame.pixels, region))
        assert frame.time_s == pytest.approx(shot.frame.time_s, abs=TICK_S)
        assert frame.mm_per_px == shot.frame.mm_per_px
    with sources.open(folder) as clip:
        assert (clip.size_wh, clip.mm_per_px) == (None, None), "they differ"
    with sources.open(folder, stride=5) as clip:
        assert [frame.index for frame in clip] == [0, 5, 10]
    assert [line["file"] for line in lines(folder, "results.jsonl")] == [
        part["file"] for part in about(folder)["parts"] for _ in range(4)
    ]


def test_a_late_result_names_the_part_that_holds_its_frame(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:", settings=DeviceSettings(crop="off"))
    shots = [shot_of(number, mm_per_px=0.1 * (1 + number)) for number in range(4)]
    for shot in shots:
        recorder.on_capture(shot)
    for shot in shots:
        recorder.on_result(result_of(shot))
    recorder.close()
    assert [line["file"] for line in lines(folder, "results.jsonl")] == [
        part["file"] for part in about(folder)["parts"]
    ]


def test_a_live_session_is_recorded_and_opens_again(folder: Path) -> None:
    session = LiveSession("phantom:axillary?frames=12", fake_segmenter())
    recorder = Recorder(folder, source=session.uri)
    session.add_listener(recorder)
    session.add_notices(recorder.notices)
    session.start()
    try:
        until(lambda: session.status.state == "ended")
        until(lambda: recorder.frames == 12)
    finally:
        session.close()
        recorder.close()
    frames = frames_in(folder)
    with sources.open("phantom:axillary?frames=12") as phantom:
        for frame, drawn_one in zip(frames, phantom, strict=True):
            assert np.array_equal(frame.pixels, drawn_one.pixels)
            assert frame.mm_per_px == drawn_one.mm_per_px
    assert about(folder)["scale_from"] == "the source"
    assert lines(folder, "results.jsonl")


# --- what it must not hold -----------------------------------------------------------------------


def blank_with_a_name() -> GrayImage:
    pixels = np.full(SIZE[::-1], 8, np.uint8)
    cv2.putText(pixels, "DOE, JANE", NAME_AT, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    return pixels


def assert_no_name(folder: Path) -> None:
    """Not one pixel outside of the image, in the picture as any reader decodes it."""
    for frame in frames_in(folder):
        assert frame.pixels.any()
        assert np.array_equal(frame.pixels, kept(frame.pixels)), "a pixel beside the image"


def test_a_name_beside_the_image_is_in_no_stored_pixel(folder: Path) -> None:
    shots = [shot_of(number) for number in range(9)]
    assert (shots[0].frame.pixels[: REGION.top] == 255).any(), "the name is in what came"
    recorded(folder, shots)
    assert len(frames_in(folder)) == 9
    assert_no_name(folder)


def test_nothing_is_stored_while_no_image_is_found(folder: Path) -> None:
    """A blank picture's region is all of it, name and all: that is no finding."""
    recorder = Recorder(folder, source="drawn:")
    for number in range(100):
        shot = shot_of(number, pixels=blank_with_a_name())
        recorder.on_capture(shot)
        recorder.on_result(result_of(shot, region=None))
    until(lambda: "recording waits" in [notice.key for notice in recorder.notices()])
    recorder.close()
    assert about(folder)["left_out"] == 100
    assert not list(folder.glob("picture*"))
    with pytest.raises(SourceError, match=r"holds no picture.*was found"):
        sources.open(folder)


def test_what_came_before_the_image_was_found_is_blacked_out_like_it(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:")
    for number in range(20):
        recorder.on_capture(shot := shot_of(number))
    recorder.on_result(result_of(shot))
    recorder.close()
    assert len(frames_in(folder)) == 20
    assert about(folder)["left_out"] == 0
    assert_no_name(folder)


def test_a_source_that_was_opened_anew_may_look_different(folder: Path) -> None:
    """The region of before isn't trusted: frames wait for a result of their own opening."""
    moved = Box(20, 60, 200, 230)
    recorder = Recorder(folder, source="drawn:")
    recorder.on_capture(first := shot_of(0))
    recorder.on_result(result_of(first))
    for number in (1, 2):
        pixels = drawn(number, region=moved)
        recorder.on_capture(again := shot_of(number, pixels=pixels, opening=1))
    recorder.on_result(result_of(again, region=moved))
    recorder.close()
    frames = frames_in(folder)
    assert np.array_equal(frames[0].pixels, kept(drawn(0)))
    for number in (1, 2):
        expected = kept(drawn(number, region=moved), moved)
        assert np.array_equal(frames[number].pixels, expected)


def test_frames_of_which_the_image_is_never_found_hold_nothing_up(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:")
    recorder.on_capture(shot_of(0, pixels=drawn(0, size=(400, 300))))
    for number in range(1, 5):
        recorder.on_capture(shot := shot_of(number))
        recorder.on_result(result_of(shot))
    recorder.close()
    assert len(frames_in(folder)) == 4
    assert about(folder)["left_out"] == 1


def test_with_the_crop_off_all_is_kept_and_the_recording_says_so(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:", settings=DeviceSettings(crop="off"))
    for number in range(3):
        recorder.on_capture(shot_of(number))
    recorder.close()
    assert [np.array_equal(f.pixels, drawn(f.index)) for f in frames_in(folder)] == [True] * 3
    assert about(folder)["outside_the_image"] == "kept: the crop was off"


def test_a_crop_by_hand_holds_at_once_whatever_a_late_result_says(folder: Path) -> None:
    """A user narrows the crop since a name is in it; a result of before may still be on its way."""
    smaller = Box(80, 60, 200, 180)
    recorder = Recorder(folder, source="drawn:")
    recorder.change(DeviceSettings(crop=smaller))
    for number in range(3):
        recorder.on_capture(shot := shot_of(number))
        recorder.on_result(result_of(shot))
    recorder.close()
    frames = frames_in(folder)
    assert len(frames) == 3
    assert all(np.array_equal(f.pixels, kept(drawn(f.index), smaller)) for f in frames)


def test_the_crop_may_be_changed_midway(folder: Path) -> None:
    smaller = Box(80, 60, 200, 180)
    recorder = Recorder(folder, source="drawn:")
    recorder.on_capture(shot := shot_of(0))
    recorder.on_result(result_of(shot))
    recorder.change(DeviceSettings(crop=smaller))
    recorder.on_capture(shot := shot_of(1))
    recorder.on_result(result_of(shot, region=smaller))
    recorder.close()
    first, second = frames_in(folder)
    assert np.array_equal(first.pixels, kept(drawn(0)))
    assert np.array_equal(second.pixels, kept(drawn(1), smaller))


def test_the_disk_is_made_to_keep_every_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    recorded(folder, [shot_of(number) for number in range(4)])
    assert {path.stat().st_ino for path in folder.iterdir()} <= set(synced)
    assert len(list(folder.iterdir())) == 4


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_recording_opens_and_lacks_less_than_a_second(folder: Path, seed: int) -> None:
    after_s = random.Random(seed).uniform(0.1, 1.0)
    killed = kill_once(folder, after_s=after_s, size=SIZE)
    assert killed.read > 0
    assert killed.lost_s <= 1.0
    assert killed.result_lines > 0
    assert "was not closed" in killed.told


def test_a_recording_killed_at_its_very_start_is_told_of(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:")
    recorder.on_capture(shot := shot_of(0))
    recorder.on_result(result_of(shot))
    until(lambda: about(folder)["parts"])
    # As long as no second frame came, the file holds its header alone.
    left = shutil.copytree(folder, folder.with_name("left"))
    (left / "picture.mkv").write_bytes((left / "picture.mkv").read_bytes()[:300])
    recorder.close()
    with pytest.raises(SourceError, match=r"left ends here, at 0\.0 s: it was not closed"):
        frames_in(left)


class Slow:
    """Stands for a disk that takes nothing until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.entered = threading.Event()
        self._inside = reel.inside
        monkeypatch.setattr(reel, "inside", self.inside)

    def inside(self, pixels: GrayImage, region: Box) -> GrayImage:
        self.entered.set()
        assert self.go.wait(20)
        return self._inside(pixels, region)


def test_what_a_slow_disk_can_not_take_is_dropped_counted_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, size = Slow(monkeypatch), drawn(0).nbytes
    recorder = Recorder(folder, source="drawn:", backlog_bytes=6 * size)
    recorder.on_capture(shot := shot_of(0))
    recorder.on_result(result_of(shot))
    assert slow.entered.wait(20)
    for number in range(1, 37):
        recorder.on_capture(shot_of(number))
    assert recorder.dropped == 30
    lacking, behind = recorder.notices()
    assert "lacks 30 frames" in lacking.text
    assert "is 1 s behind" in behind.text
    slow.go.set()
    until(lambda: recorder.frames == 7)
    recorder.on_capture(shot_of(37))
    until(lambda: recorder.notices() == (lacking,))
    recorder.close()
    with sources.open(folder) as clip:
        frames = list(clip)
        assert clip.broken_frames == 0, "what was dropped is no damage"
    numbers = [0, 1, 2, 3, 4, 5, 6, 37]
    for frame, number in zip(frames, numbers, strict=True):
        assert np.array_equal(frame.pixels, kept(drawn(number)))
        assert frame.time_s == pytest.approx(number / 30, abs=TICK_S), "the gap is left open"
    assert about(folder)["dropped"] == 30
    assert {"key": "frames dropped", "text": "30 frames were dropped"}.items() <= (
        lines(folder, "events.jsonl")[-1].items()
    )


class Disk:
    """Free room as it is told."""

    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self, folder: Path) -> int:
        assert folder.is_absolute()
        return self.free


def test_a_disk_that_fills_is_told_of_and_then_ends_the_recording(folder: Path) -> None:
    disk = Disk(ENOUGH_BYTES + 1)
    recorder = Recorder(folder, source="drawn:", free=disk)
    for number in range(6):
        recorder.on_capture(shot := shot_of(number))
        recorder.on_result(result_of(shot))
    until(lambda: recorder.frames == 6)
    assert recorder.notices() == ()
    disk.free = ENOUGH_BYTES - 1
    until(recorder.notices)
    assert recorder.notices()[0].key == "disk filling"
    assert recorder.recording
    disk.free = LEAST_BYTES - 1
    until(lambda: not recorder.recording)
    (notice,) = recorder.notices()
    assert "ended by itself: only 200 MB are free" in notice.text
    recorder.on_capture(shot_of(6))
    recorder.close()
    assert len(frames_in(folder)) == 6, "closed as it should be"
    assert about(folder)["closed"] is True
    assert "only 200 MB" in about(folder)["ended"]


def test_a_full_disk_is_refused_at_once_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(StoreError, match="only 100 MB are free on the disk, 200 MB are needed"):
        Recorder(folder, source="drawn:", free=Disk(100_000_000))
    assert not folder.exists()


def test_a_file_that_can_not_grow_keeps_what_it_holds(folder: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(folder, source="drawn:")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        for number in range(40):
            recorder.on_capture(shot := shot_of(number))
            recorder.on_result(result_of(shot))
        until(lambda: not recorder.recording)
        recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (notice,) = recorder.notices()
    assert "the file grew larger than is allowed here" in notice.text
    with pytest.raises(SourceError, match=r"ends here, at 0\.\d s: .* the file grew larger"):
        frames_in(folder)
    frames = frames_until_the_end(folder)
    assert 1 <= len(frames) < 40
    assert all(np.array_equal(frame.pixels, kept(drawn(frame.index))) for frame in frames)


def frames_until_the_end(folder: Path) -> list[Frame]:
    frames: list[Frame] = []
    with sources.open(folder) as clip, suppress(SourceError):
        for frame in clip:
            frames.append(frame)  # noqa: PERF402 - those before the error count too
    return frames


def test_a_folder_that_vanishes_ends_the_recording_and_nothing_else(folder: Path) -> None:
    recorder = Recorder(folder, source="drawn:")
    recorder.on_capture(shot := shot_of(0))
    recorder.on_result(result_of(shot))
    until(lambda: recorder.frames == 1)
    shutil.rmtree(folder)
    until(lambda: not recorder.recording)
    assert "recording" in recorder.notices()[0].text
    recorder.on_capture(shot_of(1))
    recorder.close()


@pytest.mark.logs_errors
def test_a_fault_of_the_program_ends_the_recording_and_is_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reel, "inside", lambda pixels, region: pixels[9999])
    recorder = Recorder(folder, source="drawn:")
    recorder.on_capture(shot := shot_of(0))
    recorder.on_result(result_of(shot))
    until(lambda: not recorder.recording)
    recorder.close()
    assert "a fault of this program" in recorder.notices()[0].text
    assert "recording failed" in caplog.text


def test_a_folder_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't write"):
        Recorder(tmp_path / "nowhere", source="drawn:")


def test_without_pyav_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(StoreError, match=r"pip install 'nerveseg\[video\]'"):
        Recorder(folder, source="drawn:")


def test_closing_twice_does_no_harm(folder: Path) -> None:
    recorder = recorded(folder, [shot_of(number) for number in range(4)])
    recorder.close()
    recorder.on_capture(shot_of(9))
    assert not recorder.recording
    assert (recorder.frames, recorder.dropped) == (4, 0)
