"""What an evaluation holds: one row per picture and class, one cell per set and class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, GrayImage, Mask, Probability, Sample
from nerveseg.vision.metrics import (
    Calibration,
    StructureCounts,
    calibration,
    match_structures,
    score_masks,
    unit,
)
from train.bootstrap import GroupBootstrap, Interval
from train.sections import Section

__all__ = ["Cell", "Report", "Row", "Scored", "WorstCase", "score", "summarise", "truth_of"]

_CRUMB_SHARE = 0.0003
"""Of the image region: smaller ones are no structures, as in `nerveseg.vision.segment.masks`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One class on one picture. Areas and lengths are in pixels; NaN where undefined.

    ``group`` is what the intervals redraw; ``mm_per_px`` is ``None`` when the scale is unknown.
    """

    card: str
    name: str
    group: str
    class_name: str
    truth_area_px: int
    predicted_area_px: int
    dice: float
    iou: float
    hd95_px: float
    assd_px: float
    centroid_error_px: float
    found: int
    missed: int
    false: int
    ece: float
    mm_per_px: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A row with its pixels by bin of probability, which a pooled ECE needs."""

    row: Row
    calibration: Calibration


@dataclass(frozen=True, slots=True, eq=False)
class WorstCase:
    """A picture on which the class did badly, kept to be looked at."""

    row: Row
    image: GrayImage
    truth: Mask
    prediction: Mask


@dataclass(frozen=True, slots=True)
class Cell:
    """One class on one set.

    ``unit`` is ``mm`` only if every picture's scale is known, else ``px``. ``measures`` holds
    ``dice``, ``iou``, ``hd95``, ``assd``, ``centroid_error`` (means over pictures),
    ``found_rate`` (of the true structures), ``false_per_image`` and ``ece`` (of all pixels).
    ``n_both_empty`` pictures count only towards the last two; on ``n_missed_images`` nothing was
    predicted though something is there, on ``n_false_images`` the other way round.
    """

    card: str
    class_name: str
    unit: str
    n_images: int
    n_groups: int
    n_both_empty: int
    n_missed_images: int
    n_false_images: int
    structures: StructureCounts
    measures: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """All that was measured of one model: masks, and in ``sections`` what is beside them."""

    model_id: str
    thresholds: Mapping[str, float]
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    worst: tuple[WorstCase, ...]
    sections: tuple[Section, ...] = ()


def score(
    sample: Sample, class_name: str, probability: Probability, prediction: Mask, *, region: Box
) -> Scored:
    """Measure one class of one sample; the calibration counts the pixels of ``region`` alone.

    ``probability`` and ``prediction`` are ``(H, W)`` in the sample's own pixels. A known class
    without a mask is absent.
    """
    truth = truth_of(sample, class_name)
    masks = score_masks(prediction, truth)
    least = round(_CRUMB_SHARE * region.width * region.height)
    structures = match_structures(prediction, truth, min_area_px=least)
    bins = calibration(probability[region.slices], truth[region.slices])
    row = Row(
        card=sample.card,
        name=sample.name,
        group=sample.group,
        class_name=class_name,
        truth_area_px=int(np.count_nonzero(truth)),
        predicted_area_px=int(np.count_nonzero(prediction)),
        dice=masks.dice,
        iou=masks.iou,
        hd95_px=masks.hd95,
        assd_px=masks.assd,
        centroid_error_px=masks.centroid_error,
        found=structures.found,
        missed=structures.missed,
        false=structures.false,
        ece=bins.ece,
        mm_per_px=sample.mm_per_px,
    )
    return Scored(row, bins)


def truth_of(sample: Sample, class_name: str) -> Mask:
    """The class's mask; all False where it is known to be absent."""
    return sample.masks.get(class_name, np.zeros(sample.image.shape, np.bool_))


def summarise(scored: Iterable[Scored], *, draws: int = 2000, seed: int = 0) -> tuple[Cell, ...]:
    """One cell per set and class, in alphabetical order."""
    ordered = sorted(scored, key=_cell_key)
    return tuple(_cell(list(part), draws, seed) for _, part in groupby(ordered, key=_cell_key))


def _cell_key(scored: Scored) -> tuple[str, str]:
    return scored.row.card, scored.row.class_name


def _cell(part: Sequence[Scored], draws: int, seed: int) -> Cell:
    rows = [scored.row for scored in part]
    bootstrap = GroupBootstrap([row.group for row in rows], draws=draws, seed=seed)
    structures = sum((_structures(row) for row in rows), StructureCounts(0, 0, 0))
    return Cell(
        card=rows[0].card,
        class_name=rows[0].class_name,
        unit=unit(None) if any(row.mm_per_px is None for row in rows) else unit(1.0),
        n_images=len(rows),
        n_groups=bootstrap.group_count,
        n_both_empty=sum(not r.truth_area_px and not r.predicted_area_px for r in rows),
        n_missed_images=sum(r.truth_area_px > 0 and not r.predicted_area_px for r in rows),
        n_false_images=sum(not r.truth_area_px and r.predicted_area_px > 0 for r in rows),
        structures=structures,
        measures=_measures(rows, bootstrap)
        | {"ece": bootstrap.ece([scored.calibration for scored in part])},
    )


def _measures(rows: Sequence[Row], bootstrap: GroupBootstrap) -> dict[str, Interval]:
    scale = _lengths_scale(rows)
    found = np.array([row.found for row in rows], np.float64)
    missed = np.array([row.missed for row in rows], np.float64)
    false = np.array([row.false for row in rows], np.float64)
    return {
        "dice": bootstrap.mean([row.dice for row in rows]),
        "iou": bootstrap.mean([row.iou for row in rows]),
        "hd95": bootstrap.mean(scale * [row.hd95_px for row in rows]),
        "assd": bootstrap.mean(scale * [row.assd_px for row in rows]),
        "centroid_error": bootstrap.mean(scale * [row.centroid_error_px for row in rows]),
        "found_rate": bootstrap.ratio(found, found + missed),
        "false_per_image": bootstrap.ratio(false, np.ones(len(rows))),
    }


def _lengths_scale(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Millimetres per pixel of each picture, or ones: a mean never mixes the two units."""
    known = [row.mm_per_px for row in rows if row.mm_per_px is not None]
    return np.array(known) if len(known) == len(rows) else np.ones(len(rows))


def _structures(row: Row) -> StructureCounts:
    return StructureCounts(row.found, row.missed, row.false)
