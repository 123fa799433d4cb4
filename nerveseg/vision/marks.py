"""Lines, dots, hatching and text chips, drawn in place on a BGR picture.

All pictures are ``uint8`` ``(H, W, 3)`` in blue, green, red order; outlines are
``float64`` ``(n, 2)`` as ``x, y`` in pixels. Integer work on small parts of the picture,
because it runs on every frame of a live view.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box

__all__ = [
    "LINES",
    "BgrImage",
    "Color",
    "Outline",
    "darken",
    "hatch",
    "stroke",
    "text",
    "text_size",
    "tint",
]

BgrImage: TypeAlias = npt.NDArray[np.uint8]
"""``uint8`` of shape ``(H, W, 3)``: blue, green, red."""

Color: TypeAlias = tuple[int, int, int]
"""Blue, green, red, each 0..255."""

Outline: TypeAlias = npt.NDArray[np.float64]
"""``float64`` of shape ``(n, 2)``: ``x, y`` of a line, in pixels; closed ones end open."""

LINES: dict[str, tuple[int, ...]] = {
    "solid": (),
    "dashed": (9, 6),
    "dotted": (1, 4),
    "dashdot": (9, 4, 1, 4),
}
"""Steps on, off, on, off … per line style of `anatomy.toml`; a step is 3/4 of the line's width."""

_SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HATCH_PERIOD = 7

_WINDOW = 5
"""Points over which a traced outline is averaged; odd."""


def tint(image: BgrImage, mask: npt.NDArray[np.uint8], color: Color, *, opacity: float) -> None:
    """Mix ``color`` into ``image`` where ``mask`` (``uint8``, ``(H, W)``) isn't 0."""
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0 or opacity <= 0:
        return
    part = image[top : top + height, left : left + width]
    dimmed = cv2.convertScaleAbs(part, alpha=1.0 - opacity)
    light = np.array((*color, 0), np.float64) * opacity
    cv2.add(dimmed, light, part, mask[top : top + height, left : left + width])


def hatch(
    image: BgrImage, mask: npt.NDArray[np.uint8], color: Color, *, rising: bool, size: float
) -> None:
    """Diagonal lines of ``color`` where ``mask`` (``uint8``, ``(H, W)``) isn't 0.

    ``rising`` lines run like ``/``, the others like a backslash. The lines stand still on the
    picture while the mask moves, so that a clip doesn't shimmer.
    """
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0:
        return
    # Where x + y (or x − y) is the same, so is the line.
    period = max(4, round(_HATCH_PERIOD * size))
    start = left + top if rising else left - top - height + 1
    line = np.arange(start, start + width + height - 1) % period < max(1, period // 4)
    pattern = np.lib.stride_tricks.sliding_window_view(line.astype(np.uint8) * 255, width)
    part = (slice(top, top + height), slice(left, left + width))
    lines = np.bitwise_and(mask[part], pattern if rising else pattern[::-1])
    tint(image[part], lines, color, opacity=0.85)


def stroke(
    image: BgrImage, line: Outline, color: Color, *, style: str, width: int, closed: bool = True
) -> None:
    """Draw a line in a style of `LINES`, with a dark rim that shows on white.

    A closed line loses the stairs of the pixels that it was traced on: its corners are rounded
    over three widths.
    """
    pattern = LINES[style]
    even = _even(line, step=0.75 * width, multiple=sum(pattern) or 3, closed=closed)
    points = np.rint(even * (1 << _SHIFT)).astype(np.int32, order="C")
    pieces = _dashes(points, pattern) if pattern else [points[::3].copy() if closed else points]
    whole = closed and not pattern
    # The rim isn't smoothed: thick smoothed lines cost OpenCV ten times as much.
    cv2.polylines(image, pieces, whole, (0, 0, 0), width + 2, cv2.LINE_8, _SHIFT)
    cv2.polylines(image, pieces, whole, color, width, cv2.LINE_AA, _SHIFT)


def text_size(words: str, *, size: float) -> tuple[int, int, int]:
    """Width and height above the base line and depth below it, in pixels."""
    (width, height), depth = cv2.getTextSize(words, _FONT, 0.42 * size, 1)
    return int(width), int(height), int(depth)


def text(image: BgrImage, words: str, left: int, base: int, color: Color, *, size: float) -> None:
    """Write ``words`` with its base line at ``base``; ``size`` 1 suits 640×480."""
    cv2.putText(image, words, (left, base), _FONT, 0.42 * size, color, 1, cv2.LINE_AA)


def darken(image: BgrImage, box: Box) -> None:
    """Make ``box`` a dark ground on which bright text can be read."""
    part = image[box.slices]
    cv2.convertScaleAbs(part, part, 0.3)


def _even(line: Outline, *, step: float, multiple: int, closed: bool) -> Outline:
    """Points about ``step`` pixels apart, a ``multiple`` of them so that the last dash is whole."""
    if closed:
        line = np.concatenate([line, line[:1]])
    steps = np.diff(line, axis=0)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    # At least three dashes, however small the outline: one or two would not read as a line.
    count = multiple * max(3 if closed else 1, round(length[-1] / (step * multiple)))
    where = np.arange(count) * (length[-1] / count)
    even: Outline = np.stack([np.interp(where, length, line[:, axis]) for axis in (0, 1)], axis=-1)
    if not closed or count < 2 * _WINDOW:
        return even
    around = np.concatenate([even[-(_WINDOW // 2 + 1) :], even, even[: _WINDOW // 2]])
    sums = np.cumsum(around, axis=0)
    smoothed: Outline = (sums[_WINDOW:] - sums[:-_WINDOW]) / _WINDOW
    return smoothed


def _dashes(points: npt.NDArray[np.int32], pattern: tuple[int, ...]) -> list[npt.NDArray[np.int32]]:
    """Cut evenly spaced points into dashes and dots."""
    begins = np.arange(0, len(points), sum(pattern))[:, np.newaxis]
    starts = np.cumsum((0, *pattern))
    pieces: list[npt.NDArray[np.int32]] = []
    for on, start in zip(pattern[::2], starts[::2], strict=False):
        picked = np.arange(start, start + on + 1, 3 if on > 1 else 1)
        pieces.extend(np.take(points, (begins + picked) % len(points), axis=0))
    return pieces
