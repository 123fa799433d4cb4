"""The image region inside the scanner's chrome, on pictures whose region is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from nerveseg.phantom import Phantom
from nerveseg.types import Box
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


@pytest.mark.realdata
def test_real_scanners_keep_their_structures(data_root: Path) -> None:
    """At most 5 % of the labelled pixels of usgra-seg fall outside the region.

    Those that do lie in vessels whose deep end is as black as the picture's margin.
    """
    folder = data_root / "usgra-seg" / "dataset"
    inside = total = 0
    for path in sorted((folder / "images").glob("*.png"))[::8]:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(folder / "masks" / path.name)).any(axis=2)
        inside += int(mask[find_region(picture).slices].sum())
        total += int(mask.sum())
    assert inside / total > 0.95
