"""Clips and pictures written whole or not at all, and millimetres per pixel."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from nerveseg.errors import SourceError, StoreError
from nerveseg.types import Box
from nerveseg.video import calibration, sinks, sources
from tests import video_files as files
from tests.video_files import picture, read_all, textured

# --- sinks ---


def write_clip(path: Path, *, frames: int = 30) -> sinks.VideoWriter:
    with sinks.VideoWriter(path, fps=25, size_wh=(320, 240)) as writer:
        for index in range(frames):
            writer.write(textured(index))
    return writer


@pytest.fixture(params=["h264", "mpeg4"])
def codec(request, monkeypatch) -> str:
    if request.param == "h264":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
        monkeypatch.setattr(sinks.importlib.util, "find_spec", lambda name: None)
    return request.param


def test_a_written_clip_reads_back(codec, tmp_path, capfd):
    writer = write_clip(tmp_path / "out.mp4")
    assert writer.codec == codec
    with sources.open(tmp_path / "out.mp4") as clip:
        frames = list(clip)
        assert clip.fps == pytest.approx(25)
    assert [frame.index for frame in frames] == list(range(30))
    assert frames[-1].time_s == pytest.approx(29 / 25)
    for frame in frames:
        expected = cv2.cvtColor(textured(frame.index), cv2.COLOR_BGR2GRAY)
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 12
    assert list(tmp_path.iterdir()) == [tmp_path / "out.mp4"]
    assert capfd.readouterr().err == ""


def test_odd_sizes_are_padded(codec, tmp_path):
    with sinks.VideoWriter(tmp_path / "odd.mp4", fps=25, size_wh=(63, 47)) as writer:
        writer.write(np.full((47, 63, 3), 130, np.uint8))
    (frame,) = read_all(tmp_path / "odd.mp4")
    assert frame.pixels.shape == (48, 64)
    assert np.abs(frame.pixels.astype(int) - 130).max() <= 4


def test_nothing_bears_the_name_before_it_is_whole(codec, tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the last run's clip")
    with sinks.VideoWriter(path, fps=25, size_wh=(320, 240)) as writer:
        writer.write(textured(0))
        assert path.read_bytes() == b"the last run's clip"
    assert len(read_all(path)) == 1


def test_ctrl_c_keeps_what_was_written(codec, tmp_path):
    def interrupted() -> None:
        with sinks.VideoWriter(tmp_path / "out.mp4", fps=25, size_wh=(320, 240)) as writer:
            for index in range(10):
                writer.write(textured(index))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(read_all(tmp_path / "out.mp4")) == 10


def test_a_clip_without_frames_leaves_no_file(codec, tmp_path):
    write_clip(tmp_path / "out.mp4", frames=0)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(codec, tmp_path):
    writer = sinks.VideoWriter(tmp_path / "out.mp4", fps=25, size_wh=(64, 48))
    with writer, pytest.raises(ValueError, match=r"expected uint8 \(48, 64, 3\)"):
        writer.write(np.zeros((64, 48, 3), np.uint8))


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    here = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_process_leaves_a_clip_that_plays(tmp_path):
    pytest.importorskip("av")
    code = """
import os, sys, signal
from tests.video_files import textured
from nerveseg.video.sinks import VideoWriter
writer = VideoWriter(sys.argv[1], fps=25, size_wh=(320, 240))
for index in range(90):
    writer.write(textured(index))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run_python(code, tmp_path / "out.mp4")
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".mp4"
    assert len(read_all(left)) >= 45


FULL_DISK = """
import resource, sys
from tests.video_files import textured
from nerveseg.errors import StoreError
from nerveseg.video import sinks
if sys.argv[2] == "mpeg4":
    sinks.importlib.util.find_spec = lambda name: None
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    with sinks.VideoWriter(sys.argv[1], fps=25, size_wh=(320, 240)) as writer:
        for index in range(120):
            writer.write(textured(index))
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on a file's size")
def test_a_file_that_cannot_grow_is_a_store_error(codec, tmp_path):
    done = run_python(FULL_DISK, tmp_path / "out.mp4", codec)
    assert done.returncode == 0, done.stderr
    assert "out.mp4" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    if codec == "h264":
        # One fragment of 15 frames, at the least, lies whole in what fitted.
        with sources.open(tmp_path / "out.mp4") as clip:
            indices = [next(clip).index for _ in range(15)]
        assert indices == list(range(15))


def fail_with(code: int):
    def write_bytes(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(code, os.strerror(code))

    return write_bytes


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "can't write"),
    ],
)
def test_a_failed_write_keeps_the_old_picture(code, line, tmp_path, monkeypatch):
    path = tmp_path / "mask.png"
    sinks.write_png(path, picture(0))
    monkeypatch.setattr(Path, "write_bytes", fail_with(code))
    with pytest.raises(StoreError, match=line):
        sinks.write_png(path, picture(1))
    np.testing.assert_array_equal(sources.read_image(path), picture(0))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["no/such/folder/a", "file/a"])
def test_a_missing_folder_is_a_store_error(name, tmp_path, codec):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="its folder"):
        sinks.write_png(tmp_path / f"{name}.png", picture(0))
    with pytest.raises(StoreError, match="its folder"):
        sinks.VideoWriter(tmp_path / f"{name}.mp4", fps=25, size_wh=(64, 48))


def test_a_mask_is_written_as_0_and_255(tmp_path):
    mask = picture(0) > 20
    sinks.write_png(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(sources.read_image(tmp_path / "mask.png"), mask * 255)


def test_only_pictures_become_png(tmp_path):
    with pytest.raises(ValueError, match="a PNG needs uint8"):
        sinks.write_png(tmp_path / "a.png", np.zeros((4, 4), np.float32))


# --- scale ---


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([files.region(0.01, 0.01)], 0.1),
        ([files.region(0.01, -0.01)], 0.1),
        ([files.region(0.01, 0.01005)], 0.10025),
        ([files.region(0.01, 0.02)], None),
        ([files.region(0.01, 0.01, units=(4, 3))], None),
        ([files.region(0.0, 0.0)], None),
        ([files.region(0.03, 0.03, corners=(0, 0, 9, 9)), files.region(0.01, 0.01)], 0.1),
    ],
    ids=["cm", "negative", "within 1 %", "unequal", "seconds", "zero", "largest region"],
)
def test_the_scale_of_a_dicom(items, expected, tmp_path):
    elements = {"SequenceOfUltrasoundRegions": files.regions(*items)}
    path = files.write_dicom(tmp_path / "a.dcm", [picture(0)], **elements)
    with sources.open(path) as clip:
        assert clip.mm_per_px == (pytest.approx(expected) if expected else None)
        assert next(clip).mm_per_px == clip.mm_per_px


def _dataset(*items: files.Dataset) -> files.Dataset:
    data = files.Dataset()
    data.SequenceOfUltrasoundRegions = files.regions(*items)
    return data


def test_unequal_spacings_are_both_reported():
    (scale,) = calibration.dicom_scales(_dataset(files.region(0.01, 0.02)))
    assert (scale.x_mm, scale.y_mm) == pytest.approx((0.1, 0.2))
    assert scale.mm_per_px is None


def test_each_region_has_its_own_scale():
    left = files.region(0.01, 0.01, corners=(0, 0, 49, 99))
    right = files.region(0.02, 0.02, corners=(50, 0, 149, 99))
    scales = calibration.dicom_scales(_dataset(left, right))
    assert [scale.region for scale in scales] == [Box(50, 0, 150, 100), Box(0, 0, 50, 100)]
    assert calibration.scale_at(scales, 49.4, 10).mm_per_px == pytest.approx(0.1)
    assert calibration.scale_at(scales, 50, 10).mm_per_px == pytest.approx(0.2)
    assert calibration.scale_at(scales, 10, 100) is None


def test_depth_and_two_clicks():
    assert calibration.mm_per_px_from_depth(40, Box(10, 20, 400, 420)) == pytest.approx(0.1)
    clicks = calibration.mm_per_px_from_points((10, 10), (40, 50), distance_mm=5)
    assert clicks == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [0, -3, float("nan"), float("inf"), 1e9])
def test_a_scale_is_never_made_of_nonsense(wrong):
    with pytest.raises(SourceError, match="expected"):
        calibration.mm_per_px_from_depth(wrong, Box(0, 0, 100, 100))
    with pytest.raises(SourceError, match="expected"):
        calibration.mm_per_px_from_points((0, 0), (0, 100), distance_mm=wrong)
    with pytest.raises(SourceError, match="further apart"):
        calibration.mm_per_px_from_points((5, 5), (5, 5), distance_mm=10)


def test_ctrl_c_waits_until_a_frame_is_whole_and_then_counts() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)

    def interrupted() -> None:
        with sinks.uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["the rest of the block"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_within_is_told_and_the_handler_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(OSError, match="full"), sinks.uninterrupted():
        raise OSError("full")
    assert signal.getsignal(signal.SIGINT) is before
