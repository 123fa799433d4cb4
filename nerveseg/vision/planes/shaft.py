"""A needle's shaft is a bright line too, but no plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerveseg.types import Plane, Point

__all__ = ["without_shaft"]

_SHARE = 0.5


def without_shaft(
    planes: Sequence[Plane], shaft_xy: tuple[Point, Point], *, reach_px: float
) -> tuple[Plane, ...]:
    """The planes less those that run along a shaft.

    ``shaft_xy`` are the shaft's ends in frame pixels. A plane goes when at least half of its
    points lie within ``reach_px`` of the shaft: one that the needle only crosses stays.
    """
    return tuple(plane for plane in planes if not _along(plane, shaft_xy, reach_px))


def _along(plane: Plane, shaft_xy: tuple[Point, Point], reach_px: float) -> bool:
    points, start = np.array(plane.points_xy), np.array(shaft_xy[0])
    step = np.subtract(shaft_xy[1], shaft_xy[0])
    length = float(step @ step)
    share = np.clip((points - start) @ step / length, 0, 1) if length > 0 else np.zeros(len(points))
    away = np.hypot(*(points - start - share[:, None] * step).T)
    return float((away < reach_px).mean()) >= _SHARE
