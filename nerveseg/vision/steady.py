"""Steady overlays: each class's probability smoothed over time along the tissue's motion.

A network judges every frame anew, so that outlines tremble on tissue that doesn't. An exponential
average (as in temporal accumulation of rendered frames) calms them; it is carried along by dense
optical flow (Kroeger et al., DIS, ECCV 2016), so that it doesn't trail behind moving tissue, and
it gives way where the picture itself has changed, so that what is new shows at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, GrayImage, Mask, Probability, Segmentation
from nerveseg.vision.preprocess import NEEDLE

__all__ = ["Flow", "Steadier", "flow_between", "steadiness"]

Flow: TypeAlias = npt.NDArray[np.float32]
"""``float32`` ``(h, w, 2)``: for each pixel of a picture how far (x, y) its spot in the one
before lies from it."""

_Floats: TypeAlias = npt.NDArray[np.float32]

_UNTOUCHED = (NEEDLE,)
"""Classes that move by themselves, not with the tissue."""

_NEW_SHARE = 0.35
"""Weight of the new frame where nothing has changed: after two frames it outweighs the past."""

_NEW_SHARE_OF = {"fascia": 0.5}
"""A line a few pixels thin blurs by the least error of the motion, so its past counts for less."""

_CHANGED = (2.0, 4.0)
"""Times the usual difference between frames: from the first on the past fades, at the second it
is gone."""

_QUIET = 2.0
"""Grey levels of 255: the least difference taken for usual, lest a frozen feed made it zero."""

_USUAL_AT_FIRST = 3.0
"""Grey levels; what clips of speckle leave after motion compensation, 1.5 to 7."""

_CUT = (12.0, 3.0)
"""Grey levels, and times the usual, of mean difference from which the frame starts a new scene.
Neighbouring frames stay below 7, cuts between scenes lie at 27 and more."""

_LEARNING = 0.1
"""Weight of each frame in what is usual."""

_SPOT = 9
"""Side in map pixels of the squares over which a difference is averaged: speckle isn't change."""

_SMALLEST = 32
"""Sides of smaller maps are too short to tell motion from."""


class Steadier:
    """Smooths the segmentations of one clip, frame by frame.

    A cut, another region, another picture size or another model starts anew by itself.
    ``heatmaps`` and the class ``needle`` pass through untouched. A steady clip costs no more than
    a frame or two of delay: the new frame weighs 0.35 (fascia 0.5), and up to all where the
    picture differs from the moved previous one by more than this clip's frames usually do.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the clip."""
        self._past: _Past | None = None
        self._cut = False
        self._usual = _USUAL_AT_FIRST
        self._steadiness: Mapping[str, float] | None = None

    @property
    def steadiness(self) -> Mapping[str, float] | None:
        """Per smoothed class that is in view: see `steadiness`, of the smoothed masks.

        ``None`` on the first frame of a scene. Masks are taken at the map's own resolution.
        """
        return self._steadiness

    @property
    def starts_scene(self) -> bool:
        """Whether the last frame was the first of its scene: at the clip's start, after a cut."""
        return self._past is not None and self._steadiness is None

    @property
    def cut(self) -> bool:
        """Whether the last frame's picture is another one than that of the frame before it.

        So it is where it differs too much for motion to explain, or has another size. Not so on
        a clip's first frame, nor where the region grows over the same picture.
        """
        return self._cut

    def update(self, segmentation: Segmentation, pixels: GrayImage) -> Segmentation:
        """The next frame's segmentation, steadied.

        ``pixels`` is that frame, ``uint8`` ``(H, W)`` of ``segmentation.frame_shape``.
        """
        if not segmentation.probabilities:
            return segmentation
        maps = {
            name: _sound(content)
            for name, content in segmentation.probabilities.items()
            if name not in _UNTOUCHED
        }
        scene = _Scene.of(segmentation)
        picture = _shrunk(pixels, scene)
        past = self._past_of(scene, picture)
        if past is None:
            self._usual, self._steadiness = _USUAL_AT_FIRST, None
        else:
            before, changed = past
            maps = {name: _blend(name, before[name], maps[name], changed) for name in maps}
            self._steadiness = _steadiness_of(before, maps, segmentation.thresholds)
        self._past = _Past(scene, pixels, picture, maps)
        if not maps:
            return segmentation
        return replace(segmentation, probabilities={**segmentation.probabilities, **maps})

    def _past_of(
        self, scene: _Scene, picture: GrayImage
    ) -> tuple[Mapping[str, Probability], _Floats] | None:
        """The past moved to where the tissue is now, and where it has changed (0..1).

        ``None`` where there is none: on the first frame of a clip or of a new scene.
        """
        past, self._cut = self._past, False
        if past is None:
            return None
        if past.scene.frame_shape != scene.frame_shape:
            self._cut = True
            return None
        spots, difference = past.compared(scene, picture)
        mean = float(difference.mean())
        self._cut = mean >= max(_CUT[0], _CUT[1] * self._usual)
        if self._cut or past.scene != scene:
            return None
        low, high = (times * self._usual for times in _CHANGED)
        changed = ((difference - low) / (high - low)).clip(0.0, 1.0)
        self._usual = max(_QUIET, self._usual + _LEARNING * (mean - self._usual))
        return {name: _moved(content, spots) for name, content in past.maps.items()}, changed


def steadiness(previous: Mask, mask: Mask, flow: Flow | None = None) -> float:
    """How much of a mask stays from one frame to the next: IoU after motion compensation.

    1 is a mask that moves with the tissue and doesn't flicker, 0 one that jumps elsewhere, NaN
    where both are empty. ``previous`` and ``mask`` are ``bool`` ``(h, w)``; ``flow`` is
    `flow_between` of their pictures at that size, or ``None`` for tissue that holds still.
    Flicker is one less this.
    """
    if flow is not None:
        # Halfway between in and out, so that the moved mask neither swells nor shrinks.
        previous = _moved(previous.astype(np.float32), _spots(flow)) >= 0.5
    union = np.count_nonzero(previous | mask)
    return np.count_nonzero(previous & mask) / union if union else math.nan


def flow_between(previous: GrayImage, picture: GrayImage) -> Flow:
    """Dense motion from ``picture`` back to ``previous``, both ``uint8`` ``(h, w)``; see `Flow`.

    Zero for pictures with a side of less than 32 pixels, which show too little to tell.
    """
    if min(picture.shape) < _SMALLEST:
        return np.zeros((*picture.shape, 2), np.float32)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = np.zeros((*picture.shape, 2), np.float32)
    return np.asarray(method.calc(picture, previous, flow), np.float32)


def _spots(flow: Flow) -> _Floats:
    """Where in the picture before each pixel's tissue was, ``(h, w, 2)``."""
    rows, columns = flow.shape[:2]
    spots = flow.copy()
    spots[..., 0] += np.arange(columns, dtype=np.float32)
    spots[..., 1] += np.arange(rows, dtype=np.float32)[:, None]
    return spots


def _moved(previous: Probability, spots: _Floats) -> Probability:
    # Cubic, because linear interpolation frame after frame would wear thin lines down.
    taken = _taken(previous, spots, cv2.INTER_CUBIC)
    return np.asarray(taken.clip(0.0, 1.0), np.float32)


def _taken(previous: npt.NDArray[Any], spots: _Floats, how: int) -> npt.NDArray[Any]:
    """``previous`` at ``spots``; an array of its own type."""
    across, down = cv2.split(spots)
    return np.asarray(cv2.remap(previous, across, down, how, borderMode=cv2.BORDER_REPLICATE))


@dataclass(frozen=True, slots=True)
class _Scene:
    """What must stay the same for two frames to be of one piece."""

    frame_shape: tuple[int, int]
    region: Box
    model_id: str
    grids: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, segmentation: Segmentation) -> _Scene:
        contents = segmentation.probabilities.items()
        grids = tuple(sorted((name, content.shape) for name, content in contents))
        return cls(segmentation.frame_shape, segmentation.region, segmentation.model_id, grids)


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """The frame before: its pixels, its picture at the maps' size, and its smoothed maps."""

    scene: _Scene
    pixels: GrayImage
    picture: GrayImage
    maps: Mapping[str, Probability]

    def compared(self, scene: _Scene, picture: GrayImage) -> tuple[_Floats, _Floats]:
        """Where each pixel's tissue was in this frame, and how it differs from there."""
        # A region that grows leaves no maps to go on from, but a picture to compare with.
        previous = self.picture if self.scene == scene else _shrunk(self.pixels, scene)
        spots = _spots(flow_between(previous, picture))
        return spots, _difference(_taken(previous, spots, cv2.INTER_LINEAR), picture)


def _sound(content: Probability) -> Probability:
    """Without NaN, which fmax passes over: it would stay in the past for ever."""
    return np.fmin(np.fmax(content, np.float32(0)), np.float32(1))


def _shrunk(pixels: GrayImage, scene: _Scene) -> GrayImage:
    rows, columns = scene.grids[0][1]
    # Twice the size first: averaging all pixels of a large picture takes ten times as long.
    twice = cv2.resize(pixels[scene.region.slices], (2 * columns, 2 * rows))
    return np.asarray(cv2.resize(twice, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _difference(one: GrayImage, other: GrayImage) -> _Floats:
    """Mean difference in grey levels around each pixel, ``(h, w)``."""
    apart = cv2.blur(cv2.absdiff(one, other), (_SPOT, _SPOT), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(apart, np.float32)


def _blend(name: str, before: Probability, now: Probability, changed: _Floats) -> Probability:
    share = _NEW_SHARE_OF.get(name, _NEW_SHARE)
    weight = share + (1.0 - share) * changed
    return before + weight * (now - before)


def _steadiness_of(
    before: Mapping[str, Probability],
    now: Mapping[str, Probability],
    thresholds: Mapping[str, float],
) -> dict[str, float]:
    found = {
        name: steadiness(before[name] >= thresholds[name], now[name] >= thresholds[name])
        for name in now
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}
