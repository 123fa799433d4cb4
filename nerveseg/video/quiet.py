"""Keep the decoders' chatter off the user's terminal; what matters is raised as an error."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["held_complaints", "quiet_decoders"]

_AV_LOG_QUIET = "-8"

_STDERR = 2
_ONE_AT_A_TIME = threading.Lock()
_CODEC_LINE = re.compile(rb"libpng|libtiff|JPEG|JFIF|Inconsistent progression|TIFF")


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


@contextmanager
def held_complaints() -> Iterator[list[bytes]]:
    """Collect the lines that libjpeg and libpng write to the process's standard error.

    libjpeg decodes a damaged picture into rubbish, and that line is the only sign of it: OpenCV
    offers no other. Filled on leaving; lines from elsewhere (another thread) are passed on.
    """
    lines: list[bytes] = []
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as held:
        try:
            real = os.dup(_STDERR)
        except OSError:
            # A windowed program may have no standard error: then nothing can clutter it.
            yield lines
            return
        try:
            os.dup2(held.fileno(), _STDERR)
            yield lines
        finally:
            os.dup2(real, _STDERR)
            os.close(real)
            held.seek(0)
            for line in held:
                if _CODEC_LINE.search(line):
                    lines.append(line)
                else:
                    os.write(_STDERR, line)
