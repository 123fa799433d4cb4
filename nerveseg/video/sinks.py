"""Write pictures and clips so that a reader never meets half a file under its final name."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import StoreError
from nerveseg.types import Mask
from nerveseg.video.containers import read_container
from nerveseg.video.quiet import quiet_decoders

__all__ = ["VideoWriter", "storing", "uninterrupted", "write_bytes", "write_png"]

_KEYFRAME_EVERY = 15
"""A player that steps or scrubs decodes from the last keyframe: at most 14 frames back."""

_TICKS = 90_000
"""Ticks a second of the clip's clock: fine enough for 29.97 and for 1/61 s."""

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "the file grew larger than is allowed here",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOENT: "its folder doesn't exist; make it first",
    errno.ENOTDIR: "its folder is a file; choose another folder",
    errno.EISDIR: "a folder has that name; choose another name",
}


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into a `StoreError` that says why ``path`` fails."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"can't write {path}: {reason}") from error


def _partial(path: Path) -> Path:
    """Name under which ``path`` is written: same folder, so that the rename is one step."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step: all of it, or the old file stays.

    Raises `StoreError` for a full disk, a missing folder or no permission.
    """
    path = Path(path)
    partial = _partial(path)
    with storing(path):
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def write_png(path: str | Path, array: npt.NDArray[np.uint8] | Mask) -> None:
    """Write a picture as PNG in one step: ``uint8`` ``(H, W)``, blue-first ``(H, W, 3 | 4)``,
    or a mask, ``bool`` ``(H, W)``, as 0 and 255.

    Raises `StoreError` as `write_bytes` does, `ValueError` for any other array.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if (
        array.dtype not in (np.uint8, np.bool_)
        or array.ndim not in (2, 3)
        or channels not in (1, 3, 4)
    ):
        raise ValueError(f"a PNG needs uint8 (H, W[, 3 | 4]), got {array.dtype} {array.shape}")
    picture = array.astype(np.uint8) * np.uint8(255 if array.dtype == np.bool_ else 1)
    done, content = cv2.imencode(".png", picture)
    if not done:
        raise StoreError(f"can't write {path}: OpenCV could not encode it as PNG")
    write_bytes(path, content.tobytes())


class VideoWriter:
    """An MP4 clip of ``size_wh`` pixels at ``fps``, and a context manager that finishes it.

    H.264 where PyAV is installed (the ``video`` extra), which every browser plays; MPEG-4 part 2
    otherwise. ``codec`` tells which. Odd sizes are padded to even ones by repeating the last row
    or column, since video stores colour for blocks of 2 × 2.

    The clip is written beside ``path`` and renamed on closing; an error or Ctrl-C inside the
    ``with`` block closes it too, so that the frames written so far are kept. A killed process
    leaves the hidden ``.part.mp4``, which in H.264 plays up to a second or so before the end.
    Raises `StoreError` for a full disk, a missing folder or no permission.
    """

    def __init__(self, path: str | Path, *, fps: float, size_wh: tuple[int, int]) -> None:
        if not (0 < fps <= 1000 and min(size_wh) >= 1):
            raise ValueError(f"a clip needs a rate and a size, got {fps} fps and {size_wh}")
        self.path = Path(path)
        self.size_wh = size_wh
        self.frames_written = 0
        self._fps = fps
        self._last_tick = -1
        self._partial = _partial(self.path)
        even = (size_wh[0] + size_wh[0] % 2, size_wh[1] + size_wh[1] % 2)
        with storing(self.path):
            # A folder that can't be written to gives a plain error here, a vague one from a codec.
            self._partial.touch()
            self._encoder: _Encoder | None = _make_encoder(self._partial, fps, even)
        self.codec = self._encoder.codec

    def write(self, bgr: npt.NDArray[np.uint8], *, time_s: float | None = None) -> None:
        """Add a frame, ``uint8`` ``(H, W, 3)``, blue first.

        ``time_s`` is when to show it, from 0 on and rising, so that skipped frames leave the
        clip in step with its source; by default one frame follows another at ``fps``. MPEG-4
        part 2 keeps to ``fps``.
        """
        width, height = self.size_wh
        if bgr.shape != (height, width, 3) or bgr.dtype != np.uint8:
            raise ValueError(f"expected uint8 {(height, width, 3)}, got {bgr.dtype} {bgr.shape}")
        if self._encoder is None:
            raise StoreError(f"{self.path.name} was closed already; open another to write more")
        time_s = self.frames_written / self._fps if time_s is None else time_s
        tick = max(self._last_tick + 1, round(time_s * _TICKS))
        with storing(self.path):
            self._encoder.add(_padded(bgr), tick)
        self._last_tick = tick
        self.frames_written += 1

    def close(self) -> None:
        """Finish the clip and give it its name; without any frame, no file is left."""
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        with storing(self.path):
            try:
                encoder.finish()
            finally:
                if self.frames_written and self._partial.stat().st_size:
                    self._partial.replace(self.path)
                else:
                    self._partial.unlink(missing_ok=True)
        if encoder.silent and self.frames_written:
            _verify(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            # The first error is the one to tell, not what closing makes of it.
            with suppress(StoreError):
                self.close()


def _padded(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    down, right = bgr.shape[0] % 2, bgr.shape[1] % 2
    if not (down or right):
        return np.ascontiguousarray(bgr)
    return np.pad(bgr, ((0, down), (0, right), (0, 0)), mode="edge")


def _verify(path: Path) -> None:
    # OpenCV's writer tells nothing when the disk is full; the file it leaves does.
    container = read_container(path)
    if container is None or container.missing_bytes or not container.has_index:
        raise StoreError(f"{path} is incomplete: the disk may be full; free some space, try again")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done.

    A packet that is lost between encoder and file, a keyframe say, leaves what follows unreadable.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        before(*pressed[-1])


class _Encoder(ABC):
    """What turns frames of an even size into a file; ``silent`` if it hides failed writes."""

    codec: str
    silent = False

    @abstractmethod
    def add(self, bgr: npt.NDArray[np.uint8], tick: int) -> None:
        """Encode a frame to be shown at ``tick`` / 90,000 s; raises `OSError`."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is held back, and the end of the file; raises `OSError`."""


def _make_encoder(path: Path, fps: float, size_wh: tuple[int, int]) -> _Encoder:
    if importlib.util.find_spec("av") is not None:
        return _H264(path, fps, size_wh)
    return _Mpeg4(path, fps, size_wh)


class _H264(_Encoder):
    codec = "h264"

    def __init__(self, path: Path, fps: float, size_wh: tuple[int, int]) -> None:
        import av  # an optional extra

        self._av = av
        # Fragments make the file readable while it grows; closing turns them into a plain MP4.
        options = {"movflags": "hybrid_fragmented", "flush_packets": "1"}
        self._file = av.open(str(path), "w", format="mp4", options=options)
        # No B-frames, so that stepping is exact; a short lookahead, so that a kill costs little.
        tuning = {"preset": "veryfast", "crf": "20", "bf": "0", "rc-lookahead": "10"}
        stream = self._file.add_stream(
            "libx264",
            rate=Fraction(fps).limit_denominator(1001),
            options={**tuning, "g": str(_KEYFRAME_EVERY)},
        )
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream: Any = stream

    def add(self, bgr: npt.NDArray[np.uint8], tick: int) -> None:
        frame = self._av.VideoFrame.from_ndarray(bgr, format="bgr24")
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        with uninterrupted(), self._as_os_error():
            self._file.mux(self._stream.encode(frame))

    def finish(self) -> None:
        with uninterrupted(), self._as_os_error(), self._file:
            self._file.mux(self._stream.encode(None))

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


class _Mpeg4(_Encoder):
    codec = "mpeg4"
    silent = True

    def __init__(self, path: Path, fps: float, size_wh: tuple[int, int]) -> None:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        with quiet_decoders():
            self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, size_wh)
        if not self._writer.isOpened():
            raise OSError(f"no MPEG-4 encoder for {size_wh[0]}x{size_wh[1]} pixels")

    def add(self, bgr: npt.NDArray[np.uint8], tick: int) -> None:
        del tick
        with quiet_decoders():
            self._writer.write(bgr)

    def finish(self) -> None:
        with quiet_decoders():
            self._writer.release()
