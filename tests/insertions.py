"""A made-up insertion over the clip of `tests.discs`: what the pipeline would say, by script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nerveseg import pipeline
from nerveseg.types import Frame, FrameResult, Needle, NeedleState, Plane, Point
from nerveseg.vision.guidance import guide, reach_px, warnings
from nerveseg.vision.segment import Segmenter

ENTRY: Point = (0.0, 60.0)
FIRST, PREDICTED, LOST, SHAFTLESS, AGAIN = 10, 40, 45, 50, 55
"""The frames on which the tip is first seen, predicted, lost, without a shaft, seen again."""

PLANES = (
    Plane(((20.0, 40.0), (160.0, 44.0), (300.0, 40.0)), 5.0, 0.9, key=7),
    Plane(((20.0, 207.0), (300.0, 207.0)), 14.0, 0.8, key=3),
)

_run = pipeline.run


def letters(frames: int) -> str:
    """The timeline that `run` makes over this many frames."""
    parts = "n" * FIRST, "s" * (PREDICTED - FIRST), "p" * (LOST - PREDICTED), "l" * (AGAIN - LOST)
    return ("".join(parts) + "s" * frames)[:frames]


def tip(index: int) -> Point:
    """Where the needle's tip is: on its way down to the vessel at 60, 170, and on past it."""
    share = min(index, LOST) / LOST
    return 20.0 + 90.0 * share, 70.0 + 45.0 * share


def state(index: int) -> NeedleState:
    """What is known of the needle on frame ``index``."""
    needle = Needle(ENTRY, tip(index), 0.92, 0.97, (ENTRY, tip(index)), 0.8)
    if index < FIRST:
        return NeedleState("lost")
    if PREDICTED <= index < LOST:
        return NeedleState("predicted", needle, 0.04 * (index - PREDICTED + 1), None)
    if LOST <= index < AGAIN:
        shaft = (ENTRY, tip(20)) if index < SHAFTLESS else None
        return NeedleState("lost", None, 0.04 * (index - PREDICTED + 1), shaft)
    return NeedleState("seen", needle, 0.0, needle.shaft_xy)


def run(
    frames: Iterable[Frame], segmenter: Segmenter, *, crop: bool = True
) -> Iterator[FrameResult]:
    """`pipeline.run` with the scripted needle and `PLANES` on every frame."""
    for result in _run(frames, segmenter, crop=crop):
        now, region = state(result.frame.index), result.segmentation.region
        guidance = None
        if now.needle is not None:
            guidance = guide(now.needle, result.structures, region)
        reach = reach_px(region, result.frame.mm_per_px)
        yield replace(
            result,
            planes=PLANES,
            needle_state=now,
            guidance=guidance,
            warnings=warnings(now, guidance, reach_px=reach),
        )
