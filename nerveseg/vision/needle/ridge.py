"""Set a needle's line straight on the picture itself.

The network's maps are coarse, and may show only the part of a shaft next to its tip. The picture
is finer: a shaft is brighter than what lies on both its sides (a matched ridge filter). So lines
near the one found are tried, all at once, and the one that runs along most of a ridge is kept.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, GrayImage, Point

__all__ = ["straightened"]

_Floats = npt.NDArray[np.float64]

_DIAGONAL = 420.0
"""The region is brought to this diagonal first: fine enough for a shaft, and of one speckle."""

_TURNS = np.radians(np.arange(-7.0, 7.01, 0.7))
_SHIFTS = np.arange(-0.012, 0.0121, 0.003)
_SAMPLES = 32
_BESIDE = 0.016
_MARGIN = 0.09
_LEAST, _MOST = -8.0, 32.0
_PRIOR_TURN, _PRIOR_SHIFT = math.radians(8.0), 0.014
_PRIOR = 3.0


def straightened(pixels: GrayImage, region: Box, start: Point, tip: Point) -> tuple[Point, Point]:
    """The line from ``start`` to ``tip``, turned and shifted a little onto the ridge under it.

    ``pixels`` is the frame, ``uint8`` ``(H, W)``; points are in its pixels. The tip moves across
    the line only, by at most 1.2 % of the region's diagonal; the line turns by at most 7 degrees
    about it. Contrast is limited sample by sample, so that one bright spot can't turn a line,
    and a line farther from the one given has to be the better ridge by some grey levels.
    """
    scale = _DIAGONAL / math.hypot(region.width, region.height)
    part = _around(region, start, tip, margin=_MARGIN * _DIAGONAL / scale)
    picture = _scaled(pixels, part, scale)
    corner = np.array([part.left - 0.5, part.top - 0.5])
    head, tail = ((np.array(at) - corner) * scale - 0.5 for at in (tip, start))
    length = float(np.hypot(*(head - tail)))
    if length < 8:
        return start, tip
    heading = math.atan2(head[1] - tail[1], head[0] - tail[0])
    turns, shifts = np.meshgrid(_TURNS, _SHIFTS * _DIAGONAL, indexing="ij")
    scores = _ridge(picture, head, heading + turns.ravel(), shifts.ravel(), length)
    far = (turns / _PRIOR_TURN) ** 2 + (shifts / (_PRIOR_SHIFT * _DIAGONAL)) ** 2
    best = int((scores - _PRIOR * far.ravel()).argmax())
    angle, shift = heading + turns.ravel()[best], shifts.ravel()[best]
    moved = head + shift * np.array([-math.sin(angle), math.cos(angle)])
    begun = moved - length * np.array([math.cos(angle), math.sin(angle)])
    return _back(begun, corner, scale), _back(moved, corner, scale)


def _around(region: Box, start: Point, tip: Point, *, margin: float) -> Box:
    """The part of the region in which all lines that are tried lie, with both their sides."""
    (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(start, tip, strict=True))
    left = min(max(region.left, math.floor(x0 - margin)), region.right - 1)
    top = min(max(region.top, math.floor(y0 - margin)), region.bottom - 1)
    right = min(region.right, math.ceil(x1 + margin))
    bottom = min(region.bottom, math.ceil(y1 + margin))
    return Box(left, top, max(right, left + 1), max(bottom, top + 1))


def _scaled(pixels: GrayImage, region: Box, scale: float) -> npt.NDArray[np.float32]:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    small = cv2.resize(pixels[region.slices], size, interpolation=how)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.2), np.float32)


def _ridge(
    picture: npt.NDArray[np.float32], head: _Floats, angles: _Floats, shifts: _Floats, length: float
) -> _Floats:
    """Mean limited contrast, in grey levels, along each line to ``head``."""
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    back = np.linspace(0.02, 1.0, _SAMPLES) * length
    on = head + shifts[:, None] * across
    points = on[:, None] - back[:, None] * along[:, None]
    beside = _BESIDE * _DIAGONAL * across[:, None]
    rows = np.concatenate([points, points + beside, points - beside], axis=1).astype(np.float32)
    values = cv2.remap(
        picture,
        np.ascontiguousarray(rows[..., 0]),
        np.ascontiguousarray(rows[..., 1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    line, one, other = np.split(values, 3, axis=1)
    return np.asarray(np.clip(line - np.maximum(one, other), _LEAST, _MOST).mean(axis=1))


def _back(at: _Floats, corner: _Floats, scale: float) -> Point:
    x, y = (at + 0.5) / scale + corner
    return float(x), float(y)
