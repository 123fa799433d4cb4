"""Keep the decoders' chatter off the user's terminal; what matters is raised as an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["quiet_decoders"]

_AV_LOG_QUIET = "-8"


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence OpenCV and the FFmpeg inside it while a file is opened, read or written.

    FFmpeg's level is read once a process, when the first capture opens: it is set here unless
    ``OPENCV_FFMPEG_LOGLEVEL`` is set already, which is the way to see its messages
    (``OPENCV_FFMPEG_LOGLEVEL=32``). OpenCV's own level is put back on leaving.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _AV_LOG_QUIET)
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
