"""The session's clock: the source's own times where they make sense, arrival times elsewhere."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Rate", "SessionClock"]

_LONGEST_STEP_S = 10.0
"""A source whose clock jumps ahead further than this between two frames has set it anew."""

_LEAST_STEP_S = 1e-4


class SessionClock:
    """Turns a source's presentation times into seconds of the session that rise strictly.

    A source counts from anew each time that it is opened; one that is faulty goes back, stands
    still or says no number. There the time goes on with the frames' arrival.
    """

    def __init__(self) -> None:
        self._last_s = -math.inf
        self._source_s: float | None = None
        self._offset_s = 0.0
        self.faults = 0

    def reopen(self) -> None:
        """The source was opened (again): what it said before means nothing now."""
        self._source_s = None

    def read(self, source_s: float, arrived_s: float) -> float:
        """Seconds of the session for a frame that the source gives ``source_s`` to.

        ``arrived_s`` is when it came, in seconds since the session began. ``faults`` counts the
        times that could not be right.
        """
        before, self._source_s = self._source_s, source_s if math.isfinite(source_s) else None
        if before is None or not self._follows(before, source_s):
            self.faults += before is not None or self._source_s is None
            start_s = max(arrived_s, self._last_s + _LEAST_STEP_S)
            self._offset_s = start_s - (self._source_s or 0.0)
            self._last_s = start_s
        else:
            self._last_s = max(self._offset_s + source_s, self._last_s + _LEAST_STEP_S)
        return self._last_s

    @staticmethod
    def _follows(before_s: float, source_s: float) -> bool:
        return math.isfinite(source_s) and 0 < source_s - before_s <= _LONGEST_STEP_S


class Rate:
    """Events a second over the last ``window_s`` seconds."""

    def __init__(self, window_s: float = 2.0) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()
        self._since_s: float | None = None

    def add(self, now_s: float) -> None:
        """One event, at ``now_s`` of a clock that doesn't go back."""
        if self._since_s is None:
            self._since_s = now_s
        self._times.append(now_s)
        self._forget(now_s)

    def at(self, now_s: float) -> float:
        """The rate at ``now_s``; over what has passed so far, while that is less than a window."""
        self._forget(now_s)
        if self._since_s is None or not self._times:
            return 0.0
        span_s = min(self._window_s, now_s - self._since_s)
        # The first event begins the first interval; only those after it end one.
        count = len(self._times) - (span_s < self._window_s)
        return count / span_s if span_s > 0 else 0.0

    def _forget(self, now_s: float) -> None:
        while self._times and self._times[0] <= now_s - self._window_s:
            self._times.popleft()
