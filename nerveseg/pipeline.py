"""Frames in, results out: crop, preprocess, infer, postprocess, one frame after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from nerveseg.types import Box, Frame, FrameResult, Mask, Segmentation, StructureStats
from nerveseg.video.crop import RegionTracker
from nerveseg.vision.overlay import structure_stats
from nerveseg.vision.segment import Segmenter, masks, probability

__all__ = ["STAGES", "run"]

STAGES = ("crop", "preprocess", "inference", "postprocess")
"""Keys of `FrameResult.timings_ms`, in the order in which the stages run."""

_ABSENT = StructureStats(area_px=0, centroid_xy=None, mean_confidence=None, contours=())


def run(
    frames: Iterable[Frame], segmenter: Segmenter, *, crop: bool = True
) -> Iterator[FrameResult]:
    """Segment every frame of one clip, in order; nothing is kept from frame to frame.

    With ``crop`` the network sees only the ultrasound image inside the scanner's chrome, which
    is taken to stay where it is through the clip; without, it sees the whole frame. Errors of
    the source (`SourceError`) and of the model (`ModelError`) pass through.
    """
    tracker = RegionTracker()
    for frame in frames:
        height, width = frame.pixels.shape
        watch = _Stopwatch()
        region = tracker.update(frame.pixels) if crop else Box(0, 0, width, height)
        watch.lap("crop")
        tensor = segmenter.preprocess(frame.pixels, region)
        watch.lap("preprocess")
        answer = segmenter.infer(tensor)
        watch.lap("inference")
        segmentation = segmenter.segmentation(answer, region, (height, width))
        found = masks(segmentation)
        structures = _measure(segmentation, found)
        watch.lap("postprocess")
        yield FrameResult(frame, segmentation, found, structures, watch.laps_ms)


class _Stopwatch:
    """Milliseconds since the last lap, by name."""

    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps_ms[name] = (now - self._last) * 1e3
        self._last = now


def _measure(segmentation: Segmentation, found: Mapping[str, Mask]) -> dict[str, StructureStats]:
    return {
        name: structure_stats(mask, probability(segmentation, name)) if mask.any() else _ABSENT
        for name, mask in found.items()
    }
