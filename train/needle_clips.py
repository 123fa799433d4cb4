"""The needle followed through clips: phantoms with known tips, and real clips without a needle."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nerveseg import pipeline
from nerveseg.errors import ModelError
from nerveseg.phantom import Difficulty, Phantom, PhantomFrame, blocks
from nerveseg.types import Frame, FrameResult, NeedleState
from nerveseg.video import sources
from nerveseg.vision.preprocess import NEEDLE_TIP
from nerveseg.vision.segment import Segmenter
from train.needle_scores import SURE, TOLERANCE

__all__ = [
    "MEDIUM",
    "Moment",
    "follow_phantoms",
    "measure_clips",
    "phantom_figures",
    "said_on_clip",
]

MEDIUM = Difficulty(visibility=0.75)
"""*Medium*: the usual speckle, gain, noise and motion, and out of plane a quarter of the time."""

CONFIDENT = 0.5
WRONG_MM = 5.0
LOST_WITHIN_S = 0.3


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a followed phantom: its time, what was said, whether the tip is in plane.

    ``error_mm`` is from the tip said to the true one, NaN where none was said; ``hidden_s`` is
    how long the tip has been out of the plane, 0 while it is in it; ``tolerance_mm`` is 2 % of the
    picture's diagonal, which the confidence speaks of.
    """

    time_s: float
    status: str
    confidence: float
    visible: bool
    hidden_s: float
    error_mm: float
    tolerance_mm: float


def follow_phantoms(
    segmenter: Segmenter,
    *,
    clips: int = 16,
    frames: int = 250,
    fps: float = 25.0,
    difficulty: Difficulty = MEDIUM,
    seed: int = 90_000,
) -> list[list[Moment]]:
    """Follow the needle through ``clips`` phantoms: every block in turn, both kinds of probe."""
    followed = []
    for number in range(clips):
        phantom = Phantom(
            blocks()[number % len(blocks())],
            seed=seed + number,
            probe="curved" if number % 4 == 3 else "linear",
            difficulty=difficulty,
            needle=True,
        )
        followed.append(list(_follow(segmenter, phantom, frames, fps)))
    return followed


def _follow(segmenter: Segmenter, phantom: Phantom, frames: int, fps: float) -> Iterator[Moment]:
    shots: list[PhantomFrame] = []

    def feed() -> Iterator[Frame]:
        for shot in phantom.frames(frames, fps):
            shots.append(shot)
            yield shot.frame

    hidden_since: float | None = None
    for result in pipeline.run(feed(), segmenter):
        shot = shots.pop()
        assert shot.needle is not None
        now = shot.frame.time_s
        if shot.needle.visible:
            hidden_since = None
        elif hidden_since is None:
            hidden_since = now
        yield Moment(
            time_s=now,
            status=result.needle_state.status,
            confidence=_confidence(result.needle_state),
            visible=shot.needle.visible,
            hidden_s=0.0 if hidden_since is None else now - hidden_since,
            error_mm=_error(result.needle_state, shot.needle.tip_xy) * phantom.mm_per_px,
            tolerance_mm=TOLERANCE * math.hypot(*shot.frame.pixels.shape) * phantom.mm_per_px,
        )


def _confidence(state: NeedleState) -> float:
    return 0.0 if state.needle is None else state.needle.confidence


def _error(state: NeedleState, tip_xy: tuple[float, float]) -> float:
    return math.nan if state.needle is None else math.dist(state.needle.tip_xy, tip_xy)


def phantom_figures(followed: Sequence[Sequence[Moment]]) -> dict[str, Any]:
    """What the clips say together; lengths in mm, shares of frames in 0..1.

    ``tip_mm``: error of the tip while it is in the plane and was said. ``answered``: share of
    the frames with the tip in plane on which one was said. ``left_the_plane``: how often the tip
    did so for more than 300 ms, and ``lost_in_time`` the share of these in which it was lost by
    then. ``said_when_hidden``: share of the frames on which the tip had been out of the plane for
    more than 300 ms and one was still said. ``confident_and_wrong``: share of all frames with a
    tip said at 0.5 or more, and more than 5 mm off. ``sure_near``: among the tips said at 0.85 or
    more, the share within 2 % of the picture's diagonal, and ``sure`` how many those are.
    """
    moments = [moment for clip in followed for moment in clip]
    seen = [m.error_mm for m in moments if m.visible and m.status != "lost"]
    hidden = [m for m in moments if m.hidden_s > LOST_WITHIN_S]
    due = [
        now
        for clip in followed
        for before, now in pairwise(clip)
        if before.hidden_s <= LOST_WITHIN_S < now.hidden_s
    ]
    wrong = [
        m
        for m in moments
        if m.status != "lost" and m.confidence >= CONFIDENT and m.error_mm > WRONG_MM
    ]
    sure = [m for m in moments if m.status != "lost" and m.confidence >= SURE]
    median, p95 = np.percentile(seen, [50, 95]) if seen else (math.nan, math.nan)
    return {
        "clips": len(followed),
        "frames": len(moments),
        "tip_mm": {"median": round(float(median), 2), "p95": round(float(p95), 2)},
        "answered": _share(m.status != "lost" for m in moments if m.visible),
        "left_the_plane": len(due),
        "lost_in_time": _share(m.status == "lost" for m in due),
        "said_when_hidden": _share(m.status != "lost" for m in hidden),
        "confident_and_wrong": round(len(wrong) / max(1, len(moments)), 4),
        "sure": len(sure),
        "sure_near": _share(m.error_mm <= m.tolerance_mm for m in sure),
    }


def said_on_clip(segmenter: Segmenter, path: Path, *, frames: int | None = None) -> tuple[int, int]:
    """Frames of a real clip without a needle on which a tip was said all the same, and frames."""
    with sources.open(path) as clip:
        return _count(pipeline.run(islice(clip, frames), segmenter))


def measure_clips(
    model: Path, *, clips: Sequence[Path] = (), phantoms: int = 16, frames: int = 250
) -> dict[str, Any]:
    """All of it: phantoms with a needle, and real ``clips`` that show none."""
    segmenter = Segmenter.load(model)
    if NEEDLE_TIP not in segmenter.spec.heatmaps:
        raise ModelError(
            f"{model} knows no needle; measure a model that was trained with needle_channels"
        )
    followed = follow_phantoms(segmenter, clips=phantoms, frames=frames)
    false = {}
    for path in clips:
        said, number = said_on_clip(segmenter, path)
        false[path.name] = {
            "frames": number,
            "said": said,
            "share": round(said / max(1, number), 4),
        }
    return {
        "model": segmenter.spec.model_id,
        "phantoms": phantom_figures(followed),
        "without_needle": false,
    }


def _count(results: Iterable[FrameResult]) -> tuple[int, int]:
    said = frames = 0
    for result in results:
        frames += 1
        said += result.needle_state.status != "lost"
    return said, frames


def _share(holds: Iterable[bool]) -> float:
    values = list(holds)
    return round(float(np.mean(values)), 4) if values else math.nan
