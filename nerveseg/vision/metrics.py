"""How well a predicted mask or probability agrees with the truth.

Every mask is ``bool`` ``(H, W)``; every probability is ``float32`` ``(H, W)`` in 0..1. Lengths
come in millimetres when ``spacing_mm`` is given and in pixels when it is ``None``: see `unit`.

The definitions are those of *Metrics Reloaded* (Maier-Hein, Reinke et al., Nature Methods 2024):

- ``Dice = 2|A∩B| / (|A|+|B|)`` and ``IoU = |A∩B| / |A∪B|``.
- The surface of a mask is its set of boundary pixels: those that lose one of their four
  neighbours, with everything beyond the picture counted as background (as in MedPy and in
  SimpleITK's ``LabelContour``). Distances run between pixel centres and are exact.
- ``HD95`` is the larger of the two directed 95th percentiles (linear interpolation).
- ``ASSD`` is the mean over both surfaces' distances together.

What an empty mask means: with both empty there is nothing to measure and all is NaN; with one
empty Dice and IoU are 0 and the distances are NaN. Leave NaN out of a mean and say how many
there were; `match_structures` counts what was missed or false.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import DataError
from nerveseg.types import Mask, Probability

__all__ = [
    "Calibration",
    "MaskScores",
    "Spacing",
    "StructureCounts",
    "SurfaceDistances",
    "assd",
    "calibration",
    "centroid_error",
    "dice",
    "ece",
    "hd95",
    "iou",
    "match_structures",
    "score_masks",
    "surface_distances",
    "unit",
]

Spacing: TypeAlias = float | tuple[float, float]
"""Millimetres per pixel: one number, or ``(row, column)`` where they differ."""

_Floats: TypeAlias = npt.NDArray[np.float64]
_CELLS_PER_CHUNK = 2_000_000
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class MaskScores:
    """All measures of one mask against its truth; lengths are in ``unit``."""

    dice: float
    iou: float
    hd95: float
    assd: float
    centroid_error: float
    unit: Literal["mm", "px"]


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """From each boundary pixel of one mask to the nearest one of the other.

    ``to_truth`` is ``float64`` ``(n,)`` over the prediction's surface, ``to_prediction``
    ``float64`` ``(m,)`` over the truth's; both are empty when either mask is.
    """

    to_truth: _Floats
    to_prediction: _Floats

    def hausdorff(self, *, percentile: float = 100.0) -> float:
        """The larger of the two directed percentiles; NaN when a mask was empty."""
        if self.to_truth.size == 0:
            return math.nan
        directed = (np.percentile(d, percentile) for d in (self.to_truth, self.to_prediction))
        return float(max(directed))

    def average(self) -> float:
        """The mean over both surfaces together; NaN when a mask was empty."""
        if self.to_truth.size == 0:
            return math.nan
        total = self.to_truth.sum() + self.to_prediction.sum()
        return float(total / (self.to_truth.size + self.to_prediction.size))


@dataclass(frozen=True, slots=True)
class StructureCounts:
    """Connected structures of one class: matched, overlooked, and invented."""

    found: int
    missed: int
    false: int

    def __add__(self, other: StructureCounts) -> StructureCounts:
        return StructureCounts(
            self.found + other.found, self.missed + other.missed, self.false + other.false
        )


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Pixels sorted into equal bins of predicted probability; add them up over pictures.

    ``pixels``, ``confidence`` (sum of probabilities) and ``positives`` (pixels truly inside) are
    ``float64`` ``(bins,)``.
    """

    pixels: _Floats
    confidence: _Floats
    positives: _Floats

    def __add__(self, other: Calibration) -> Calibration:
        if self.pixels.shape != other.pixels.shape:
            raise DataError(
                f"can't add {self.pixels.size} calibration bins to {other.pixels.size}; "
                "use the same number of bins for every picture"
            )
        return Calibration(
            self.pixels + other.pixels,
            self.confidence + other.confidence,
            self.positives + other.positives,
        )

    @property
    def ece(self) -> float:
        """Expected calibration error, ``Σ |positives − confidence| / Σ pixels``; NaN if empty.

        The same as ``Σ n_b/n · |accuracy_b − confidence_b|`` (Naeini et al., AAAI 2015).
        """
        total = self.pixels.sum()
        if total == 0:
            return math.nan
        return float(np.abs(self.positives - self.confidence).sum() / total)


def unit(spacing_mm: Spacing | None) -> Literal["mm", "px"]:
    """The unit that lengths have for this spacing: ``px`` when it is unknown."""
    return "px" if spacing_mm is None else "mm"


def score_masks(prediction: Mask, truth: Mask, *, spacing_mm: Spacing | None = None) -> MaskScores:
    """Every measure at once, the surfaces measured only one time.

    Raises `DataError` for masks that aren't bool of one shape or a spacing that isn't positive.
    """
    surfaces = surface_distances(prediction, truth, spacing_mm=spacing_mm)
    return MaskScores(
        dice=dice(prediction, truth),
        iou=iou(prediction, truth),
        hd95=surfaces.hausdorff(percentile=95.0),
        assd=surfaces.average(),
        centroid_error=centroid_error(prediction, truth, spacing_mm=spacing_mm),
        unit=unit(spacing_mm),
    )


def dice(prediction: Mask, truth: Mask) -> float:
    """``2|A∩B| / (|A|+|B|)`` in 0..1; NaN when both masks are empty."""
    _check_masks(prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    if total == 0:
        return math.nan
    return float(2.0 * np.count_nonzero(prediction & truth) / total)


def iou(prediction: Mask, truth: Mask) -> float:
    """``|A∩B| / |A∪B|`` in 0..1; NaN when both masks are empty."""
    _check_masks(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    if union == 0:
        return math.nan
    return float(np.count_nonzero(prediction & truth) / union)


def hd95(prediction: Mask, truth: Mask, *, spacing_mm: Spacing | None = None) -> float:
    """95th percentile Hausdorff distance, in mm (px without a spacing); NaN if a mask is empty."""
    return surface_distances(prediction, truth, spacing_mm=spacing_mm).hausdorff(percentile=95.0)


def assd(prediction: Mask, truth: Mask, *, spacing_mm: Spacing | None = None) -> float:
    """Average symmetric surface distance, in mm (px without a spacing); NaN if a mask is empty."""
    return surface_distances(prediction, truth, spacing_mm=spacing_mm).average()


def centroid_error(prediction: Mask, truth: Mask, *, spacing_mm: Spacing | None = None) -> float:
    """Distance of the masks' centres of area, in mm (px without a spacing); NaN if one is empty."""
    _check_masks(prediction, truth)
    row_mm, column_mm = _row_column(spacing_mm)
    if not (prediction.any() and truth.any()):
        return math.nan
    rows, columns = _centroid(prediction) - _centroid(truth)
    return math.hypot(rows * row_mm, columns * column_mm)


def surface_distances(
    prediction: Mask, truth: Mask, *, spacing_mm: Spacing | None = None
) -> SurfaceDistances:
    """Exact distances between the two surfaces, both ways, in mm (px without a spacing)."""
    _check_masks(prediction, truth)
    spacing = _row_column(spacing_mm)
    if not (prediction.any() and truth.any()):
        return SurfaceDistances(np.empty(0), np.empty(0))
    window = _window(prediction | truth)
    ours, theirs = _boundary(prediction[window]), _boundary(truth[window])
    return SurfaceDistances(_to_nearest(ours, theirs, spacing), _to_nearest(theirs, ours, spacing))


def match_structures(
    prediction: Mask, truth: Mask, *, min_iou: float = 0.1, min_area_px: int = 1
) -> StructureCounts:
    """Pair the connected structures (8 neighbours) of prediction and truth, one to one.

    The pair with the largest IoU is matched first, and so on down to ``min_iou`` (above 0, at
    most 1); a true structure without a partner is missed, a predicted one is false. The default
    is lenient on purpose: two experts' own outlines of a nerve overlap with a mean Dice of only
    0.48, an IoU of about 0.32 (BJA 2023, 10.1016/j.bja.2023.09.023). Structures of fewer than
    ``min_area_px`` pixels, on either side, are crumbs of drawing and aren't counted.
    """
    _check_masks(prediction, truth)
    if not 0.0 < min_iou <= 1.0:
        raise DataError(f"min_iou is {min_iou}, expected a number above 0 and at most 1")
    overlaps = _component_iou(prediction, truth, min_area_px)
    found = sum(1 for _ in _greedy_pairs(overlaps, min_iou))
    predicted, true = overlaps.shape
    return StructureCounts(found=found, missed=true - found, false=predicted - found)


def ece(probability: Probability, truth: Mask, *, bins: int = 15) -> float:
    """Expected calibration error in 0..1 of one picture; see `Calibration.ece`."""
    return calibration(probability, truth, bins=bins).ece


def calibration(probability: Probability, truth: Mask, *, bins: int = 15) -> Calibration:
    """Sort every pixel of a picture into ``bins`` equal bins of its probability.

    Bin ``k`` is ``[k/bins, (k+1)/bins)``, the last one closed. Pass only the image region, so
    that scanner chrome, where nothing can be, doesn't flatter the figure. Raises `DataError` if
    the probability isn't float32 in 0..1 of the mask's shape.
    """
    _check_probability(probability, truth)
    if bins < 1:
        raise DataError(f"got {bins} calibration bins, expected 1 or more")
    values = probability.ravel().astype(np.float64).clip(0.0, 1.0)
    index = np.minimum((values * bins).astype(np.intp), bins - 1)
    return Calibration(
        pixels=np.bincount(index, minlength=bins).astype(np.float64),
        confidence=np.bincount(index, weights=values, minlength=bins).astype(np.float64),
        positives=np.bincount(index, weights=truth.ravel(), minlength=bins).astype(np.float64),
    )


def _check_masks(prediction: Mask, truth: Mask) -> None:
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise DataError(
                f"the {name} is {mask.dtype} of shape {mask.shape}, expected a bool mask (H, W); "
                "threshold it first, as in `mask > 0`"
            )
    _check_same_shape("prediction", prediction.shape, truth.shape)


def _check_probability(probability: Probability, truth: Mask) -> None:
    _check_masks(truth, truth)
    if probability.dtype != np.float32:
        raise DataError(
            f"the probability is {probability.dtype}, expected float32; convert it with astype"
        )
    _check_same_shape("probability", probability.shape, truth.shape)
    # Rounding in a resize may leave the last digit beyond 0..1; a logit goes much further.
    low, high = -_ROUNDING, 1.0 + _ROUNDING
    if probability.size and not (probability.min() >= low and probability.max() <= high):
        raise DataError(
            f"the probability runs from {probability.min()} to {probability.max()}, "
            "expected 0..1; apply the sigmoid first"
        )


def _check_same_shape(name: str, got: tuple[int, ...], truth: tuple[int, ...]) -> None:
    if got != truth:
        raise DataError(
            f"the {name} has shape {got}, the truth {truth}; map both to the frame's own pixels"
        )


def _row_column(spacing_mm: Spacing | None) -> tuple[float, float]:
    if spacing_mm is None:
        return 1.0, 1.0
    pair = spacing_mm if isinstance(spacing_mm, tuple) else (spacing_mm, spacing_mm)
    if not all(math.isfinite(mm) and mm > 0 for mm in pair):
        raise DataError(
            f"spacing_mm is {spacing_mm}, expected one positive number or (row, column); "
            "pass None when the scale is unknown"
        )
    return pair


def _centroid(mask: Mask) -> _Floats:
    centre: _Floats = np.argwhere(mask).mean(axis=0)
    return centre


def _window(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _boundary(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    up, down = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    return mask & ~(up & down & left & right)


def _to_nearest(source: Mask, target: Mask, spacing: tuple[float, float]) -> _Floats:
    """From each pixel of ``source`` to the nearest of ``target``: ``float64`` ``(n,)``.

    The squared distance splits into rows and columns, so the nearest target pixel within each
    column comes first and the best column second. Only the source pixels are asked, which
    needs no whole-picture transform and allows unequal spacing.
    """
    row_mm, column_mm = spacing
    columns = np.flatnonzero(target.any(axis=0))
    along = (_rows_to_nearest(target[:, columns]) * row_mm) ** 2
    queries = np.argwhere(source)
    nearest = np.empty(len(queries))
    step = max(1, _CELLS_PER_CHUNK // columns.size)
    for start in range(0, len(queries), step):
        row, column = queries[start : start + step].T
        across = ((column[:, None] - columns) * column_mm) ** 2
        nearest[start : start + step] = (along[row] + across).min(axis=1)
    return np.sqrt(nearest)


def _rows_to_nearest(target: Mask) -> _Floats:
    """Rows between each pixel and the nearest target pixel of its own column."""
    row = np.arange(target.shape[0], dtype=np.float64)[:, None]
    above = np.maximum.accumulate(np.where(target, row, -np.inf), axis=0)
    below = np.minimum.accumulate(np.where(target, row, np.inf)[::-1], axis=0)[::-1]
    gap: _Floats = np.minimum(row - above, below - row)
    return gap


def _component_iou(prediction: Mask, truth: Mask, min_area_px: int) -> _Floats:
    """IoU of every predicted with every true structure: ``float64`` ``(predicted, true)``."""
    predicted, ours = cv2.connectedComponents(prediction.astype(np.uint8), connectivity=8)
    true, theirs = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
    joint = np.bincount(
        (ours.ravel().astype(np.intp) * true + theirs.ravel()), minlength=predicted * true
    ).reshape(predicted, true)
    areas, true_areas = joint.sum(axis=1)[1:], joint.sum(axis=0)[1:]
    overlaps = joint[1:, 1:] / (areas[:, None] + true_areas - joint[1:, 1:])
    large = np.ix_(areas >= min_area_px, true_areas >= min_area_px)
    return np.asarray(overlaps[large], np.float64)


def _greedy_pairs(overlaps: _Floats, min_iou: float) -> Iterator[tuple[int, int]]:
    free = overlaps.copy()
    while free.size and free.max() >= min_iou:
        row, column = np.unravel_index(free.argmax(), free.shape)
        yield int(row), int(column)
        free[row, :] = 0.0
        free[:, column] = 0.0
