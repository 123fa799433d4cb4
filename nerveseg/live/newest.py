"""One place for the newest frame: what waits there is replaced, never queued."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from nerveseg.live.values import LiveFrame
from nerveseg.types import Frame

__all__ = ["Handed", "Newest"]


class Newest:
    """One place for one frame, and a way to wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shot: LiveFrame | None = None
        self._closed = False
        self._restart = False

    def put(self, shot: LiveFrame) -> bool:
        """Put it there; True if another one, never taken, had to go."""
        with self._changed:
            replaced, self._shot = self._shot is not None, shot
            self._changed.notify()
        return replaced

    def begin(self) -> None:
        """Whoever takes begins anew."""
        with self._changed:
            self._restart = False

    def restart(self) -> None:
        """End whoever takes, so that it may begin anew."""
        with self._changed:
            self._restart = True
            self._changed.notify()

    def close(self) -> None:
        """Nothing is taken any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self) -> LiveFrame | None:
        """The frame, once there is one; ``None`` when it is time to begin anew, or to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._shot or self._closed or self._restart)
            if self._closed or self._restart:
                return None
            shot, self._shot = self._shot, None
            return shot


class Handed:
    """Hands the newest frames to the pipeline and remembers which it has."""

    def __init__(self, waiting: Newest) -> None:
        self._waiting = waiting
        self.last: LiveFrame

    def __iter__(self) -> Iterator[Frame]:
        while (shot := self._waiting.take()) is not None:
            self.last = shot
            yield shot.frame
