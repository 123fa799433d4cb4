"""The ridges of a probability map, column by column, linked into pieces that never fork.

Everything here is in grid units: columns and rows of the map, to a fraction of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Probability

__all__ = ["Floats", "Piece", "find_pieces", "smoothed"]

Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.intp]

_SIGMA_XY = (1.5, 0.8)
"""Of the smoothing, in columns and rows. Along the line it may be wider: planes run that way."""

_TWIN_VALLEY = 0.85
"""Two peaks of one column are one ridge if between them the map keeps this share of the lower."""

_HALF_WINDOW = 12
"""Rows above and below a peak that its centre is taken from; what is thicker is no line."""

_SHORTEST = 3
"""Columns; what is shorter is a crumb of noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A stretch of ridge: consecutive ``columns``, and for each of them one value of the others.

    ``rows`` is the middle of the ridge, ``widths`` its extent down the column where the map
    keeps half of the peak, ``strengths`` the probability at the peak. Each of shape ``(n,)``.
    """

    columns: Indices
    rows: Floats
    widths: Floats
    strengths: Floats


def smoothed(probability: Probability) -> Probability:
    """``probability`` (``(h, w)``) without the steps of a quantised network's answer."""
    blurred = cv2.GaussianBlur(
        probability, (0, 0), _SIGMA_XY[0], sigmaY=_SIGMA_XY[1], borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(blurred, np.float32)


def find_pieces(
    probability: Probability, smooth: Probability, *, threshold: float, reach: float
) -> list[Piece]:
    """Ridges of ``smooth`` that reach ``threshold``, from left to right in each.

    ``smooth`` is `smoothed` of ``probability``, both ``(h, w)``; widths are taken from the
    latter. Two peaks in neighbouring columns belong together when each is the other's nearest
    and they are at most ``reach`` rows apart: so a fork's lesser arm becomes a piece of its own.
    """
    columns_first = np.ascontiguousarray(smooth.T)
    columns, rows = np.divmod(_peaks(columns_first, threshold), columns_first.shape[1])
    centres, thin = _centres(columns_first, columns, rows)
    columns, rows, centres = columns[thin], rows[thin], centres[thin]
    if columns.size == 0:
        return []
    strengths = smooth[rows, columns]
    widths = _widths(np.ascontiguousarray(probability.T), columns, rows)
    return [
        Piece(columns[chain], centres[chain], widths[chain], strengths[chain])
        for chain in _chains(_links(columns, centres, reach))
        if chain.size >= _SHORTEST
    ]


def _peaks(columns_first: Floats, threshold: float) -> Indices:
    """Flat indices into ``columns_first`` of the maxima down each column, twins made one."""
    # What rises up to the map's very edge is no ridge: the skin, or the end of the picture.
    around = np.pad(columns_first, ((0, 0), (1, 1)), constant_values=np.inf)
    above, below = around[:, :-2], around[:, 2:]
    top = (columns_first >= threshold) & (columns_first >= above) & (columns_first > below)
    peaks = np.flatnonzero(top)
    return peaks[~_lesser_twins(columns_first, peaks)] if peaks.size else peaks


def _lesser_twins(columns_first: Floats, peaks: Indices) -> npt.NDArray[np.bool_]:
    flat, depth = columns_first.ravel(), columns_first.shape[1]
    valleys = np.minimum.reduceat(flat, peaks)[:-1]
    heights, columns = flat[peaks], peaks // depth
    lower = np.minimum(heights[:-1], heights[1:])
    twins = (columns[:-1] == columns[1:]) & (valleys > _TWIN_VALLEY * lower)
    lesser = np.zeros(peaks.size, np.bool_)
    lesser[:-1] |= twins & (heights[:-1] < heights[1:])
    lesser[1:] |= twins & (heights[1:] <= heights[:-1])
    return lesser


def _centres(
    columns_first: Floats, columns: Indices, rows: Indices
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Centre of gravity of each peak over the rows around it above half its height; is it thin?

    A valley between two peaks ends both, else close neighbours would share one centre.
    """
    values = _windows(columns_first, columns, rows)
    half = 0.5 * values[:, _HALF_WINDOW, None]
    held = _connected((values >= half) & _falling(values))
    weights = np.where(held, values - 0.8 * half, 0.0)
    offsets = np.arange(-_HALF_WINDOW, _HALF_WINDOW + 1)
    centres = rows + (weights * offsets).sum(axis=1) / weights.sum(axis=1)
    return centres.astype(np.float32), ~(held[:, 0] | held[:, -1])


def _widths(columns_first: Floats, columns: Indices, rows: Indices) -> Floats:
    """Rows around each peak that keep half of its height."""
    values = _windows(columns_first, columns, rows)
    held = _connected(values >= 0.5 * values[:, _HALF_WINDOW, None])
    return np.asarray(held.sum(axis=1), np.float32)


def _windows(columns_first: Floats, columns: Indices, rows: Indices) -> Floats:
    """What stands above and below each peak; -1 beyond the map."""
    padded = cv2.copyMakeBorder(
        columns_first, 0, 0, _HALF_WINDOW, _HALF_WINDOW, cv2.BORDER_CONSTANT, value=(-1.0,)
    )
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HALF_WINDOW + 1, axis=1)
    return np.asarray(windows[columns, rows], np.float32)


def _falling(values: Floats) -> npt.NDArray[np.bool_]:
    """Where a line of ``values`` is no higher than its neighbour nearer to the middle."""
    falls = np.ones(values.shape, np.bool_)
    falls[:, :_HALF_WINDOW] = values[:, :_HALF_WINDOW] <= values[:, 1 : _HALF_WINDOW + 1]
    falls[:, _HALF_WINDOW + 1 :] = values[:, _HALF_WINDOW + 1 :] <= values[:, _HALF_WINDOW:-1]
    return falls


def _connected(held: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Only what hangs together with the middle of each line of ``held``."""
    down = np.logical_and.accumulate(held[:, _HALF_WINDOW:], axis=1)
    up = np.logical_and.accumulate(held[:, _HALF_WINDOW::-1], axis=1)
    return np.concatenate([up[:, :0:-1], down], axis=1)


def _links(columns: Indices, centres: Floats, reach: float) -> Indices:
    """For each peak the one in the next column that continues it, else itself."""
    count = columns.size
    first = np.searchsorted(columns, np.arange(columns[-1] + 3))
    most = int(np.diff(first).max())
    # Each peak against every place of the next column: few, for a picture has few planes.
    candidates = first[columns + 1][:, None] + np.arange(most)
    there = candidates < first[columns + 2][:, None]
    candidates = np.minimum(candidates, count - 1)
    steps = np.where(there, np.abs(centres[candidates] - centres[:, None]), np.inf)
    nearest = candidates[np.arange(count), steps.argmin(axis=1)]
    distance = steps.min(axis=1)
    return _mutual(nearest, distance, reach)


def _mutual(nearest: Indices, distance: npt.NDArray[Any], reach: float) -> Indices:
    """Of the peaks that chose the same successor, only the nearest keeps it."""
    count = nearest.size
    following = np.arange(count)
    near = np.flatnonzero(distance <= reach)
    # Farthest first, so that the nearest writes last.
    ordered = near[np.argsort(-distance[near], kind="stable")]
    chosen_by = np.full(count, -1)
    chosen_by[nearest[ordered]] = ordered
    kept = np.flatnonzero(chosen_by >= 0)
    following[chosen_by[kept]] = kept
    return following


def _chains(following: Indices) -> list[Indices]:
    """Peaks by chain, each from left to right."""
    last = following
    while True:
        # Pointer doubling: every peak learns the end of its chain in a few rounds.
        further = last[last]
        if np.array_equal(further, last):
            break
        last = further
    order = np.argsort(last, kind="stable")
    ends = np.flatnonzero(np.diff(last[order])) + 1
    return np.split(order, ends)
