"""The one thread that runs the model, taking turns among the clips that wait for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator

__all__ = ["Analyst", "Job"]

_logger = logging.getLogger(__name__)
_STEPS_A_TURN = 8
_END = object()


class Job:
    """Work done in steps, which may hold files open: they are closed in the work's own thread.

    ``on_crash`` is called when a step raises.
    """

    def __init__(self, steps: Generator[None], *, on_crash: Callable[[], None]) -> None:
        self._steps = steps
        self._on_crash = on_crash
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop before the next step; what the steps hold open is let go soon after."""
        self._cancelled.set()

    def turn(self) -> bool:
        """Take a few steps; False when the work is over."""
        try:
            for _ in range(_STEPS_A_TURN):
                if self._cancelled.is_set() or next(self._steps, _END) is _END:
                    self._steps.close()
                    return False
        except Exception:
            # The thread serves every viewer: one clip's bug must not end it for the others.
            _logger.exception("analysing a clip failed")
            self._on_crash()
            return False
        return True


class Analyst:
    """Works on all jobs at once, a few steps of each in turn, in one thread.

    One thread, because a `Segmenter` serves one at a time; turns, so that a short clip needn't
    wait for a long one.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="nerveseg-analyst", daemon=True)
        self._thread.start()

    def take(self, job: Job) -> None:
        """Start on ``job`` as soon as its turn comes."""
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()

    def stop(self) -> None:
        """Let go of every job and end the thread."""
        with self._wake:
            self._stopped = True
            for job in self._jobs:
                job.cancel()
            self._wake.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if job.turn():
                with self._wake:
                    self._jobs.append(job)

    def _next(self) -> Job | None:
        """The job whose turn it is, once there is one; ``None`` when all ends."""
        with self._wake:
            self._wake.wait_for(lambda: self._jobs or self._stopped)
            if self._stopped:
                for job in self._jobs:
                    job.cancel()
            return self._jobs.popleft() if self._jobs else None
