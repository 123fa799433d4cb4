"""From pieces of ridge to planes: gaps bridged where there is evidence, specks dropped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, Plane, Segmentation
from nerveseg.vision.planes.joining import joined, uncrossed
from nerveseg.vision.planes.ridges import Floats, Piece, find_pieces, smoothed

__all__ = ["FASCIA", "find_planes"]

FASCIA = "fascia"
"""The class that planes are read from."""

_STEEPEST = math.tan(math.radians(60.0))
"""Beyond this slope, in frame pixels, a plane ends: it has no one ``y`` per column any more."""

_WEAK_SHARE = 0.6
"""Of the class's threshold: a ridge may fall so low in places, if as a whole it is strong."""

_LEAST_LENGTH = 0.12
"""Of the region's width; shorter lines are specks."""

_LEAST_CONFIDENCE = 0.6
"""Mean probability along a line."""


def find_planes(segmentation: Segmentation) -> tuple[Plane, ...]:
    """Fascial planes of one frame, the shallowest first; none where the class is missing.

    The ridges of ``segmentation.probabilities["fascia"]`` (``float32`` ``(h, w)``) become lines
    in frame pixels with one point per column of that map; ``y`` is the ridge's centre of gravity
    down the column, ``thickness_px`` the mean extent at half height across the line (times the
    cosine of its slope), ``confidence`` the mean probability along it, bridges included. All have
    ``key`` 0: see `nerveseg.vision.planes.PlaneTracker`.

    A gap of up to a fifth of the region's width is bridged by a straight stretch when both
    sides point at each other and the map is not empty between them. At a fork the stronger
    continuation keeps the line and the other arm is a line of its own; where lines cross, each
    goes straight on. Fascia runs mostly left to right: a part steeper than 60 degrees isn't
    followed, and the line ends there.
    """
    probability = segmentation.probabilities.get(FASCIA)
    if probability is None or probability.size == 0:
        return ()
    # fmax passes over NaN, which a broken network may answer.
    probability = np.fmin(np.fmax(probability, np.float32(0)), np.float32(1))
    smooth = smoothed(probability)
    scale = _Scale.of(segmentation.region, probability.shape)
    threshold = segmentation.thresholds[FASCIA]
    if float(smooth.max()) < threshold:
        return ()
    reach = max(1.0, _STEEPEST * scale.x / scale.y)
    weak = _WEAK_SHARE * threshold
    pieces = find_pieces(probability, smooth, threshold=weak, reach=reach)
    lines = uncrossed(joined(pieces, smooth))
    lines = [line for line in lines if _is_plane(line, smooth.shape[1])]
    return tuple(sorted((_plane(line, scale) for line in lines), key=_depth))


@dataclass(frozen=True, slots=True)
class _Scale:
    """From the map's grid to frame pixels."""

    left: int
    top: int
    x: float
    y: float

    @classmethod
    def of(cls, region: Box, grid: tuple[int, ...]) -> _Scale:
        return cls(region.left, region.top, region.width / grid[1], region.height / grid[0])


def _is_plane(line: Piece, width: int) -> bool:
    long_enough = line.columns.size >= max(2.0, _LEAST_LENGTH * width)
    return bool(long_enough and line.strengths.mean() >= _LEAST_CONFIDENCE)


def _plane(line: Piece, scale: _Scale) -> Plane:
    rows = _smooth_rows(line.rows)
    # Pixel centres: the first grid column covers the frame's columns 0 to scale.x.
    x = scale.left + (line.columns + 0.5) * scale.x - 0.5
    y = scale.top + (rows + 0.5) * scale.y - 0.5
    slopes = np.diff(y, append=2 * y[-1] - y[-2]) / scale.x
    across = (line.widths * scale.y / np.hypot(1.0, slopes))[~np.isnan(line.widths)]
    return Plane(
        points_xy=tuple(zip(x.tolist(), y.tolist(), strict=True)),
        thickness_px=float(across.mean()),
        confidence=min(1.0, float(line.strengths.mean())),
    )


def _smooth_rows(rows: Floats) -> npt.NDArray[np.float64]:
    """A moving average over five columns; the ends are mirrored through their own point."""
    if rows.size < 5:
        return rows.astype(np.float64)
    head = 2 * rows[0] - rows[2:0:-1]
    tail = 2 * rows[-1] - rows[-2:-4:-1]
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
    return np.convolve(np.concatenate([head, rows, tail]).astype(np.float64), kernel, "valid")


def _depth(plane: Plane) -> float:
    return float(np.mean([y for _, y in plane.points_xy]))
