"""Frames in, results out: crop, preprocess, infer, postprocess, one frame after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping

from nerveseg.types import (
    Box,
    Frame,
    FrameResult,
    GrayImage,
    Guidance,
    Mask,
    NeedleState,
    Plane,
    Segmentation,
    StructureStats,
)
from nerveseg.video.crop import RegionTracker, cut_to
from nerveseg.vision.guidance import guide, reach_px, warnings
from nerveseg.vision.needle import NeedleTracker, observe
from nerveseg.vision.overlay import structure_stats
from nerveseg.vision.planes import PlaneTracker, find_planes, without_shaft
from nerveseg.vision.preprocess import ModelSpec
from nerveseg.vision.segment import Segmenter, masks, probability
from nerveseg.vision.steady import Steadier

__all__ = ["STAGES", "run"]

STAGES = (
    "crop",
    "preprocess",
    "inference",
    "steady",
    "needle",
    "postprocess",
    "guidance",
    "planes",
)
"""Keys of `FrameResult.timings_ms`, in the order in which the stages run.

The needle comes before the outlines, which its shaft is kept out of, and what its place means
(``guidance``) after them.
"""

_EVEN = 2.0
"""Grey levels: a region whose levels deviate less shows nothing at all."""

_EVEN_BY = 64
"""Rows and columns of the region by which that is judged."""

_ABSENT = StructureStats(area_px=0, centroid_xy=None, mean_confidence=None, contours=())


def run(
    frames: Iterable[Frame], segmenter: Segmenter, *, crop: bool | Box = True
) -> Iterator[FrameResult]:
    """Everything that is found on every frame of one clip, in order.

    With ``crop`` the network sees only the ultrasound image inside the scanner's chrome, which
    is taken to stay where it is through the clip; without, it sees the whole frame. A `Box` says
    where the image is; what of it lies outside a frame is left out, and the image looked for
    where all of it does. Outlines are
    steadied over time, and planes and needle followed, within this clip alone: a picture that
    stands for itself is a clip of one frame. Errors of the source (`SourceError`) and of the
    model (`ModelError`) pass through.
    """
    regions = RegionTracker()
    memory = _Memory(segmenter.spec)
    for frame in frames:
        watch = _Stopwatch()
        region = _region(crop, frame.pixels, regions)
        watch.lap("crop")
        tensor = segmenter.preprocess(frame.pixels, region)
        watch.lap("preprocess")
        answer = segmenter.infer(tensor)
        watch.lap("inference")
        segmentation = segmenter.segmentation(answer, region, frame.pixels.shape)
        segmentation = memory.steadier.update(segmentation, frame.pixels)
        watch.lap("steady")
        needle = memory.follow(segmentation, frame)
        segmentation = _without_shaft(segmentation, needle)
        watch.lap("needle")
        found = masks(segmentation)
        structures = _measure(segmentation, found)
        watch.lap("postprocess")
        guidance, notices = _meaning(needle, structures, region, frame.mm_per_px)
        watch.lap("guidance")
        planes = memory.find_planes(segmentation, frame)
        watch.lap("planes")
        yield FrameResult(
            frame,
            segmentation,
            found,
            structures,
            watch.laps_ms,
            planes=planes,
            needle_state=needle,
            guidance=guidance,
            warnings=notices,
            steadiness=memory.steadier.steadiness,
        )


def _region(crop: bool | Box, pixels: GrayImage, regions: RegionTracker) -> Box:
    if crop is False:
        return Box(0, 0, pixels.shape[1], pixels.shape[0])
    given = cut_to(pixels.shape, crop) if isinstance(crop, Box) else None
    return given or regions.update(pixels)


class _Memory:
    """What is carried from frame to frame of one clip."""

    def __init__(self, spec: ModelSpec) -> None:
        self.steadier = Steadier()
        self._planes = PlaneTracker()
        self._needle: NeedleTracker | None = None
        self._confidence = spec.confidence

    def follow(self, segmentation: Segmentation, frame: Frame) -> NeedleState:
        """What is known of the needle on this frame."""
        if not self._confidence:
            return NeedleState("lost")
        region = segmentation.region
        diagonal_px = math.hypot(region.width, region.height)
        if self._needle is None:
            self._needle = NeedleTracker(diagonal_px)
        self._needle.diagonal_px = diagonal_px  # it changes while the region settles
        if self.steadier.cut:
            self._needle.forget()
        seen = observe(segmentation, frame.pixels, self._confidence)
        return self._needle.update(seen, frame.time_s)

    def find_planes(self, segmentation: Segmentation, frame: Frame) -> tuple[Plane, ...]:
        """The planes on this frame: none where it shows nothing, whatever the network says."""
        if self.steadier.cut:
            self._planes.forget()
        even = _is_even(frame.pixels[segmentation.region.slices])
        return self._planes.update(() if even else find_planes(segmentation))


class _Stopwatch:
    """Milliseconds since the last lap, by name."""

    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps_ms[name] = (now - self._last) * 1e3
        self._last = now


def _is_even(pixels: GrayImage) -> bool:
    rows, columns = (max(1, side // _EVEN_BY) for side in pixels.shape)
    return float(pixels[::rows, ::columns].std()) < _EVEN


def _without_shaft(segmentation: Segmentation, state: NeedleState) -> Segmentation:
    """The network often takes the shaft for fascia; a predicted needle's lies up to its tip."""
    shaft = state.shaft_xy
    if shaft is None and state.needle is not None:
        shaft = (state.needle.entry_xy, state.needle.tip_xy)
    return segmentation if shaft is None else without_shaft(segmentation, shaft)


def _meaning(
    state: NeedleState,
    structures: Mapping[str, StructureStats],
    region: Box,
    mm_per_px: float | None,
) -> tuple[Guidance | None, tuple[str, ...]]:
    """What the needle's place means, and what is to be warned of."""
    guidance = None if state.needle is None else guide(state.needle, structures, region)
    return guidance, warnings(state, guidance, reach_px=reach_px(region, mm_per_px))


def _measure(segmentation: Segmentation, found: Mapping[str, Mask]) -> dict[str, StructureStats]:
    return {
        name: structure_stats(mask, probability(segmentation, name)) if mask.any() else _ABSENT
        for name, mask in found.items()
    }
