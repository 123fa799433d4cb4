"""Lines on a frame, and where the cells of a network's map lie on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, Point, Probability

__all__ = ["Floats", "Grid", "Line", "main_axis", "span_within"]

Floats = npt.NDArray[np.float64]

_SAME_TURN = math.sin(math.radians(2.0))


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A point and a unit direction in frame pixels, pointing deeper (or to the tip, if flat)."""

    middle: Floats
    along: Floats

    def place(self, s: float) -> Point:
        """The point ``s`` pixels on from the middle."""
        return (
            float(self.middle[0] + s * self.along[0]),
            float(self.middle[1] + s * self.along[1]),
        )

    def across(self, points: Floats) -> Floats:
        """Signed distance of ``points`` ``(n, 2)`` from the line."""
        off = points - self.middle
        return np.asarray(off[:, 1] * self.along[0] - off[:, 0] * self.along[1])

    def is_like(self, other: Line, *, within: float) -> bool:
        """Whether both are one line for all that matters: nearly parallel, and close."""
        turn = float(self.along[0] * other.along[1] - self.along[1] * other.along[0])
        return abs(turn) < _SAME_TURN and abs(float(other.across(self.middle[None])[0])) < within

    def course(self, points: Floats) -> Floats:
        """How far along the line ``points`` ``(n, 2)`` lie."""
        return np.asarray((points - self.middle) @ self.along)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cells of a map of ``rows`` by ``columns`` lie on the frame."""

    region: Box
    rows: int
    columns: int

    @property
    def pitch(self) -> float:
        """A cell's mean side in pixels."""
        return (self.region.width / self.columns + self.region.height / self.rows) / 2

    @property
    def diagonal(self) -> float:
        """Of the region, in pixels."""
        return math.hypot(self.region.width, self.region.height)

    def points(self, rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_]) -> Floats:
        """Centres of cells, ``(n, 2)``, x and y in frame pixels."""
        x = self.region.left + (columns + 0.5) * (self.region.width / self.columns) - 0.5
        y = self.region.top + (rows + 0.5) * (self.region.height / self.rows) - 0.5
        return np.stack([x, y], axis=1).astype(np.float64)

    def sample(self, values: Probability, points: Floats) -> Floats:
        """``values`` at ``points`` ``(n, 2)``, bilinear, 0 outside the region."""
        x = (points[:, 0] - self.region.left + 0.5) * (self.columns / self.region.width) - 0.5
        y = (points[:, 1] - self.region.top + 0.5) * (self.rows / self.region.height) - 0.5
        found = cv2.remap(
            np.asarray(values, np.float32),
            x.astype(np.float32)[None, :],
            y.astype(np.float32)[None, :],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0.0,
        )
        return np.asarray(found[0], np.float64)


def main_axis(points: Floats, weights: Floats) -> Line:
    """The weighted principal axis, in closed form: of two by two numbers it needs no solver."""
    share = weights / weights.sum()
    middle = share @ points
    x, y = (points - middle).T
    xx, yy, xy = share @ (x * x), share @ (y * y), share @ (x * y)
    angle = 0.5 * math.atan2(2 * xy, xx - yy)
    along = np.array([math.cos(angle), math.sin(angle)])
    return Line(middle, along if along[1] >= 0 else -along)


def span_within(region: Box, line: Line) -> tuple[float, float]:
    """How far along the line the region begins and ends."""
    low, high = -math.inf, math.inf
    bounds = ((region.left, region.right - 1), (region.top, region.bottom - 1))
    for (least, most), at, step in zip(bounds, line.middle, line.along, strict=True):
        if abs(step) < 1e-9:
            continue
        one, other = (least - at) / step, (most - at) / step
        low, high = max(low, min(one, other)), min(high, max(one, other))
    return float(low), float(high)
