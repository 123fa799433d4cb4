"""Frames of a device, as they come: read by a thread of their own, the newest one wins.

A device is a `Feed`: `captures` and `igtl` hold the kinds of it. `DeviceClip` makes it a clip that
can be closed while it is read, whatever the device is doing just then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from nerveseg.errors import SourceError
from nerveseg.types import Frame, GrayImage
from nerveseg.video.clip import Clip, Facts

__all__ = ["DeviceClip", "DeviceClock", "Feed", "Patience", "Promise", "Shot"]

_log = logging.getLogger(__name__)

_LET_GO_S = 2.0
"""How long `DeviceClip.close` waits for the device, in seconds: longer than a read takes."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a device is waited for, in seconds: until it is open, until its first picture,
    and from one picture to the next.
    """

    opening_s: float = 5.0
    first_s: float = 4.0
    silence_s: float = 1.5


@dataclass(frozen=True, slots=True)
class Promise:
    """What a device says of itself once it is open; ``size_wh`` in pixels."""

    fps: float | None = None
    size_wh: tuple[int, int] | None = None
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture: ``uint8`` ``(H, W)``, the device's own time in s, millimetres per pixel, and
    the share of its pixels that had a colour, each of the last three ``None`` where it is unknown.
    """

    pixels: GrayImage
    device_s: float | None = None
    mm_per_px: float | None = None
    coloured: float | None = None


class Feed(Protocol):
    """A device. All but `wake` are called in one thread, `close` last and in any case."""

    def open(self) -> Promise:
        """Connect; raises `SourceError` that says what is wrong."""

    def read(self) -> Shot | str | None:
        """The next picture; ``None`` if there was none within about a second, a line about it if
        it is broken. Raises `SourceError` once there can be no more.
        """

    def close(self) -> None:
        """Let go of the device."""

    def wake(self) -> None:
        """Make a `read` that waits return soon, if that can be done; from any thread."""

    def silence(self) -> str:
        """What an open device that gives no picture may suffer from, and what to do."""


class DeviceClock:
    """Seconds since the first picture, which rise strictly.

    The device's own time is taken as long as it rises and keeps within half a second of the
    time of arrival; from the first time that it does not, the time of arrival alone.
    """

    _TRUST_S = 0.5
    _STEP_S = 1e-4

    def __init__(self) -> None:
        self._first: tuple[float, float | None] | None = None
        self._last_s = -1.0
        self._trusted = True

    def read(self, arrived_s: float, device_s: float | None) -> float:
        """The time of a picture that came at ``arrived_s`` (`time.monotonic`)."""
        if self._first is None:
            self._first = arrived_s, device_s
        elapsed_s = arrived_s - self._first[0]
        told_s = self._told(device_s)
        if told_s is None or not self._last_s < told_s or abs(told_s - elapsed_s) > self._TRUST_S:
            self._trusted = False
            told_s = elapsed_s
        self._last_s = told_s if told_s > self._last_s else self._last_s + self._STEP_S
        return self._last_s

    def _told(self, device_s: float | None) -> float | None:
        first_s = self._first[1] if self._first else None
        if not self._trusted or device_s is None or first_s is None:
            return None
        return device_s - first_s


class DeviceClip(Clip):
    """A device as a clip without an end.

    ``index`` counts the pictures that came, so it jumps over those that the reader was too slow
    for; times are those of `DeviceClock`; ``size_wh`` and ``mm_per_px`` are those of the last
    frame. Raises `SourceError` if the device can't be opened, and on reading once it gives no
    picture for as long as ``patience`` says; from then on each read raises the same. A broken
    picture is passed over and counted.
    """

    def __init__(
        self,
        feed: Feed,
        name: str,
        *,
        file: str,
        stride: int = 1,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, file=file, stride=stride)
        self._feed = feed
        self._patience = patience or Patience()
        self._now = clock
        self._news = threading.Condition()
        self._promise: Promise | None = None
        self._newest: Frame | None = None
        self._failure: SourceError | None = None
        self._had_one = False
        self._thread = threading.Thread(
            target=self._watch_feed, name=f"nerveseg-device-{name}", daemon=True
        )
        self._thread.start()
        self._take_promise()

    def _take_promise(self) -> None:
        promise = self._await_promise()
        if promise is None:
            super().close()
            raise self._failure or SourceError(
                f"{self.file} doesn't answer within {self._patience.opening_s:g} s; "
                "unplug it and plug it in again, or check the address"
            )
        self.fps, self.size_wh, self.facts = promise.fps, promise.size_wh, promise.facts

    def _await_promise(self) -> Promise | None:
        with self._news:
            self._news.wait_for(lambda: self._promise or self._failure, self._patience.opening_s)
            return self._promise

    def _frames(self) -> Iterator[Frame]:
        # No generator: one that has raised would say that the clip had come to an end.
        return iter(self._next_frame, None)

    def _next_frame(self) -> Frame | None:
        wait_s = self._patience.silence_s if self._had_one else self._patience.first_s
        with self._news:
            self._news.wait_for(
                lambda: self._newest or self._failure or self._closing.is_set(), wait_s
            )
            if self._closing.is_set():
                return None
            frame, self._newest = self._newest, None
            if frame is None:
                self._failure = self._failure or self._silent(wait_s)
                raise self._failure
        self._had_one = True
        self.size_wh = (frame.pixels.shape[1], frame.pixels.shape[0])
        self.mm_per_px = frame.mm_per_px
        return frame

    def _silent(self, waited_s: float) -> SourceError:
        broken = f"; {self.problems[-1]}" if self.problems else ""
        what = "signal lost: no picture" if self._had_one else "it is open, but gave no picture"
        told = f"{what} for {waited_s:g} s{broken}"
        return SourceError(f"{self.file}: {told}; {self._feed.silence()}")

    def _wake(self) -> None:
        self._feed.wake()
        with self._news:
            self._news.notify_all()

    def close(self) -> None:
        """Let go of the device; one that hangs keeps its thread, and itself, until it answers."""
        super().close()
        self._thread.join(_LET_GO_S)

    def _watch_feed(self) -> None:
        try:
            self._follow_feed()
        except SourceError as error:
            self._tell(failure=error)
        except Exception as error:  # noqa: BLE001 - a driver may raise anything; the reader is told
            _log.debug("%s failed", self.file, exc_info=True)
            self._tell(failure=SourceError(f"{self.file}: reading failed: {error}; open it again"))
        finally:
            self._feed.close()

    def _follow_feed(self) -> None:
        self._tell(promise=self._feed.open())
        clock, index = DeviceClock(), -1
        while not self._closing.is_set():
            shot = self._feed.read()
            if shot is None:
                continue
            index += 1
            if isinstance(shot, str):
                self._broken(f"{self.file}: picture {index}: {shot}")
                continue
            time_s = clock.read(self._now(), shot.device_s)
            self.coloured = shot.coloured
            if index % self.stride == 0:
                self._tell(frame=Frame(index, time_s, shot.pixels, shot.mm_per_px))

    def _tell(
        self,
        *,
        promise: Promise | None = None,
        frame: Frame | None = None,
        failure: SourceError | None = None,
    ) -> None:
        with self._news:
            self._promise = promise or self._promise
            self._newest = frame or self._newest
            self._failure = failure or self._failure
            self._news.notify_all()
