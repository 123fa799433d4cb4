"""One clip on its way through the model: a list of analysed frames that grows."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nerveseg.errors import StoreError
from nerveseg.types import FrameResult
from nerveseg.ui.payload import needle_letter, overlay_json, picture_jpeg
from nerveseg.ui.spool import Slot, Spool

__all__ = ["MAX_NAME", "Limits", "Recording", "State"]

MAX_NAME = 60
"""Letters that the name of a plane may have."""

State: TypeAlias = Literal["waiting", "running", "done", "failed", "closed"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the app takes on: each is a ceiling, in bytes or in number."""

    upload_bytes: int = 512 * 2**20
    clip_bytes: int = 512 * 2**20
    clip_frames: int = 20_000
    clips: int = 8
    names: int = 100


@dataclass(frozen=True, slots=True)
class _Stored:
    picture: Slot
    overlay: Slot


class Recording:
    """What is known of one clip; one thread adds to it while others read.

    Frames count from 0 in the order shown, without gaps: a frame's number in its source is
    part of its overlay.
    """

    def __init__(self, name: str, folder: Path, limits: Limits) -> None:
        self.name = name
        self._limits = limits
        self._lock = threading.Lock()
        self._spool = Spool(folder / "frames")
        self._stored: list[_Stored] = []
        self._times: list[float] = []
        self._letters: list[str] = []
        self._planes: set[int] = set()
        self._names: dict[int, str] = {}
        self._spent: Counter[str] = Counter()
        self._facts: dict[str, Any] = {"broken": 0}
        self._state: State = "waiting"
        self._note: str | None = None

    def begin(self, *, fps: float | None, frame_count: int | None) -> None:
        """The source is open; both figures are its own claims, ``None`` if it makes none."""
        with self._lock:
            self._state = "running"
            self._facts |= {"fps": fps, "declared": frame_count}

    def add(self, result: FrameResult, *, broken: int) -> bool:
        """Keep the next frame; ``broken`` were skipped so far. False when the clip is full."""
        picture = self._spool.append(picture_jpeg(result.frame.pixels))
        overlay = self._spool.append(overlay_json(result))
        height, width = result.frame.pixels.shape
        with self._lock:
            self._stored.append(_Stored(picture, overlay))
            self._times.append(round(result.frame.time_s, 4))
            self._letters.append(needle_letter(result.needle_state))
            self._planes.update(plane.key for plane in result.planes)
            self._spent.update(result.timings_ms)
            self._facts["broken"] = broken
            if len(self._stored) == 1:
                scale = result.frame.mm_per_px
                self._facts |= {"width": width, "height": height, "mm_per_px": scale}
        full = len(self._stored) >= self._limits.clip_frames
        return not full and self._spool.size < self._limits.clip_bytes

    def name_plane(self, key: int, name: str) -> dict[int, str]:
        """Call the plane with this `Plane.key` ``name``; an empty one takes its name away.

        All names so far come back. Raises `StoreError` for a plane that no frame shows, for a
        name that is too long or not one line of text, and for too many names.
        """
        name = " ".join(name.split())
        if len(name) > MAX_NAME or not all(letter.isprintable() for letter in name):
            raise StoreError(f"a plane's name is one line of at most {MAX_NAME} letters")
        with self._lock:
            if key not in self._planes:
                raise StoreError(f"no frame of this clip shows a plane {key}")
            names = {**self._names, key: name} if name else dict(self._names)
            if not name:
                names.pop(key, None)
            if len(names) > self._limits.names:
                raise StoreError(f"a clip holds {self._limits.names} names at most; remove one")
            self._names = names
            return dict(names)

    def finish(self, state: State, note: str | None = None) -> None:
        """No more frames will come; ``note`` says why, where a user should know."""
        with self._lock:
            if self._state != "closed":
                self._state, self._note = state, note

    def close(self) -> None:
        """Delete what is kept; a reader gets `StoreError` from now on."""
        self.finish("closed")
        self._spool.close()

    def status(self, *, since: int = 0) -> dict[str, Any]:
        """Progress and facts for the page, with what it doesn't know yet: from ``since`` on.

        ``times`` are the frames' seconds, ``needle`` has one letter per frame (see
        `payload.needle_letter`), ``names`` are those of all planes by their keys.
        """
        with self._lock:
            count = len(self._stored)
            return {
                "name": self.name,
                "state": self._state,
                "note": self._note,
                "frames": count,
                "since": since,
                "times": self._times[since:],
                "needle": "".join(self._letters[since:]),
                "names": dict(self._names),
                "ms": {stage: spent / count for stage, spent in self._spent.items()},
                **self._facts,
            }

    def picture(self, number: int) -> bytes:
        """Frame ``number`` as JPEG; `StoreError` if it isn't there."""
        return self._spool.read(self._at(number).picture)

    def overlays(self, start: int, count: int) -> bytes:
        """A JSON array with the overlays of up to ``count`` frames from ``start`` on."""
        with self._lock:
            wanted = self._stored[start : start + count]
        return b"[" + b",".join(self._spool.read(item.overlay) for item in wanted) + b"]"

    def _at(self, number: int) -> _Stored:
        with self._lock:
            if not 0 <= number < len(self._stored):
                raise StoreError(f"frame {number} isn't there; {len(self._stored)} frames are")
            return self._stored[number]
