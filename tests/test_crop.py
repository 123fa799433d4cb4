"""The image region inside the scanner's chrome, on pictures whose region is known."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.phantom import Phantom
from nerveseg.types import Box
from nerveseg.video import sources
from nerveseg.video.crop import RegionTracker, find_region


def screen(region: Box, *, grey: int = 0, size: tuple[int, int] = (480, 640)) -> np.ndarray:
    """A scanner's screen: flat chrome, text, a ruler and a grey bar around a phantom image."""
    picture = np.full(size, grey, np.uint8)
    image = next(Phantom("femoral", seed=4).frames(1)).frame.pixels
    picture[region.slices] = cv2.resize(image, (region.width, region.height))
    for row in range(30, 400, 40):
        cv2.putText(picture, "MI 1.1 Freq 12", (8, row), cv2.FONT_HERSHEY_PLAIN, 0.8, 220)
        cv2.line(picture, (620, row), (628, row), 255, 1)
    picture[60:200, 600:610] = np.linspace(255, 0, 140, dtype=np.uint8)[:, None]
    return picture


def overlap(one: Box, other: Box) -> float:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    both = max(0, width) * max(0, height)
    return both / (one.width * one.height + other.width * other.height - both)


@pytest.mark.parametrize("grey", [0, 50])
@pytest.mark.parametrize("region", [Box(160, 40, 560, 440), Box(140, 60, 590, 330)])
def test_region_inside_chrome(region: Box, grey: int) -> None:
    assert overlap(find_region(screen(region, grey=grey)), region) > 0.9


def test_a_picture_that_is_all_image_is_kept_whole() -> None:
    image = next(Phantom("axillary", seed=1).frames(1)).frame.pixels
    assert overlap(find_region(image), Box(0, 0, 512, 512)) > 0.97


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_picture_is_kept_whole(value: int) -> None:
    assert find_region(np.full((480, 640), value, np.uint8)) == Box(0, 0, 640, 480)


@pytest.mark.parametrize("shape", [(16, 16), (20, 3000), (3000, 20)])
def test_odd_shapes_are_survived(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    box = find_region(noise)
    assert box.right <= shape[1]
    assert box.bottom <= shape[0]


def test_the_tracker_grows_then_settles() -> None:
    tracker = RegionTracker(settle=3)
    small, large = Box(200, 60, 400, 300), Box(160, 40, 560, 440)
    first = tracker.update(screen(small))
    assert overlap(tracker.update(screen(large)), large) > 0.93
    grown = tracker.update(screen(small))
    assert overlap(grown, large) > 0.93
    assert overlap(first, small) > 0.9
    assert tracker.update(screen(Box(100, 10, 600, 470))) == grown


def test_another_size_starts_anew() -> None:
    tracker = RegionTracker(settle=1)
    tracker.update(screen(Box(160, 40, 560, 440)))
    region = Box(300, 100, 900, 600)
    assert overlap(tracker.update(screen(region, size=(720, 1280))), region) > 0.93


def test_blank_frames_before_the_image_teach_nothing() -> None:
    tracker = RegionTracker(settle=2)
    blank = np.zeros((480, 640), np.uint8)
    region = Box(160, 40, 560, 440)
    for _ in range(3):
        assert tracker.update(blank) == Box(0, 0, 640, 480)
    found = tracker.update(screen(region))
    assert overlap(found, region) > 0.97
    assert tracker.update(blank) == found


def picture_with(
    region: Box, *, margin: int = 0, black: int = 0, depth: float = 1.0, size: tuple[int, int]
) -> np.ndarray:
    """An even margin around tissue that ends at ``depth``, a share, in an even ``black``."""
    picture = np.full(size, margin, np.uint8)
    image = next(Phantom("femoral", seed=4).frames(1)).frame.pixels
    tissue = np.maximum(cv2.resize(image, (region.width, region.height)), black + 4)
    tissue[round(depth * region.height) :] = black
    picture[region.slices] = tissue
    return picture


# What lies around or beneath tissue, as (value, box), and the region that it leads to.
# The tissue spans columns 160..560, and rows 100..380 of the region's 100..420.
TISSUE, WHOLE = Box(160, 100, 560, 380), Box(160, 100, 560, 420)
AROUND = {
    "lines of text as long as the image is wide are cut": ("text", Box(40, 20, 620, 80), TISSUE),
    "a light panel beneath, as wide as the image, is cut": (90, Box(160, 400, 560, 440), TISSUE),
    "a light panel that touches the image is cut": (90, Box(160, 380, 560, 440), TISSUE),
    "a button row wider than the image is cut": ("noise", Box(60, 400, 640, 440), TISSUE),
    "a short bar beside it is cut": ("ramp", Box(130, 160, 146, 330), TISSUE),
    "an echo across the image belongs to it": ("noise", Box(160, 410, 560, 420), WHOLE),
    "an echo across a part of it doesn't prove a deep end": (
        "noise",
        Box(200, 410, 290, 420),
        TISSUE,
    ),
}


@pytest.mark.parametrize("case", AROUND)
def test_what_is_around_the_tissue(case: str) -> None:
    what, where, expected = AROUND[case]
    picture = picture_with(TISSUE, size=(480, 720))
    random = np.random.default_rng(3)
    if what == "text":
        for row in range(where.top + 12, where.bottom, 16):
            text = "Hospital 12:30 MI 1.1 Tib 0.2 L6-12 Gen 56 " * 2
            cv2.putText(picture, text, (where.left, row), cv2.FONT_HERSHEY_PLAIN, 0.9, 200)
    elif what == "noise":
        picture[where.slices] = random.integers(60, 220, picture[where.slices].shape)
    elif what == "ramp":
        picture[where.slices] = np.linspace(255, 20, where.height, dtype=np.uint8)[:, None]
    else:
        picture[where.slices] = what
    assert overlap(find_region(picture), expected) > 0.985


@pytest.mark.parametrize("depth", [0.35, 0.6, 0.9])
@pytest.mark.parametrize(
    "region", [Box(0, 0, 516, 480), Box(0, 30, 534, 448), Box(60, 20, 500, 470)]
)
def test_a_dark_deep_end_with_noise_is_image(region: Box, depth: float) -> None:
    picture = picture_with(region, black=2, depth=depth, size=(512, 534))
    deep = picture[region.slices][round(depth * region.height) :]
    deep[:] = np.random.default_rng(2).choice([2, 2, 3, 9], deep.shape)
    assert overlap(find_region(picture), region) > 0.985


def test_an_even_deep_end_is_left_out_until_an_echo_crosses_it() -> None:
    region = Box(0, 0, 516, 480)
    picture = picture_with(region, black=2, depth=0.5, size=(512, 534))
    assert overlap(find_region(picture), Box(0, 0, 516, 240)) > 0.95
    picture[440:450, :516] = np.random.default_rng(1).integers(40, 200, (10, 516))
    assert overlap(find_region(picture), Box(0, 0, 516, 450)) > 0.985


def test_a_dark_flank_beside_a_grey_margin_is_image() -> None:
    region = Box(100, 40, 560, 556)
    picture = picture_with(region, margin=56, size=(556, 660))
    picture[90:, 525:560] = 0
    assert overlap(find_region(picture), region) > 0.985


@pytest.mark.parametrize(("margin", "panel"), [(0, 90), (56, 0)])
def test_a_panel_beside_an_image_of_full_height_is_no_flank(margin: int, panel: int) -> None:
    picture = picture_with(Box(160, 0, 560, 480), margin=margin, size=(480, 720))
    picture[:, 560:600] = panel
    assert overlap(find_region(picture), Box(160, 0, 560, 480)) > 0.985


def test_a_sector_keeps_its_flanks_and_its_bow() -> None:
    picture = np.zeros((480, 640), np.uint8)
    fan = np.zeros_like(picture)
    cv2.ellipse(fan, (320, -60), (500, 500), 0, 55, 125, 255, cv2.FILLED)
    cv2.ellipse(fan, (320, -60), (120, 120), 0, 50, 130, 0, cv2.FILLED)
    noise = np.random.default_rng(5).integers(5, 180, picture.shape).astype(np.uint8)
    picture[fan > 0] = noise[fan > 0]
    rows, columns = np.flatnonzero(fan.any(axis=1)), np.flatnonzero(fan.any(axis=0))
    around = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    assert overlap(find_region(picture), around) > 0.9


@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    levels=st.lists(st.integers(0, 255), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_any_picture_has_a_region_within_it(
    shape: tuple[int, int], levels: list[int], seed: int
) -> None:
    """Blocks of a few grey levels: the even lines, gaps and steps that the margins look for."""
    random = np.random.default_rng(seed)
    blocks = random.choice(np.array(levels, np.uint8), size=(6, 6))
    picture = cv2.resize(blocks, shape[::-1], interpolation=cv2.INTER_NEAREST)
    picture[:: random.integers(1, 9)] ^= np.uint8(random.integers(0, 8))
    box = find_region(picture)
    assert box.right <= shape[1]
    assert box.bottom <= shape[0]


# Read off the pictures at their corners, by eye.
SCREENS = {
    "needle-frames/30.png": Box(366, 111, 1018, 705),
    "needle-frames/74.png": Box(366, 111, 1018, 705),
    "device-frames/clarius-ocular-image.png": Box(262, 80, 1018, 880),
    "device-frames/interson-image.jpg": Box(388, 62, 915, 852),
    "device-frames/interson-phantom.png": Box(443, 53, 1004, 896),
    "device-frames/sonoque_anechoic-3mm-3mm.dcm": Box(374, 56, 1712, 1417),
    "device-frames/BoneUltrasound_L14.igs.mha": Box(176, 0, 644, 616),
    "device-frames/clarius-ocular-short.mp4": Box(262, 80, 1018, 880),
    "gastrocnemius-clips/p6_isokinetic030_01_push_02.mp4": Box(210, 42, 939, 623),
    "gastrocnemius-clips/p6_isokinetic120_01_push_02.mp4": Box(210, 42, 939, 623),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", SCREENS)
def test_real_screens(name: str, data_root: Path) -> None:
    """The image to a few pixels, from the first frame on, and no breathing afterwards."""
    tracker, frames = RegionTracker(), islice(sources.open(data_root / name), 12)
    boxes = [tracker.update(frame.pixels) for frame in frames]
    assert overlap(boxes[0], SCREENS[name]) > 0.98
    assert overlap(boxes[0], boxes[-1]) > 0.98


@pytest.mark.realdata
def test_real_scanners_keep_their_structures(data_root: Path) -> None:
    """At most 2 % of the labelled pixels of usgra-seg fall outside the region.

    Those that do lie in vessels with nothing but even black beneath, or were drawn into the margin.
    """
    folder = data_root / "usgra-seg" / "dataset"
    inside = total = 0
    for path in sorted((folder / "images").glob("*.png"))[::8]:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(folder / "masks" / path.name)).any(axis=2)
        inside += int(mask[find_region(picture).slices].sum())
        total += int(mask.sum())
    assert inside / total > 0.98
