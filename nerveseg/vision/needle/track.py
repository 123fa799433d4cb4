"""Follow a needle through a clip: *seen*, *predicted* for a moment, or *lost*.

What a frame shows comes in as an observation or its absence; what is known of the needle goes
out. One needle is followed at a time. An observation that fits it (by its Mahalanobis distance)
corrects its filter; one that doesn't is a rival, which has to prove itself on frames in a row
before it takes over. So a false alarm on a single frame moves nothing, and a needle that really
is elsewhere is found again.
"""

from __future__ import annotations

import math
from dataclasses import replace

from nerveseg.types import Needle, NeedleState, NeedleStatus
from nerveseg.vision.needle.following import Follower
from nerveseg.vision.needle.settings import TrackerSettings

__all__ = ["NeedleTracker"]

_SHORTEST_S = 0.001
_LONGEST_S = 1e6
"""What counts as passed between two frames: no probe is faster than the first, and sums of what
is longer than the second could no longer tell one frame from the next."""


class NeedleTracker:
    """Follows one needle through one clip.

    ``diagonal_px`` is the diagonal of the image region in pixels of the frame: noise and speeds
    are shares of it, so that a clip's size doesn't matter (a needle's own length won't do: it
    grows while the needle goes in). It may be set anew when the region changes. Time is the
    frames' own, at any rate: it may be uneven, stand still, pause or jump back. Raises
    `ValueError` for a diagonal that isn't positive.
    """

    def __init__(self, diagonal_px: float, *, settings: TrackerSettings | None = None) -> None:
        self.diagonal_px = diagonal_px
        self._settings = settings or TrackerSettings()
        self._still = replace(self._settings, start_confidence=self._settings.still_confidence)
        self.reset()

    @property
    def diagonal_px(self) -> float:
        """The region's diagonal, for needles that are taken up from now on."""
        return self._px

    @diagonal_px.setter
    def diagonal_px(self, value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a region's diagonal is a positive number, got {value}")
        self._px = value

    def reset(self) -> None:
        """Forget everything: the next frame is the first of another clip, believed at once."""
        self.forget()
        self._newest_s: float | None = None
        self._now_s = 0.0

    def forget(self) -> None:
        """Forget the needle, not the clip: after a cut the next frame is of another scene.

        A needle there has to prove itself on frames in a row, like any that comes in within a
        clip: where scenes are blended or frames torn, one frame may show what no scene does.
        """
        self._track: Follower | None = None
        self._rival: Follower | None = None
        self._last_tip_s: float | None = None
        self._last_sign_s = -math.inf

    def update(self, observation: Needle | None, time_s: float) -> NeedleState:
        """What is known of the needle on the frame of ``time_s`` seconds.

        ``observation`` is what the frame itself shows, ``None`` for nothing. The tip is *seen*
        when this frame shows it where it can be; then *predicted* while it was last seen at most
        ``predict_s`` ago; else *lost*. A frame that shows the shaft without its tip keeps the
        line, not the tip. A lost tip is forgotten, and has no age any more, once the needle is
        drawn out or has shown nothing of itself for ``forget_s``. A time that runs back is a new
        start; one that isn't finite counts as the last frame's.
        """
        alone = self._advance(time_s)
        if alone:
            self._track = self._rival = None
        if observation is not None:
            self._take(observation, alone=alone)
        self._drop_unsupported()
        return self._state()

    def _advance(self, time_s: float) -> bool:
        """Move clock and filters on; True where nothing is left of what was before."""
        settings = self._settings
        if not math.isfinite(time_s):
            time_s = self._newest_s or 0.0
        if self._newest_s is not None and time_s < self._newest_s - settings.seek_s:
            self.reset()
        if self._newest_s is None:
            self._newest_s = time_s
            return True
        step_s = min(max(0.0, time_s - self._newest_s), _LONGEST_S)
        self._newest_s = max(self._newest_s, time_s)
        self._now_s += _passed_s(step_s, settings)
        for follower in filter(None, (self._track, self._rival)):
            follower.predict(step_s, self._now_s)
        return step_s >= settings.still_s

    def _take(self, seen: Needle, *, alone: bool) -> None:
        if self._track is not None and self._track.take(seen, self._now_s):
            return
        if self._rival is None or not self._rival.take(seen, self._now_s):
            settings = self._still if alone else self._settings
            self._rival = Follower.begin(seen, self._px, settings, self._now_s)
        rival = self._rival
        if rival is None:
            return
        if alone:
            rival.trust()
        if alone or self._takes_over(rival):
            self._track, self._rival = rival, None

    def _takes_over(self, rival: Follower) -> bool:
        track, now_s = self._track, self._now_s
        if track is None or not track.tip_known(now_s):
            return rival.confirmed
        if not rival.tip_known(now_s):
            return False
        # The same needle's tip, deeper, is soon believed; another needle takes longer.
        return rival.replaces_tip_of(track) or rival.age_s(now_s) >= self._settings.takeover_s

    def _drop_unsupported(self) -> None:
        track, rival, now_s = self._track, self._rival, self._now_s
        if rival is not None and rival.hit_s < now_s:
            self._rival = None
        if track is None or track.hit_s >= now_s:
            return
        track.miss()
        if not track.confirmed or now_s - track.hit_s > self._settings.predict_s:
            self._track = None
            if track.has_left(now_s):
                self._last_tip_s = None

    def _state(self) -> NeedleState:
        track, now_s = self._track, self._now_s
        shaft = track.shaft_xy if track is not None and track.hit_s >= now_s else None
        if shaft is not None:
            self._last_sign_s = now_s
        elif now_s - self._last_sign_s > self._settings.forget_s:
            self._last_tip_s = None
        if track is None or not track.tip_known(now_s):
            return NeedleState("lost", age_s=self._age_s(), shaft_xy=shaft)
        self._last_tip_s = track.tip_s
        needle = track.needle(now_s)
        status: NeedleStatus = "seen" if track.tip_s >= now_s else "predicted"
        return NeedleState(status, needle, self._age_s(), shaft)

    def _age_s(self) -> float | None:
        return None if self._last_tip_s is None else self._now_s - self._last_tip_s


def _passed_s(step_s: float, settings: TrackerSettings) -> float:
    """The tracker's own time between two frames, which never stands still.

    It runs on by the clock's steps, not up to the clock: after a clock that stood still it would
    have to wait for that, and a tip would stay *seen* on frames that don't show it.
    """
    if step_s <= 0:
        return settings.repeat_s
    return max(step_s, _SHORTEST_S)
