"""One frame's needle from the network's maps: a line through the shaft, and the tip on it.

The network says where a shaft shows and where a tip ends it; a line fitted to the first, and
robust against what lies beside it, gives direction and offset, the second gives the depth; the
picture itself then sets the line straight (`nerveseg.vision.needle.ridge`). Of several lines the
one that is most likely a needle is taken. How sure that is follows from a few measurements by a
logistic curve that was fitted on pictures with known needles
(`nerveseg.vision.preprocess.ModelSpec.confidence`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, GrayImage, Needle, Point, Probability, Segmentation
from nerveseg.vision.needle.geometry import Floats, Grid, Line, main_axis, span_within
from nerveseg.vision.needle.ridge import straightened
from nerveseg.vision.preprocess import NEEDLE, NEEDLE_TIP

__all__ = ["FEATURES", "Sighting", "observe", "sightings"]

FEATURES = ("shaft", "tip", "length", "spread", "gap", "rest")
"""What a confidence is made of; see `Sighting.features`."""

LEAST_SHAFT_CONFIDENCE = 0.3
"""Below it a line is not spoken of as a needle at all."""

_SEED = 0.35
_CANDIDATES, _TIPS = 3, 2
_PEAK = 0.15
_BELL_REACH = 5
_BELL_SUM = 2 * math.pi * 1.5**2
_TURN = 2.0
_TURNS = np.arange(-20.0, 200.0 + _TURN, _TURN)
_SHOWN = 0.4
_FLAT = math.sin(math.radians(12))
_STEP = 0.5
_SETTLE_BY = 0.2
_BRIDGE = 0.08
_LEAST_LENGTH = 0.04
"""Of the region's diagonal: less of a line than this is a speck."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A needle as measured, in frame pixels, before it is said how sure it is.

    ``features`` are, in the order of `FEATURES`: mean shaft probability along the part shown;
    how much of a tip the tip map shows around it, 1 for a perfect one (its sum, since a network
    that is sure of a tip but not of its very place spreads it out); length shown, gaps left out,
    as a share of the region's diagonal; spread of the shaft across its line, same; distance of
    the tip map's peak from the shaft's end, same (0.1 without a peak); share of all shaft
    probability that lies off the line.
    """

    entry_xy: Point
    tip_xy: Point
    shaft_xy: tuple[Point, Point]
    visible_share: float
    features: tuple[float, ...]

    def needle(self, *, shaft: float, tip: float) -> Needle:
        """The same with the confidence (0..1) in its line and in its tip."""
        return Needle(
            entry_xy=self.entry_xy,
            tip_xy=self.tip_xy,
            confidence=tip,
            shaft_confidence=shaft,
            shaft_xy=self.shaft_xy,
            visible_share=self.visible_share,
        )


def observe(
    segmentation: Segmentation, pixels: GrayImage, confidence: Mapping[str, tuple[float, ...]]
) -> Needle | None:
    """The needle on one frame, or ``None`` where there is none to speak of.

    ``pixels`` is the frame, ``uint8`` ``(H, W)``. ``confidence`` maps ``tip`` and ``shaft`` to an
    offset and one weight per feature. Raises ``KeyError`` when ``segmentation`` has no needle's
    maps or ``confidence`` lacks one.
    """
    best: Needle | None = None
    for sighting in sightings(segmentation):
        shaft = _logistic(confidence["shaft"], sighting.features)
        tip = min(shaft, _logistic(confidence["tip"], sighting.features))
        needle = sighting.needle(shaft=shaft, tip=tip)
        if best is None or _sureness(needle) > _sureness(best):
            best = needle
    if best is None or best.shaft_confidence < LEAST_SHAFT_CONFIDENCE:
        return None
    return _settled(best, pixels, segmentation.region)


def sightings(segmentation: Segmentation) -> Iterator[Sighting]:
    """Measure the lines through the strongest patches of the shaft's map, and from its tips."""
    shaft, tip = segmentation.probabilities[NEEDLE], segmentation.heatmaps[NEEDLE_TIP]
    grid = Grid(segmentation.region, shaft.shape[0], shaft.shape[1])
    strong = np.nonzero(shaft > _SEED)
    cells = _Cells(grid.points(*strong), shaft[strong].astype(np.float64))
    seen: list[Line] = []
    for patch in chain(_patches(shaft, strong), _spokes(tip, grid, cells)):
        if np.count_nonzero(patch) < 3:
            continue
        line = _fit(grid, cells, patch)
        if any(line.is_like(other, within=grid.pitch) for other in seen):
            continue
        seen.append(line)
        near = np.abs(line.across(cells.points)) < 2.5 * grid.pitch
        if np.count_nonzero(near) < 3:
            continue
        peak_at, peak = _tip_peak(tip, grid, line)
        line = _towards_tip(line, cells.points[near], peak_at)
        found = _measure((shaft, tip), grid, line, (cells, near), peak_at, peak)
        if found is not None:
            yield found


def _settled(needle: Needle, pixels: GrayImage, region: Box) -> Needle:
    """The needle on the ridge that the picture itself shows under it."""
    diagonal = math.hypot(region.width, region.height)
    whole = math.dist(needle.entry_xy, needle.tip_xy)
    shown = math.dist(needle.shaft_xy[0], needle.tip_xy)
    share = min(1.0, max(shown, _SETTLE_BY * diagonal) / max(whole, 1.0))
    start = tuple(t + share * (e - t) for t, e in zip(needle.tip_xy, needle.entry_xy, strict=True))
    start, tip = straightened(pixels, region, (start[0], start[1]), needle.tip_xy)
    along = np.subtract(tip, start)
    length = float(np.hypot(*along))
    if length == 0 or not _within(region, tip):
        return needle
    line = Line(np.array(tip), along / length)
    shallow, deep = (line.course(np.array([at]))[0] for at in needle.shaft_xy)
    return replace(
        needle,
        entry_xy=_kept_in(region, line.place(min(span_within(region, line)[0], 0.0))),
        tip_xy=tip,
        shaft_xy=(line.place(float(shallow)), line.place(float(deep))),
    )


def _within(region: Box, at: Point) -> bool:
    return region.left <= at[0] <= region.right - 1 and region.top <= at[1] <= region.bottom - 1


def _kept_in(region: Box, at: Point) -> Point:
    """The point without what rounding carries it over the region's edge by."""
    x = min(max(at[0], float(region.left)), region.right - 1.0)
    return x, min(max(at[1], float(region.top)), region.bottom - 1.0)


def _sureness(needle: Needle) -> float:
    return needle.confidence + needle.shaft_confidence


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """The map's strong cells: ``points`` ``(n, 2)`` in frame pixels, and their probability."""

    points: Floats
    weights: Floats


def _patches(
    shaft: Probability, strong: tuple[npt.NDArray[np.int_], ...]
) -> Iterator[npt.NDArray[np.bool_]]:
    """Which strong cells make up each connected patch, for the few of most probability."""
    mask = (shaft > _SEED).astype(np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    label_of = labels[strong]
    sums = np.bincount(label_of, weights=shaft[strong], minlength=count)
    for label in np.argsort(sums)[::-1][:_CANDIDATES]:
        patch = label_of == label
        yield np.asarray(patch)


def _spokes(tip: Probability, grid: Grid, cells: _Cells) -> Iterator[npt.NDArray[np.bool_]]:
    """Strong cells on the best-supported ray up from each of the tip map's highest peaks.

    A shaft that touches other bright things is one patch with them, but still a ray from its tip.
    """
    peaks = (tip >= cv2.dilate(tip, np.ones((7, 7), np.uint8))) & (tip > _PEAK)
    rows, columns = np.nonzero(peaks)
    for best in np.argsort(tip[rows, columns])[::-1][:_TIPS]:
        hub = grid.points(rows[best : best + 1], columns[best : best + 1])[0]
        off = cells.points - hub
        above = (off[:, 1] < 2 * grid.pitch) & (np.hypot(*off.T) > 2 * grid.pitch)
        if not above.any():
            continue
        turn = np.degrees(np.arctan2(-off[above, 1], off[above, 0]))
        support = np.histogram(turn, _TURNS, weights=cells.weights[above])[0]
        support = np.convolve(support, (0.5, 1.0, 0.5), mode="same")
        angle = math.radians(float(_TURNS[int(support.argmax())]) + 0.5 * _TURN)
        ray = Line(hub, np.array([math.cos(angle), -math.sin(angle)]))
        yield (
            above
            & (np.abs(ray.across(cells.points)) < 3 * grid.pitch)
            & (ray.course(cells.points) > 0)
        )


def _fit(grid: Grid, cells: _Cells, patch: npt.NDArray[np.bool_]) -> Line:
    """The patch's main axis, then refitted to all that lies near it (Tukey's biweight)."""
    line = main_axis(cells.points[patch], cells.weights[patch])
    for reach in (4.0, 2.5, 2.5):
        off = line.across(cells.points) / (reach * grid.pitch)
        kept = cells.weights * np.clip(1 - off**2, 0, None) ** 2
        if np.count_nonzero(kept) < 3:
            break
        line = main_axis(cells.points, kept)
    return line


def _tip_peak(tip: Probability, grid: Grid, line: Line) -> tuple[Floats | None, float]:
    """The tip map's highest place within 4 cells of the line, to a fraction of a cell."""
    rows, columns = np.nonzero(tip > 0.05)
    if len(rows) == 0:
        return None, 0.0
    beside = np.abs(line.across(grid.points(rows, columns))) < 4 * grid.pitch
    rows, columns = rows[beside], columns[beside]
    if len(rows) == 0:
        return None, 0.0
    best = int(tip[rows, columns].argmax())
    row, column = int(rows[best]), int(columns[best])
    top, left = max(0, row - 2), max(0, column - 2)
    weight = tip[top : row + 3, left : column + 3].astype(np.float64)
    down, right = np.indices(weight.shape) + np.array([[[top]], [[left]]])
    centre = grid.points(
        np.array([np.average(down, weights=weight)]), np.array([np.average(right, weights=weight)])
    )
    return centre[0], float(tip[row, column])


def _towards_tip(line: Line, shown: Floats, peak: Floats | None) -> Line:
    """Needles go down; a flat one goes to where its tip is."""
    if abs(line.along[1]) > _FLAT or peak is None:
        return line
    middle_of_shown = float(np.mean(line.course(shown)))
    if float(line.course(peak[None])[0]) < middle_of_shown:
        return Line(line.middle, -line.along)
    return line


def _measure(
    maps: tuple[Probability, Probability],
    grid: Grid,
    line: Line,
    supported: tuple[_Cells, npt.NDArray[np.bool_]],
    peak_at: Floats | None,
    peak: float,
) -> Sighting | None:
    (shaft, tip_map), (cells, near) = maps, supported
    points, weights = cells.points, cells.weights
    start, end = span_within(grid.region, line)
    steps = np.arange(start, end, _STEP * grid.pitch)
    if len(steps) < 4:
        return None
    profile = grid.sample(shaft, line.middle + steps[:, None] * line.along)
    shown = _main_run(
        profile > _SHOWN, bridge=round(_BRIDGE * grid.diagonal / (_STEP * grid.pitch))
    )
    length = len(shown) * _STEP * grid.pitch / grid.diagonal
    if length < _LEAST_LENGTH:
        return None
    first, last = float(steps[shown[0]]), float(steps[shown[-1]])
    tip = last if peak_at is None else float(line.course(peak_at[None])[0])
    gap = 0.1 if peak_at is None else abs(tip - last) / grid.diagonal
    if peak < _PEAK or tip <= first:  # too faint to say more than the shaft's end does
        tip = last
    tip = min(tip, end)  # a peak on the region's edge may lie past where the line leaves it
    upto = steps <= tip
    seen = profile[upto] > _SHOWN
    spread = math.sqrt(float(np.average(line.across(points[near]) ** 2, weights=weights[near])))
    return Sighting(
        entry_xy=_kept_in(grid.region, line.place(start)),
        tip_xy=_kept_in(grid.region, line.place(tip)),
        shaft_xy=(line.place(first), line.place(last)),
        visible_share=float(seen.mean()) if seen.size else 0.0,
        features=(
            float(profile[shown].mean()),
            _tip_shown(tip_map, grid, line.place(tip)),
            length,
            spread / grid.diagonal,
            min(gap, 0.1),
            float(weights[~near].sum() / weights.sum()),
        ),
    )


def _main_run(shown: npt.NDArray[np.bool_], *, bridge: int) -> npt.NDArray[np.int_]:
    """Places of the run of shown steps that counts most of them, over gaps of up to ``bridge``.

    What lies farther off along the same line is something else.
    """
    places = np.flatnonzero(shown)
    runs = np.split(places, np.flatnonzero(np.diff(places) > bridge) + 1)
    return max(runs, key=len)


def _tip_shown(tip: Probability, grid: Grid, at: Point) -> float:
    """The map's sum within a few cells of ``at``, 1 for a bell as the network is taught it."""
    column = (at[0] - grid.region.left + 0.5) * grid.columns / grid.region.width
    row = (at[1] - grid.region.top + 0.5) * grid.rows / grid.region.height
    top, left = max(0, int(row) - _BELL_REACH), max(0, int(column) - _BELL_REACH)
    part = tip[top : int(row) + _BELL_REACH + 1, left : int(column) + _BELL_REACH + 1]
    return min(1.0, float(part.sum()) / _BELL_SUM)


def _logistic(weights: tuple[float, ...], features: tuple[float, ...]) -> float:
    total = weights[0] + sum(w * f for w, f in zip(weights[1:], features, strict=True))
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))
