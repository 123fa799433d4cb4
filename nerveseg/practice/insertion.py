"""What an insertion measures: its time, its way, how much of it was in sight, what it came near.

The measures are those of Perk Tutor (Ungi et al., IEEE Trans Biomed Eng 59(12), 2012;
PMC4384236), as far as a picture alone can tell them: a tracked needle has a place outside the
image plane, one that is only seen has none. What can't be measured is ``None``, and no number
stands for it. Lengths are in millimetres when every frame tells the same scale, else in pixels,
and ``unit`` says which.

Only a tip that is *seen* counts; a predicted one is a guess. A tip that is held still jitters by
a fraction of a millimetre, which over a clip would add up to a long way. So its places are
smoothed (`TipPath.places`), and its path is drawn from corner to corner: the next corner is
where the tip is first `LEAST_MOVE_MM` or more from the last one. Where the tip was out of
sight, the path is the straight way: the shortest that it can have gone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nerveseg.practice.tip_path import REDIRECTION_DEG, WITHDRAWAL_MOVES, TipPath
from nerveseg.types import FrameResult, NeedleStatus, Point

__all__ = [
    "LEAST_MOVE_MM",
    "LEAST_MOVE_SHARE",
    "REDIRECTION_DEG",
    "WITHDRAWAL_MOVES",
    "InsertionMetrics",
    "NeedleSample",
    "TipStatus",
    "measure",
    "sample_of",
    "tip_statuses",
]

LEAST_MOVE_MM = 1.0
"""From how far on a tip has moved rather than jittered, where the scale is known."""

LEAST_MOVE_SHARE = 0.01
"""The same as a share of the image region's diagonal, where it isn't."""

TipStatus: TypeAlias = Literal["not yet"] | NeedleStatus
"""What is known of a clip's tip: ``not yet`` seen, or its status."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NeedleSample:
    """One frame's part of an insertion, in pixels of the frame.

    ``tip_xy`` and ``entry_xy`` are ``None`` when the tip is lost; ``shaft_shown`` says whether
    this frame shows the shaft; ``distances_px`` is `Guidance.distances_px`, empty without
    guidance; ``diagonal_px`` is the image region's. Raises `ValueError` if tip and status don't
    fit together.
    """

    time_s: float
    status: NeedleStatus
    tip_xy: Point | None
    entry_xy: Point | None
    shaft_shown: bool
    distances_px: Mapping[str, float]
    mm_per_px: float | None
    diagonal_px: float

    def __post_init__(self) -> None:
        points = (self.tip_xy, self.entry_xy)
        if any((point is None) != (self.status == "lost") for point in points):
            raise ValueError(f"a {self.status} needle goes with tip {points[0]}, entry {points[1]}")


@dataclass(frozen=True, slots=True)
class InsertionMetrics:
    """The measures of one clip. Lengths are in ``unit``; shares are 0..1.

    ``frames``, and how many of them by `tip_statuses`: ``not_yet_frames``, ``seen_frames``,
    ``predicted_frames``, and ``lost_frames``, of a tip that was seen earlier. ``clip_s``: from
    the first frame to the last, ``None`` for a clip without a clock.

    ``elapsed_s``: from the first frame that shows the needle, tip or shaft, to the last one.
    ``tip_visible_share``: part of that time in which the tip was seen; a frame counts until the
    next one. ``path_length``: the whole way of the tip (see the module). ``way_in``: ``L``, the
    part of it up to where the needle was deepest for the last time, so that drawing it out at
    the end is no waste. ``straight_way_in``: ``d``, from the path's beginning to there.
    ``path_inefficiency_pct``: ``100·(L/d - 1)``, 0 for a straight insertion, ``None`` if it
    went nowhere.
    ``advance``: sum of the moves' parts forward along the needle; ``advance_visible_share``:
    how much of it was made while the tip was seen, each move by the share of its time.
    ``redirections``: how often the needle, moving, pointed `REDIRECTION_DEG` elsewhere than
    when last counted. ``withdrawals``: how often it was drawn back by `WITHDRAWAL_MOVES`.
    ``nearest_nerve``, ``nearest_vessel``: smallest distance of the seen tip to an outline, 0
    inside; ``None`` if the class never was in view. ``smoothness``: `spectral_arc_length` of the
    tip's speed over the longest stretch in sight, breaks of up to 0.3 s bridged; ``None`` if it
    moved less than five least moves in it.
    """

    unit: Literal["mm", "px"]
    frames: int
    not_yet_frames: int
    seen_frames: int
    predicted_frames: int
    lost_frames: int
    clip_s: float | None
    elapsed_s: float | None
    tip_visible_share: float | None
    path_length: float | None
    way_in: float | None
    straight_way_in: float | None
    path_inefficiency_pct: float | None
    advance: float | None
    advance_visible_share: float | None
    redirections: int | None
    withdrawals: int | None
    nearest_nerve: float | None
    nearest_vessel: float | None
    smoothness: float | None


def sample_of(result: FrameResult) -> NeedleSample:
    """The part of a frame's result that an insertion is measured by."""
    state, region = result.needle_state, result.segmentation.region
    needle = state.needle
    return NeedleSample(
        time_s=result.frame.time_s,
        status=state.status,
        tip_xy=needle.tip_xy if needle else None,
        entry_xy=needle.entry_xy if needle else None,
        shaft_shown=state.shaft_xy is not None,
        distances_px=dict(result.guidance.distances_px) if result.guidance else {},
        mm_per_px=result.frame.mm_per_px,
        diagonal_px=math.hypot(region.width, region.height),
    )


def tip_statuses(samples: Sequence[NeedleSample]) -> list[TipStatus]:
    """What is known of the tip on every frame: one that was never seen is not yet there to lose."""
    statuses: list[TipStatus] = [sample.status for sample in samples]
    known = (index for index, status in enumerate(statuses) if status != "lost")
    first = next(known, len(statuses))
    statuses[:first] = ["not yet"] * first
    return statuses


def measure(samples: Iterable[NeedleSample], *, clocked: bool = True) -> InsertionMetrics:
    """The measures of one clip's frames, in the order shown.

    Times that repeat count as no time passed, and so do those that run back. Without a clock
    (``clocked`` False: the source counts its frames and times are made up) no time is told and
    nothing that hangs on speed, and shares of the time are shares of the frames. A clip without
    a needle, or without a frame, measures nothing: all is ``None`` but the counts.
    """
    clip = tuple(samples)
    times = _clock(clip)
    seen_s = _spent_seen(clip, times)
    scale = _scale(clip)
    path = _path(clip, times, seen_s, scale)
    count = Counter(tip_statuses(clip))
    return InsertionMetrics(
        unit="px" if scale is None else "mm",
        frames=len(clip),
        not_yet_frames=count["not yet"],
        seen_frames=count["seen"],
        predicted_frames=count["predicted"],
        lost_frames=count["lost"],
        clip_s=(float(times[-1]) if len(times) else 0.0) if clocked else None,
        elapsed_s=_elapsed(clip, times) if clocked else None,
        tip_visible_share=_visible_share(clip, times, seen_s),
        path_length=path.length,
        way_in=path.way_in,
        straight_way_in=path.straight_way_in,
        path_inefficiency_pct=path.inefficiency_pct,
        advance=path.advance,
        advance_visible_share=path.advance_visible_share,
        redirections=path.redirections,
        withdrawals=path.withdrawals,
        nearest_nerve=_nearest(clip, "nerve", scale),
        nearest_vessel=_nearest(clip, "vessel", scale),
        smoothness=path.smoothness if clocked else None,
    )


def _clock(clip: Sequence[NeedleSample]) -> _Floats:
    """Seconds since the first frame; a clock that runs back stands still meanwhile."""
    times = np.array([sample.time_s for sample in clip], dtype=np.float64)
    steps = np.diff(times, prepend=times[:1]).clip(min=0)
    return np.cumsum(np.nan_to_num(steps, nan=0.0, posinf=0.0))


def _spent_seen(clip: Sequence[NeedleSample], times: _Floats) -> _Floats:
    """Seconds in which the tip was seen, up to each frame."""
    seen = np.array([sample.status == "seen" for sample in clip], dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(seen[:-1] * np.diff(times))])[: len(clip)]


def _scale(clip: Sequence[NeedleSample]) -> float | None:
    """Millimetres per pixel, if all frames tell the same."""
    scales = [sample.mm_per_px for sample in clip]
    first = scales[0] if scales else None
    if first is None:
        return None
    same = all(scale is not None and math.isclose(scale, first, rel_tol=1e-6) for scale in scales)
    return first if same else None


def _shown(clip: Sequence[NeedleSample]) -> tuple[int, int] | None:
    """First and last frame that shows the needle itself, its tip or its shaft."""
    shown = [index for index, each in enumerate(clip) if each.status == "seen" or each.shaft_shown]
    return (shown[0], shown[-1]) if shown else None


def _elapsed(clip: Sequence[NeedleSample], times: _Floats) -> float | None:
    ends = _shown(clip)
    return None if ends is None else float(times[ends[1]] - times[ends[0]])


def _visible_share(clip: Sequence[NeedleSample], times: _Floats, seen_s: _Floats) -> float | None:
    ends, elapsed = _shown(clip), _elapsed(clip, times)
    if ends is None or not elapsed:
        return None
    return float(seen_s[ends[1]] - seen_s[ends[0]]) / elapsed


def _path(
    clip: Sequence[NeedleSample], times: _Floats, seen_s: _Floats, scale: float | None
) -> TipPath:
    seen = [index for index, sample in enumerate(clip) if sample.status == "seen"]
    tips, entries = (
        np.array([getattr(clip[index], name) for index in seen], dtype=np.float64).reshape(-1, 2)
        for name in ("tip_xy", "entry_xy")
    )
    way = tips - entries
    length = np.hypot(*way.T)[:, None]
    diagonal = max((sample.diagonal_px for sample in clip), default=0.0)
    return TipPath(
        times_s=times[seen],
        seen_s=seen_s[seen],
        tips=tips * (scale or 1.0),
        directions=way / np.where(length > 0, length, 1.0),
        least_move=LEAST_MOVE_SHARE * diagonal if scale is None else LEAST_MOVE_MM,
    )


def _nearest(clip: Sequence[NeedleSample], name: str, scale: float | None) -> float | None:
    distances = [
        sample.distances_px[name]
        for sample in clip
        if sample.status == "seen" and name in sample.distances_px
    ]
    return min(distances) * (scale or 1.0) if distances else None
