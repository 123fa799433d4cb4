"""One session's news for any number of pages: each piece is encoded once, the newest wins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from nerveseg.live.reel import inside
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from nerveseg.types import Box
from nerveseg.ui.live.fence import Fence
from nerveseg.ui.live.messages import (
    frame_json,
    overlay_of,
    pack,
    pointer_json,
    status_json,
    watched_json,
)
from nerveseg.ui.payload import picture_jpeg

__all__ = ["POINTS_S", "Hub", "Kind", "Viewer"]

Kind: TypeAlias = Literal["trainee", "watcher", "camera"]
"""A ``trainee`` sees all, a ``watcher`` nothing outside the image region; a ``camera`` is a page
that has the picture itself, and gets one only while it is frozen."""

POINTS_S = 4.0
"""Seconds for which a marker is shown."""

_QUALITY = 80


class _Piece:
    """Finished JSON with the serial number by which a viewer knows it."""

    def __init__(self, serial: int, said: bytes, to_watchers: bytes | None = None) -> None:
        self.serial, self._said, self.at = serial, said, time.monotonic()
        self._to_watchers = to_watchers

    def said(self, kind: Kind) -> bytes:
        """What this kind of viewer is told."""
        return self._said if kind != "watcher" else self._to_watchers or self._said


class _Picture(_Piece):
    """A frame, encoded once for those who see all and once for those who don't."""

    def __init__(self, serial: int, shot: LiveFrame, box: Box | None) -> None:
        super().__init__(serial, frame_json(shot))
        self.shot, self.box = shot, box
        self._lock = threading.Lock()
        self._encoded: dict[bool, bytes] = {}

    def jpeg(self, kind: Kind) -> bytes | None:
        """``None`` where it isn't known yet what this kind of viewer may see."""
        box = self.box
        if kind == "watcher" and box is None:
            return None
        with self._lock:
            if (kind == "watcher") not in self._encoded:
                pixels = self.shot.frame.pixels
                if kind == "watcher" and box is not None:
                    pixels = inside(pixels, box)
                self._encoded[kind == "watcher"] = picture_jpeg(pixels, quality=_QUALITY)
            return self._encoded[kind == "watcher"]


class Hub:
    """A `Listener` that keeps the newest of everything and wakes the viewers.

    ``facts`` is asked for what its owner adds to each status; ``stamp_of`` for the mark that a
    page gave to the frame of a number. Viewers are woken from the session's threads.
    """

    def __init__(
        self,
        *,
        facts: Callable[[], Mapping[str, Any]] = dict,
        stamp_of: Callable[[int], float | None] = lambda _: None,
    ) -> None:
        self._facts, self._stamp_of = facts, stamp_of
        self._lock = threading.Lock()
        self._viewers: set[Viewer] = set()
        self._serial = 0
        self._fence = Fence()
        self._status = LiveStatus("opening")
        self._result: LiveResult | None = None
        self._picture: _Picture | None = None
        self._pieces: dict[str, _Piece] = {}
        self.closed = False

    def on_capture(self, shot: LiveFrame) -> None:
        """Nothing: only what is shown is sent."""

    def on_frame(self, shot: LiveFrame) -> None:
        """Encode the frame for those who are there."""
        picture = _Picture(self._next(), shot, self._fence.box(shot))
        for kind in self._kinds():
            if kind != "camera":
                picture.jpeg(kind)
        self._picture = picture
        self._wake()

    def on_result(self, result: LiveResult) -> None:
        """Encode the overlay; what may be shown of the frame is known from now on."""
        said = overlay_of(result, stamp=self._stamp_of(result.shot.number))
        self._result = result
        self._fence.update(result)
        picture = self._picture
        if picture is not None and picture.box is None:
            picture.box = self._fence.box(picture.shot)
        self._keep("overlay", said)

    def on_status(self, status: LiveStatus) -> None:
        """Encode the status."""
        self._status = status
        self.refresh()

    def refresh(self) -> None:
        """Tell the status again: what its owner adds to it has changed."""
        more = {"watching": self.watching, **self._facts()}
        said, told_watchers = status_json(self._status, more), watched_json(self._status, more)
        self._keep("status", said, to_watchers=told_watchers)

    def point(self, x: float, y: float, *, by: str) -> None:
        """Show all a marker at ``x, y``, in pixels of the frame; one beside it is left out."""
        picture = self._picture
        if picture is None:
            return
        height, width = picture.shot.frame.pixels.shape
        if 0 <= x < width and 0 <= y < height:  # also false for what is no number
            self._keep("pointer", pointer_json(x, y, by=by))

    def join(self, kind: Kind, wake: Callable[[], None]) -> Viewer:
        """A new viewer, whose ``wake`` is called, from any thread, whenever there is news."""
        viewer = Viewer(self, kind, wake)
        with self._lock:
            self._viewers.add(viewer)
        self._counted(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        with self._lock:
            self._viewers.discard(viewer)
        self._counted(viewer)

    def dismiss(self) -> None:
        """Send away those who look on by a code."""
        with self._lock:
            watchers = [viewer for viewer in self._viewers if viewer.kind == "watcher"]
        for viewer in watchers:
            viewer.dismissed = True
            viewer.wake()

    def close(self) -> None:
        """Wake all viewers for the last time."""
        self.closed = True
        self._wake()

    @property
    def result(self) -> LiveResult | None:
        """The newest result."""
        return self._result

    @property
    def shown(self) -> LiveFrame | None:
        """The frame that is shown."""
        return None if self._picture is None else self._picture.shot

    @property
    def frozen(self) -> bool:
        """Whether the picture stands still."""
        return self._status.frozen

    @property
    def watching(self) -> int:
        """How many look on by a code."""
        with self._lock:
            return sum(viewer.kind == "watcher" for viewer in self._viewers)

    def latest(self) -> tuple[_Picture | None, dict[str, _Piece]]:
        """The newest picture, and the newest other pieces by the header's keys."""
        with self._lock:
            return self._picture, dict(self._pieces)

    def _counted(self, viewer: Viewer) -> None:
        if viewer.kind == "watcher":
            self.refresh()
        viewer.wake()

    def _kinds(self) -> set[Kind]:
        with self._lock:
            return {viewer.kind for viewer in self._viewers}

    def _keep(self, name: str, said: bytes, *, to_watchers: bytes | None = None) -> None:
        piece = _Piece(self._next(), said, to_watchers)
        with self._lock:
            self._pieces[name] = piece
        self._wake()

    def _next(self) -> int:
        with self._lock:
            self._serial += 1
            return self._serial

    def _wake(self) -> None:
        with self._lock:
            viewers = tuple(self._viewers)
        for viewer in viewers:
            viewer.wake()


class Viewer:
    """One page: what it has seen, and so what is new to it."""

    def __init__(self, hub: Hub, kind: Kind, wake: Callable[[], None]) -> None:
        self.kind, self.wake = kind, wake
        self.dismissed = False
        self._hub = hub
        self._seen: dict[str, int] = {}

    def take(self) -> bytes | None:
        """A message with all that is new since the last one, or ``None``."""
        picture, pieces = self._hub.latest()
        new = (name for name, piece in pieces.items() if self._is_new(name, piece))
        parts = {name: pieces[name].said(self.kind) for name in new}
        jpeg = b""
        if picture is not None and self._wants(picture):
            jpeg = picture.jpeg(self.kind) or b""
        if jpeg and picture is not None:
            parts["frame"] = picture.said(self.kind)
            self._seen["frame"] = picture.serial
        return pack(parts, jpeg) if parts else None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.dismissed or self._hub.closed

    def leave(self) -> None:
        """Be told nothing more."""
        self._hub.leave(self)

    def _wants(self, picture: _Picture) -> bool:
        if self.kind == "camera" and not self._hub.frozen:
            return False
        return picture.serial > self._seen.get("frame", 0)

    def _is_new(self, name: str, piece: _Piece) -> bool:
        if piece.serial <= self._seen.get(name, 0):
            return False
        self._seen[name] = piece.serial
        return name != "pointer" or time.monotonic() - piece.at < POINTS_S
