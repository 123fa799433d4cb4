"""A frame's number and moment of capture, burned into its lowest rows as black and white blocks.

Wide blocks, so that they outlive JPEG and a canvas that is scaled; and a check sum, so that a
strip that was half painted is not taken for another number.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from nerveseg.errors import SourceError
from nerveseg.phantom import Phantom
from nerveseg.types import Frame
from nerveseg.video.clip import Clip

__all__ = ["BLOCKS", "ROWS", "TimecodeClip", "burn", "open_timecode", "phantom_pictures", "read"]

Picture = npt.NDArray[np.uint8]

ROWS = 16
"""Height of the strip, in pixels."""

NUMBER_BITS, TICK_BITS, CHECK_BITS = 16, 28, 4
BLOCKS = NUMBER_BITS + TICK_BITS + CHECK_BITS
TICK_S = 0.00025
"""The moment is told in quarters of a millisecond, from 0 again every 18 hours."""

_SCHEME = "timecode:"
_CYCLE = 90


def burn(pixels: Picture, number: int, moment_s: float) -> None:
    """Write ``number`` and ``moment_s`` (`time.time`) into the lowest rows of ``pixels``."""
    tick = round(moment_s / TICK_S) % 2**TICK_BITS
    number %= 2**NUMBER_BITS
    value = (number << TICK_BITS | tick) << CHECK_BITS | _check(number, tick)
    bits = [255 * (value >> place & 1) for place in reversed(range(BLOCKS))]
    width = pixels.shape[1] // BLOCKS
    pixels[-ROWS:] = 0
    pixels[-ROWS:, : width * BLOCKS] = np.repeat(np.array(bits, np.uint8), width)


def read(pixels: Picture) -> tuple[int, float] | None:
    """Number and moment (seconds, within 18 hours) of a picture; ``None`` if they make no sense."""
    width = pixels.shape[1] // BLOCKS
    row = pixels[-ROWS // 2, : width * BLOCKS].reshape(BLOCKS, width)[:, width // 2]
    value = int("".join("1" if level > 127 else "0" for level in row), 2)
    tick = value >> CHECK_BITS & (2**TICK_BITS - 1)
    number = value >> (CHECK_BITS + TICK_BITS)
    if value & (2**CHECK_BITS - 1) != _check(number, tick):
        return None
    return number, tick * TICK_S


def _check(number: int, tick: int) -> int:
    """Not 0 for a strip that is black throughout."""
    value, total = number << TICK_BITS | tick, 5
    while value:
        total ^= value & 15
        value >>= CHECK_BITS
    return total


@cache
def phantom_pictures(size_wh: tuple[int, int], fps: float) -> Sequence[Picture]:
    """Some seconds of a phantom with a needle, there and back, so that there is no cut."""
    phantom = Phantom("axillary", seed=1, size=size_wh, needle=True)
    there = [shot.frame.pixels for shot in phantom.frames(_CYCLE, fps)]
    return [*there, *there[-2:0:-1]]


class TimecodeClip(Clip):
    """A live source of exactly this size and rate: who reads late misses frames."""

    def __init__(self, size_wh: tuple[int, int], fps: float) -> None:
        super().__init__("timecode", file="timecode:", fps=fps, size_wh=size_wh)
        self._pictures = phantom_pictures(size_wh, fps)
        self.mm_per_px = Phantom("axillary", seed=1, size=size_wh).mm_per_px

    def _frames(self) -> Iterator[Frame]:
        fps = float(self.fps or 30.0)
        began, number = time.monotonic(), 0
        while not self._closing.wait(max(0.0, began + number / fps - time.monotonic())):
            pixels = self._pictures[number % len(self._pictures)].copy()
            burn(pixels, number, time.time())
            yield Frame(number, number / fps, pixels, self.mm_per_px)
            number = max(number + 1, int((time.monotonic() - began) * fps))


def open_timecode(uri: str) -> Clip:
    """The clip at ``timecode:640x480@30``."""
    size, _, fps = uri.removeprefix(_SCHEME).partition("@")
    try:
        width, height = map(int, size.split("x"))
        return TimecodeClip((width, height), float(fps or 30))
    except ValueError as error:
        raise SourceError(f"{uri!r} is no timecode address; expected timecode:WxH@FPS") from error
