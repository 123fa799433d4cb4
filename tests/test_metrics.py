"""`nerveseg.vision.metrics`: hand-worked cases, and parity with independent implementations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import SimpleITK
import surface_distance
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nerveseg.errors import DataError
from nerveseg.types import Mask
from nerveseg.vision import metrics

NAN = math.nan


def picture(text: str) -> Mask:
    """A mask drawn in text: ``#`` is inside, rows are separated by blanks."""
    return np.array([[c == "#" for c in row] for row in text.split()])


# Each line: prediction, truth → Dice, IoU, HD95, ASSD, centroid error (pixels), found/missed/false
HAND_WORKED = [
    # the same square twice
    ("#### ####", "#### ####", 1.0, 1.0, 0.0, 0.0, 0.0, (1, 0, 0)),
    # one pixel against its right-hand neighbour: disjoint, one pixel apart
    ("#. ..", ".# ..", 0.0, 0.0, 1.0, 1.0, 1.0, (0, 1, 1)),
    # one pixel against the diagonal corner of a 5×4 picture: a 3-4-5 triangle
    ("#... .... .... .... ....", ".... .... .... .... ...#", 0.0, 0.0, 5.0, 5.0, 5.0, (0, 1, 1)),
    # 2 of 4 pixels: Dice 2·2/6, IoU 2/4; distances 0,0 | 0,0,1,2 → p95 of the latter 1.85, mean 3/6
    ("##..", "####", 2 / 3, 0.5, 1.85, 0.5, 1.0, (1, 0, 0)),
    # a full 3×3 block against its centre: 8 ring pixels, 4 at 1 and 4 at √2; back from it: 1
    (
        "..... .###. .###. .###. .....",
        "..... ..... ..#.. ..... .....",
        0.2,
        1 / 9,
        math.sqrt(2),
        (4 + 4 * math.sqrt(2) + 1) / 9,
        0.0,
        (1, 0, 0),
    ),
    # two true structures, one of them hit exactly: directed distances 0 | 0, 4 → p95 3.8, mean 4/3
    ("#....", "#...#", 2 / 3, 0.5, 3.8, 4 / 3, 2.0, (1, 1, 0)),
    # touching at a corner is one structure (8 neighbours)
    ("#. .#", "#. .#", 1.0, 1.0, 0.0, 0.0, 0.0, (1, 0, 0)),
    # nothing predicted: Dice counts, distances can't be measured
    ("... ...", ".#. ...", 0.0, 0.0, NAN, NAN, NAN, (0, 1, 0)),
    # invented structures
    ("#.# ...", "... ...", 0.0, 0.0, NAN, NAN, NAN, (0, 0, 2)),
    # both empty: nothing to measure at all
    ("... ...", "... ...", NAN, NAN, NAN, NAN, NAN, (0, 0, 0)),
]


@pytest.mark.parametrize(
    ("prediction", "truth", "dice", "iou", "hd95", "assd", "centroid", "counts"), HAND_WORKED
)
def test_hand_worked_cases(
    prediction: str,
    truth: str,
    dice: float,
    iou: float,
    hd95: float,
    assd: float,
    centroid: float,
    counts: tuple[int, int, int],
) -> None:
    ours, theirs = picture(prediction), picture(truth)
    scores = metrics.score_masks(ours, theirs)
    got = (scores.dice, scores.iou, scores.hd95, scores.assd, scores.centroid_error)
    assert got == pytest.approx((dice, iou, hd95, assd, centroid), nan_ok=True)
    assert scores.unit == "px"
    assert metrics.match_structures(ours, theirs) == metrics.StructureCounts(*counts)


def test_the_single_functions_say_the_same_as_all_at_once() -> None:
    ours, theirs = picture("##.. ##.. ...."), picture(".... .### .###")
    scores = metrics.score_masks(ours, theirs, spacing_mm=0.2)
    assert scores == metrics.MaskScores(
        dice=metrics.dice(ours, theirs),
        iou=metrics.iou(ours, theirs),
        hd95=metrics.hd95(ours, theirs, spacing_mm=0.2),
        assd=metrics.assd(ours, theirs, spacing_mm=0.2),
        centroid_error=metrics.centroid_error(ours, theirs, spacing_mm=0.2),
        unit="mm",
    )


def test_spacing_is_row_then_column() -> None:
    ours, theirs = picture("#... .... .... .... ...."), picture(".... .... .... .... ...#")
    wanted = math.hypot(4 * 0.5, 3 * 0.1)
    assert metrics.hd95(ours, theirs, spacing_mm=(0.5, 0.1)) == pytest.approx(wanted)
    assert metrics.centroid_error(ours, theirs, spacing_mm=(0.5, 0.1)) == pytest.approx(wanted)


def test_the_picture_edge_counts_as_boundary() -> None:
    full = np.ones((5, 5), bool)
    hole = full.copy()
    hole[2, 2] = False
    # full: 16 edge pixels; hole: the same and 4 around the hole, each 1 from the picture's edge
    assert metrics.surface_distances(full, hole).to_truth.tolist() == [0.0] * 16
    assert sorted(metrics.surface_distances(full, hole).to_prediction) == [0.0] * 16 + [1.0] * 4


@pytest.mark.parametrize(
    ("min_iou", "counts"), [(0.1, (1, 0, 1)), (0.5, (1, 0, 1)), (0.6, (0, 1, 2))]
)
def test_one_prediction_per_true_structure(min_iou: float, counts: tuple[int, int, int]) -> None:
    broken_band, band = picture("#####.####"), picture("##########")  # IoU 0.5 and 0.4
    got = metrics.match_structures(broken_band, band, min_iou=min_iou)
    assert got == metrics.StructureCounts(*counts)


def test_the_best_overlap_is_matched_first() -> None:
    # left half overlaps both, but the right truth fits better: the left truth stays for the other
    prediction, truth = picture("##.###"), picture("#..###")
    assert metrics.match_structures(prediction, truth) == metrics.StructureCounts(2, 0, 0)


def test_crumbs_of_drawing_are_no_structures() -> None:
    prediction, truth = picture("###...#.. ###......"), picture("###.#.... ###......")
    counted = metrics.match_structures(prediction, truth, min_area_px=2)
    assert counted == metrics.StructureCounts(1, 0, 0)
    assert metrics.match_structures(prediction, truth) == metrics.StructureCounts(1, 1, 1)


def test_counts_add_up_over_pictures() -> None:
    total = metrics.StructureCounts(1, 2, 3) + metrics.StructureCounts(10, 20, 30)
    assert total == metrics.StructureCounts(11, 22, 33)


def test_calibration_by_hand() -> None:
    probability = np.array([[0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.7, 1.0]], np.float32)
    truth = picture("#... ##.#")
    # five bins: [0,.2) holds 4 at 0.1, one true; [.6,.8) 1 at 0.7, none true;
    # [.8,1] holds 0.9, 0.9, 1.0, all true → gaps 0.6, 0.7, 0.2 over 8 pixels
    bins = metrics.calibration(probability, truth, bins=5)
    assert bins.pixels.tolist() == [4, 0, 0, 1, 3]
    assert bins.positives.tolist() == [1, 0, 0, 0, 3]
    assert bins.ece == pytest.approx((0.6 + 0.7 + 0.2) / 8)
    assert (bins + bins).ece == pytest.approx(bins.ece)
    assert metrics.ece(probability, truth, bins=1) == pytest.approx(abs(4.0 - 3.9) / 8, abs=1e-6)


def test_perfect_certainty_has_no_calibration_error() -> None:
    truth = picture("#.# .#.")
    assert metrics.ece(truth.astype(np.float32), truth) == 0.0
    assert metrics.ece((~truth).astype(np.float32), truth) == 1.0


def test_a_last_digit_beyond_one_is_rounding() -> None:
    probability = np.array([[-1e-7, 1.0 + 2e-7]], np.float32)
    assert metrics.ece(probability, picture(".#")) == 0.0


GOOD = np.zeros((3, 4), bool)
BAD_MASKS: list[tuple[Any, str]] = [
    (GOOD.astype(np.uint8), "the prediction is uint8 .* expected a bool mask .* threshold"),
    (np.zeros((3, 4, 1), bool), "shape \\(3, 4, 1\\), expected a bool mask"),
    (np.zeros((4, 3), bool), "the prediction has shape \\(4, 3\\), the truth \\(3, 4\\)"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_MASKS)
@pytest.mark.parametrize(
    "measure",
    [
        metrics.dice,
        metrics.iou,
        metrics.hd95,
        metrics.assd,
        metrics.centroid_error,
        metrics.match_structures,
        metrics.score_masks,
    ],
)
def test_a_wrong_mask_is_refused_clearly(measure: Any, bad: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure(bad, GOOD)


@pytest.mark.parametrize("spacing", [0.0, -1.0, NAN, math.inf, (0.1, 0.0)])
def test_a_wrong_spacing_is_refused(spacing: Any) -> None:
    with pytest.raises(DataError, match=r"spacing_mm is .* pass None"):
        metrics.hd95(GOOD, GOOD, spacing_mm=spacing)


@pytest.mark.parametrize("min_iou", [0.0, 1.1, NAN])
def test_a_wrong_overlap_criterion_is_refused(min_iou: float) -> None:
    with pytest.raises(DataError, match="min_iou"):
        metrics.match_structures(GOOD, GOOD, min_iou=min_iou)


BAD_PROBABILITIES = [
    (np.zeros((3, 4)), "float64, expected float32"),
    (np.zeros((4, 3), np.float32), "shape"),
    (np.full((3, 4), 1.5, np.float32), "apply the sigmoid"),
    (np.full((3, 4), NAN, np.float32), "expected 0..1"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_PROBABILITIES)
def test_a_wrong_probability_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metrics.ece(bad, GOOD)


def test_calibrations_of_different_bins_cannot_be_added() -> None:
    zeros = np.zeros((3, 4), np.float32)
    with pytest.raises(DataError, match="15 calibration bins to 5"):
        _ = metrics.calibration(zeros, GOOD) + metrics.calibration(zeros, GOOD, bins=5)


# Parity: random shapes (noise, and unions of rectangles) at random, unequal spacings.


@st.composite
def shapes_of(draw: st.DrawFn, size: tuple[int, int]) -> Mask:
    if draw(st.booleans()):
        return draw(hnp.arrays(np.bool_, size))
    mask = np.zeros(size, bool)
    for _ in range(draw(st.integers(1, 3))):
        rows = sorted(draw(st.lists(st.integers(0, size[0]), min_size=2, max_size=2)))
        columns = sorted(draw(st.lists(st.integers(0, size[1]), min_size=2, max_size=2)))
        mask[slice(*rows), slice(*columns)] = True
    return mask


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    return draw(shapes_of(size)), draw(shapes_of(size))


millimetres = st.floats(0.05, 1.0)
spacings = st.tuples(millimetres, millimetres)


def itk_image(mask: Mask, spacing: tuple[float, float]) -> Any:
    # one pixel of padding, because ITK doesn't count the picture's edge as boundary
    image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    return image


def itk_distances(source: Any, target: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    # squared pixel distances are whole numbers, which its float32 map holds exactly
    squared = SimpleITK.SignedMaurerDistanceMap(target, squaredDistance=True, useImageSpacing=False)
    on_surface = SimpleITK.GetArrayFromImage(source) > 0
    return np.sqrt(np.abs(SimpleITK.GetArrayFromImage(squared)[on_surface]).astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(mask_pairs(), spacings)
def test_overlap_and_surfaces_equal_simpleitk(
    pair: tuple[Mask, Mask], spacing: tuple[float, float]
) -> None:
    ours, theirs = pair
    assume(ours.any() and theirs.any())
    images = itk_image(ours, spacing), itk_image(theirs, spacing)
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    assert metrics.dice(ours, theirs) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-12)
    assert metrics.iou(ours, theirs) == pytest.approx(overlap.GetJaccardCoefficient(), abs=1e-12)

    contours = [SimpleITK.LabelContour(image, False) for image in images]
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(*contours)
    got = metrics.surface_distances(ours, theirs, spacing_mm=spacing)
    directed_means = got.to_truth.mean(), got.to_prediction.mean()
    assert got.hausdorff() == pytest.approx(hausdorff.GetHausdorffDistance(), abs=1e-9)
    assert np.mean(directed_means) == pytest.approx(
        hausdorff.GetAverageHausdorffDistance(), abs=1e-9
    )

    both_ways = itk_distances(*contours), itk_distances(*contours[::-1])
    itk_hd95 = max(np.percentile(distances, 95) for distances in both_ways)
    assert metrics.hd95(ours, theirs) == pytest.approx(itk_hd95, abs=1e-9)
    assert metrics.assd(ours, theirs) == pytest.approx(np.concatenate(both_ways).mean(), abs=1e-9)


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:surface_distance")
@settings(max_examples=60, deadline=None)
@given(mask_pairs(), spacings)
def test_close_to_deepmind_surface_distance(
    pair: tuple[Mask, Mask], spacing: tuple[float, float]
) -> None:
    ours, theirs = pair
    assume(ours.any() and theirs.any())  # it can't say NaN under numpy 2
    its_dice = surface_distance.compute_dice_coefficient(theirs, ours)
    assert metrics.dice(ours, theirs) == pytest.approx(its_dice, abs=1e-12)
    surfaces = surface_distance.compute_surface_distances(theirs, ours, spacing)
    reference = surface_distance.compute_robust_hausdorff(surfaces, 100)
    got = metrics.surface_distances(ours, theirs, spacing_mm=spacing).hausdorff()
    # Its surface runs along the pixels' corners, ours through their centres: each is within half
    # a pixel's diagonal of the other, so the two Hausdorff distances are within a whole one.
    assert abs(got - reference) <= math.hypot(*spacing) + 1e-9


@st.composite
def rectangles(draw: st.DrawFn) -> Mask:
    mask = np.zeros((30, 30), bool)
    top, left = draw(st.integers(0, 29)), draw(st.integers(0, 29))
    mask[top : draw(st.integers(top + 1, 30)), left : draw(st.integers(left + 1, 30))] = True
    return mask


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning:surface_distance")
@settings(max_examples=60, deadline=None)
@given(rectangles(), rectangles(), spacings)
def test_hausdorff_of_rectangles_equals_deepmind_surface_distance(
    ours: Mask, theirs: Mask, spacing: tuple[float, float]
) -> None:
    surfaces = surface_distance.compute_surface_distances(theirs, ours, spacing)
    reference = surface_distance.compute_robust_hausdorff(surfaces, 100)
    got = metrics.surface_distances(ours, theirs, spacing_mm=spacing).hausdorff()
    assert got == pytest.approx(reference, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(mask_pairs(), millimetres)
def test_symmetric_and_scaled_by_spacing(pair: tuple[Mask, Mask], mm: float) -> None:
    ours, theirs = pair
    one, other = metrics.score_masks(ours, theirs), metrics.score_masks(theirs, ours)
    scaled = metrics.score_masks(ours, theirs, spacing_mm=mm)
    for name in ("dice", "iou", "hd95", "assd", "centroid_error"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)
    assert scaled.assd == pytest.approx(one.assd * mm, nan_ok=True)
    assert one.iou == pytest.approx(one.dice / (2 - one.dice), nan_ok=True)
    if one.dice == 1.0:
        assert one.hd95 == one.assd == one.centroid_error == 0.0
