"""Live frames and results without a source or a model, for tests of what is kept of them."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from nerveseg.live.recorder import Recorder
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveFrame, LiveResult
from nerveseg.types import Box, Frame, FrameResult, GrayImage, Segmentation
from nerveseg.vision.overlay import structure_stats

SIZE = (320, 240)
REGION = Box(60, 30, 260, 220)
"""Where the image is in a picture of `SIZE`; a name stands left and above of it."""

NAME_AT = (4, 20)
NAME = "DOE, JANE 1970-01-01"


def drawn(number: int, *, size: tuple[int, int] = SIZE, region: Box = REGION) -> GrayImage:
    """Speckle inside ``region``, the same each time for a number, beside burned-in text."""
    rng = np.random.default_rng(number)
    pixels = np.full(size[::-1], 8, np.uint8)
    pixels[region.slices] = rng.integers(20, 236, (region.height, region.width), dtype=np.uint8)
    cv2.putText(pixels, NAME, NAME_AT, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    return pixels


def shot_of(
    number: int,
    *,
    pixels: GrayImage | None = None,
    time_s: float | None = None,
    mm_per_px: float | None = 0.1,
    opening: int = 0,
) -> LiveFrame:
    time_s = number / 30 if time_s is None else time_s
    pixels = drawn(number) if pixels is None else pixels
    return LiveFrame(Frame(number, time_s, pixels, mm_per_px), time.time(), opening)


def result_of(shot: LiveFrame, *, region: Box | None = REGION) -> LiveResult:
    """A nerve in the middle of the image; ``region=None`` takes the whole frame."""
    height, width = shot.frame.pixels.shape
    box = region or Box(0, 0, width, height)
    mask = np.zeros((height, width), np.bool_)
    mask[height // 2 - 20 : height // 2 + 20, width // 2 - 30 : width // 2 + 30] = True
    probability = mask.astype(np.float32)
    segmentation = Segmentation(
        {"nerve": probability[box.slices]}, box, (height, width), {"nerve": 0.5}, "drawn@1"
    )
    result = FrameResult(
        shot.frame,
        segmentation,
        {"nerve": mask},
        {"nerve": structure_stats(mask, probability)},
        {"inference": 1.0},
    )
    return LiveResult(shot, result, time.time())


def record_growing(folder: Path) -> Path:
    """A recording of six frames, of which the last three are larger than the first."""
    folder.mkdir()
    recorder = Recorder(folder, source="drawn:", settings=DeviceSettings(crop="off"))
    for number in range(6):
        size = SIZE if number < 3 else (400, 300)
        recorder.on_capture(shot_of(number, pixels=drawn(number // 3, size=size)))
    recorder.close()
    return folder
