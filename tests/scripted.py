"""A live source that does as it is told: each frame, error and end comes from the test."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import numpy as np

from nerveseg.errors import SourceError
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from nerveseg.types import Frame, GrayImage
from nerveseg.video.clip import Clip
from tests.discs import drawn_frame

_END = object()


class ScriptedClip(Clip):
    """Gives what is put into ``script``: frames, errors to raise, or ``END``."""

    END = _END

    def __init__(self, script: queue.Queue[object], *, frame_count: int | None = None) -> None:
        super().__init__("scripted", file="scripted", fps=30.0, frame_count=frame_count)
        self._script = script

    def _frames(self) -> Iterator[Frame]:
        while not self._closing.is_set():
            try:
                item = self._script.get(timeout=0.02)
            except queue.Empty:
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            assert isinstance(item, Frame)
            yield item
        raise SourceError("scripted was closed")


class Script:
    """Opens scripted clips, one after the other, over one queue of what they give."""

    def __init__(self, *, frame_count: int | None = None) -> None:
        self.queue: queue.Queue[object] = queue.Queue()
        self.refusals: list[BaseException] = []
        self.openings = 0
        self._frame_count = frame_count
        self._given = 0

    def __call__(self, uri: str) -> ScriptedClip:
        self.openings += 1
        if self.refusals:
            raise self.refusals.pop(0)
        return ScriptedClip(self.queue, frame_count=self._frame_count)

    def give(self, *, pixels: GrayImage | None = None, time_s: float | None = None) -> None:
        number, self._given = self._given, self._given + 1
        picture = drawn_frame(number) if pixels is None else pixels
        self.queue.put(Frame(number, number / 30 if time_s is None else time_s, picture))

    def fail(self, error: BaseException) -> None:
        self.queue.put(error)

    def end(self) -> None:
        self.queue.put(_END)


class Heard:
    """A listener that keeps all that it hears."""

    def __init__(self) -> None:
        self.captures: list[LiveFrame] = []
        self.frames: list[LiveFrame] = []
        self.results: list[LiveResult] = []
        self.statuses: list[LiveStatus] = []

    def on_capture(self, shot: LiveFrame) -> None:
        self.captures.append(shot)

    def on_frame(self, shot: LiveFrame) -> None:
        self.frames.append(shot)

    def on_result(self, result: LiveResult) -> None:
        self.results.append(result)

    def on_status(self, status: LiveStatus) -> None:
        self.statuses.append(status)


def flat(level: int, *, shape: tuple[int, int] = (240, 320)) -> GrayImage:
    return np.full(shape, level, np.uint8)
