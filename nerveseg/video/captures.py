"""Cameras and network streams as feeds, through OpenCV.

UVC devices, RTSP and MJPEG over HTTP are all a `CaptureFeed`; `cameras` and `streams` open them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import cv2

from nerveseg.errors import SourceError
from nerveseg.video.clip import MAX_CLIP_PIXELS, check_size
from nerveseg.video.device import Promise, Shot
from nerveseg.video.images import coloured_share, to_gray
from nerveseg.video.quiet import quiet_decoders

__all__ = ["Capture", "CaptureFeed", "UndecodableError", "Wishes", "four_letters"]

_MOST_FAILURES, _MOST_FAILURES_AT_FIRST = 3, 30
_FAILED_PAUSE_S = 0.1


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether there is a device."""

    def read(self) -> tuple[bool, Any]:
        """The next picture, blue first or grey."""

    def get(self, property_id: int, /) -> float:
        """A property, 0 or -1 where it is unknown."""

    def set(self, property_id: int, value: float, /) -> bool:
        """Ask for a property."""

    def release(self) -> None:
        """Let go."""


class UndecodableError(Exception):
    """A picture came, but it is damaged; a `Capture` may raise it from `read`."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a camera is asked for; ``None`` leaves it as it is.

    ``picture_format`` is a FourCC of the pixels, such as ``MJPG`` or ``YUYV``.
    """

    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    picture_format: str | None = None

    def ask(self, capture: Capture) -> None:
        """Ask for them; what comes of it only reading back can tell."""
        # The format first: which sizes and rates there are depends on it.
        if self.picture_format:
            code = cv2.VideoWriter.fourcc(*self.picture_format)
            capture.set(cv2.CAP_PROP_FOURCC, code)
        if self.size_wh:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.size_wh[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size_wh[1])
        if self.fps:
            capture.set(cv2.CAP_PROP_FPS, self.fps)
        # A picture that waits in the driver is an old picture.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def facts(self) -> dict[str, str | int | float | None]:
        """The wishes as facts of the device."""
        asked = {
            "asked size": self.size_wh and f"{self.size_wh[0]}x{self.size_wh[1]}",
            "asked rate": self.fps,
            "asked format": self.picture_format,
        }
        return {key: value for key, value in asked.items() if value is not None}


class CaptureFeed:
    """A `cv2.VideoCapture` as a feed; colour becomes grey, and sizes may change.

    ``make`` opens the capture, ``why_not`` says why it could not be opened, ``advice`` what to do
    about one that is open and gives nothing. ``own_clock`` is whether its times can be believed
    at all.
    """

    def __init__(
        self,
        shown: str,
        make: Callable[[], Capture],
        *,
        why_not: Callable[[], str],
        advice: str,
        wishes: Wishes | None = None,
        own_clock: bool = False,
    ) -> None:
        self._shown = shown
        self._make = make
        self._why_not = why_not
        self._advice = advice
        self._wishes = wishes or Wishes()
        self._own_clock = own_clock
        self._capture: Capture | None = None
        self._failures = 0
        self._given = False
        self._woken = threading.Event()
        self._held = ExitStack()

    def open(self) -> Promise:
        """Open the capture and read back what it grants."""
        self._held.enter_context(quiet_decoders())
        self._capture = self._made()
        self._held.callback(self._capture.release)
        if not self._capture.isOpened():
            raise SourceError(f"{self._shown} can't be opened: {self._why_not()}")
        self._wishes.ask(self._capture)
        return _promise(self._capture, self._wishes, own_clock=self._own_clock)

    def _made(self) -> Capture:
        try:
            return self._make()
        except cv2.error as error:
            raise SourceError(f"{self._shown} can't be opened: {self._why_not()}") from error

    def read(self) -> Shot | str | None:
        """The next picture; a few failures in a row are a signal that is lost."""
        if self._capture is None:
            return None
        try:
            done, picture = self._capture.read()
        except (cv2.error, UndecodableError):
            return "it can't be decoded"
        if not done or picture is None:
            self._count_failure()
            return None
        self._failures, self._given = 0, True
        device_s = _device_s(self._capture) if self._own_clock else None
        return _shot(picture, device_s)

    def _count_failure(self) -> None:
        self._failures += 1
        # A camera that was only just opened may need a moment until its first picture.
        if self._failures >= (_MOST_FAILURES if self._given else _MOST_FAILURES_AT_FIRST):
            what = "signal lost" if self._given else "it is open, but gives no picture"
            raise SourceError(f"{self._shown}: {what}; {self._advice}")
        self._woken.wait(_FAILED_PAUSE_S)

    def close(self) -> None:
        """Release the capture."""
        self._capture = None
        self._held.close()

    def wake(self) -> None:
        """End a pause; not a read, since to release a capture under one crashes."""
        self._woken.set()

    def silence(self) -> str:
        """What to do about a capture that gives nothing."""
        return self._advice


def _shot(picture: Any, device_s: float | None) -> Shot | str:
    try:
        check_size("it", picture.shape[1], picture.shape[0], most=MAX_CLIP_PIXELS)
    except SourceError as error:
        return str(error)
    return Shot(to_gray(picture), device_s, coloured=coloured_share(picture))


def _device_s(capture: Capture) -> float | None:
    time_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
    return time_ms / 1000 if math.isfinite(time_ms) and time_ms > 0 else None


def _promise(capture: Capture, wishes: Wishes, *, own_clock: bool) -> Promise:
    size = tuple(
        int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    rate = capture.get(cv2.CAP_PROP_FPS)
    # What has no clock has no rate either: FFmpeg makes one up.
    fps = round(rate, 3) if own_clock and math.isfinite(rate) and 0 < rate < 1000 else None
    code = four_letters(capture.get(cv2.CAP_PROP_FOURCC))
    known = min(size) > 0
    facts = wishes.facts() | {
        "size": f"{size[0]}x{size[1]}" if known else None,
        "rate": fps,
        "format": code,
    }
    return Promise(fps, (size[0], size[1]) if known else None, facts)


def four_letters(code: float) -> str | None:
    """A FourCC, as OpenCV gives it, in letters; ``None`` if it is none."""
    if not (math.isfinite(code) and 0 < code < 2**32):
        return None
    letters = int(code).to_bytes(4, "little").decode("latin-1").strip("\0 ")
    return letters if letters.isprintable() and letters else None
