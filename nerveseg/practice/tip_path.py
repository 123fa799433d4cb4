"""The way of a needle's tip, from corner to corner, so that jitter adds nothing to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nerveseg.practice.smoothness import spectral_arc_length

__all__ = ["REDIRECTION_DEG", "WITHDRAWAL_MOVES", "TipPath"]

REDIRECTION_DEG = 10.0
"""A needle that moves and points this much elsewhere than at the last count is redirected."""

WITHDRAWAL_MOVES = 3.0
"""A needle drawn back by this many least moves is withdrawn."""

_LONGEST_GAP_S = 0.3
_LEAST_STRETCH_MOVES = 5.0
_RATE_HZ = 20.0
_ROUNDING = 1 - 1e-9
_BLUR_S = 0.15

_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class TipPath:
    """Where a tip was seen, in one unit of length and in the order of time.

    ``times_s`` ``(n,)``: seconds, never falling. ``seen_s`` ``(n,)``: how many of them the tip
    was in sight so far. ``tips`` and ``directions`` ``(n, 2)``: ``x, y``, and the unit vector
    from entry to tip. ``least_move``: a tip that is nearer to the last corner only jitters.
    Lengths are measured on `places`.
    """

    times_s: _Floats
    seen_s: _Floats
    tips: _Floats
    directions: _Floats
    least_move: float

    @cached_property
    def places(self) -> _Floats:
        """The tips without what is quicker than a hand, ``(n, 2)``.

        Each is the value there of a straight line through the tips around it, weighted by a
        Gaussian of 0.15 s (local linear regression: Cleveland, J Am Stat Assoc 74(368), 1979).
        Unlike a mean it doesn't shorten the way of a tip that comes into sight or leaves it.
        """
        return np.array([self._place(index) for index in range(len(self.tips))]).reshape(-1, 2)

    @cached_property
    def corners(self) -> _Indices:
        """Indices of the first place and of each that is a least move from the corner before."""
        found = [0] if len(self.tips) else []
        for index, place in enumerate(self.places):
            if math.dist(place, self.places[found[-1]]) >= self.least_move * _ROUNDING:
                found.append(index)
        return np.array(found, dtype=np.intp)

    @property
    def length(self) -> float | None:
        """Sum of all moves; ``None`` if the tip never was seen."""
        return float(self._lengths.sum()) if len(self.tips) else None

    @property
    def way_in(self) -> float | None:
        """``L``: sum of the moves up to the deepest corner, the last time that it was there."""
        return float(self._lengths[: self._deepest].sum()) if len(self.tips) else None

    @property
    def straight_way_in(self) -> float | None:
        """``d``: straight from the first corner to the deepest one."""
        if not len(self.tips):
            return None
        return math.dist(self.places[self.corners[0]], self.places[self.corners[self._deepest]])

    @property
    def inefficiency_pct(self) -> float | None:
        """``100·(L/d - 1)``; ``None`` for a way that leads nowhere."""
        way, straight = self.way_in, self.straight_way_in
        if way is None or straight is None or straight < self.least_move * _ROUNDING:
            return None
        return 100 * (way / straight - 1)

    @property
    def advance(self) -> float | None:
        """Sum of the moves' forward parts along the needle; ``None`` if it never was seen."""
        return float(self._forward.clip(min=0).sum()) if len(self.tips) else None

    @property
    def advance_visible_share(self) -> float | None:
        """Share of the advance made in sight, each move by the share of its time."""
        forward = self._forward.clip(min=0)
        if not forward.sum() > 0:
            return None
        spent, seen = np.diff(self.times_s[self.corners]), np.diff(self.seen_s[self.corners])
        share = np.where(spent > 0, seen / np.where(spent > 0, spent, 1), 1.0)
        return float(forward @ share / forward.sum())

    @property
    def redirections(self) -> int | None:
        """How often the moving needle pointed elsewhere; ``None`` if it never moved."""
        if len(self.corners) < 2:
            return None
        angles = np.degrees(np.arctan2(*self.directions[self.corners].T[::-1]))
        count, aim = 0, angles[0]
        for angle in angles[1:]:
            if abs(math.remainder(angle - aim, 360)) > REDIRECTION_DEG:
                count, aim = count + 1, angle
        return count

    @property
    def withdrawals(self) -> int | None:
        """How often the needle was drawn back; ``None`` if it never moved."""
        if len(self.corners) < 2:
            return None
        far = WITHDRAWAL_MOVES * self.least_move
        count, turning, back = 0, 0.0, False
        for depth in np.cumsum(self._forward):
            turning = min(turning, depth) if back else max(turning, depth)
            if abs(depth - turning) >= far:
                count, turning, back = count + (not back), depth, not back
        return count

    @property
    def smoothness(self) -> float | None:
        """SPARC of the tip's speed over the longest stretch in sight; see `InsertionMetrics`."""
        stretch = self._longest_stretch()
        if len(stretch) < 2:
            return None
        part = replace(
            self,
            times_s=self.times_s[stretch],
            seen_s=self.seen_s[stretch],
            tips=self.tips[stretch],
            directions=self.directions[stretch],
        )
        if (part.length or 0.0) < _LEAST_STRETCH_MOVES * self.least_move:
            return None
        return spectral_arc_length(part._speed(), _RATE_HZ)

    @property
    def _deepest(self) -> int:
        """The last corner, by number, that is less than a least move short of the deepest one."""
        depths = np.concatenate([[0.0], np.cumsum(self._forward)])
        return int(np.flatnonzero(depths > depths.max() - self.least_move)[-1])

    @property
    def _lengths(self) -> _Floats:
        return np.asarray(np.hypot(*self._moves.T))

    @property
    def _moves(self) -> _Floats:
        return np.diff(self.places[self.corners], axis=0)

    @cached_property
    def _forward(self) -> _Floats:
        """Of each move the part along the needle, less than 0 for one that goes back."""
        return np.asarray((self._moves * self.directions[self.corners[1:]]).sum(axis=1))

    def _longest_stretch(self) -> _Indices:
        breaks = np.flatnonzero(np.diff(self.times_s) > _LONGEST_GAP_S) + 1
        stretches = np.split(np.arange(len(self.times_s)), breaks)
        return max(stretches, key=lambda part: np.ptp(self.times_s[part]) if len(part) else 0.0)

    def _place(self, index: int) -> _Floats:
        now = self.times_s[index]
        near = slice(*np.searchsorted(self.times_s, [now - 3 * _BLUR_S, now + 3 * _BLUR_S]))
        away = self.times_s[near] - now
        weight = np.exp(-0.5 * (away / _BLUR_S) ** 2)
        mean = weight @ away / weight.sum()
        spread = weight @ (away - mean) ** 2
        # One moment alone has no slope.
        tilt = mean * (away - mean) / spread if spread > 0 else 0.0
        return np.asarray((weight * (1 / weight.sum() - tilt)) @ self.tips[near])

    def _speed(self) -> _Floats:
        """Speed of the places, `_RATE_HZ` times a second."""
        times, first = np.unique(self.times_s, return_index=True)
        even = np.arange(times[0], times[-1], 1 / _RATE_HZ)
        places = np.stack([np.interp(even, times, self.places[first, axis]) for axis in (0, 1)])
        return np.asarray(np.hypot(*np.diff(places, axis=1)) * _RATE_HZ)
