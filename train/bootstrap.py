"""Intervals that respect that pictures of one subject are near-twins: whole groups are redrawn.

The percentile bootstrap (Efron & Tibshirani 1993, ch. 13) over groups: each draw takes as many
groups as there are, with replacement, and with each group all of its pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nerveseg.errors import DataError
from nerveseg.vision.metrics import Calibration

__all__ = ["GroupBootstrap", "Interval"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval and the number of pictures ``n`` that it rests on.

    ``low`` and ``high`` are NaN with fewer than two groups: then nothing is known of the spread.
    """

    value: float
    low: float
    high: float
    n: int


class GroupBootstrap:
    """Redraws of the groups of ``n`` pictures, the same ones for every figure.

    ``groups`` names the group of each picture. Equal ``seed`` gives equal intervals.
    """

    def __init__(self, groups: Sequence[str], *, draws: int = 2000, seed: int = 0) -> None:
        if not groups or draws < 1:
            raise DataError(
                f"can't draw {draws} times from {len(groups)} pictures; expected at least one each"
            )
        names, self._group_of = np.unique(np.asarray(groups), return_inverse=True)
        self.group_count = len(names)
        even = np.full(self.group_count, 1 / self.group_count)
        drawn = np.random.default_rng(seed).multinomial(self.group_count, even, size=draws)
        self._times_drawn: _Floats = drawn.astype(np.float64)

    def mean(self, values: Sequence[float] | _Floats) -> Interval:
        """Mean over the pictures whose value isn't NaN."""
        array = np.asarray(values, np.float64)
        counted = ~np.isnan(array)
        return self.ratio(np.where(counted, array, 0.0), counted.astype(np.float64))

    def median(self, values: Sequence[float] | _Floats) -> Interval:
        """Median over the pictures whose value isn't NaN; the lower one of two in a draw."""
        array = np.asarray(values, np.float64)
        order = np.argsort(array)[: np.count_nonzero(~np.isnan(array))]
        if order.size == 0:
            return Interval(math.nan, math.nan, math.nan, 0)
        # NaN sorts last. Each draw weighs a picture by how often its group came up.
        weights = np.cumsum(self._times_drawn[:, self._group_of[order]], axis=1)
        weights = weights[weights[:, -1] > 0]
        middle = (weights < 0.5 * weights[:, -1:]).sum(axis=1)
        return self._bounded(float(np.median(array[order])), array[order][middle], order.size)

    def ratio(
        self, numerator: Sequence[float] | _Floats, denominator: Sequence[float] | _Floats
    ) -> Interval:
        """Sum over sum, as in found structures over all true structures."""
        columns = np.column_stack([numerator, denominator]).astype(np.float64)
        return self._interval(columns, _ratio, n=int(np.count_nonzero(columns[:, 1])))

    def ece(self, calibrations: Sequence[Calibration]) -> Interval:
        """Expected calibration error of all pixels of all pictures together."""
        gaps = np.stack([c.positives - c.confidence for c in calibrations])
        pixels = np.stack([c.pixels.sum() for c in calibrations])
        columns = np.column_stack([pixels, gaps])
        return self._interval(columns, _pooled_ece, n=len(calibrations))

    def _interval(
        self, columns: _Floats, statistic: Callable[[_Floats], _Floats], *, n: int
    ) -> Interval:
        """``statistic`` maps column sums ``(draws, k)`` to one figure each, ``(draws,)``."""
        sums = np.zeros((self.group_count, columns.shape[1]))
        np.add.at(sums, self._group_of, columns)
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
        drawn = statistic(self._times_drawn @ sums)
        # A draw may hold no picture with a value; it says nothing and is left out.
        return self._bounded(value, drawn[~np.isnan(drawn)], n)

    def _bounded(self, value: float, drawn: _Floats, n: int) -> Interval:
        if self.group_count < 2 or drawn.size == 0:
            return Interval(value, math.nan, math.nan, n)
        tail = 50 * (1 - _LEVEL)
        low, high = np.percentile(drawn, [tail, 100 - tail])
        return Interval(value, float(low), float(high), n)


def _ratio(sums: _Floats) -> _Floats:
    result = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=result, where=sums[:, 1] > 0)
    return result


def _pooled_ece(sums: _Floats) -> _Floats:
    total_gap = np.abs(sums[:, 1:]).sum(axis=1)
    return _ratio(np.column_stack([total_gap, sums[:, 0]]))
