"""Kill a process that records, and see what it leaves: for the tests, and for measuring.

Run as a program, it records frames that can be told again by their number, and prints each as
soon as the recorder was given it: ``python -m tests.recording_kill FOLDER FPS WIDTH HEIGHT``.
"""

from __future__ import annotations

import functools
import itertools
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nerveseg.errors import SourceError
from nerveseg.live.recorder import Recorder
from nerveseg.results import RESULTS
from nerveseg.types import Box, GrayImage
from nerveseg.video import sources
from tests.recordings import result_of, shot_of

_RESULT_EVERY = 2
_PATTERNS = 16


@dataclass(frozen=True, slots=True)
class Killed:
    """What a kill left: ``lost_s`` is from the last frame read back to the last one captured."""

    captured: int
    read: int
    lost_s: float
    result_lines: int
    told: str


def kill_once(
    folder: Path, *, after_s: float, fps: float = 30.0, size: tuple[int, int] = (640, 480)
) -> Killed:
    """Record into ``folder``, kill the process ``after_s`` after its first frame, read it back.

    Fails if a frame isn't the one that was recorded, or a line of results is no whole one.
    """
    command = [sys.executable, "-m", "tests.recording_kill", str(folder), str(fps)]
    with subprocess.Popen(
        [*command, *map(str, size)], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        # The pipe still holds what was printed up to the kill.
        rest = process.stdout.read().splitlines()
    captured = 1 + max((int(line) for line in rest if line.isdigit()), default=0)
    read, told = _read_back(folder, size)
    lines = (folder / RESULTS).read_bytes()
    assert not lines or lines.endswith(b"}\n"), "a line of results was cut off"
    return Killed(captured, read, (captured - read) / fps, lines.count(b"\n"), told)


def picture(number: int, size: tuple[int, int]) -> GrayImage:
    """Speckle and, in the first row of the image, the number in bits."""
    region = _region(size)
    pixels = _speckle(number % _PATTERNS, size).copy()
    bits = [255 * (number >> place & 1) for place in range(32)]
    pixels[region.top, region.left : region.left + 32] = bits
    return pixels


@functools.cache
def _speckle(pattern: int, size: tuple[int, int]) -> GrayImage:
    """Blurred noise, so that it takes about the time that ultrasound takes to encode."""
    pixels, region = np.zeros(size[::-1], np.uint8), _region(size)
    rng = np.random.default_rng(pattern)
    noise = rng.integers(0, 256, (region.height, region.width), dtype=np.uint8)
    pixels[region.slices] = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return pixels


def _region(size: tuple[int, int]) -> Box:
    return Box(16, 16, size[0] - 16, size[1] - 16)


def _read_back(folder: Path, size: tuple[int, int]) -> tuple[int, str]:
    read, told = 0, ""
    try:
        with sources.open(folder) as clip:
            for frame in clip:
                assert np.array_equal(frame.pixels, picture(read, size)), f"frame {read}"
                read += 1
    except SourceError as error:
        told = str(error)
    return read, told


def _record(folder: Path, fps: float, size: tuple[int, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(folder, source="drawn")
    for pattern in range(_PATTERNS):
        _speckle(pattern, size)
    began = time.monotonic()
    for number in itertools.count():
        time.sleep(max(0.0, began + number / fps - time.monotonic()))
        shot = shot_of(number, pixels=picture(number, size), time_s=number / fps)
        recorder.on_capture(shot)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if number % _RESULT_EVERY == 0:
            recorder.on_result(result_of(shot, region=_region(size)))


if __name__ == "__main__":
    given = sys.argv[1:]
    _record(Path(given[0]), float(given[1]), (int(given[2]), int(given[3])))
