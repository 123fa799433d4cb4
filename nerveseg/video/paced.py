"""A recording played as if it were live: at its own pace, over and over, or both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from nerveseg.types import Frame
from nerveseg.video.clip import Clip

__all__ = ["PacedClip"]

_STEP_S = 1.0


class PacedClip(Clip):
    """Another clip, with its frames at the time at which they are to be shown, or endless.

    ``reopen`` gives that clip, anew each time that it is called. With ``loop`` it begins again at
    its end: indices and times go on rising, with one usual step between the last frame and the
    first. With ``realtime`` each frame is given when its time has come, counted from the first
    one; none is left out, so a slow reader gets them late, and never early.
    """

    def __init__(
        self,
        reopen: Callable[[], Clip],
        *,
        loop: bool = False,
        realtime: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clip = reopen()
        self._reopen = reopen
        self._loop = loop
        self._realtime = realtime
        self._now = clock
        inner = self._clip
        super().__init__(
            inner.name,
            file=inner.file,
            stride=inner.stride,
            frame_count=None if loop else inner.frame_count,
            fps=inner.fps,
            size_wh=inner.size_wh,
            mm_per_px=inner.mm_per_px,
        )
        self.facts, self.live, self.stills = inner.facts, loop, inner.stills
        self._held.callback(lambda: self._clip.close())

    def _frames(self) -> Iterator[Frame]:
        begun_s: float | None = None
        for frame in self._all():
            if self._realtime:
                begun_s = self._now() - frame.time_s if begun_s is None else begun_s
                self._wait_until(begun_s + frame.time_s)
            if self._closing.is_set():
                return
            yield frame

    def _wait_until(self, due: float) -> None:
        while not self._closing.is_set() and (left_s := due - self._now()) > 0:
            self._closing.wait(left_s)

    def _all(self) -> Iterator[Frame]:
        """The frames of one round after another."""
        first_index, first_s = 0, 0.0
        while True:
            index, time_s, step_s = -1, -1.0, _STEP_S / (self.fps or 1.0)
            for frame in self._clip:
                step_s = frame.time_s - time_s if index >= 0 else step_s
                index, time_s = frame.index, frame.time_s
                yield replace(frame, index=first_index + index, time_s=first_s + time_s)
            self._count_broken()
            if not self._loop or index < 0:
                return
            first_index, first_s = first_index + index + 1, first_s + time_s + step_s
            self._begin_again()

    def _begin_again(self) -> None:
        self._clip.close()
        if not self._closing.is_set():
            self._clip = self._reopen()

    def _count_broken(self) -> None:
        if self._clip.broken_frames:
            shown = "; ".join(self._clip.problems)
            self._broken(shown, count=self._clip.broken_frames)

    def frame_file(self, index: int) -> str:
        """Name of the file that holds frame ``index``."""
        if self._loop and self._clip.frame_count:
            index %= self._clip.frame_count
        return self._clip.frame_file(index)
