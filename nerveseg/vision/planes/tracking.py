"""Keys that stay with a plane from frame to frame, so that a name can hang on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nerveseg.types import Plane

__all__ = ["PlaneTracker"]

_Floats: TypeAlias = npt.NDArray[np.float64]

_SAMPLES = 48
"""Columns at which planes are compared."""

_LEAST_SHARED = 0.5
"""Of the shorter plane's length must lie over or under the other one."""

_LEAST_REACH_PX = 3.0
"""Even a hair-thin plane may move so far from one frame to the next."""


class PlaneTracker:
    """Follows the planes of one clip.

    A plane is the one of before whose mean vertical distance over their shared columns is within
    ``reach`` of their mean thickness; where several are, the pair with the longest and closest
    run wins, and no key is given twice. A plane that isn't found for up to ``memory`` frames
    takes its key up again on return; no later plane ever gets it. Keys count from 1.
    """

    def __init__(self, *, memory: int = 15, reach: float = 1.5) -> None:
        self._memory = memory
        self._reach = reach
        self.reset()

    def reset(self) -> None:
        """Forget the clip."""
        self._followed: dict[int, _Followed] = {}
        self._last_key = 0

    def forget(self) -> None:
        """Follow none of the planes any further: after a cut none is one of before.

        The clip goes on, so that its keys do too: a name given to one of before stays with it.
        """
        self._followed = {}

    def update(self, planes: Sequence[Plane]) -> tuple[Plane, ...]:
        """The planes of the next frame, in the order given, each with its key."""
        held = self._matches(planes)
        keyed = tuple(
            replace(plane, key=held[place] if place in held else self._new_key())
            for place, plane in enumerate(planes)
        )
        self._remember(keyed)
        return keyed

    def _new_key(self) -> int:
        self._last_key += 1
        return self._last_key

    def _remember(self, planes: Sequence[Plane]) -> None:
        older = {
            key: _Followed(followed.plane, followed.missed + 1)
            for key, followed in self._followed.items()
            if followed.missed < self._memory
        }
        self._followed = older | {plane.key: _Followed(plane, 0) for plane in planes}

    def _matches(self, planes: Sequence[Plane]) -> dict[int, int]:
        """Place among ``planes`` to key."""
        keys = list(self._followed)
        if not keys or not planes:
            return {}
        known = [self._followed[key].plane for key in keys]
        weights = _likeness(planes, known, reach=self._reach)
        held: dict[int, int] = {}
        for flat in np.argsort(-weights, axis=None, kind="stable").tolist():
            place, which = divmod(flat, len(keys))
            if weights[place, which] <= 0:
                break
            if place not in held and keys[which] not in held.values():
                held[place] = keys[which]
        return held


@dataclass(frozen=True, slots=True)
class _Followed:
    """A plane as it was last found, and for how many frames it has been missing since."""

    plane: Plane
    missed: int


def _likeness(planes: Sequence[Plane], known: Sequence[Plane], *, reach: float) -> _Floats:
    """How well each of ``planes`` continues each of ``known``, ``(n, m)``; 0 where it can't.

    The shared columns, counted down to nothing as the mean distance nears the reach.
    """
    columns = _columns([*planes, *known])
    ours, theirs = _heights(planes, columns), _heights(known, columns)
    apart = np.abs(ours[:, None] - theirs[None])
    shared = np.count_nonzero(~np.isnan(apart), axis=2)
    distance = np.nansum(apart, axis=2) / np.maximum(shared, 1)
    lengths = [np.count_nonzero(~np.isnan(each), axis=1) for each in (ours, theirs)]
    shorter = np.minimum(lengths[0][:, None], lengths[1][None])
    thickness = 0.5 * (_thickness(planes)[:, None] + _thickness(known)[None])
    closeness = 1.0 - distance / np.maximum(_LEAST_REACH_PX, reach * thickness)
    possible = (shared >= np.maximum(1.0, _LEAST_SHARED * shorter)) & (closeness > 0)
    return np.where(possible, shared * closeness, 0.0)


def _columns(planes: Sequence[Plane]) -> _Floats:
    left = min(plane.points_xy[0][0] for plane in planes)
    right = max(plane.points_xy[-1][0] for plane in planes)
    return np.linspace(left, right, _SAMPLES)


def _heights(planes: Sequence[Plane], columns: _Floats) -> _Floats:
    """``y`` of each plane at ``columns``, ``(n, columns)``; NaN beyond its ends."""
    lines = (np.array(plane.points_xy) for plane in planes)
    return np.stack(
        [np.interp(columns, xy[:, 0], xy[:, 1], left=np.nan, right=np.nan) for xy in lines]
    )


def _thickness(planes: Sequence[Plane]) -> _Floats:
    return np.array([plane.thickness_px for plane in planes])
