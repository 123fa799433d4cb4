"""What every source of frames has in common: one iterator with a name, a length and a clock."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from nerveseg.errors import SourceError
from nerveseg.types import Frame

__all__ = [
    "MAX_CLIP_PIXELS",
    "MAX_IMAGE_PIXELS",
    "MIN_SIDE",
    "Clip",
    "Facts",
    "check_size",
    "file_names",
]

Facts: TypeAlias = Mapping[str, str | int | float | None]
"""What is known of a device: ``asked size`` and ``size``, ``rate``, ``format`` and the like."""

MIN_SIDE = 16
"""Shortest side of a picture, in pixels, in which anything can be found."""

MAX_IMAGE_PIXELS = 64_000_000
"""Largest still picture that is decoded, in pixels (8000 by 8000)."""

MAX_CLIP_PIXELS = 36_000_000
"""Largest frame of a clip that is decoded, in pixels (8K video has 33 million)."""

_PROBLEMS_KEPT = 10

_LET_GO_S = 1.0
"""How long `Clip.close` waits for another thread to come out of a read, in seconds."""


def check_size(name: str, width: int, height: int, *, most: int = MAX_IMAGE_PIXELS) -> None:
    """Raise `SourceError` unless a picture of ``width`` × ``height`` pixels can be worked on."""
    if min(width, height) < MIN_SIDE:
        raise SourceError(
            f"{name} is {width}x{height} pixels, too small to show anything; "
            f"expected at least {MIN_SIDE}x{MIN_SIDE}"
        )
    if width * height > most:
        raise SourceError(
            f"{name} is {width}x{height} pixels, expected at most "
            f"{most // 1_000_000} million; scale it down first"
        )


class Clip(ABC):
    """An iterator of `Frame` over one source, and a context manager that lets go of it.

    Frames come in the order shown, one at a time: memory doesn't grow with the clip. ``index``
    is the position in the source, so it jumps by ``stride`` and over broken frames; ``time_s``
    rises strictly. A source that breaks off gives all it has and then raises `SourceError`, as
    does a read after `close`. A clip is read once: open it again to start over.

    A live source blocks until there is a frame. `close` may come from any thread; a read that
    blocks then ends with `SourceError`, within about a second.

    ``name``: the file's stem. ``frame_count``: what the source declares, ``None`` if it doesn't;
    a container can be wrong about it. ``fps``: nominal pictures a second, ``None`` where the
    source has no clock; its frames are then counted one a second. ``size_wh``: width and height
    in pixels, ``None`` where they differ or aren't known yet. ``mm_per_px``: ``None`` when unknown.
    ``broken_frames``: frames that could not be decoded and were skipped, so far; ``problems``:
    a line about each of the first ten. ``facts``: what a device was asked for and what it read
    back; empty for a file. ``live``: whether it has no end of its own, so that one that breaks
    off may come back; by default, whether it declares no length. ``stills``: whether its pictures
    have nothing to do with each other. ``coloured``: share (0..1) of the
    last picture's pixels that had a colour before it was made grey, ``None`` where nobody looked.
    """

    stills = False

    def __init__(
        self,
        name: str,
        *,
        file: str,
        stride: int = 1,
        frame_count: int | None = None,
        fps: float | None = None,
        size_wh: tuple[int, int] | None = None,
        mm_per_px: float | None = None,
    ) -> None:
        if stride < 1:
            raise SourceError(f"a stride of {stride} reads no frames; expected 1 or more")
        self.name = name
        self.file = file
        self.stride = stride
        self.frame_count = frame_count
        self.fps = fps
        self.size_wh = size_wh
        self.mm_per_px = mm_per_px
        self.broken_frames = 0
        self.problems: list[str] = []
        self.facts: Facts = {}
        self.live = frame_count is None
        self.coloured: float | None = None
        self._stream: Iterator[Frame] | None = None
        self._closing = threading.Event()
        self._reading = threading.Lock()
        self._held = ExitStack()

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Every ``stride``-th frame, in order; raises `SourceError` at an early end."""

    def frame_name(self, index: int) -> str:
        """What results of frame ``index`` are filed under: ``clip_000012``."""
        return f"{self.name}_{index:06d}"

    def frame_file(self, index: int) -> str:  # noqa: ARG002 - a folder overrides it
        """Name of the file that holds frame ``index``."""
        return self.file

    def close(self) -> None:
        """Let go of the source, from any thread; more than once does no harm.

        Where another thread reads just now, that thread lets go, as soon as its read is done.
        """
        self._closing.set()
        self._wake()
        if self._reading.acquire(timeout=_LET_GO_S):
            try:
                self._let_go()
            finally:
                self._reading.release()

    def _wake(self) -> None:
        """End a read that waits; `close` calls it after ``_closing`` is set."""
        return

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and hasattr(stream, "close"):
            stream.close()
        self._held.close()

    def _broken(self, problem: str, *, count: int = 1) -> None:
        self.broken_frames += count
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        with self._reading:
            try:
                if not self._closing.is_set():
                    return self._read_on()
            except StopIteration:
                # What a read that was woken ends with is no end of the clip.
                if not self._closing.is_set():
                    raise
            finally:
                if self._closing.is_set():
                    self._let_go()
        raise SourceError(f"{self.file} was closed; open it again to read it")

    def _read_on(self) -> Frame:
        if self._stream is None:
            self._stream = self._frames()
        return next(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def file_names(path: Path) -> tuple[str, str]:
    """A clip's ``name`` and ``file`` for ``path``; ``scan.igs.mha`` is named ``scan.igs``."""
    return path.stem, path.name
