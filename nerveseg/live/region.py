"""Where the ultrasound image is in a frame, as far as that is known: nothing else is stored."""

from __future__ import annotations

from typing import TypeAlias

from nerveseg.live.settings import Crop
from nerveseg.live.values import LiveFrame, LiveResult
from nerveseg.types import Box
from nerveseg.video.crop import cut_to, seen_region

__all__ = ["KnownRegion"]

_Kind: TypeAlias = tuple[tuple[int, ...], int]
"""Frames of one size that came while the source was opened once look alike."""


class KnownRegion:
    """Where the user said that the image is, or else the image region of the latest result, for
    frames of the same kind as the one it is of.

    With the crop ``off`` it is the whole of any frame.
    """

    def __init__(self, crop: Crop) -> None:
        self._crop = crop
        self._known: tuple[Box, _Kind] | None = None
        self._number = -1

    def change(self, crop: Crop) -> None:
        """Go on with another crop; what was known of the image is forgotten."""
        if crop != self._crop:
            self._crop, self._known, self._number = crop, None, -1

    def learn(self, found: LiveResult) -> None:
        """Take the region of a result.

        A result on a blank picture has the whole of it for a region, which is no finding: the
        next picture may have a name beside the image.
        """
        known = found.result.segmentation.region, _kind(found.shot)
        pixels = found.shot.frame.pixels
        whole = known[0] == Box(0, 0, pixels.shape[1], pixels.shape[0])
        if whole and known != self._known and seen_region(pixels) is None:
            return
        self._known, self._number = known, found.shot.number

    def of(self, shot: LiveFrame) -> Box | None:
        """Where the image is in ``shot``; ``None`` while that isn't known."""
        if self._crop == "off":
            height, width = shot.frame.pixels.shape
            return Box(0, 0, width, height)
        if isinstance(self._crop, Box) and (given := cut_to(shot.frame.pixels.shape, self._crop)):
            # Not by results: the latest may be of before the user said so.
            return given
        if self._known is None or self._known[1] != _kind(shot):
            return None
        return self._known[0]

    def never(self, shot: LiveFrame) -> bool:
        """Whether it won't be known of ``shot`` any more: a later frame looks different."""
        return self.of(shot) is None and shot.number < self._number


def _kind(shot: LiveFrame) -> _Kind:
    return shot.frame.pixels.shape, shot.opening
