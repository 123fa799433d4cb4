"""The phantom itself: a seeded scene, a probe, and a clip of any length."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from nerveseg.errors import DataError
from nerveseg.phantom.blocks import build_scene
from nerveseg.phantom.echo import make_field
from nerveseg.phantom.motion import Motion
from nerveseg.phantom.needle import NeedleTrack
from nerveseg.phantom.paint import LABEL_BITS, paint
from nerveseg.phantom.probe import FloatGrid, make_probe
from nerveseg.phantom.values import Difficulty, NeedleTruth, PhantomFrame
from nerveseg.types import Frame, GrayImage, Mask

__all__ = ["Phantom"]

_SIZES = (64, 2048)
_DEPTH_MM = {"linear": 38.0, "curved": 60.0}


class Phantom:
    """Synthetic B-mode clips of one nerve block, with exact truth.

    ``block`` is a name from `blocks`; ``size`` is ``(width, height)`` in pixels, 64..2048 each;
    ``probe`` is ``"linear"`` or ``"curved"``; ``needle`` puts a block needle in. The same
    arguments give the same pictures. Making a phantom costs a fraction of a second, each frame a
    few milliseconds, and memory does not grow with their number. Raises `DataError` for an
    unknown block or probe, or for a size or seed out of range.
    """

    def __init__(
        self,
        block: str = "axillary",
        *,
        seed: int = 0,
        size: tuple[int, int] = (512, 512),
        probe: str = "linear",
        difficulty: Difficulty | None = None,
        needle: bool = False,
    ) -> None:
        if not all(_SIZES[0] <= side <= _SIZES[1] for side in size):
            raise DataError(f"phantom size is {size}, expected {_SIZES[0]} to {_SIZES[1]} a side")
        if seed < 0:
            raise DataError(f"phantom seed is {seed}, expected a whole number from 0 up")
        difficulty = difficulty or Difficulty()
        depth_mm = difficulty.depth_mm or _DEPTH_MM.get(probe, 40.0)
        self.block = block
        self.seed = seed
        self._probe = make_probe(probe, size_wh=size, depth_mm=depth_mm)
        # One stream per concern: adding a needle or grain must not move the anatomy.
        streams = np.random.SeedSequence(seed).spawn(5)
        anatomy, texture, grain, motion, needles = (np.random.default_rng(s) for s in streams)
        scene = build_scene(block, anatomy)
        painting = paint(scene, self._probe, texture)
        self._labels = painting.labels
        self._field = make_field(painting, self._probe, difficulty, grain)
        self._motion = Motion(self._probe, scene, motion, difficulty.motion)
        self._needle = NeedleTrack(self._probe, scene, difficulty, needles) if needle else None
        self._outside = ~self._probe.field()

    @property
    def mm_per_px(self) -> float:
        """Millimetres per pixel, the same in both directions."""
        return self._probe.mm_per_px

    def frames(self, count: int, fps: float = 25.0) -> Iterator[PhantomFrame]:
        """The first ``count`` frames, made one by one as they are asked for."""
        return (self.frame_at(index, fps) for index in range(count))

    def frame_at(self, index: int, fps: float = 25.0) -> PhantomFrame:
        """Frame ``index`` of the clip at ``fps``, without making the ones before it."""
        if index < 0 or not (math.isfinite(fps) and fps > 0):
            raise DataError(f"phantom frame {index} at {fps} frames a second: neither is negative")
        time_s = index / fps
        pose = self._motion.pose(time_s)
        rng = np.random.default_rng((self.seed, index))
        beams = self._field.image(slice_rad=pose.slice_rad, rock_rad=pose.rock_rad, rng=rng)
        maps = self._motion.maps(pose)
        pixels = self._scan_convert(beams, maps)
        truth = self._truth(maps)
        needle = self._add_needle(pixels, truth, time_s)
        frame = Frame(index, time_s, pixels, self.mm_per_px)
        return PhantomFrame(frame, truth, needle)

    def _scan_convert(self, beams: GrayImage, maps: tuple[FloatGrid, FloatGrid]) -> GrayImage:
        pixels = cv2.remap(beams, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if self._probe.curved:
            pixels[self._outside] = 0
        return np.asarray(pixels)

    def _truth(self, maps: tuple[FloatGrid, FloatGrid]) -> dict[str, Mask]:
        labels = np.asarray(
            cv2.remap(self._labels, *maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE),
            dtype=np.uint8,
        )
        if self._probe.curved:
            labels[self._outside] = 0
        truth = {name: (labels & bit).astype(np.bool_) for name, bit in LABEL_BITS.items()}
        truth["vessel"] = truth["artery"] | truth["vein"]
        truth["needle"] = np.zeros(labels.shape, dtype=np.bool_)
        return truth

    def _add_needle(
        self, pixels: GrayImage, truth: dict[str, Mask], time_s: float
    ) -> NeedleTruth | None:
        if self._needle is None:
            return None
        state = self._needle.at(time_s)
        self._needle.draw(pixels, state)
        truth["needle"] = self._needle.mask(state)
        if self._probe.curved:
            pixels[self._outside] = 0
        return state.truth
