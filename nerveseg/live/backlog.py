"""What waits to be written: a bounded number of bytes, so that a slow disk can't fill memory."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from nerveseg.live.values import LiveFrame

__all__ = ["Backlog", "HeldBack"]

T = TypeVar("T")


class Backlog(Generic[T]):
    """Items in the order in which they came, of at most ``most_bytes`` together.

    One thread takes, any number put, and none of them ever waits to put.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._items: deque[tuple[T, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T, size: int) -> bool:
        """Add an item of ``size`` bytes; False if it doesn't fit, or after `close`.

        The first always fits, so that a picture larger than the bound is kept too.
        """
        with self._changed:
            full = self._held > 0 and self._held + size > self._most
            if full or self._closed:
                return False
            self._items.append((item, size))
            self._held += size
            self._changed.notify()
            return True

    def take(self, timeout_s: float) -> T | None:
        """The oldest item; ``None`` if none comes in time, and at once where none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._held -= size
            return item

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._closed

    @property
    def done(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._items

    def close(self) -> None:
        """Take no more; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> None:
        """Take no more, and drop what is there."""
        with self._changed:
            self._items.clear()
            self._held = 0
        self.close()


class HeldBack:
    """Frames that can't be written yet, of at most ``most_bytes``: the newest are kept.

    ``left_out`` counts those that were given up; ``seconds`` is how long the oldest has waited,
    by the frames' own clock.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._shots: deque[LiveFrame] = deque()
        self.left_out = 0
        self.seconds = 0.0
        self._since_s: float | None = None

    @property
    def oldest(self) -> LiveFrame | None:
        """The one that is written next."""
        return self._shots[0] if self._shots else None

    @property
    def rate(self) -> float | None:
        """Frames a second of those that are held back, if there are two."""
        if len(self._shots) < 2:
            return None
        spent_s = self._shots[-1].frame.time_s - self._shots[0].frame.time_s
        return (len(self._shots) - 1) / spent_s if spent_s > 0 else None

    def add(self, shot: LiveFrame) -> None:
        """Hold ``shot`` back, and give up the oldest ones if there are too many."""
        self._shots.append(shot)
        self._held += shot.frame.pixels.nbytes
        if self._since_s is None:
            self._since_s = shot.frame.time_s
        self.seconds = shot.frame.time_s - self._since_s
        while self._held > self._most and len(self._shots) > 1:
            self.give_up()

    def release(self) -> None:
        """The oldest is written: it waits no more, nor do the others for long."""
        self._drop()
        self._since_s, self.seconds = None, 0.0

    def give_up(self) -> None:
        """Leave the oldest out."""
        self._drop()
        self.left_out += 1

    def give_up_all(self) -> None:
        """Leave all of them out."""
        while self._shots:
            self.give_up()

    def _drop(self) -> None:
        self._held -= self._shots.popleft().frame.pixels.nbytes
