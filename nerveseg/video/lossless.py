"""Write a clip that can be measured later: every grey level as it came, and when it came.

FFV1 (RFC 9043) in Matroska (RFC 9559). Each frame stands for itself and is handed to the system
as soon as the next one comes, so that a process that is killed leaves a file that opens and lacks
no more than its last frame. Closing adds the index and the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

from nerveseg.errors import StoreError
from nerveseg.types import GrayImage
from nerveseg.video.sinks import storing

__all__ = ["LosslessWriter", "check_lossless"]

_TICK = Fraction(1, 1000)
"""Matroska's clock as FFmpeg writes it, in seconds."""

_NOMINAL_FPS = 30.0

_CODEC = {
    "level": "3",  # the version with checksums
    "slicecrc": "1",
    "slices": "4",
    "g": "1",  # each frame stands for itself
    # Golomb-Rice codes take 60 % of the time of range coding; ultrasound grows by 1 to 13 %.
    "coder": "0",
    "context": "0",
    "threads": "1",  # the other core is the model's
}
_CONTAINER = {"cluster_time_limit": "1", "flush_packets": "1"}


def check_lossless() -> None:
    """Raise `StoreError` that says how to install it, unless PyAV is there.

    It is loaded then, which takes a while: better before the first frame comes.
    """
    try:
        import_module("av")  # an optional extra
    except ImportError as error:
        raise StoreError(
            "recording needs PyAV, which isn't installed; "
            "install it first: pip install 'nerveseg[video]'"
        ) from error


class LosslessWriter:
    """A grey clip of ``size_wh`` pixels at ``path``, as an MKV file.

    ``fps`` is the rate that the file declares; what counts are the times of the frames, kept to
    the nearest millisecond. Raises `StoreError` where PyAV is missing, and for a full disk, a
    missing folder or no permission.
    """

    def __init__(self, path: Path, *, size_wh: tuple[int, int], fps: float | None = None) -> None:
        check_lossless()
        import av  # an optional extra

        self.path = path
        self.size_wh = size_wh
        self.frames_written = 0
        self._av = av
        self._last_tick = -1
        with storing(path):
            # A folder that can't be written to gives a plain error here.
            path.touch(mode=0o600)
        self._file, self._stream = self._begin(fps or _NOMINAL_FPS)

    def _begin(self, fps: float) -> tuple[Any, Any]:
        with self._failing_plainly():
            path = str(self.path.resolve())
            file = self._av.open(path, "w", format="matroska", options=_CONTAINER)
            rate = Fraction(min(max(fps, 1.0), 1000.0)).limit_denominator(1001)
            stream = file.add_stream("ffv1", rate=rate, options=_CODEC)
            stream.width, stream.height = self.size_wh
            stream.pix_fmt = "gray"
            stream.codec_context.time_base = _TICK
        return file, stream

    def write(self, pixels: GrayImage, *, time_s: float) -> None:
        """Add a frame, ``uint8`` ``(H, W)``, to be shown ``time_s`` seconds after the start.

        Times rise; two that fall into one millisecond are kept a millisecond apart.
        """
        if pixels.shape != self.size_wh[::-1]:
            raise ValueError(f"expected {self.size_wh[::-1]}, got {pixels.shape}")
        tick = max(self._last_tick + 1, round(time_s / _TICK))
        frame = self._av.VideoFrame.from_ndarray(pixels, format="gray")
        frame.pts, frame.time_base = tick, _TICK
        with self._failing_plainly():
            self._file.mux(self._stream.encode(frame))
        self._last_tick = tick
        self.frames_written += 1

    def close(self) -> None:
        """Write the end of the file; what was written stays readable where that fails."""
        file, self._file = self._file, None
        if file is None:
            return
        with self._failing_plainly(), file:
            file.mux(self._stream.encode(None))

    @contextmanager
    def _failing_plainly(self) -> Iterator[None]:
        with storing(self.path):
            try:
                yield
            except self._av.FFmpegError as error:
                raise OSError(error.errno, error.strerror) from error
