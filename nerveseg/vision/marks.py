"""Lines, dots, hatching and text chips, drawn in place on a BGR picture.

All pictures are ``uint8`` ``(H, W, 3)`` in blue, green, red order; outlines are
``float64`` ``(n, 2)`` as ``x, y`` in pixels. Integer work on small parts of the picture,
because it runs on every frame of a live view.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg import anatomy
from nerveseg.types import Box, Point

__all__ = [
    "LINES",
    "WHITE",
    "BgrImage",
    "Color",
    "Outline",
    "Palette",
    "chip",
    "chip_size",
    "class_color",
    "darken",
    "disc",
    "hatch",
    "patch",
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

Palette: TypeAlias = Literal["standard", "safe"]
"""``safe`` has colours that the colour-blind can tell apart."""

WHITE: Color = (235, 235, 235)
"""Of words that belong to no class."""

LINES: dict[str, tuple[int, ...]] = {
    "solid": (),
    "dashed": (9, 6),
    "dotted": (1, 4),
    "dashdot": (9, 4, 1, 4),
}
"""Steps on, off, on, off … per line style of `anatomy.toml`; a step is 3/4 of the line's width."""

_SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws."""

_FAR = 1e5
"""Pixels from the corner beyond which nothing is drawn: OpenCV counts in 32 bits."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HATCH_PERIOD = 7

_WINDOW = 5
"""Points over which a traced outline is averaged; odd."""


def class_color(name: str, palette: Palette) -> Color:
    """Colour of a class of `anatomy.toml`; white for one that the syllabus doesn't know."""
    entry = anatomy.default().classes.get(name)
    if entry is None:
        return WHITE
    red, green, blue = entry.safe_color if palette == "safe" else entry.color
    return blue, green, red


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
    image: BgrImage,
    line: Outline,
    color: Color,
    *,
    style: str | tuple[int, ...],
    width: int,
    closed: bool = True,
) -> None:
    """Draw a line in a style of `LINES` (or steps of one's own), with a rim that shows on white.

    A closed line loses the stairs of the pixels that it was traced on: its corners are rounded
    over three widths. A solid open line is drawn from its first to its last point as it is.
    """
    pattern = LINES[style] if isinstance(style, str) else style
    line = np.clip(line, -_FAR, _FAR)
    if pattern or closed:
        line = _even(line, step=0.75 * width, multiple=sum(pattern) or 3, closed=closed)
    points = _fixed(line)
    pieces = _dashes(points, pattern) if pattern else [points[::3].copy() if closed else points]
    whole = closed and not pattern
    # The rim isn't smoothed: thick smoothed lines cost OpenCV ten times as much.
    cv2.polylines(image, pieces, whole, (0, 0, 0), width + 2, cv2.LINE_8, _SHIFT)
    cv2.polylines(image, pieces, whole, color, width, cv2.LINE_AA, _SHIFT)


def disc(image: BgrImage, middle: Point, color: Color, *, radius: float, width: int = 0) -> None:
    """A circle with a dark rim around ``middle`` (``x, y``); filled where ``width`` is 0."""
    x, y = _fixed(np.array(middle)).tolist()
    filled = width == 0
    rim = round((radius + filled) * (1 << _SHIFT))
    inner, thickness = round(radius * (1 << _SHIFT)), width or cv2.FILLED
    cv2.circle(
        image, (x, y), rim, (0, 0, 0), cv2.FILLED if filled else width + 2, cv2.LINE_8, _SHIFT
    )
    cv2.circle(image, (x, y), inner, color, thickness, cv2.LINE_AA, _SHIFT)


def patch(image: BgrImage, outline: Outline, color: Color) -> None:
    """A small convex shape, filled, with a dark rim."""
    points = _fixed(outline)
    cv2.fillConvexPoly(image, points, color, cv2.LINE_AA, _SHIFT)
    cv2.polylines(image, [points], True, (0, 0, 0), 1, cv2.LINE_AA, _SHIFT)


def chip_size(words: str, *, size: float) -> tuple[int, int]:
    """Width and height in pixels of ``words`` with the dark ground that `chip` gives them."""
    width, above, depth = text_size(words, size=size)
    return width + round(6 * size), above + depth + round(3 * size)


def chip(image: BgrImage, words: str, box: Box, color: Color, *, size: float) -> None:
    """Write ``words`` on the dark ground of ``box``, at its left end."""
    darken(image, box)
    _, _, depth = text_size(words, size=size)
    text(image, words, box.left + round(3 * size), box.bottom - depth, color, size=size)


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
    cv2.convertScaleAbs(part, part, 0.2)


def _fixed(points: Outline) -> npt.NDArray[np.int32]:
    """Points as OpenCV's fixed-point numbers."""
    near = np.clip(points, -_FAR, _FAR)
    return np.rint(near * (1 << _SHIFT)).astype(np.int32, order="C")


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
