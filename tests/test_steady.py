"""Smoothing over time: calm on still tissue, no trail behind moving tissue, changes at once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from nerveseg.phantom import Phantom
from nerveseg.types import Box, GrayImage, Mask, Probability, Segmentation
from nerveseg.vision.steady import Steadier, flow_between, steadiness

GRID = 128
SHAPE = (300, 280)
REGION = Box(10, 20, 266, 276)  # two frame pixels per grid cell


def tissue(seed: int = 0, *, shift: float = 0.0) -> GrayImage:
    """Speckle of a few pixels' size on a whole frame, moved down by ``shift`` frame pixels."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(size=(400, 280)), (0, 0), 5)
    grain = 100 + 40 * grain / grain.std()
    rows = np.arange(SHAPE[0], dtype=np.float32)[:, None] + 50 - shift
    rows = np.broadcast_to(rows, SHAPE).copy()
    columns = np.broadcast_to(np.arange(SHAPE[1], dtype=np.float32), SHAPE).copy()
    return cv2.remap(grain.clip(0, 255).astype(np.uint8), columns, rows, cv2.INTER_LINEAR)


def disc(row: float = 64.0, *, height: float = 0.9, radius: float = 20.0) -> Probability:
    """A soft-edged disc on the map's grid."""
    rows, columns = np.mgrid[:GRID, :GRID]
    distance = np.hypot(rows - row, columns - 64.0)
    return (height / (1 + np.exp(distance - radius))).astype(np.float32)


def answer(content: Probability, *, region: Box = REGION, model: str = "m@1") -> Segmentation:
    return Segmentation({"nerve": content}, region, SHAPE, {"nerve": 0.5}, model)


def mask_of(segmentation: Segmentation) -> Mask:
    return segmentation.probabilities["nerve"] >= 0.5


def dice(one: Mask, other: Mask) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_the_first_frame_passes_as_it_is() -> None:
    steadier = Steadier()
    content = disc()
    assert (steadier.update(answer(content), tissue()).probabilities["nerve"] == content).all()
    assert steadier.steadiness is None
    assert steadier.starts_scene
    assert not steadier.cut


def test_an_outline_that_trembles_on_still_tissue_is_calmed() -> None:
    rng = np.random.default_rng(1)
    steadier, raw, calm = Steadier(), [], []
    for _ in range(30):
        content = disc(radius=20 + rng.normal(scale=1.5))
        raw.append(content >= 0.5)
        calm.append(mask_of(steadier.update(answer(content), tissue())))

    def flicker(masks: list[Mask]) -> float:
        return 1 - float(np.mean([steadiness(*pair) for pair in pairwise(masks[5:])]))

    assert flicker(calm) < 0.5 * flicker(raw)


@pytest.mark.parametrize("speed", [1.5, 5.0])
def test_an_outline_keeps_up_with_moving_tissue(speed: float) -> None:
    steadier = Steadier()
    for step in range(20):
        content = disc(44 + speed * step / 2)
        steadied = steadier.update(answer(content), tissue(shift=speed * step))
        assert dice(mask_of(steadied), content >= 0.5) > 0.96
    assert steadier.steadiness is not None
    assert steadier.steadiness["nerve"] > 0.95


def test_a_real_change_shows_at_once_where_it_is() -> None:
    steadier = Steadier()
    for _ in range(10):
        steadier.update(answer(np.zeros((GRID, GRID), np.float32)), tissue())
    changed = tissue()
    cv2.circle(changed, (10 + 2 * 64, 20 + 2 * 64), 40, 0, -1)
    steadied = steadier.update(answer(disc(height=0.9)), changed)
    assert dice(mask_of(steadied), disc() >= 0.5) > 0.9


def test_a_flash_of_one_frame_on_still_tissue_is_held_back() -> None:
    steadier = Steadier()
    for _ in range(5):
        steadier.update(answer(np.zeros((GRID, GRID), np.float32)), tissue())
    assert not mask_of(steadier.update(answer(disc()), tissue())).any()
    # ...but what stays is there on the frame after next
    steadier.update(answer(disc()), tissue())
    assert dice(mask_of(steadier.update(answer(disc()), tissue())), disc() >= 0.5) > 0.9


def test_a_cut_starts_anew() -> None:
    steadier = Steadier()
    for _ in range(5):
        steadier.update(answer(disc(30)), tissue())
    assert not steadier.starts_scene
    assert not steadier.cut
    steadied = steadier.update(answer(disc(90)), 255 - tissue(7))
    assert steadier.cut
    assert (steadied.probabilities["nerve"] == disc(90)).all()
    assert steadier.starts_scene
    assert steadier.steadiness is None
    steadier.update(answer(disc(90)), 255 - tissue(7))
    assert not steadier.cut


GROWN = Box(0, 0, 280, 300)


@pytest.mark.parametrize(
    ("before", "after", "picture", "cut"),
    [
        (REGION, GROWN, tissue(), False),
        (REGION, GROWN, tissue(shift=3.0), False),
        (REGION, GROWN, 255 - tissue(7), True),
        (GROWN, REGION, 255 - tissue(7), True),
        (REGION, REGION, np.full(SHAPE, 255, np.uint8), True),
        (REGION, REGION, np.zeros(SHAPE, np.uint8), True),
        (REGION, REGION, tissue(7), True),
    ],
    ids=["grown", "grown and moved", "grown and cut", "shrunk and cut", "white", "black", "tissue"],
)
def test_what_is_a_cut(before: Box, after: Box, picture: GrayImage, *, cut: bool) -> None:
    steadier = Steadier()
    for _ in range(5):
        steadier.update(answer(disc(), region=before), tissue())
    steadier.update(answer(disc(), region=after), picture)
    assert steadier.cut is cut


def test_reset_starts_anew() -> None:
    steadier = Steadier()
    steadier.update(answer(disc(30)), tissue())
    steadier.reset()
    assert not steadier.starts_scene
    steadied = steadier.update(answer(disc(90)), tissue())
    assert (steadied.probabilities["nerve"] == disc(90)).all()


@pytest.mark.parametrize(
    "other",
    [
        answer(disc(90), region=Box(0, 0, 256, 256)),
        answer(disc(90), model="m@2"),
        answer(disc(90)[:64]),
        Segmentation({"vessel": disc(90)}, REGION, SHAPE, {"vessel": 0.5}, "m@1"),
    ],
    ids=["region", "model", "map size", "classes"],
)
def test_a_change_of_setting_starts_anew(other: Segmentation) -> None:
    steadier = Steadier()
    steadier.update(answer(disc(30)), tissue())
    steadied = steadier.update(other, tissue())
    (name,) = other.probabilities
    assert (steadied.probabilities[name] == other.probabilities[name]).all()


def test_another_picture_size_starts_anew() -> None:
    steadier = Steadier()
    steadier.update(answer(disc(30)), tissue())
    larger = replace(answer(disc(90)), frame_shape=(320, 300))
    pixels = np.zeros((320, 300), np.uint8)
    assert (steadier.update(larger, pixels).probabilities["nerve"] == disc(90)).all()
    assert steadier.cut


def test_needle_and_heatmaps_are_left_alone() -> None:
    steadier = Steadier()
    for row in (30.0, 90.0):
        needle, tip = disc(row, radius=5), disc(row, radius=3)
        given = Segmentation(
            {"nerve": disc(row), "needle": needle},
            REGION,
            SHAPE,
            {"nerve": 0.5, "needle": 0.5},
            "m@1",
            heatmaps={"needle tip": tip},
        )
        steadied = steadier.update(given, tissue())
        assert steadied.probabilities["needle"] is needle
        assert steadied.heatmaps["needle tip"] is tip
        assert list(steadied.probabilities) == ["nerve", "needle"]
    assert (steadied.probabilities["nerve"] != disc(90.0)).any()
    assert set(steadier.steadiness or {}) == {"nerve"}


def test_a_model_of_needles_alone_passes_through() -> None:
    given = Segmentation({"needle": disc()}, REGION, SHAPE, {"needle": 0.5}, "m@1")
    steadier = Steadier()
    assert steadier.update(given, tissue()) is given
    assert steadier.update(given, tissue(7)) is given
    assert steadier.cut


def test_what_is_given_is_not_written_to() -> None:
    steadier = Steadier()
    given = [answer(disc(row)) for row in (30.0, 90.0)]
    for segmentation in given:
        steadier.update(segmentation, tissue())
    assert (given[0].probabilities["nerve"] == disc(30.0)).all()
    assert (given[1].probabilities["nerve"] == disc(90.0)).all()


@pytest.mark.parametrize("level", [0, 255])
def test_blank_and_frozen_frames(level: int) -> None:
    steadier = Steadier()
    blank = np.full(SHAPE, level, np.uint8)
    for _ in range(40):
        steadied = steadier.update(answer(disc()), blank)
    assert steadied.probabilities["nerve"] == pytest.approx(disc(), abs=1e-5)
    assert steadier.steadiness == {"nerve": 1.0}


def test_a_broken_answer_does_not_stay() -> None:
    steadier = Steadier()
    steadier.update(answer(np.full((GRID, GRID), math.nan, np.float32)), tissue())
    for _ in range(20):
        steadied = steadier.update(answer(disc()), tissue())
    assert steadied.probabilities["nerve"] == pytest.approx(disc(), abs=0.01)


@pytest.mark.parametrize("grid", [(1, 1), (8, 200), (33, 47), (256, 64)])
def test_maps_of_any_size(grid: tuple[int, int]) -> None:
    steadier = Steadier()
    for seed in range(3):
        content = np.full(grid, 0.25 * seed, np.float32)
        steadied = steadier.update(answer(content), tissue(seed)).probabilities["nerve"]
        assert steadied.shape == grid
        assert steadied.dtype == np.float32
        assert steadied.min() >= 0
        assert steadied.max() <= 1


# The measure

LEFT = np.zeros((40, 40), bool)
LEFT[10:20, 5:15] = True
BELOW = np.roll(LEFT, 5, axis=0)

# name: mask before, mask now, motion (x, y) from now back to before, IoU
CASES = [
    ("still", LEFT, LEFT, None, 1.0),
    ("moved by half, taken for flicker", LEFT, BELOW, None, 50 / 150),
    ("moved with the tissue", LEFT, BELOW, (0.0, -5.0), 1.0),
    ("still on moving tissue", LEFT, LEFT, (0.0, -5.0), 50 / 150),
    ("gone", LEFT, LEFT & False, None, 0.0),
]


@pytest.mark.parametrize(
    ("previous", "mask", "motion", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_steadiness_worked_by_hand(
    previous: Mask, mask: Mask, motion: tuple[float, float] | None, expected: float
) -> None:
    flow = None if motion is None else np.full((40, 40, 2), motion, np.float32)
    assert steadiness(previous, mask, flow) == pytest.approx(expected)


def test_steadiness_of_nothing_is_undefined() -> None:
    assert math.isnan(steadiness(LEFT & False, LEFT & False))


def test_flow_points_back_to_where_the_tissue_was() -> None:
    flow = flow_between(tissue(), tissue(shift=4.0))
    inner = flow[40:-40, 40:-40].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx([0.0, -4.0], abs=0.3)


def test_tiny_pictures_have_no_flow() -> None:
    assert not flow_between(np.zeros((8, 50), np.uint8), np.ones((8, 50), np.uint8)).any()


# Measured on clips


def test_smoothing_calms_a_phantom_without_a_lag() -> None:
    measured = pytest.importorskip("train.steadiness")
    rng = np.random.default_rng(0)
    phantom = Phantom("axillary", seed=3, size=(256, 256))
    shots = list(phantom.frames(16))
    frames = [(shot.frame, {"vessel": shot.truth["vessel"]}) for shot in shots]
    truths = iter(shots)

    class Trembling:
        """Answers the truth's vessels, swollen or shrunk at random from frame to frame."""

        def predict(self, pixels: GrayImage, region: Box) -> Segmentation:
            truth = next(truths).truth["vessel"].astype(np.float32)[region.slices]
            content = cv2.resize(truth, (GRID, GRID), interpolation=cv2.INTER_AREA)
            blurred = cv2.GaussianBlur(content, (0, 0), 2) + rng.normal(scale=0.15)
            content = blurred.clip(0, 1).astype(np.float32)
            return Segmentation({"vessel": content}, region, pixels.shape, {"vessel": 0.5}, "m@1")

    figures = measured.measure(frames, Trembling())["vessel"]
    assert figures.pairs == 15
    (raw, smoothed), (raw_dice, smoothed_dice) = figures.steadiness, figures.dice
    assert 1 - smoothed < 0.7 * (1 - raw)
    assert smoothed_dice >= raw_dice
