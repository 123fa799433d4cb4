"""Guidance: the path ahead, distances, crossings and warnings, against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.types import Box, Crossing, Guidance, Needle, NeedleState, StructureStats
from nerveseg.vision import guidance
from nerveseg.vision.guidance import WARNINGS, guide, warnings
from nerveseg.vision.overlay import structure_stats

REGION = Box(0, 0, 101, 81)  # pixel centres from (0, 0) to (100, 80)


def needle(entry, tip, share=0.75):
    return Needle(entry, tip, 0.9, 0.9, (entry, tip), share)


def outlined(*contours):
    return StructureStats(1, (0.0, 0.0), 0.9, contours)


def square(left, top, right, bottom):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


SQUARE = square(40, 30, 60, 50)
RING = (SQUARE, square(45, 35, 55, 45))

# entry, tip, outlines of the nerve; the distance to it; where the path meets it, and how far ahead
HAND_WORKED = [
    # straight down, from 10 above the top edge
    ((50, 0), (50, 20), [SQUARE], 10.0, (50, 30), 10.0),
    # level, from the left and from the right
    ((0, 40), (30, 40), [SQUARE], 10.0, (40, 40), 10.0),
    ((100, 40), (90, 40), [SQUARE], 30.0, (60, 40), 30.0),
    # at 45 degrees onto a corner
    ((20, 10), (30, 20), [SQUARE], math.sqrt(200), (40, 30), math.sqrt(200)),
    # past it: the nearest point is the corner 3 right and 4 down
    ((37, 0), (37, 26), [SQUARE], 5.0, None, None),
    # away from it
    ((50, 40), (50, 10), [SQUARE], 20.0, None, None),
    # inside, and on the outline, which counts as inside
    ((50, 0), (50, 33), [SQUARE], 0.0, (50, 33), 0.0),
    ((50, 0), (50, 30), [SQUARE], 0.0, (50, 30), 0.0),
    # in the ring's own tissue, then in its hole: 5 from the hole's rim, which is ahead
    ((50, 0), (50, 32), [*RING], 0.0, (50, 32), 0.0),
    ((50, 0), (50, 40), [*RING], 5.0, (50, 45), 5.0),
    # two patches: the nearer counts, whichever is named first
    ((50, 0), (50, 20), [square(48, 60, 52, 70), SQUARE], 10.0, (50, 30), 10.0),
    # along its edge: met where the edge begins
    ((0, 30), (20, 30), [SQUARE], 20.0, (40, 30), 20.0),
    # a flat outline of two points, met in its middle
    ((50, 0), (50, 20), [((40, 35), (60, 35))], 15.0, (50, 35), 15.0),
    # the needle's entry and tip are one point: no direction, no path, but a distance
    ((50, 20), (50, 20), [SQUARE], 10.0, None, None),
]


@pytest.mark.parametrize(("entry", "tip", "contours", "away", "meets", "ahead"), HAND_WORKED)
def test_distance_and_crossing(entry, tip, contours, away, meets, ahead):
    found = guide(needle(entry, tip), {"nerve": outlined(*contours)}, REGION)
    assert found.distances_px == pytest.approx({"nerve": away})
    assert [each.structure for each in found.crossings] == ([] if meets is None else ["nerve"])
    for crossing in found.crossings:
        assert crossing.at_xy == pytest.approx(meets)
        assert crossing.distance_px == pytest.approx(ahead)


# entry, tip, the path's end, the angle to the picture's top edge
PATHS = [
    ((50, 0), (50, 20), (50, 80), 90.0),
    ((0, 40), (30, 40), (100, 40), 0.0),
    ((100, 40), (30, 40), (0, 40), 0.0),
    ((0, 0), (10, 10), (80, 80), 45.0),
    ((100, 0), (90, 10), (20, 80), 45.0),  # mirrored, not 135
    ((50, 80), (50, 60), (50, 0), 90.0),  # a flipped picture: upwards
    ((0, 0), (40, 30), (100, 75), math.degrees(math.atan(0.75))),
    ((50, 0), (50, 80), (50, 80), 90.0),  # at the end already
    ((50, 0), (50, 90), (50, 90), 90.0),  # outside the region: nothing is ahead in it
]


@pytest.mark.parametrize(("entry", "tip", "end", "angle"), PATHS)
def test_the_path_runs_on_to_the_end_of_the_region(entry, tip, end, angle):
    found = guide(needle(entry, tip), {}, REGION)
    assert found.path_xy == (tip, pytest.approx(end))
    assert found.insertion_angle_deg == pytest.approx(angle)
    assert found.visible_share == 0.75
    assert (found.distances_px, found.crossings) == ({}, ())


def test_the_path_ends_with_a_region_that_is_not_the_whole_frame():
    found = guide(needle((30, 0), (30, 20)), {}, Box(10, 10, 61, 41))
    assert found.path_xy[1] == pytest.approx((30, 40))


def test_artery_and_vein_are_vessels_and_crossings_come_nearest_first():
    structures = {
        "artery": outlined(square(45, 60, 55, 70)),
        "vein": outlined(square(70, 20, 80, 30)),
        "nerve": outlined(SQUARE),
        "muscle": outlined(square(0, 0, 100, 80)),
        "fascia": outlined(square(0, 22, 100, 24)),
    }
    found = guide(needle((50, 0), (50, 20)), structures, REGION)
    assert found.distances_px == pytest.approx({"nerve": 10.0, "vessel": 20.0})
    assert [(c.structure, c.distance_px) for c in found.crossings] == [
        ("nerve", pytest.approx(10.0)),
        ("vessel", pytest.approx(40.0)),
    ]


def test_an_artery_within_a_vessel_makes_no_hole_in_it():
    structures = {"vessel": outlined(SQUARE), "artery": outlined(square(42, 32, 58, 48))}
    found = guide(needle((50, 0), (50, 40)), structures, REGION)
    assert found.distances_px == {"vessel": 0.0}


def test_a_class_without_an_outline_is_left_out():
    found = guide(needle((50, 0), (50, 20)), {"nerve": outlined(), "vessel": outlined()}, REGION)
    assert (found.distances_px, found.crossings) == ({}, ())


def disc_with_hole():
    rows, columns = np.mgrid[:81, :101]
    away = np.hypot(columns - 50, rows - 40)
    return (away <= 25) & (away >= 10)


@given(x=st.integers(0, 100), y=st.integers(0, 80))
def test_a_tip_on_a_masks_pixel_is_inside_its_outlines_and_any_other_is_not(x, y):
    mask = disc_with_hole()
    structures = {"nerve": structure_stats(mask, mask.astype(np.float32))}
    away = guide(needle((50, -9), (x, y)), structures, REGION).distances_px["nerve"]
    nearest = np.hypot(*(np.argwhere(mask) - (y, x)).T).min()
    assert (away == 0) == bool(mask[y, x])
    # Outlines run straight between pixel centres, which lie at most half a pixel further.
    assert nearest - 0.75 <= away <= nearest + 1e-9


@given(
    turn=st.floats(-math.pi, math.pi),
    depth=st.floats(1, 30),
    x=st.floats(5, 95),
    y=st.floats(5, 75),
)
def test_a_crossing_lies_on_the_path_and_on_an_edge(turn, depth, x, y):
    entry = (x - depth * math.cos(turn), y - depth * math.sin(turn))
    found = guide(needle(entry, (x, y)), {"nerve": outlined(SQUARE)}, REGION)
    for crossing in found.crossings:
        ahead = (crossing.at_xy[0] - x, crossing.at_xy[1] - y)
        assert math.hypot(*ahead) == pytest.approx(crossing.distance_px, abs=1e-9)
        assert ahead[0] * math.sin(turn) - ahead[1] * math.cos(turn) == pytest.approx(0, abs=1e-6)
        if crossing.distance_px > 0:
            off = max(abs(crossing.at_xy[0] - 50), abs(crossing.at_xy[1] - 40))
            assert off == pytest.approx(10, abs=1e-6)
        assert crossing.distance_px >= found.distances_px["nerve"] - 1e-9


NEEDLE = needle((50, 0), (50, 20))
SEEN = NeedleState("seen", NEEDLE, 0.0)
NEVER, LOST = NeedleState("lost"), NeedleState("lost", age_s=4.0)


def guidance_of(distances, *crossings):
    met = tuple(Crossing(name, (50.0, 20.0 + away), away) for name, away in crossings)
    return Guidance(((50, 20), (50, 80)), distances, met, 90.0, 1.0)


# the needle's state, distances, crossings; what is warned of with a reach of 30 pixels
TOLD = [
    (NEVER, None, (), ()),  # a clip without a needle has lost nothing
    (LOST, None, (), ("tip lost",)),
    (SEEN, {}, (), ()),
    (SEEN, {"nerve": 10.0, "vessel": 5.0}, (), ()),  # beside the path
    (SEEN, {"nerve": 9.0}, (("nerve", 10.0),), ("nerve on path",)),
    (SEEN, {"vessel": 9.0}, (("vessel", 30.0),), ("vessel on path",)),
    (SEEN, {"vessel": 9.0}, (("vessel", 30.1),), ()),  # beyond the reach
    (SEEN, {"nerve": 0.0}, (("nerve", 0.0),), ("tip in nerve",)),
    # in the nerve with a vessel behind it: the graver first
    (
        SEEN,
        {"nerve": 0.0, "vessel": 8.0},
        (("nerve", 0.0), ("vessel", 12.0)),
        ("tip in nerve", "vessel on path"),
    ),
    (NeedleState("predicted", NEEDLE, 0.2), {"vessel": 0.0}, (), ("tip in vessel",)),
]


@pytest.mark.parametrize(("state", "distances", "crossings", "keys"), TOLD)
def test_warnings(state, distances, crossings, keys):
    about = None if distances is None else guidance_of(distances, *crossings)
    told = warnings(state, about, reach_px=30.0)
    assert told == keys
    assert set(told) <= set(WARNINGS)


def test_the_reach_is_in_millimetres_only_where_the_scale_is_known():
    assert guidance.reach_px(Box(0, 0, 300, 400), 0.1) == pytest.approx(150.0)
    assert guidance.reach_px(Box(0, 0, 300, 400), None) == pytest.approx(125.0)


def test_warnings_say_what_is_seen_and_not_what_to_do():
    for key, notice in WARNINGS.items():
        assert notice.symbol in {"question", "triangle", "octagon"}
        words = notice.text.lower()
        assert all(part in words for part in key.split() if part in {"tip", "nerve", "vessel"})
        advice = ("stop", "should", "withdraw", "advance", "must", "avoid", "danger", "safe")
        assert not any(word in words for word in advice)
