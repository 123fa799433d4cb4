"""Seeing a needle in the network's maps: a line through the shaft, a tip on it, how sure."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nerveseg.types import Box, Segmentation
from nerveseg.vision.needle import observe
from nerveseg.vision.needle.observe import FEATURES, Sighting, sightings
from nerveseg.vision.needle.ridge import straightened
from nerveseg.vision.preprocess import NEEDLE, NEEDLE_TIP

SURE = {"shaft": (8.0, *[0.0] * len(FEATURES)), "tip": (3.0, *[0.0] * len(FEATURES))}
PIXELS = np.full((480, 640), 90, np.uint8)
"""An even picture has no ridge: the line stays where the maps have it."""

DOUBTFUL = {**SURE, "shaft": (-8.0, *[0.0] * len(FEATURES))}


def answer(
    shaft: np.ndarray, tip: np.ndarray | None = None, region: Box | None = None
) -> Segmentation:
    """Maps of a needle alone, on a frame of 640 by 480."""
    region = region or Box(0, 0, 640, 480)
    return Segmentation(
        probabilities={NEEDLE: shaft.astype(np.float32)},
        region=region,
        frame_shape=(480, 640),
        thresholds={NEEDLE: 0.5},
        model_id="drawn@1",
        heatmaps={NEEDLE_TIP: (np.zeros_like(shaft) if tip is None else tip).astype(np.float32)},
    )


def drawn(
    start: tuple[float, float], tip: tuple[float, float], region: Box, *, peak: float = 0.9
) -> Segmentation:
    """A shaft from ``start`` to ``tip`` (frame pixels) on maps of 128 by 128."""
    scale = np.array([128 / region.width, 128 / region.height])
    ends = [(np.array(p) - (region.left, region.top) + 0.5) * scale - 0.5 for p in (start, tip)]
    shaft = np.zeros((128, 128), np.uint8)
    corners = [tuple(int(v) for v in np.round(p * 16)) for p in ends]
    cv2.line(shaft, corners[0], corners[1], 255, 2, cv2.LINE_AA, 4)
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    bell = peak * np.exp(-((x - ends[1][0]) ** 2 + (y - ends[1][1]) ** 2) / (2 * 1.5**2))
    return answer(shaft / 255 * 0.95, bell, region)


def sight(segmentation: Segmentation) -> Sighting | None:
    """The longest line seen."""
    length = FEATURES.index("length")
    return max(sightings(segmentation), key=lambda s: s.features[length], default=None)


WHOLE = Box(0, 0, 640, 480)
CASES = {
    # name: (start, tip, region)
    "from the left": ((40.0, 60.0), (400.0, 300.0), WHOLE),
    "from the right": ((600.0, 50.0), (250.0, 330.0), WHOLE),
    "steep": ((300.0, 30.0), (380.0, 400.0), WHOLE),
    "in a crop": ((150.0, 130.0), (400.0, 300.0), Box(100, 80, 540, 420)),
    "in a tall crop": ((210.0, 60.0), (330.0, 440.0), Box(200, 0, 360, 480)),
    "nearly flat, to the left": ((560.0, 200.0), (150.0, 230.0), WHOLE),
    "flat, to the right": ((100.0, 240.0), (420.0, 240.0), WHOLE),
}


@pytest.mark.parametrize(("start", "tip", "region"), CASES.values(), ids=CASES)
def test_a_drawn_needle_is_found_where_it_is(
    start: tuple[float, float], tip: tuple[float, float], region: Box
) -> None:
    needle = observe(drawn(start, tip, region), PIXELS, SURE)
    assert needle is not None
    cell = max(region.width, region.height) / 128
    assert math.dist(needle.tip_xy, tip) < cell
    line = np.subtract(needle.tip_xy, needle.entry_xy)
    true = np.subtract(tip, start)
    assert abs(math.degrees(math.atan2(line[1], line[0]) - math.atan2(true[1], true[0]))) < 1.0
    assert math.dist(needle.shaft_xy[0], start) < 3 * cell
    assert needle.visible_share > 0.5


def test_the_entry_lies_on_the_regions_edge() -> None:
    region = Box(100, 80, 540, 420)
    needle = observe(drawn((150, 130), (400, 300), region), PIXELS, SURE)
    assert needle is not None
    x, y = needle.entry_xy
    on_an_edge = (abs(x - 100), abs(x - 539), abs(y - 80), abs(y - 419))
    assert min(on_an_edge) < 1e-6
    assert x < 150
    assert y < 130


def test_without_a_tip_in_the_map_the_shafts_end_stands_for_it() -> None:
    needle = observe(drawn((40, 60), (400, 300), WHOLE, peak=0.0), PIXELS, SURE)
    assert needle is not None
    assert math.dist(needle.tip_xy, (400, 300)) < 10


def test_clutter_beside_the_shaft_does_not_turn_the_line() -> None:
    clean = drawn((40, 60), (500, 400), WHOLE)
    cluttered = clean.probabilities[NEEDLE].copy()
    cluttered[100:104, 20:44] = 0.9  # a short bright bar elsewhere
    found = sight(answer(cluttered, clean.heatmaps[NEEDLE_TIP]))
    alone = sight(clean)
    assert found is not None
    assert alone is not None
    assert math.dist(found.tip_xy, alone.tip_xy) < 3
    assert found.features[FEATURES.index("rest")] > 0.1 > alone.features[FEATURES.index("rest")]


def test_a_gap_is_counted_as_not_visible() -> None:
    whole = drawn((0, 100), (500, 400), WHOLE)
    broken = whole.probabilities[NEEDLE].copy()
    broken[:, 30:60] = 0
    found, full = sight(answer(broken, whole.heatmaps[NEEDLE_TIP])), sight(whole)
    assert found is not None
    assert full is not None
    assert found.visible_share == pytest.approx(full.visible_share - 0.3, abs=0.08)


@pytest.mark.parametrize("level", [0.0, 0.2])
def test_an_empty_map_shows_no_needle(level: float) -> None:
    assert observe(answer(np.full((128, 128), level)), PIXELS, SURE) is None


def test_a_line_that_is_not_believed_is_no_needle() -> None:
    assert observe(drawn((40, 60), (400, 300), WHOLE), PIXELS, DOUBTFUL) is None


def test_a_tip_is_never_surer_than_its_shaft() -> None:
    unsure_shaft = {"shaft": (0.0, *[0.0] * len(FEATURES)), "tip": (9.0, *[0.0] * len(FEATURES))}
    needle = observe(drawn((40, 60), (400, 300), WHOLE), PIXELS, unsure_shaft)
    assert needle is not None
    assert needle.confidence == needle.shaft_confidence == pytest.approx(0.5)


# --- the ridge on the picture -----------------------------------------------------------------


def shaft_on_tissue(start: tuple[int, int], tip: tuple[int, int], *, contrast: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    tissue = cv2.GaussianBlur(rng.normal(80, 60, (480, 640)), (0, 0), 2.0)
    shaft = np.zeros((480, 640))
    cv2.line(shaft, start, tip, 1.0, 5)
    return np.clip(tissue + contrast * cv2.GaussianBlur(shaft, (0, 0), 1.5), 0, 255).astype(
        np.uint8
    )


def turned(start: tuple[int, int], tip: tuple[int, int], degrees: float) -> tuple[float, float]:
    """``start`` moved round ``tip``."""
    angle = math.radians(degrees)
    x, y = start[0] - tip[0], start[1] - tip[1]
    cos, sin = math.cos(angle), math.sin(angle)
    return tip[0] + cos * x - sin * y, tip[1] + sin * x + cos * y


@pytest.mark.parametrize("degrees", [-5.0, -2.0, 0.0, 3.0, 6.0])
def test_a_line_that_is_turned_falls_back_onto_its_ridge(degrees: float) -> None:
    start, tip = (60, 90), (400, 300)
    pixels = shaft_on_tissue(start, tip, contrast=70)
    begun, ended = straightened(pixels, WHOLE, turned(start, tip, degrees), tip)
    found = math.degrees(math.atan2(ended[1] - begun[1], ended[0] - begun[0]))
    true = math.degrees(math.atan2(tip[1] - start[1], tip[0] - start[0]))
    assert abs(found - true) < 0.8
    assert math.dist(ended, tip) < 6


def test_without_a_ridge_the_line_stays_where_it_was() -> None:
    begun, ended = straightened(PIXELS, WHOLE, (60, 90), (400, 300))
    assert math.dist(begun, (60, 90)) < 1e-6
    assert math.dist(ended, (400, 300)) < 1e-6


def test_a_line_too_short_to_turn_is_left_alone() -> None:
    assert straightened(PIXELS, WHOLE, (60, 90), (61, 91)) == ((60, 90), (61, 91))


# where a shaft meets the region's edge, and a peak of the tip map on that edge, beside it
ON_THE_EDGE = {
    "below": ((100.0, 100.0), (479.0, 479.0), (490.0, 479.0), WHOLE),
    "to the right": ((260.0, 10.0), (639.0, 389.0), (639.0, 398.0), WHOLE),
    "to the left": ((379.0, 10.0), (0.0, 389.0), (0.0, 398.0), WHOLE),
    "out of a crop": ((150.0, 130.0), (439.0, 419.0), (448.0, 419.0), Box(100, 80, 540, 420)),
}


@pytest.mark.parametrize(("start", "end", "peak", "region"), ON_THE_EDGE.values(), ids=ON_THE_EDGE)
def test_a_tip_on_the_edge_lies_within_the_region(
    start: tuple[float, float], end: tuple[float, float], peak: tuple[float, float], region: Box
) -> None:
    """A path has no length for a tip that is outside."""
    shaft = drawn(start, end, region).probabilities[NEEDLE]
    tip = drawn(start, peak, region).heatmaps[NEEDLE_TIP]
    needle = observe(answer(shaft, tip, region), PIXELS, SURE)
    assert needle is not None
    for x, y in (needle.tip_xy, needle.entry_xy):
        assert region.left <= x <= region.right - 1
        assert region.top <= y <= region.bottom - 1
    assert math.dist(needle.tip_xy, end) < 8


MAPS = hnp.arrays(np.float32, (16, 16), elements=st.floats(0, 1, width=32))


@given(shaft=MAPS, tip=MAPS)
def test_whatever_the_maps_an_answer_is_finite_or_none(shaft: np.ndarray, tip: np.ndarray) -> None:
    needle = observe(answer(shaft, tip, Box(3, 5, 400, 90)), PIXELS, SURE)
    if needle is not None:  # `Needle` checks its own numbers
        for x, y in (needle.entry_xy, needle.tip_xy):
            assert 3 <= x <= 399
            assert 5 <= y <= 89


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_all_black_or_white_map_raises_nothing(value: float) -> None:
    observe(answer(np.full((128, 128), value), np.full((128, 128), value)), PIXELS, SURE)
