"""How well one frame's needle was found, against a labelled shaft."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nerveseg.types import Mask, Needle, Point

__all__ = [
    "FOUND_ANGLE_DEG",
    "FOUND_OFFSET",
    "NeedleScore",
    "TrueNeedle",
    "score_needle",
    "truth_of",
]

FOUND_ANGLE_DEG = 10.0
FOUND_OFFSET = 0.03
"""A needle counts as found when its line lies this close to the labelled one: in angle, and at
the middle of the labelled shaft in offset, as a share of the picture's diagonal."""


@dataclass(frozen=True, slots=True)
class TrueNeedle:
    """A labelled needle: the two ends of its mask's main axis, in pixels; the tip is deeper."""

    start_xy: Point
    tip_xy: Point


@dataclass(frozen=True, slots=True)
class NeedleScore:
    """One frame's result. Errors are NaN where no needle was said or none is there.

    ``present``: a needle is labelled; ``said``: one was reported; ``found``: both, and the lines
    agree (see `FOUND_ANGLE_DEG`). ``angle_deg`` is between the lines, 0..90; ``tip_px`` and
    ``tip_share`` (of the picture's diagonal) between the tips; ``confidence`` the one reported.
    """

    present: bool
    said: bool
    found: bool
    angle_deg: float
    tip_px: float
    tip_share: float
    confidence: float


def truth_of(mask: Mask) -> TrueNeedle | None:
    """The needle of a mask, ``bool`` ``(H, W)``; ``None`` for an empty one.

    The axis is the mask's first principal component, its ends those of the mask along it.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < 2:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    middle = points.mean(axis=0)
    _, vectors = np.linalg.eigh((points - middle).T @ (points - middle))
    along = vectors[:, 1] if vectors[1, 1] >= 0 else -vectors[:, 1]
    course = (points - middle) @ along
    start, tip = middle + course.min() * along, middle + course.max() * along
    return TrueNeedle((float(start[0]), float(start[1])), (float(tip[0]), float(tip[1])))


def score_needle(
    said: Needle | None, truth: TrueNeedle | None, shape: tuple[int, int]
) -> NeedleScore:
    """Compare a reported needle with the labelled one on a picture of ``shape`` ``(H, W)``."""
    if said is None or truth is None:
        confidence = math.nan if said is None else said.confidence
        nan = math.nan
        return NeedleScore(truth is not None, said is not None, False, nan, nan, nan, confidence)
    diagonal = math.hypot(*shape)
    line = np.subtract(said.tip_xy, said.entry_xy)
    labelled = np.subtract(truth.tip_xy, truth.start_xy)
    angle = _angle_deg(line, labelled)
    middle = np.add(truth.tip_xy, truth.start_xy) / 2 - said.entry_xy
    length = max(float(np.hypot(*line)), 1e-9)
    offset = abs(float(line[0] * middle[1] - line[1] * middle[0])) / length
    tip = math.dist(said.tip_xy, truth.tip_xy)
    found = angle <= FOUND_ANGLE_DEG and offset <= FOUND_OFFSET * diagonal
    return NeedleScore(True, True, found, angle, tip, tip / diagonal, said.confidence)


def _angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    sine = abs(float(one[0] * other[1] - one[1] * other[0]))
    return math.degrees(math.atan2(sine, abs(float(one @ other))))
