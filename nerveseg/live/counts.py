"""How many frames came, were analysed and were passed over, at what rate and how late."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from statistics import median

from nerveseg.live.clock import Rate
from nerveseg.live.values import LiveResult, LiveStatus

__all__ = ["Counts"]

_SETTLING_S = 4.0
"""Rates mean nothing before a source has run for this long, which is longer than their window."""

_KEPT = 60
"""Results over which ages and stages are told."""


class Counts:
    """Counts and rates; each figure is written by one thread."""

    def __init__(self) -> None:
        self.delivered = 0
        self.passed_over = 0
        self._analysed = 0
        self._settling_since_s: float | None = None
        self._delivered, self._distinct, self._analysed_rate = Rate(), Rate(), Rate()
        self._ages_ms: deque[float] = deque(maxlen=_KEPT)
        self._stages: deque[dict[str, float]] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def came(self, now_s: float, *, distinct: bool) -> None:
        """A frame came; ``distinct`` if it differs from the one before it."""
        with self._lock:
            self.delivered += 1
            if self._settling_since_s is None:
                self._settling_since_s = now_s
            self._delivered.add(now_s)
            if distinct:
                self._distinct.add(now_s)

    def analysed_one(self, now_s: float, found: LiveResult) -> None:
        """A frame was analysed."""
        with self._lock:
            self._analysed += 1
            self._analysed_rate.add(now_s)
            self._ages_ms.append((found.ready_at - found.shot.captured_at) * 1e3)
            self._stages.append(dict(found.result.timings_ms))

    def settle_anew(self) -> None:
        """After a pause rates mean nothing, until the source has run for a while again."""
        with self._lock:
            self._settling_since_s = None

    def settled(self, now_s: float) -> bool:
        """Whether the source has run for long enough that rates mean something."""
        since_s = self._settling_since_s
        return since_s is not None and now_s - since_s >= _SETTLING_S

    def told_in(self, status: LiveStatus, now_s: float) -> LiveStatus:
        """``status`` with all figures as they are at ``now_s``."""
        with self._lock:
            stages = list(self._stages)
            return replace(
                status,
                delivered_fps=self._delivered.at(now_s),
                distinct_fps=self._distinct.at(now_s),
                analysed_fps=self._analysed_rate.at(now_s),
                delivered=self.delivered,
                analysed=self._analysed,
                passed_over=self.passed_over,
                age_ms=median(self._ages_ms) if self._ages_ms else None,
                stage_ms={
                    name: median(stage[name] for stage in stages)
                    for name in (stages[-1] if stages else ())
                },
            )
