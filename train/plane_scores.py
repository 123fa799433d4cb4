"""Fascial planes against an expert's lines: how near, how many found, how many false."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, Mask, Plane, Sample
from nerveseg.video.crop import find_region
from nerveseg.vision import marks
from nerveseg.vision.planes import find_planes
from train.bootstrap import GroupBootstrap
from train.predictors import Prediction
from train.scores import truth_of
from train.sections import Figure, Picture, Section, SetFigures, by_card

__all__ = ["FOUND_SHARE", "TOLERANCE", "Line", "PlaneMeter", "PlaneRow", "expert_lines", "score"]

TOLERANCE = 0.02
"""Of the image's height: a plane so near to the expert's line is on it."""

FOUND_SHARE = 0.5
"""A line is found when planes are on it over this share of its columns."""

_CRUMB = 0.03
"""Of the image's width: narrower specks of a mask are slips of the brush."""

_LEAST_WIDTH = 640

_NOTES = f"""\
The expert's lines are the middles, column by column, of the bands that the mask draws; where two
runs of one band lie in a column there is no one middle, and it is left out. Heights are those of
the ultrasound image inside the scanner's chrome. A plane is on a line where they are at most
{100 * TOLERANCE:g} % of that height apart, measured down the column. A line is found when planes
are on it over at least {100 * FOUND_SHARE:g} % of its columns, and covered on the share of columns
where one is. A plane belongs to a line when it is on it over at least half of the columns that
they share, and is false when it belongs to none; experts draw the planes of one muscle, so that
a false one may be real. The distance is over all columns in which a line has planes of its own,
those beyond the tolerance too; means are over lines."""

_Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """An expert's line: ``rows`` (float) at ``columns`` (int, rising), in frame pixels."""

    columns: npt.NDArray[np.intp]
    rows: _Floats


@dataclass(frozen=True, slots=True)
class PlaneRow:
    """The planes of one picture.

    ``lines`` the expert drew, of which ``found`` were found; ``planes`` were predicted, of which
    ``false`` belong to no line. ``columns`` is how many the lines have, ``covered`` on how many
    of them a plane is on the line. ``measured`` lines have planes of their own:
    ``distance_px`` and ``distance_share`` (of ``height_px``, the image's height) are the means
    over them, NaN without any.
    """

    card: str
    name: str
    group: str
    height_px: int
    lines: int
    found: int
    planes: int
    false: int
    columns: int
    covered: int
    measured: int
    distance_px: float
    distance_share: float


def expert_lines(mask: Mask, region: Box) -> tuple[Line, ...]:
    """The lines of a drawn mask, ``bool`` ``(H, W)``: the middle of each 8-connected band."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    lines = (_middle(labels == label) for label in range(1, count))
    return tuple(line for line in lines if line.columns.size >= _CRUMB * region.width)


def score(sample: Sample, planes: Sequence[Plane], *, region: Box, class_name: str) -> PlaneRow:
    """Measure one picture's planes against the lines of its mask of ``class_name``."""
    lines = expert_lines(truth_of(sample, class_name), region)
    results = [_compare(line, planes, TOLERANCE * region.height) for line in lines]
    owned = np.any([result.owners for result in results], axis=0) if results else np.zeros(0)
    distances = [result.distance_px for result in results if not math.isnan(result.distance_px)]
    mean = float(np.mean(distances)) if distances else math.nan
    return PlaneRow(
        card=sample.card,
        name=sample.name,
        group=sample.group,
        height_px=region.height,
        lines=len(lines),
        found=sum(r.covered >= FOUND_SHARE * r.columns for r in results),
        planes=len(planes),
        false=len(planes) - int(np.count_nonzero(owned)),
        columns=sum(r.columns for r in results),
        covered=sum(r.covered for r in results),
        measured=len(distances),
        distance_px=mean,
        distance_share=mean / region.height,
    )


class PlaneMeter:
    """Measures planes wherever fascia is labelled; a `train.evaluate.Meter`.

    Keeps the ``worst`` pictures: those with the smallest share of lines found, then the largest
    distance.
    """

    class_name = "fascia"

    def __init__(self, worst: int) -> None:
        self._worst = worst
        self._rows: list[PlaneRow] = []
        self._pictures: list[tuple[tuple[float, float], int, Picture]] = []

    def measure(self, sample: Sample, answer: Prediction) -> None:
        """Score the planes that the app would draw; nothing for a model without maps."""
        if answer.segmentation is None or self.class_name not in sample.known:
            return
        planes = find_planes(answer.segmentation)
        region = find_region(sample.image)
        row = score(sample, planes, region=region, class_name=self.class_name)
        self._rows.append(row)
        if row.lines == 0:
            return
        rank = (row.found / row.lines, -row.distance_share if row.measured else 0.0)
        insort(self._pictures, (rank, len(self._rows), _picture(sample, planes, region, row)))
        del self._pictures[self._worst :]

    def section(self, *, draws: int, seed: int) -> Section | None:
        """Distance, lines found, false planes, by set."""
        if not self._rows:
            return None
        return Section(
            key="planes",
            title="Fascial planes as lines",
            notes=_NOTES,
            sets=by_card(self._rows, lambda rows: _summarise(rows, draws, seed)),
            rows=tuple(self._rows),
            pictures=tuple(picture for _, _, picture in self._pictures),
        )


def _summarise(rows: Sequence[PlaneRow], draws: int, seed: int) -> SetFigures:
    bootstrap = GroupBootstrap([row.group for row in rows], draws=draws, seed=seed)
    names = ("lines", "found", "planes", "false", "columns", "covered", "measured")
    sums = {name: np.array([getattr(row, name) for row in rows], np.float64) for name in names}
    shares = np.nan_to_num([row.distance_share for row in rows]) * sums["measured"]
    pixels = np.nan_to_num([row.distance_px for row in rows]) * sums["measured"]
    return SetFigures(
        card=rows[0].card,
        n_images=len(rows),
        n_groups=bootstrap.group_count,
        counts={name: int(sums[name].sum()) for name in ("lines", "found", "planes", "false")},
        figures={
            "distance_share": Figure(bootstrap.ratio(100 * shares, sums["measured"]), "%", 2),
            "distance": Figure(bootstrap.ratio(pixels, sums["measured"]), "px", 1),
            "found_rate": Figure(bootstrap.ratio(sums["found"], sums["lines"])),
            "covered": Figure(bootstrap.ratio(sums["covered"], sums["columns"])),
            "false_per_image": Figure(bootstrap.ratio(sums["false"], np.ones(len(rows))), "", 2),
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Comparison:
    """One line: its columns, those a plane is on, which planes are its own, and how far off."""

    columns: int
    covered: int
    owners: npt.NDArray[np.bool_]
    distance_px: float


def _compare(line: Line, planes: Sequence[Plane], tolerance_px: float) -> _Comparison:
    apart = np.full((len(planes), line.columns.size), np.nan)
    for place, plane in enumerate(planes):
        apart[place] = np.abs(_height(plane, line.columns) - line.rows)
    on = apart <= tolerance_px
    shared = np.count_nonzero(~np.isnan(apart), axis=1)
    owners = (shared > 0) & (2 * np.count_nonzero(on, axis=1) >= shared)
    nearest = np.fmin.reduce(apart[owners], axis=0, initial=np.nan)
    covered = int(np.count_nonzero(on.any(axis=0)))
    distance = float(np.nanmean(nearest)) if owners.any() else math.nan
    return _Comparison(line.columns.size, covered, owners, distance)


def _height(plane: Plane, columns: npt.NDArray[np.intp]) -> _Floats:
    """``y`` of a plane at ``columns``; NaN beyond half a step from its end points."""
    x, y = np.array(plane.points_xy).T
    half = 0.5 * (x[1] - x[0])
    inside = (columns >= x[0] - half) & (columns <= x[-1] + half)
    return np.where(inside, np.interp(columns, x, y), np.nan)


def _middle(band: Mask) -> Line:
    columns = np.flatnonzero(band.any(axis=0))
    runs = band[:, columns]
    first = runs.argmax(axis=0)
    last = len(runs) - 1 - runs[::-1].argmax(axis=0)
    whole = last - first + 1 == np.count_nonzero(runs, axis=0)
    return Line(columns[whole], 0.5 * (first + last)[whole])


def _picture(sample: Sample, planes: Sequence[Plane], region: Box, row: PlaneRow) -> Picture:
    """Expert's lines solid in the class's colour, planes dashed in white, enlarged where small."""
    scale = max(1, -(-_LEAST_WIDTH // sample.image.shape[1]))
    grey = np.repeat(np.repeat(sample.image, scale, axis=0), scale, axis=1)
    drawn = np.repeat(grey[..., np.newaxis], 3, axis=2)
    color = marks.class_color(PlaneMeter.class_name, "safe")
    for line in expert_lines(truth_of(sample, PlaneMeter.class_name), region):
        points = np.stack([line.columns, line.rows], axis=1) + 0.5
        marks.stroke(drawn, scale * points, color, style="solid", width=2, closed=False)
    for plane in planes:
        points = np.array(plane.points_xy) + 0.5
        marks.stroke(drawn, scale * points, marks.WHITE, style="dashed", width=2, closed=False)
    distance = f"{100 * row.distance_share:.2f} %" if row.measured else "n/a"
    caption = f"{row.card}, {row.name}: {row.found} of {row.lines} found, distance {distance}"
    return Picture(caption, drawn)
