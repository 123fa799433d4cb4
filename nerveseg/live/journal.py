"""What happened in a session, in the order in which it did: kept for who asks, and logged."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from nerveseg.live.values import LiveState, LiveStatus

__all__ = ["Event", "Journal"]

_logger = logging.getLogger(__name__)

_KEPT = 2000
_FIGURES_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: when (seconds since the epoch), its key, and in words."""

    at: float
    key: str
    text: str


class Journal:
    """Events of the session called ``name``, the last 2,000 of them; each goes to the log too.

    About every ten seconds, and with each change of state, the log gets the session's figures.
    Any thread may write. ``clock`` tells seconds.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._now = clock
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._state: LiveState | None = None
        self._keys: tuple[str, ...] = ()
        self._figures_due_s = 0.0

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far, the oldest first, as far as it is kept."""
        with self._lock:
            return tuple(self._events)

    def note(self, key: str, text: str) -> None:
        """Something happened."""
        with self._lock:
            self._events.append(Event(time.time(), key, text))
        _logger.info("%s: %s: %s", self._name, key, text)

    def is_news(self, status: LiveStatus) -> bool:
        """Whether the state, or which notices there are, differs from what `follow` was told."""
        return (status.state, _keys(status)) != (self._state, self._keys)

    def follow(self, status: LiveStatus) -> None:
        """Note what came and went since the last status."""
        with self._lock:
            state, self._state = self._state, status.state
            known, self._keys = self._keys, _keys(status)
            now_s = self._now()
            due = state != status.state or now_s >= self._figures_due_s
            if due:
                self._figures_due_s = now_s + _FIGURES_EVERY_S
        if state != status.state:
            self.note("state", status.state)
        for notice in status.notices:
            if notice.key not in known:
                self.note(notice.key, notice.text)
        for key in known:
            if key not in _keys(status):
                self.note(key, "over")
        if due and status.delivered:
            _logger.info("%s: %s", self._name, _figures(status))


def _keys(status: LiveStatus) -> tuple[str, ...]:
    return tuple(notice.key for notice in status.notices)


def _figures(status: LiveStatus) -> str:
    """``300 frames came, 298 analysed, 2 passed over; of 30 a second 29.9 came, …``."""
    promised = "a second" if status.promised_fps is None else f"of {status.promised_fps:g} a second"
    age = "" if status.age_ms is None else f", {status.age_ms:.0f} ms after they came"
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in status.stage_ms.items())
    return (
        f"{status.delivered:,} frames came, {status.analysed:,} analysed, "
        f"{status.passed_over:,} passed over; {promised} {status.delivered_fps:.1f} came, "
        f"{status.distinct_fps:.1f} of them new, {status.analysed_fps:.1f} analysed{age}; "
        f"ms a frame: {stages or 'none yet'}"
    )
