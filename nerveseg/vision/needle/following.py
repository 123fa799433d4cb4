"""One needle that is followed, or may come to be: its filter and what speaks for it."""

from __future__ import annotations

import math
from typing import Self

from nerveseg.types import Needle, Point
from nerveseg.vision.needle.motion import MotionFilter
from nerveseg.vision.needle.settings import TrackerSettings

__all__ = ["Follower"]

_LIKELY_LINE = 13.8
_LIKELY_NEEDLE = 16.3
"""Squared Mahalanobis distance within which 99.9 % of true observations lie: chi-square of
2 degrees of freedom (line) and of 3 (whole needle)."""

_ROUNDING_S = 1e-6


class Follower:
    """A needle since its first observation ``seen`` at ``now_s``; see `begin`."""

    def __init__(
        self, seen: Needle, diagonal_px: float, settings: TrackerSettings, now_s: float
    ) -> None:
        self.seen = seen
        self.hit_s = now_s
        self.tip_s = -math.inf
        self._px = diagonal_px
        self._settings = settings
        self._born_s = self._frame_s = now_s
        self._hits = 1
        self._tip_hits = 0
        self._tip_born_s = now_s
        self._proven = False
        self._leaves_s = math.inf
        self._tip_confidence = seen.confidence
        tip = seen.confidence >= settings.start_confidence
        self._filter = MotionFilter(seen, diagonal_px, settings.motion, tip=tip)
        if tip:
            self._begin_tip(seen, now_s)

    @classmethod
    def begin(
        cls, seen: Needle, diagonal_px: float, settings: TrackerSettings, now_s: float
    ) -> Self | None:
        """A new needle, if the observation is sure enough of its tip or of its line."""
        tip = seen.confidence >= settings.start_confidence
        if tip or seen.shaft_confidence >= settings.start_shaft_confidence:
            return cls(seen, diagonal_px, settings, now_s)
        return None

    @property
    def confirmed(self) -> bool:
        """Whether its line agreed with itself on enough frames in a row."""
        return self._enough(self._hits, self.hit_s - self._born_s)

    def tip_known(self, now_s: float) -> bool:
        """Whether its tip is proven and was seen a short time ago."""
        recent = now_s - self.tip_s <= self._settings.predict_s + _ROUNDING_S
        return self._proven and recent

    def age_s(self, now_s: float) -> float:
        """Seconds since the first observation."""
        return now_s - self._born_s

    def has_left(self, now_s: float) -> bool:
        """Whether it is out of the picture, as fast as its tip was going when last seen."""
        return now_s >= self._leaves_s

    def trust(self) -> None:
        """Take its tip, if it has one, for proven: there is nothing to compare it with."""
        self._proven = self._tip_hits > 0

    def predict(self, step_s: float, now_s: float) -> None:
        """Move on by ``step_s`` seconds, to ``now_s``.

        A tip that is lost is forgotten, and so is one drawn back past its entry: it is out.
        """
        self._filter.predict(step_s, coasting=self.tip_s < self._frame_s)
        self._frame_s = now_s
        out = _ahead(self._filter, self.seen.entry_xy) > 0
        if self._proven and (out or not self.tip_known(now_s)):
            self._proven, self._tip_hits = False, 0

    def take(self, seen: Needle, now_s: float) -> bool:
        """Take in what fits of an observation; True if nothing in it speaks of another needle."""
        settings = self._settings
        tip_from = settings.keep_confidence if self._tip_hits else settings.start_confidence
        tip = seen.confidence >= tip_from
        if not tip and seen.shaft_confidence < settings.keep_shaft_confidence:
            return False
        if self._filter.line_distance(seen) > _LIKELY_LINE:
            return False
        self.seen, self.hit_s = seen, now_s
        self._hits += 1
        return self._take_tip(seen, now_s) if tip else self._take_line(seen)

    def miss(self) -> None:
        """Note a frame without it: a tip that isn't proven has to begin again."""
        if not self._proven:
            self._tip_hits = 0

    def replaces_tip_of(self, other: Follower) -> bool:
        """Whether this is the same needle with its tip deeper than was thought.

        A tip that shows up short of where it was is rather one that has left the plane.
        """
        along = _ahead(other._filter, self._filter.tip_xy)
        return other._filter.line_distance(self.seen) <= _LIKELY_LINE and along > 0

    def needle(self, now_s: float) -> Needle:
        """The needle with its tip where the filter has it; what isn't seen now has faded."""
        tip_xy = self._filter.tip_xy
        kept = math.exp(-(now_s - self.tip_s) / self._settings.fade_s)
        shown = self.hit_s >= now_s
        return Needle(
            entry_xy=self._filter.on_line(self.seen.entry_xy),
            tip_xy=tip_xy,
            confidence=self._tip_confidence * kept,
            shaft_confidence=self.seen.shaft_confidence * (1.0 if shown else kept),
            shaft_xy=self.shaft_xy if shown else (tip_xy, tip_xy),
            visible_share=self.seen.visible_share if shown else 0.0,
        )

    @property
    def shaft_xy(self) -> tuple[Point, Point]:
        """The ends of the shaft that was last seen, on the filter's line."""
        shallow, deep = self.seen.shaft_xy
        return self._filter.on_line(shallow), self._filter.on_line(deep)

    def _take_line(self, seen: Needle) -> bool:
        self._filter.correct(seen, tip=False)
        if not self._proven:
            self._tip_hits = 0
        return True

    def _take_tip(self, seen: Needle, now_s: float) -> bool:
        if self._tip_hits and self._filter.distance(seen) <= _LIKELY_NEEDLE:
            self._filter.correct(seen, tip=True)
            self._tip_hits += 1
            self._note_tip(seen, now_s)
            return True
        if self._proven:
            self._filter.correct(seen, tip=False)
            return False
        self._filter = MotionFilter(seen, self._px, self._settings.motion, tip=True)
        self._begin_tip(seen, now_s)
        return True

    def _begin_tip(self, seen: Needle, now_s: float) -> None:
        self._tip_hits, self._tip_born_s = 1, now_s
        self._note_tip(seen, now_s)

    def _note_tip(self, seen: Needle, now_s: float) -> None:
        self.tip_s, self._tip_confidence = now_s, seen.confidence
        way, advance = -_ahead(self._filter, seen.entry_xy), self._filter.advance
        self._leaves_s = now_s + max(way, 0.0) / -advance if advance < 0 else math.inf
        enough = self._enough(self._tip_hits, now_s - self._tip_born_s)
        self._proven = self._proven or enough

    def _enough(self, hits: int, over_s: float) -> bool:
        settings = self._settings
        return hits >= settings.confirm_hits and over_s >= settings.confirm_s - _ROUNDING_S


def _ahead(filter_: MotionFilter, point: Point) -> float:
    """How far ``point`` lies beyond the filter's tip, along the needle."""
    (x, y), (along_x, along_y) = filter_.tip_xy, filter_.direction
    return (point[0] - x) * along_x + (point[1] - y) * along_y
