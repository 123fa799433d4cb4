"""Fascial planes as lines: maps drawn with a known middle, and planes followed over frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nerveseg.phantom import Phantom
from nerveseg.types import Box, Plane, Point, Probability, Segmentation
from nerveseg.vision.planes import PlaneTracker, find_planes, without_shaft
from nerveseg.vision.segment import masks

GRID = 128
REGION = Box(40, 20, 552, 532)  # four frame pixels per grid cell
FRAME = (600, 700)
COLUMNS = np.arange(GRID)


def ridge(
    row: float | np.ndarray,
    *,
    columns: tuple[int, int] = (0, GRID),
    height: float = 0.9,
    sigma: float = 1.6,
) -> Probability:
    """A line whose middle is ``row`` (per column) and which spans ``columns``."""
    middle = np.broadcast_to(np.asarray(row, np.float64), (GRID,))
    rows = np.arange(GRID)[:, None]
    drawn = height * np.exp(-0.5 * ((rows - middle) / sigma) ** 2)
    drawn[:, : columns[0]] = 0
    drawn[:, columns[1] :] = 0
    return drawn.astype(np.float32)


def seen(*ridges: Probability, region: Box = REGION, threshold: float = 0.5) -> Segmentation:
    content = np.maximum.reduce(ridges)
    return Segmentation({"fascia": content}, region, FRAME, {"fascia": threshold}, "m@1")


def rows_of(plane: Plane) -> np.ndarray:
    """The plane's height at its points, back in grid rows."""
    return (np.array(plane.points_xy)[:, 1] - REGION.top + 0.5) / 4 - 0.5


def columns_of(plane: Plane) -> np.ndarray:
    return (np.array(plane.points_xy)[:, 0] - REGION.left + 0.5) / 4 - 0.5


# One frame

# name: rows of the true middle, greatest error allowed, in rows
CURVES = [
    ("level between two rows", np.full(GRID, 40.37), 0.05),
    ("slanted", 20.0 + 0.5 * COLUMNS, 0.1),
    ("steep, 42 degrees", 5.0 + 0.9 * COLUMNS, 0.15),
    ("wavy", 60.0 + 8 * np.sin(COLUMNS / 12), 0.2),
    ("at the top edge", np.full(GRID, 2.2), 0.3),
]


@pytest.mark.parametrize(
    ("row", "error"), [case[1:] for case in CURVES], ids=[c[0] for c in CURVES]
)
def test_the_middle_is_found_to_a_fraction_of_a_row(row: np.ndarray, error: float) -> None:
    (plane,) = find_planes(seen(ridge(row)))
    assert columns_of(plane) == pytest.approx(COLUMNS)
    # the first and last columns have neighbours on one side only
    assert np.abs(rows_of(plane) - row)[2:-2].max() < error


def test_thickness_is_measured_across_the_line() -> None:
    (level,) = find_planes(seen(ridge(40.0 + 0.02 * COLUMNS, sigma=2.0)))
    (slanted,) = find_planes(seen(ridge(5.0 + 0.9 * COLUMNS, sigma=2.0)))
    # full width at half height of a Gaussian, 2.355 sigma, in pixels
    assert level.thickness_px == pytest.approx(4 * 2.355 * 2.0, rel=0.1)
    ratio = slanted.thickness_px / level.thickness_px
    assert ratio == pytest.approx(math.cos(math.atan(0.9)), rel=0.05)


def test_confidence_is_the_mean_probability_along_the_line() -> None:
    (plane,) = find_planes(seen(ridge(40.0, height=0.8, sigma=4.0)))
    assert plane.confidence == pytest.approx(0.8, abs=0.03)


def test_planes_are_ordered_by_depth() -> None:
    planes = find_planes(seen(ridge(90.0), ridge(20.0), ridge(50.0 + 0.1 * COLUMNS)))
    depths = [rows_of(plane).mean() for plane in planes]
    assert depths == pytest.approx([20, 50 + 0.1 * COLUMNS.mean(), 90], abs=0.1)


def test_thick_bands_side_by_side_stay_apart() -> None:
    planes = find_planes(seen(ridge(40.0, sigma=2.5), ridge(49.0, sigma=2.5)))
    assert [rows_of(plane).mean() for plane in planes] == pytest.approx([40, 49], abs=0.4)


# gap in columns, what lies in it, whether the second part goes on where the first points
GAPS = [
    ("a weak echo between", 12, 0.3, 0.0, 1),
    ("nothing between", 12, 0.0, 0.0, 2),
    ("too wide, whatever lies in it", 40, 0.25, 0.0, 2),
    ("a step aside, though there is an echo", 12, 0.3, 9.0, 2),
]


@pytest.mark.parametrize(
    ("gap", "echo", "step", "count"), [case[1:] for case in GAPS], ids=[c[0] for c in GAPS]
)
def test_gaps_are_bridged_only_where_there_is_evidence(
    gap: int, echo: float, step: float, count: int
) -> None:
    row = 40 + 0.2 * COLUMNS
    right = 44 + gap
    parts = [ridge(row, columns=(0, 44)), ridge(row + step, columns=(right, GRID))]
    between = ridge(row + step / 2, columns=(40, right + 4), height=echo)
    planes = find_planes(seen(*parts, between))
    assert len(planes) == count
    if count == 1:
        assert np.abs(rows_of(planes[0]) - row).max() < 0.4


def test_lines_that_cross_go_straight_on() -> None:
    falling, rising = 30 + 0.4 * COLUMNS, 80 - 0.4 * COLUMNS
    planes = find_planes(seen(ridge(falling), ridge(rising)))
    long = [plane for plane in planes if len(plane.points_xy) > 100]
    assert len(long) == 2
    ends = sorted((rows_of(plane)[0], rows_of(plane)[-1]) for plane in long)
    assert ends == [
        pytest.approx((falling[0], falling[-1]), abs=0.5),
        pytest.approx((rising[0], rising[-1]), abs=0.5),
    ]


def test_a_forks_lesser_arm_is_a_line_of_its_own() -> None:
    arm = 60.0 + 0.6 * np.maximum(0, COLUMNS - 60)
    planes = find_planes(seen(ridge(60.0), ridge(arm, height=0.8)))
    assert len(planes) == 2
    stem, other = planes
    assert np.abs(rows_of(stem) - 60).max() < 1.0
    assert len(stem.points_xy) == GRID
    assert columns_of(other)[0] > 60


def test_no_two_points_of_a_plane_share_a_column() -> None:
    for plane in find_planes(seen(ridge(30 + 0.4 * COLUMNS), ridge(80 - 0.4 * COLUMNS))):
        assert (np.diff(columns_of(plane)) > 0.99).all()


def test_a_part_beyond_sixty_degrees_is_not_followed() -> None:
    bend = 20 + np.where(COLUMNS < 70, 0.0, 3.0 * (COLUMNS - 70))
    planes = find_planes(seen(ridge(bend)))
    assert planes[0].points_xy[0][0] == pytest.approx(REGION.left + 1.5)
    deepest = max(rows_of(plane).max() for plane in planes)
    assert deepest < 40


@pytest.mark.parametrize(("columns", "height"), [((50, 60), 0.9), ((0, GRID), 0.4)])
def test_specks_and_faint_lines_are_dropped(columns: tuple[int, int], height: float) -> None:
    assert find_planes(seen(ridge(50.0, columns=columns, height=height))) == ()


@pytest.mark.parametrize("row", [-1.0, 0.0, 127.0, 128.0])
def test_what_lies_on_the_maps_edge_is_no_plane(row: float) -> None:
    assert find_planes(seen(ridge(row, sigma=2.5))) == ()


def test_a_model_without_fascia_has_no_planes() -> None:
    nerve = Segmentation({"nerve": ridge(40.0)}, REGION, FRAME, {"nerve": 0.5}, "m@1")
    assert find_planes(nerve) == ()


@pytest.mark.parametrize("value", [0.0, 1.0, math.nan, math.inf])
def test_a_map_without_shape_is_no_plane_and_no_error(value: float) -> None:
    assert find_planes(seen(np.full((GRID, GRID), value, np.float32))) == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 2), (64, 200)])
def test_maps_of_any_shape(shape: tuple[int, int]) -> None:
    content = np.zeros(shape, np.float32)
    content[shape[0] // 2] = 1.0
    for plane in find_planes(seen(content)):
        assert all(REGION.top <= y < REGION.bottom for _, y in plane.points_xy)


@settings(max_examples=60, deadline=None)
@given(
    content=hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 40), st.integers(2, 40)),
        elements=st.sampled_from([0.0, 0.2, 0.45, 0.7, 0.7, 1.0]),
    )
)
def test_planes_of_noise_are_still_well_formed(content: Probability) -> None:
    planes = find_planes(seen(content))
    depths = [np.mean([y for _, y in plane.points_xy]) for plane in planes]
    assert depths == sorted(depths)
    for plane in planes:
        x, y = np.array(plane.points_xy).T
        assert (np.diff(x) > 0).all()
        assert x[0] >= REGION.left
        assert x[-1] <= REGION.right
        assert y.min() > REGION.top - 4
        assert y.max() < REGION.bottom + 4
        assert 0 < plane.confidence <= 1
        assert 0 < plane.thickness_px <= REGION.height


def test_the_truth_of_a_phantom_becomes_its_planes() -> None:
    shot = Phantom("axillary", seed=3, size=(256, 256)).frame_at(0)
    truth = shot.truth["fascia"]
    whole = Box(0, 0, 256, 256)
    answer = Segmentation(
        {"fascia": truth.astype(np.float32)}, whole, (256, 256), {"fascia": 0.5}, "m@1"
    )
    planes = find_planes(answer)
    assert len(planes) >= 4
    points = np.rint(np.concatenate([plane.points_xy for plane in planes])).astype(int)
    assert truth[points[:, 1], points[:, 0]].mean() > 0.95


# Over frames


def level(y: float, *, x: tuple[float, float] = (0, 500), thickness: float = 10.0) -> Plane:
    return Plane(((x[0], y), (x[1], y)), thickness, 0.9)


def keys(planes: Sequence[Plane]) -> list[int]:
    return [plane.key for plane in planes]


def test_keys_stay_while_planes_move() -> None:
    tracker = PlaneTracker()
    for step in range(40):
        planes = tracker.update([level(100 + 5 * step), level(300 + 2 * step)])
        assert keys(planes) == [1, 2]
        assert planes[0].points_xy[0][1] == 100 + 5 * step


@pytest.mark.parametrize(("absent", "key"), [(5, 2), (6, 3)])
def test_a_plane_that_returns_in_time_keeps_its_key(absent: int, key: int) -> None:
    tracker = PlaneTracker(memory=5)
    tracker.update([level(100), level(300)])
    for _ in range(absent):
        assert keys(tracker.update([level(100)])) == [1]
    assert keys(tracker.update([level(100), level(300)])) == [1, key]


def test_a_new_plane_gets_a_new_key_in_its_place_by_depth() -> None:
    tracker = PlaneTracker()
    tracker.update([level(100), level(300)])
    assert keys(tracker.update([level(100), level(200), level(300)])) == [1, 3, 2]


def test_a_plane_that_breaks_in_two_keeps_its_key_once() -> None:
    tracker = PlaneTracker()
    tracker.update([level(100)])
    halves = [level(101, x=(0, 150)), level(100, x=(200, 500))]
    assert keys(tracker.update(halves)) == [2, 1]
    assert keys(tracker.update([level(100)])) == [1]


# the other plane, whether it is the same one
OTHERS: list[tuple[str, Callable[[], Plane], bool]] = [
    ("a little deeper", lambda: level(112), True),
    ("deeper than its thickness allows", lambda: level(117), False),
    ("beside it", lambda: level(100, x=(501, 900)), False),
    ("overlapping by less than half", lambda: level(100, x=(300, 1000)), False),
    ("overlapping by more than half", lambda: level(100, x=(200, 700)), True),
    ("crossing it", lambda: Plane(((0, 0), (500, 200)), 10.0, 0.9), False),
]


@pytest.mark.parametrize(
    ("other", "same"), [case[1:] for case in OTHERS], ids=[case[0] for case in OTHERS]
)
def test_what_counts_as_the_same_plane(other: Callable[[], Plane], same: bool) -> None:
    tracker = PlaneTracker()
    tracker.update([level(100)])
    assert keys(tracker.update([other()])) == [1 if same else 2]


def test_reset_forgets_the_clip() -> None:
    tracker = PlaneTracker()
    tracker.update([level(100)])
    tracker.reset()
    assert keys(tracker.update([level(400)])) == [1]


def test_after_a_cut_no_plane_takes_a_key_of_before() -> None:
    tracker = PlaneTracker()
    tracker.update([level(100), level(200)])
    tracker.forget()
    assert keys(tracker.update([level(100), level(200)])) == [3, 4]


def test_no_planes_are_no_planes() -> None:
    tracker = PlaneTracker()
    assert tracker.update([]) == ()
    assert keys(tracker.update([level(100)])) == [1]
    assert tracker.update([]) == ()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 500), st.floats(0, 200), st.floats(10, 300)), max_size=5),
        max_size=8,
    )
)
def test_no_key_is_given_twice_on_one_frame(
    clip: list[list[tuple[float, float, float]]],
) -> None:
    tracker = PlaneTracker(memory=2)
    for frame in clip:
        given_planes = [level(y, x=(left, left + length)) for y, left, length in frame]
        found = tracker.update(given_planes)
        assert len(set(keys(found))) == len(found)
        assert [plane.points_xy for plane in found] == [plane.points_xy for plane in given_planes]


@pytest.mark.realdata
def test_the_aponeuroses_of_a_real_clip_keep_their_keys(data_root: Path) -> None:
    from nerveseg import pipeline
    from nerveseg.video import sources
    from nerveseg.vision.segment import Segmenter

    clips = sorted((data_root / "gastrocnemius-clips").glob("*.mp4"))
    tracker = PlaneTracker()
    with sources.open(clips[0], stride=4) as clip:
        segmenter = Segmenter.load(backend="onnxruntime")
        counts: dict[int, int] = {}
        for result in pipeline.run(clip, segmenter):
            for plane in tracker.update(find_planes(result.segmentation)):
                counts[plane.key] = counts.get(plane.key, 0) + 1
    frames = result.frame.index // 4 + 1
    assert sorted(counts.values())[-2:] == [frames, frames]


# --- a needle's shaft is no fascia ----------------------------------------------------------

SHAFT = ((40.0, 120.0), (400.0, 420.0))


def along_shaft(*, fascia: Sequence[Probability] = ()) -> Segmentation:
    """Fascia, and the shaft that is taken for more of it."""
    (x0, y0), (x1, y1) = (((x - REGION.left) / 4, (y - REGION.top) / 4) for x, y in SHAFT)
    columns = np.arange(GRID)
    row = y0 + (columns - x0) * (y1 - y0) / (x1 - x0)
    return seen(*fascia, ridge(row, columns=(round(x0), round(x1)), sigma=1.4))


def test_no_fascia_is_left_along_a_shaft() -> None:
    answer = along_shaft()
    assert len(find_planes(answer)) == 1
    cleared = without_shaft(answer, SHAFT)
    assert find_planes(cleared) == ()
    assert not masks(cleared)["fascia"].any()
    assert masks(answer)["fascia"].any()


def test_a_plane_that_a_needle_crosses_stays_whole() -> None:
    level_one = ridge(np.full(GRID, 60.0))
    (plane,) = find_planes(without_shaft(along_shaft(fascia=[level_one]), SHAFT))
    assert len(plane.points_xy) == GRID
    assert np.abs(rows_of(plane) - 60).max() < 0.6


def test_what_lies_beside_a_shaft_is_untouched() -> None:
    answer = along_shaft(fascia=[ridge(np.full(GRID, 100.0))])
    cleared = without_shaft(answer, SHAFT).probabilities["fascia"]
    assert (cleared[90:] == answer.probabilities["fascia"][90:]).sum() >= 0.9 * cleared[90:].size
    assert (cleared <= answer.probabilities["fascia"]).all()
    assert answer.probabilities["fascia"].max() == pytest.approx(0.9)


@pytest.mark.parametrize(
    "shaft",
    [
        ((50.0, 60.0), (50.0, 60.0)),
        ((-900.0, -900.0), (-800.0, -900.0)),
        ((1e5, -1e5), (-1e5, 1e5)),
    ],
    ids=["without length", "outside", "far across"],
)
def test_any_shaft_will_do(shaft: tuple[Point, Point]) -> None:
    plane = seen(ridge(np.full(GRID, 100.0)))
    cleared = without_shaft(plane, shaft)
    assert find_planes(cleared)


def test_a_model_without_fascia_has_no_shaft_to_clear() -> None:
    answer = Segmentation({"nerve": ridge(40.0)}, REGION, FRAME, {"nerve": 0.5}, "m@1")
    assert without_shaft(answer, SHAFT) is answer
