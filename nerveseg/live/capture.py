"""Reads one source for as long as it is wanted: opens it anew, with patience, when it vanishes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from nerveseg.errors import NervesegError
from nerveseg.live.values import LiveState
from nerveseg.types import Frame
from nerveseg.video.clip import Clip

__all__ = ["Capture", "Patience", "Take"]

_log = logging.getLogger(__name__)

Take = Callable[[Frame, int], None]
"""What is done with a frame and the number of times that the source was opened before; called in
the thread that reads."""

_LOOKED_AFTER_S = 0.05

_LONG_S = 0.8
"""Seconds without a frame that are told once the next one has come."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source is waited for, in seconds.

    After ``stall_s`` without a frame (``first_s`` without a first one) it is closed and opened
    anew. ``retry_s`` are the pauses between tries; the last one stays. It is short, since a
    trainee stands there with a probe.
    ``close_s`` is how long closing may take before the device is said not to answer.
    """

    stall_s: float = 2.0
    first_s: float = 5.0
    close_s: float = 5.0
    retry_s: tuple[float, ...] = (0.1, 0.2, 0.4, 0.7)


class Capture:
    """A thread that reads a source, and one that looks after it.

    The looker-after ends a read that hangs, by closing the clip under it; so a source that
    stalls, breaks off, raises or comes back is always answered in time. ``state`` is one of
    `LiveState`, ``problem`` the last thing that went wrong with the source, in its own words,
    ``None`` once a frame has come again. ``on_problem`` hears each.
    """

    def __init__(
        self,
        open_clip: Callable[[], Clip],
        take: Take,
        *,
        on_problem: Callable[[str], object] = str,
        patience: Patience | None = None,
    ) -> None:
        self._open_clip = open_clip
        self._take = take
        self._on_problem = on_problem
        self._patience = patience or Patience()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._state: LiveState = "opening"
        self._problem: str | None = None
        self._openings = 0
        self.promised_fps: float | None = None
        self.facts: Mapping[str, str | int | float | None] = {}
        self._clip: Clip | None = None
        self._thread = threading.Thread(
            target=self._look_after, name="nerveseg-live-source", daemon=True
        )

    @property
    def state(self) -> LiveState:
        """Where the source stands now."""
        return self._state

    @property
    def problem(self) -> str | None:
        """What is wrong with the source now."""
        return self._problem

    @property
    def coloured(self) -> float | None:
        """See `Clip`."""
        return None if self._clip is None else self._clip.coloured

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Let go of the source, and wait until that is done, at most for `Patience.close_s`."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._patience.close_s + 1)
        with self._lock:
            self._state = "closed"

    def _look_after(self) -> None:
        tries = 0
        while not self._stop.is_set():
            reader = _Reader(self._open_clip, self._took, self._opened, self._on_problem)
            reader.start()
            self._attend(reader)
            if self._stop.is_set() or self._is_over(reader):
                return
            tries = 1 if reader.frames else tries + 1
            self._lose(reader.problem or "the source ended")
            pauses = self._patience.retry_s
            self._stop.wait(pauses[min(tries, len(pauses)) - 1])
            self._openings += 1

    def _attend(self, reader: _Reader) -> None:
        """Wait until the reader is done; end it when it hangs, or when all ends."""
        while not reader.over.wait(_LOOKED_AFTER_S):
            if self._stop.is_set():
                reader.cancel()
                reader.over.wait(self._patience.close_s)
                return
            quiet_s, patience = reader.quiet_s, self._patience
            longest_s = patience.stall_s if reader.frames else patience.first_s
            if quiet_s > longest_s and not reader.cancelled:
                reader.problem = f"no picture for {quiet_s:.0f} s"
                self._lose(reader.problem, told=False)
                reader.cancel()
            elif reader.cancelled and quiet_s > longest_s + patience.close_s:
                self._lose("the device doesn't answer; unplug it and plug it in again", told=False)

    def _is_over(self, reader: _Reader) -> bool:
        """Whether trying again is no use: a recording's end, be it a broken one, or a source that
        was never there. One that is, but shows nothing yet, may wait for its scanner.
        """
        if reader.ended:
            self._set("ended", None)
            return True
        never_there = self._state == "opening" and not reader.opened
        if reader.expected and (never_there or reader.played):
            self._set("failed", reader.problem)
            self._on_problem(reader.problem or "")
            return True
        return False

    def _opened(self, clip: Clip) -> None:
        self._clip, self.promised_fps, self.facts = clip, clip.fps, clip.facts

    def _took(self, frame: Frame) -> None:
        if self._stop.is_set():
            return
        if self._state != "live":
            self._set("live", None)
        self._take(frame, self._openings)

    def _lose(self, problem: str, *, told: bool = True) -> None:
        self._set("lost", problem)
        if told:
            self._on_problem(problem)

    def _set(self, state: LiveState, problem: str | None) -> None:
        with self._lock:
            if self._state != "closed":
                self._state, self._problem = state, problem


class _Reader:
    """Reads one opening of the source to its end, in a thread of its own."""

    def __init__(
        self,
        open_clip: Callable[[], Clip],
        took: Callable[[Frame], None],
        opened: Callable[[Clip], None],
        on_problem: Callable[[str], object],
    ) -> None:
        self._open_clip = open_clip
        self._took = took
        self._opened = opened
        self._on_problem = on_problem
        self._clip: Clip | None = None
        self._sign_s: float | None = None
        self.over = threading.Event()
        self.cancelled = False
        self.ended = False
        self.expected = False
        self.opened = False
        self.played = False
        self.frames = 0
        self.problem: str | None = None

    @property
    def quiet_s(self) -> float:
        """Seconds since the last sign of life; opening takes the time that the source takes."""
        return 0.0 if self._sign_s is None else time.monotonic() - self._sign_s

    def start(self) -> None:
        threading.Thread(target=self._read, name="nerveseg-live-capture", daemon=True).start()

    def cancel(self) -> None:
        """End the read, also one that waits."""
        self.cancelled = True
        if self._clip is not None:
            with suppress(Exception):
                self._clip.close()

    def _read(self) -> None:
        try:
            with self._open_clip() as clip:
                self._clip, self._sign_s = clip, time.monotonic()
                self.opened, self.played = True, not clip.live
                if not self.cancelled:
                    self._opened(clip)
                    self._read_all(clip)
        except NervesegError as error:
            self._fail(str(error), expected=True)
        except Exception as error:  # noqa: BLE001 - drivers raise what they like; the session goes on
            _log.warning("reading a live source raised", exc_info=True)
            self._fail(f"the source failed with {type(error).__name__}: {error}", expected=False)
        finally:
            self.over.set()

    def _read_all(self, clip: Clip) -> None:
        broken = 0
        for frame in clip:
            if clip.broken_frames > broken:
                broken = clip.broken_frames
                self._on_problem(
                    f"could not read {broken} of its pictures so far; they were left out"
                )
            if self.cancelled:
                return
            if self.frames and self.quiet_s > _LONG_S:
                self._on_problem(f"no picture for {self.quiet_s:.1f} s")
            self._sign_s = time.monotonic()
            self.frames += 1
            self._took(frame)
            self._sign_s = time.monotonic()
        # What is live has no end: a stream that ends has been lost.
        self.ended = self.played and not self.cancelled

    def _fail(self, problem: str, *, expected: bool) -> None:
        # A read that was ended fails too, and says nothing new.
        if not self.cancelled:
            self.problem, self.expected = problem, expected
