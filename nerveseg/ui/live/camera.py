"""The camera of the viewer's own browser, as a source like any other."""

from __future__ import annotations

import math
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import SourceError
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from nerveseg.types import Frame
from nerveseg.video.clip import Clip, check_size
from nerveseg.video.headers import image_header
from nerveseg.video.images import coloured_share

__all__ = ["CAMERA", "MAX_MESSAGE", "CameraFeed"]

CAMERA = "browser camera"
"""What the source is called."""

MAX_MESSAGE = 1_500_000
"""Largest message that a page may send, in bytes."""

_MAX_PIXELS = 1920 * 1080
_LEAST_STEP_S = 1 / 40
_STAMP = struct.Struct("<d")
_STAMPS_KEPT = 64
_LOOKED_AT = 10
"""Every how many pictures it is looked whether they have a colour: decoding it takes time."""


class CameraFeed:
    """One place for the newest picture that a page sent, and a `Listener` that knows its stamp.

    A message is the page's own mark of the picture, its milliseconds as a little-endian double,
    and a JPEG. Pictures that come faster than 40 a second are left out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: tuple[float, bytes] | None = None
        self._last_s = -math.inf
        self._taken: float | None = None
        self._stamps: OrderedDict[int, float] = OrderedDict()

    def put(self, message: bytes) -> None:
        """What a page sent; `SourceError` for what is no picture or too large a one."""
        stamp, picture = _read(message)
        with self._changed:
            now_s = time.monotonic()
            if now_s - self._last_s < _LEAST_STEP_S:
                return
            self._last_s = now_s
            self._waiting = stamp, picture
            self._changed.notify_all()

    def take(self, stop: threading.Event) -> tuple[float, bytes]:
        """The newest stamp and picture, once there are any; `SourceError` after ``stop``."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or stop.is_set())
            if self._waiting is None:
                raise SourceError("the browser's camera was switched off; start it again")
            taken, self._waiting = self._waiting, None
            self._taken = taken[0]
        return taken

    def open(self, _uri: str = CAMERA) -> Clip:
        """The pictures as a clip, for as long as the page sends any."""
        return _CameraClip(self)

    def wake(self) -> None:
        """Have a `take` that waits look at its ``stop``."""
        with self._changed:
            self._changed.notify_all()

    def stamp_of(self, number: int) -> float | None:
        """The page's own mark of the session's frame ``number``."""
        return self._stamps.get(number)

    def on_capture(self, shot: LiveFrame) -> None:
        """Keep the stamp; called in the thread that took the picture just before."""
        if self._taken is not None:
            self._stamps[shot.number] = self._taken
        while len(self._stamps) > _STAMPS_KEPT:
            self._stamps.popitem(last=False)

    def on_frame(self, shot: LiveFrame) -> None:
        """Nothing."""

    def on_result(self, result: LiveResult) -> None:
        """Nothing."""

    def on_status(self, status: LiveStatus) -> None:
        """Nothing."""


class _CameraClip(Clip):
    def __init__(self, feed: CameraFeed) -> None:
        super().__init__(CAMERA, file=CAMERA)
        self._feed = feed

    def _wake(self) -> None:
        self._feed.wake()

    def _frames(self) -> Iterator[Frame]:
        index, last_s = 0, -math.inf
        while True:
            stamp, sent = self._feed.take(self._closing)
            data = np.frombuffer(sent, np.uint8)
            pixels = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            if pixels is None:
                self._broken("a picture from the browser's camera can't be decoded")
                continue
            if index % _LOOKED_AT == 0:
                self.coloured = _coloured(data)
            last_s = max(stamp / 1e3, last_s + 1e-4)
            yield Frame(index, last_s, np.asarray(pixels, np.uint8))
            index += 1


def _coloured(data: npt.NDArray[np.uint8]) -> float | None:
    """A browser's first camera is most often one that shows the room."""
    small = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_4)
    return None if small is None else coloured_share(np.asarray(small, np.uint8))


def _read(message: bytes) -> tuple[float, bytes]:
    if not _STAMP.size < len(message) <= MAX_MESSAGE:
        raise SourceError(f"a camera's picture of {len(message)} bytes; {MAX_MESSAGE} at most")
    (stamp,) = _STAMP.unpack_from(message)
    picture = message[_STAMP.size :]
    header = image_header(np.frombuffer(picture, np.uint8), "the camera's picture")
    if header.kind != "JPEG" or not header.complete or not math.isfinite(stamp):
        raise SourceError("a camera's picture is a stamp and a whole JPEG")
    check_size("the camera's picture", header.width, header.height, most=_MAX_PIXELS)
    return stamp, picture
