"""Carrying an overlay along: known motions, and everything of which no motion can be told."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerveseg.live.motion import Motion
from nerveseg.live.values import Affine
from nerveseg.phantom import Phantom

Picture = npt.NDArray[np.uint8]

STILL: Affine = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def speckle(seed: int = 0, *, size: tuple[int, int] = (640, 480), grain: float = 6.0) -> Picture:
    """A smooth random texture, as tissue is once it has been shrunk."""
    width, height = size
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    return np.asarray((smooth / smooth.std() * 40 + 120).clip(0, 255), np.uint8)


def moved(picture: Picture, affine: Affine) -> Picture:
    a, b, c, d, e, f = affine
    height, width = picture.shape
    matrix = np.array([[a, c, e], [b, d, f]])
    border = cv2.BORDER_REFLECT
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=border), np.uint8)


def turn(degrees: float, scale: float = 1.0, at: tuple[float, float] = (319.5, 239.5)) -> Affine:
    (a, c, e), (b, d, f) = cv2.getRotationMatrix2D(at, degrees, scale).tolist()
    return a, b, c, d, e, f


def furthest(one: Affine, other: Affine, size: tuple[int, int] = (640, 480)) -> float:
    """Largest distance in pixels between what two maps make of the picture's inner points."""
    places = itertools.product(*(np.linspace(0.1 * side, 0.9 * side, 5) for side in size))
    return max(math.dist(apply(one, place), apply(other, place)) for place in places)


def apply(affine: Affine, place: tuple[float, ...]) -> tuple[float, float]:
    a, b, c, d, e, f = affine
    x, y = place
    return a * x + c * y + e, b * x + d * y + f


def way(one: Picture, other: Picture) -> Affine | None:
    motion = Motion()
    motion.update(1, one)
    motion.update(2, other)
    return motion.since(1)


@pytest.mark.parametrize(
    ("name", "affine"),
    [
        # a, b, c, d, e, f: x goes to a·x + c·y + e, y to b·x + d·y + f
        ("a shift to the right", (1.0, 0.0, 0.0, 1.0, 9.0, 0.0)),
        ("a shift up and left", (1.0, 0.0, 0.0, 1.0, -6.5, -11.0)),
        ("a turn of two degrees", turn(2.0)),
        ("a turn about a corner", turn(-1.0, at=(0.0, 0.0))),
        ("pressure: rows come nearer to each other", (1.0, 0.0, 0.0, 0.96, 0.0, 2.0)),
        ("a shear, as of a probe that rocks", (1.0, 0.0, 0.03, 1.0, -7.0, 0.0)),
        ("nearer and turned", turn(1.0, 1.03)),
    ],
)
def test_a_known_motion_is_found_to_a_pixel(name: str, affine: Affine) -> None:
    found = way(speckle(), moved(speckle(), affine))

    assert found is not None, name
    assert furthest(found, affine) < 1.0, name
    assert furthest(STILL, affine) > 4.0, name  # standing still would have been further off


@settings(max_examples=25, deadline=None)
@given(dx=st.floats(-14, 14), dy=st.floats(-14, 14), seed=st.integers(0, 20))
def test_any_small_shift_is_found(dx: float, dy: float, seed: int) -> None:
    affine = (1.0, 0.0, 0.0, 1.0, dx, dy)
    found = way(speckle(seed), moved(speckle(seed), affine))

    assert found is not None
    assert furthest(found, affine) < 1.0


@pytest.mark.parametrize("size", [(1280, 720), (512, 512), (641, 359), (100, 90)])
def test_the_answer_is_in_pixels_of_the_frame_whatever_its_size(size: tuple[int, int]) -> None:
    width, height = size
    picture = speckle(size=size, grain=max(1.5, width / 100))
    affine = turn(1.5, 1.02, at=(0.3 * width, 0.6 * height))
    found = way(picture, moved(picture, affine))

    assert found is not None
    assert furthest(found, affine, size) < max(0.5, width / 640)


def test_a_still_picture_stays_exactly_where_it_is() -> None:
    assert way(speckle(), speckle()) == STILL
    black = np.zeros((480, 640), np.uint8)
    assert way(black, black) == STILL


def test_the_newest_frame_is_where_it_is() -> None:
    motion = Motion()
    motion.update(5, speckle())

    assert motion.since(5) == STILL


def test_it_goes_straight_from_an_older_frame_to_the_newest() -> None:
    motion = Motion()
    for number in range(6):
        motion.update(number, moved(speckle(), (1.0, 0.0, 0.0, 1.0, 2.5 * number, -number)))

    for number in range(6):
        found, late = motion.since(number), 5 - number
        assert found is not None
        assert furthest(found, (1.0, 0.0, 0.0, 1.0, 2.5 * late, -late)) < 1.0


def test_a_scanners_frame_that_stands_still_does_not_hold_all_the_tissue_back() -> None:
    def framed(picture: Picture) -> Picture:
        whole = np.zeros((480, 640), np.uint8)
        whole[60:420, 120:520] = picture[60:420, 120:520]
        for row in range(20, 460, 40):
            cv2.putText(whole, "Gain 52 %", (2, row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 230, 1)
        return whole

    affine = (1.0, 0.0, 0.0, 1.0, 5.0, 3.0)
    found = way(framed(speckle()), framed(moved(speckle(), affine)))

    assert found is not None
    assert furthest(found, affine) < 0.7 * furthest(STILL, affine)


def test_a_cut_to_another_scene_leads_nowhere() -> None:
    scenes = [Phantom(block, seed=3).frame_at(0).frame.pixels for block in ("axillary", "femoral")]

    assert way(scenes[0], scenes[1]) is None
    assert way(speckle(1), speckle(2)) is None


def test_after_a_cut_the_new_scene_is_followed_and_the_old_one_is_not() -> None:
    motion = Motion()
    motion.update(0, speckle(1))
    motion.update(1, speckle(2))
    motion.update(2, moved(speckle(2), (1.0, 0.0, 0.0, 1.0, 4.0, 0.0)))

    assert motion.since(0) is None
    found = motion.since(1)
    assert found is not None
    assert furthest(found, (1.0, 0.0, 0.0, 1.0, 4.0, 0.0)) < 1.0


def test_another_size_leads_nowhere() -> None:
    assert way(speckle(), speckle(size=(640, 360))) is None


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("black to picture", np.zeros((480, 640), np.uint8), speckle()),
        ("picture to white", speckle(), np.full((480, 640), 255, np.uint8)),
        ("two even pictures", np.full((480, 640), 9, np.uint8), np.full((480, 640), 99, np.uint8)),
        ("too small to tell", speckle(size=(24, 24), grain=1), speckle(3, size=(24, 24), grain=1)),
        ("a strip", speckle(size=(2000, 40)), speckle(1, size=(2000, 40))),
    ],
)
def test_nothing_is_told_of_pictures_that_show_no_motion(
    name: str, one: Picture, other: Picture
) -> None:
    assert way(one, other) is None, name


@pytest.mark.parametrize("grey_levels", [1, 5, 30, 90])
def test_noise_is_not_taken_for_motion(grey_levels: int) -> None:
    rng = np.random.default_rng(grey_levels)

    def noise() -> Picture:
        return np.asarray(rng.normal(90, grey_levels, (480, 640)).clip(0, 255), np.uint8)

    assert way(noise(), noise()) is None


def test_a_jump_that_no_tissue_makes_is_not_told() -> None:
    found = way(speckle(), moved(speckle(), (1.0, 0.0, 0.0, 1.0, 300.0, 0.0)))

    assert found is None


def test_what_came_more_than_half_a_second_ago_is_too_old() -> None:
    clock = Clock()
    motion = Motion(clock=clock)
    motion.update(0, speckle())
    clock.now += 0.3
    motion.update(1, speckle())
    clock.now += 0.3
    motion.update(2, speckle())

    assert motion.since(0) is None
    assert motion.since(1) == STILL


def test_a_frame_that_never_came_or_is_forgotten_is_unknown() -> None:
    motion = Motion()
    assert motion.since(0) is None
    motion.update(3, speckle())
    assert motion.since(2) is None
    assert motion.since(4) is None
    motion.reset()
    assert motion.since(3) is None


def test_numbers_that_start_again_start_a_new_clip() -> None:
    motion = Motion()
    motion.update(7, speckle())
    motion.update(0, speckle())

    assert motion.since(7) is None
    assert motion.since(0) == STILL


def test_memory_is_bounded_however_quick_the_source() -> None:
    clock = Clock()
    motion = Motion(clock=clock)
    for number in range(500):
        motion.update(number, speckle(size=(64, 48), grain=2))

    assert motion.since(499) == STILL
    assert motion.since(490) == STILL
    assert motion.since(400) is None  # all came at one moment, but not all are kept


def test_moved_masks_lie_nearer_to_the_truth_than_those_that_stand_still() -> None:
    phantom = Phantom("axillary", seed=10, size=(640, 480))
    shots = [phantom.frame_at(index, 30.0) for index in (40, 45)]
    found = way(shots[0].frame.pixels, shots[1].frame.pixels)

    assert found is not None
    old, new = (shot.truth["vessel"] for shot in shots)
    carried = moved(old.astype(np.uint8), found) > 0
    assert overlap(carried, new) > overlap(old, new) + 0.02


def overlap(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())
