"""Which part of a picture may leave this computer: the image, without the scanner's chrome."""

from __future__ import annotations

from nerveseg.live.values import LiveFrame, LiveResult
from nerveseg.types import Box, GrayImage
from nerveseg.video.crop import seen_region

__all__ = ["Fence"]

_LOOKS = 30


class Fence:
    """Knows the image region of the frames that come, and nothing before it was seen.

    A patient's name stands in the chrome around the image, and what has left can't be called
    back. So where results cover the whole picture (no crop was wanted, or nothing was found to
    crop), the image is looked for all the same: on a blank screen with a name on it, there is
    none.
    """

    def __init__(self) -> None:
        self._box: Box | None = None
        self._of: tuple[int, tuple[int, ...]] | None = None
        self._looks = 0

    def update(self, result: LiveResult) -> None:
        """Learn from the newest result."""
        pixels, region = result.shot.frame.pixels, result.result.segmentation.region
        if self._of != _kind(result.shot):
            self._of, self._box, self._looks = _kind(result.shot), None, 0
        if (region.height, region.width) != pixels.shape:
            self._box = region
        elif self._looks < _LOOKS:
            self._look(pixels)

    def box(self, shot: LiveFrame) -> Box | None:
        """The image region of ``shot``; ``None`` while it isn't known."""
        return self._box if self._of == _kind(shot) else None

    def _look(self, pixels: GrayImage) -> None:
        found = seen_region(pixels)
        if found is None:
            return
        self._looks += 1
        self._box = found if self._box is None else self._box.union(found)


def _kind(shot: LiveFrame) -> tuple[int, tuple[int, ...]]:
    # What is plugged in again, or changes its size, may show its chrome elsewhere.
    return shot.opening, shot.frame.pixels.shape
