"""Cameras and network streams through OpenCV: UVC devices, RTSP, MJPEG over HTTP.

All three are one `CaptureFeed`; they differ in how the capture is opened and in what is said when
that fails.
"""

from __future__ import annotations

import math
import os
import platform
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import cv2

from nerveseg.errors import SourceError
from nerveseg.video.address import Address, number_between, picture_size
from nerveseg.video.clip import MAX_CLIP_PIXELS, Clip, check_size
from nerveseg.video.device import DeviceClip, Patience, Promise, Shot
from nerveseg.video.images import to_gray
from nerveseg.video.quiet import quiet_decoders

__all__ = [
    "NO_PERMISSION",
    "Capture",
    "CaptureFeed",
    "Wishes",
    "camera_backend",
    "open_camera",
    "open_stream",
]

NO_PERMISSION: Final = "run `sudo usermod -aG video $USER`, then log out and in again"
"""What to do about a camera that may not be opened, on Linux."""

_OPEN_MS, _READ_MS = 3000, 1500
_MOST_FAILURES, _MOST_FAILURES_AT_FIRST = 3, 30
_FAILED_PAUSE_S = 0.1
_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
_PROBE_S = 1.0
_BACKENDS = {
    "Linux": cv2.CAP_V4L2,
    "Windows": cv2.CAP_DSHOW,
    "Darwin": cv2.CAP_AVFOUNDATION,
}
_NODES = Path("/dev") if platform.system() == "Linux" else None


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
        except cv2.error as error:
            return f"it can't be decoded ({error.code})"
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
    return Shot(to_gray(picture), device_s)


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
    code = _format(capture.get(cv2.CAP_PROP_FOURCC))
    known = min(size) > 0
    facts = wishes.facts() | {
        "size": f"{size[0]}x{size[1]}" if known else None,
        "rate": fps,
        "format": code,
    }
    return Promise(fps, (size[0], size[1]) if known else None, facts)


def _format(code: float) -> str | None:
    """The four letters of a FourCC."""
    if not (math.isfinite(code) and 0 < code < 2**32):
        return None
    letters = int(code).to_bytes(4, "little").decode("latin-1").strip("\0 ")
    return letters if letters.isprintable() and letters else None


def camera_backend() -> int:
    """OpenCV's interface to cameras on this system."""
    return int(_BACKENDS.get(platform.system(), cv2.CAP_ANY))


def _open_device(device: int | str) -> Capture:
    capture: Capture = cv2.VideoCapture(device, camera_backend())
    return capture


def open_camera(
    address: Address,
    *,
    stride: int = 1,
    make: Callable[[int | str], Capture] = _open_device,
    nodes: Path | None = _NODES,
    patience: Patience | None = None,
) -> Clip:
    """The camera at ``uvc:0`` or ``uvc:/dev/video0``, with ``size``, ``fps`` and ``format``.

    ``make`` opens it by its number or path; ``nodes`` is the folder of the device files, ``None``
    where the system has none. What was asked for and what was granted are in the clip's
    ``facts``. Raises `SourceError` for a camera that isn't there, may not be used, or is in use.
    """
    given = address.options(_CAMERA_OPTIONS)
    wishes = Wishes(given.get("size"), given.get("fps"), given.get("format"))
    device = _device(address, nodes)
    feed = CaptureFeed(
        address.shown,
        lambda: make(device),
        why_not=lambda: "is it in use by another program? Close that, or unplug and plug it in",
        advice="is it in use by another program, or the cable loose? Unplug it and plug it in",
        wishes=wishes,
        own_clock=True,
    )
    name = f"camera_{Path(address.place).name}"
    return DeviceClip(feed, name, file=address.shown, stride=stride, patience=patience)


def _four_letters(given: str) -> str:
    if len(given) != 4 or not given.isascii() or not given.isprintable():
        raise ValueError("is no format of four letters, such as MJPG or YUYV")
    return given


_CAMERA_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "size": picture_size,
    "fps": number_between(1, 240),
    "format": _four_letters,
}


def _device(address: Address, nodes: Path | None) -> int | str:
    """What OpenCV calls the camera; `SourceError` if it isn't there or may not be used."""
    place = address.place or "0"
    if place.isascii() and place.isdecimal() and len(place) < 4:
        if nodes is not None:
            _check_node(nodes / f"video{place}", address)
        return int(place)
    if nodes is None or not place.startswith("/"):
        raise SourceError(
            f"{address.shown!r} names no camera; expected uvc:0 or, on Linux, uvc:/dev/video0; "
            "`nerveseg devices` lists what is there"
        )
    _check_node(Path(place), address)
    return place


def _check_node(node: Path, address: Address) -> None:
    if not node.exists():
        raise SourceError(
            f"{address.shown}: no such camera: {node} isn't there; plug it in, or see what there "
            "is with `nerveseg devices`"
        )
    if not os.access(node, os.R_OK | os.W_OK):
        raise SourceError(f"{address.shown}: no permission to open {node}; {NO_PERMISSION}")


def _open_url(url: str) -> Capture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS]
    capture: Capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    return capture


def open_stream(
    address: Address,
    *,
    stride: int = 1,
    make: Callable[[str], Capture] = _open_url,
    patience: Patience | None = None,
) -> Clip:
    """The network camera at ``rtsp://…``, ``http://…`` or ``https://…`` (MJPEG).

    All behind the question mark is the server's own. Raises `SourceError` if nothing answers, or
    what answers gives no picture.
    """
    host, port = _host_and_port(address)
    feed = CaptureFeed(
        address.shown,
        lambda: make(address.uri),
        why_not=lambda: _why_no_stream(host, port),
        advice=f"is {host} still on and in reach?",
        # FFmpeg makes up the times of MJPEG, as if it came at 25 pictures a second.
        own_clock=address.scheme.startswith("rtsp"),
    )
    name = f"stream_{host.replace(':', '_')}"
    return DeviceClip(feed, name, file=address.shown, stride=stride, patience=patience)


def _host_and_port(address: Address) -> tuple[str, int]:
    try:
        parts = urlsplit(address.uri)
        host, port = parts.hostname, parts.port or _PORTS[address.scheme]
    except ValueError as error:
        raise SourceError(f"{address.shown!r} is no address: {error}") from error
    if not host:
        raise SourceError(
            f"{address.shown!r} names no host; expected {address.scheme}://HOST:PORT/PATH"
        )
    return host, port


def _why_no_stream(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=_PROBE_S).close()
    except socket.gaierror:
        return f"there is no host named {host}; check the address"
    except OSError:
        return f"nothing answers at {host}:{port}; is it on, and the address right?"
    return (
        f"{host}:{port} answers, but gives no video that can be read; "
        "check the path, the user and the password"
    )
