"""Scenes of the phantom's own needle, which is drawn by other means than `train.needles.render`."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from nerveseg.phantom import Difficulty, Phantom, PhantomFrame, blocks
from nerveseg.types import Box
from nerveseg.video.crop import find_region
from train.needles.render import DrawnNeedle, band
from train.needles.scenes import Scene

__all__ = ["phantom_scenes"]

_PER_PHANTOM = 6
_UNSURE_PX = 9.0


def phantom_scenes(count: int, *, seed: int, side: int = 256) -> Iterator[Scene]:
    """``count`` scenes, a new phantom every sixth, cropped and stretched as the app would."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, _PER_PHANTOM):
        number = start // _PER_PHANTOM
        phantom = Phantom(
            blocks()[number % len(blocks())],
            seed=seed * 100_000 + number,
            probe="curved" if number % 3 == 2 else "linear",
            size=(384, 384),
            difficulty=_difficulty(rng),
            needle=True,
        )
        for _ in range(min(_PER_PHANTOM, count - start)):
            yield _scene(phantom.frame_at(int(rng.integers(0, 250))), side)


def _difficulty(rng: np.random.Generator) -> Difficulty:
    return Difficulty(
        gain_db=float(rng.uniform(-8, 8)),
        speckle=float(rng.uniform(0.2, 0.8)),
        visibility=float(rng.uniform(0.5, 1.0)),
        noise=float(rng.uniform(0.1, 0.6)),
    )


def _scene(shot: PhantomFrame, side: int) -> Scene:
    region = find_region(shot.frame.pixels)
    size = (side, side)
    picture = cv2.resize(shot.frame.pixels[region.slices], size, interpolation=cv2.INTER_AREA)
    mask = shot.truth["needle"][region.slices].astype(np.float32)
    shaft = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)
    assert shot.needle is not None
    entry, tip = (_within(at, region, side) for at in (shot.needle.entry_xy, shot.needle.tip_xy))
    course = np.linspace(entry, tip, 4 * side).astype(np.float32)
    # Where the shaft has left the plane it fades: neither answer would be wrong.
    judged = (band(shaft.shape, course, width=_UNSURE_PX) < 0.2) | (shaft > 0.2)
    truth = DrawnNeedle(entry, tip if shot.needle.visible else None, shaft, judged)
    return Scene(np.asarray(picture, np.uint8), truth)


def _within(at: tuple[float, float], region: Box, side: int) -> tuple[float, float]:
    x = (at[0] - region.left + 0.5) * side / region.width - 0.5
    y = (at[1] - region.top + 0.5) * side / region.height - 0.5
    return x, y
