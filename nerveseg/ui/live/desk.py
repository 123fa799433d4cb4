"""The sessions that run in this app: a device each, and a bounded number."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import cv2

from nerveseg.errors import StoreError
from nerveseg.live.keeping import Recordings
from nerveseg.live.session import LiveSession
from nerveseg.live.settings import SettingsStore
from nerveseg.live.values import Listener
from nerveseg.ui.live.camera import CAMERA, CameraFeed
from nerveseg.ui.live.keeper import Keeper
from nerveseg.ui.live.seat import Seat, device_of, kept_for
from nerveseg.video import sources
from nerveseg.video.clip import Clip
from nerveseg.vision.segment import Segmenter

__all__ = ["Desk", "LiveLimits", "live_segmenter"]

_OVER = frozenset({"failed", "ended", "closed"})


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """How much the app takes on: sessions at once, and seconds that one waits for its page."""

    sessions: int = 4
    away_s: float = 10.0


class Desk:
    """Starts sessions and finds them again.

    ``segmenter`` is called at the first start: a model of one's own, since Replay uses another.
    ``opener`` opens sources; ``store`` keeps the devices' settings; ``recordings`` is where
    recordings and snapshots lie; ``listeners`` hear of every session.
    """

    def __init__(
        self,
        segmenter: Callable[[], Segmenter],
        *,
        opener: Callable[[str], Clip] = sources.open,
        store: SettingsStore | None = None,
        recordings: Recordings | None = None,
        limits: LiveLimits | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._load, self._opener = segmenter, opener
        self._store = store or SettingsStore()
        self._recordings = recordings or Recordings()
        self._limits = limits or LiveLimits()
        self._listeners = tuple(listeners)
        self._lock = threading.RLock()
        self._segmenter: Segmenter | None = None
        self._seats: dict[str, Seat] = {}

    def start(self, uri: str, *, block: str | None = None) -> Seat:
        """A new session on ``uri``, watching for the structures of ``block``.

        A recording is played at its own pace, a phantom without end.
        Raises `StoreError` where the device, or the app, is taken; `ModelError` without a model.
        """
        with suppress(OSError):  # a name that is too long for a path: opening it tells so
            uri = sources.live_uri(uri)
        with self._lock:
            device, kept = device_of(uri), kept_for(uri)
            self._make_room(device)
            settings = self._store.load(kept)
            session = LiveSession(
                uri, self.segmenter, settings=settings, block=block, opener=self._opener
            )
            return self._seat(session, device, kept)

    def camera(self, feed: CameraFeed, *, block: str | None = None) -> Seat:
        """A new session on what a page sends of its own camera."""
        with self._lock:
            self._make_room(None)
            settings = self._store.load(CAMERA)
            session = LiveSession(
                CAMERA, self.segmenter, settings=settings, block=block, opener=feed.open
            )
            session.add_listener(feed)
            return self._seat(session, CAMERA, CAMERA, feed)

    @property
    def recordings(self) -> Recordings:
        """Where recordings and snapshots lie."""
        return self._recordings

    @property
    def segmenter(self) -> Segmenter:
        """The model of the sessions, loaded at the first call; `ModelError` without one."""
        with self._lock:
            if self._segmenter is None:
                self._segmenter = self._load()
            return self._segmenter

    def steered(self, seat_id: str, token: str) -> Seat:
        """The session that ``token`` steers; `StoreError` if there is none (any more)."""
        seat = self._seats.get(seat_id)
        if seat is None or not secrets.compare_digest(seat.token.encode(), token.encode()):
            raise StoreError("this live session has ended; start it again")
        return seat

    @property
    def seats(self) -> tuple[Seat, ...]:
        """The sessions that run."""
        with self._lock:
            return tuple(self._seats.values())

    def watched(self, code: str) -> Seat | None:
        """The session that may be looked at by ``code``, in a time that tells nothing of codes."""
        given, found = code.encode(), None
        for seat in self.seats:
            if seat.code is not None and secrets.compare_digest(seat.code.encode(), given):
                found = seat
        return found

    def stop(self, seat: Seat) -> None:
        """End a session; once more does no harm."""
        with self._lock:
            self._seats.pop(seat.id, None)
        seat.close()

    def close(self) -> None:
        """End all sessions."""
        for seat in self.seats:
            self.stop(seat)

    def _seat(
        self, session: LiveSession, device: str, kept: str, feed: CameraFeed | None = None
    ) -> Seat:
        for listener in self._listeners:
            session.add_listener(listener)
        seat = Seat(
            session,
            device=device,
            kept=kept,
            store=self._store,
            keeper=Keeper(session, self._recordings),
            away_s=self._limits.away_s,
            on_left=self.stop,
            **({} if feed is None else {"stamp_of": feed.stamp_of}),
        )
        self._seats[seat.id] = seat
        seat.start()
        return seat

    def _make_room(self, device: str | None) -> None:
        for seat in self.seats:
            # A page that was closed is waited for, but not by who has opened it again.
            if seat.device == device and (seat.left or seat.session.status.state in _OVER):
                self.stop(seat)
        if any(seat.device == device for seat in self.seats):
            raise StoreError(
                f"{device} is live in another tab of this app: go on there, or stop it there first"
            )
        if len(self._seats) >= self._limits.sessions:
            raise StoreError(
                f"{self._limits.sessions} sources are live already, the most at once; stop one"
            )


def live_segmenter() -> Segmenter:
    """The shipped model, run by one thread, and OpenCV in this process by one too.

    A browser that paints without a graphics card takes the other of two cores: with two threads,
    27 instead of 30 frames a second are analysed at 640×480. Raises `ModelError`.
    """
    cv2.setNumThreads(1)
    return Segmenter.load(threads=1)
