"""Network cameras: RTSP, and MJPEG over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from nerveseg.address import Address
from nerveseg.errors import SourceError
from nerveseg.video.captures import Capture, CaptureFeed, UndecodableError, four_letters
from nerveseg.video.clip import Clip
from nerveseg.video.device import DeviceClip, Patience

__all__ = ["open_stream"]

_OPEN_MS, _READ_MS = 3000, 1500
_PORTS = {"http": 80, "https": 443, "rtsp": 554}
_PROBE_S = 1.0
_PADDING = 256
"""Bytes at a picture's end within which its end mark is looked for: some cameras fill up."""


def _open_url(url: str) -> Capture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS]
    capture: Capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if four_letters(capture.get(cv2.CAP_PROP_FOURCC)) == "MJPG" and capture.set(
        cv2.CAP_PROP_FORMAT, -1
    ):
        return _JpegCapture(capture)
    return capture


class _JpegCapture:
    """MJPEG taken packet by packet, and decoded here straight into grey.

    FFmpeg's pictures would all be stretched to the size of the first, unnoticed.
    """

    _END = b"\xff\xd9"

    def __init__(self, packets: Capture) -> None:
        self._packets = packets
        self.isOpened, self.get, self.set = packets.isOpened, packets.get, packets.set
        self.release = packets.release

    def read(self) -> tuple[bool, Any]:
        """The next picture; raises `UndecodableError`."""
        done, packet = self._packets.read()
        if not done or packet is None:
            return False, None
        content = np.ascontiguousarray(packet, np.uint8).ravel()
        # Of a picture that is cut short, the decoder would make up the rest.
        if self._END not in content[-_PADDING:].tobytes():
            raise UndecodableError
        picture = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None:
            raise UndecodableError
        return True, picture


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
