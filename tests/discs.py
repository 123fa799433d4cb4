"""A made-up clip whose structures are told by brightness alone, and a network that does so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nerveseg.types import GrayImage
from nerveseg.vision.preprocess import ModelSpec, Tensor
from nerveseg.vision.segment import Segmenter

FRAMES = 60
SIZE = (320, 240)
RADIUS = 22


class BrightnessRunner:
    """A network that tells structures by brightness: white nerve, black vessel, grey fascia."""

    name = "brightness"

    def run(self, tensor: Tensor) -> Tensor:
        picture = cv2.GaussianBlur(tensor[0, 0], (0, 0), 1.0)
        fascia = cv2.inRange(picture, 0.56, 0.70)
        fascia = cv2.morphologyEx(fascia, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        found = [picture > 0.78, picture < 0.10, fascia > 0]
        return np.stack([cv2.GaussianBlur(f.astype(np.float32), (0, 0), 3.0) for f in found])[None]


def fake_segmenter() -> Segmenter:
    spec = ModelSpec(
        name="fake",
        version="1",
        classes=("nerve", "vessel", "fascia"),
        input_hw=(256, 256),
        mean=0.0,
        std=1.0,
        fit="stretch",
        thresholds={"nerve": 0.5, "vessel": 0.5, "fascia": 0.5},
        trained_on=("nothing",),
        metrics={
            "sets": {"discs": {"nerve": {"dice": {"value": 0.9, "low": 0.8, "high": 1.0}}}},
            "sections": {
                "needles": {
                    "gel": {
                        "images": 25,
                        "found_rate": {"value": 0.96},
                        "tip_median": {"value": 0.7, "unit": "%"},
                        "false_rate": {"value": None},
                    }
                }
            },
        },
    )
    return Segmenter(spec, BrightnessRunner())


def nerve_centre(number: int) -> tuple[float, float]:
    """Where the white disc is on a frame: far enough from where it is on the next."""
    return 160 + 110 * np.cos(number * 0.21), 90 + 45 * np.sin(number * 0.21)


def drawn_frame(number: int) -> GrayImage:
    rng = np.random.default_rng(number)
    pixels = rng.integers(70, 110, (SIZE[1], SIZE[0])).astype(np.uint8)
    pixels[200:215, 20:300] = 160
    cv2.circle(pixels, (60, 170), 16, 5, -1, cv2.LINE_AA)
    x, y = nerve_centre(number)
    cv2.circle(pixels, (round(x * 16), round(y * 16)), RADIUS * 16, 235, -1, cv2.LINE_AA, 4)
    return pixels


def write_clip(path: Path) -> Path:
    """The frames of `drawn_frame` as a 25 Hz motion JPEG file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, SIZE)
    for number in range(FRAMES):
        writer.write(cv2.cvtColor(drawn_frame(number), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path
