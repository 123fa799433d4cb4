"""DICOM pictures and cines, decoded frame by frame."""

from __future__ import annotations

import logging
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import iter_pixels

from nerveseg.errors import SourceError
from nerveseg.types import Frame, GrayImage
from nerveseg.video.calibration import dicom_scales
from nerveseg.video.clip import MAX_CLIP_PIXELS, MAX_IMAGE_PIXELS, Clip, check_size, file_names
from nerveseg.video.images import to_gray

__all__ = ["DicomClip"]

_MAX_FRAMES = 1_000_000
_FAILURES_IN_A_ROW = 25
_VIDEO_SYNTAXES = "1.2.840.10008.1.2.4.10"
"""Start of the transfer syntaxes .100 to .109, which wrap an MPEG or H.264 stream."""

# pydicom and its decoders let many kinds through: a corrupt element can fail anywhere in them.
_READ_ERRORS = (
    AttributeError,
    BytesLengthException,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class DicomClip(Clip):
    """A DICOM file: one picture, or a cine with its own times and scale.

    Times: Frame Time Vector (0018,1065), else Frame Time (0018,1063), both in ms; else Cine
    Rate (0018,0040) or Recommended Display Frame Rate (0008,2144). ``mm_per_px`` is that of the
    largest calibrated region; ``scales`` holds them all.
    """

    def __init__(self, path: Path, *, stride: int = 1) -> None:
        name, file = file_names(path)
        with _refused(file), _calm():
            header = _header(path)
            size_wh = (int(header.Columns), int(header.Rows))
            self._count = _frame_count(header)
            self._times_s = _times_s(header, self._count)
            self._window = _window(header)
            self.scales = dicom_scales(header)
            fps = _rate(header)
        check_size(file, *size_wh, most=MAX_IMAGE_PIXELS if self._count == 1 else MAX_CLIP_PIXELS)
        self._path = path
        self._header = header
        super().__init__(
            name,
            file=file,
            stride=stride,
            frame_count=self._count,
            fps=fps,
            size_wh=size_wh,
            mm_per_px=self.scales[0].mm_per_px if self.scales else None,
        )

    def frame_name(self, index: int) -> str:
        """The file's stem for a single picture, else with the frame's number."""
        return self.name if self._count == 1 else super().frame_name(index)

    def _frames(self) -> Iterator[Frame]:
        start, shown, failed = 0, 0, 0
        error: Exception | None = None
        while start < self._count and failed < _FAILURES_IN_A_ROW:
            try:
                for index, values in self._decoded(start):
                    if failed:
                        self._broken(f"{self.file}: {failed} before frame {index}", count=failed)
                    failed, start, shown = 0, index + self.stride, shown + 1
                    time_s = float(self._times_s[index])
                    yield Frame(index, time_s, self._gray(values), self.mm_per_px)
            except _READ_ERRORS as problem:
                error, failed, start = problem, failed + 1, start + self.stride
        if error is not None and failed:
            raise self._ended(shown, error) from error

    def _decoded(self, start: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        indices = range(start, self._count, self.stride)
        pictures = iter_pixels(self._path, indices=indices)
        for index in indices:
            with _calm():
                values = next(pictures, None)
            if values is None:
                return
            yield index, values

    def _gray(self, values: npt.NDArray[Any]) -> GrayImage:
        kind = str(self._header.PhotometricInterpretation)
        if kind == "PALETTE COLOR":
            values = apply_color_lut(values, self._header)
        if values.ndim == 3:
            # OpenCV's habit is blue first, DICOM's red first.
            return to_gray(values[..., ::-1])
        gray = to_gray(values, value_range=self._window)
        return 255 - gray if kind == "MONOCHROME1" else gray

    def _ended(self, shown: int, error: Exception) -> SourceError:
        reason = _reason(error)
        if shown:
            return SourceError(
                f"{self.file}: reading failed midway, after {shown} of {self._count} frames: "
                f"{reason}; what was read is good"
            )
        syntax = self._header.file_meta.get("TransferSyntaxUID", "unknown")
        return SourceError(
            f"{self.file} can't be decoded (transfer syntax {getattr(syntax, 'name', syntax)}): "
            f"{reason}; store it as JPEG Baseline or uncompressed"
        )


@contextmanager
def _calm() -> Iterator[None]:
    """Keep pydicom's warnings and log lines from the terminal: what fails is raised anyway."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """The start of what ``error`` says: pydicom can go on for several lines."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except _READ_ERRORS as error:
        raise SourceError(
            f"{name} can't be read as DICOM: {_reason(error)}; export it again"
        ) from error


def _header(path: Path) -> pydicom.Dataset:
    """Everything but the pixels; `SourceError` unless it describes pictures."""
    # Forced, because some scanners leave out the preamble.
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if not {"Rows", "Columns", "PhotometricInterpretation"} <= set(header.dir()):
        raise SourceError(f"{path.name} holds no pictures, or is no DICOM file; export it again")
    _refuse_video(header, path.name)
    return header


def _refuse_video(header: pydicom.Dataset, name: str) -> None:
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax.startswith(_VIDEO_SYNTAXES):
        raise SourceError(
            f"{name} wraps an MPEG or H.264 video, which isn't read from inside DICOM; "
            "export the clip as MP4 or AVI"
        )


def _frame_count(header: pydicom.Dataset) -> int:
    count = int(header.get("NumberOfFrames") or 1)
    if not 1 <= count <= _MAX_FRAMES:
        raise ValueError(f"it declares {count} frames")
    return count


def _rate(header: pydicom.Dataset) -> float | None:
    """Pictures a second, or ``None`` where the header has no clock."""
    if _frame_count(header) == 1:
        return None
    vector = _steps_ms(header)
    if vector:
        return 1000 * len(vector) / sum(vector)
    step_ms = _positive(header, "FrameTime")
    if step_ms:
        return 1000 / step_ms
    return _positive(header, "CineRate") or _positive(header, "RecommendedDisplayFrameRate")


def _times_s(header: pydicom.Dataset, count: int) -> npt.NDArray[np.float64]:
    steps = _steps_ms(header)
    if len(steps) >= count - 1 > 0:
        return np.concatenate(([0.0], np.cumsum(steps[: count - 1]) / 1000))
    return np.arange(count) / (_rate(header) or 1.0)


def _steps_ms(header: pydicom.Dataset) -> list[float]:
    """Increments after the first frame's own entry, which is zero; empty if any isn't positive."""
    vector = header.get("FrameTimeVector") or ()
    steps = [float(value) for value in vector][1:]
    return steps if all(math.isfinite(step) and step > 0 for step in steps) else []


def _positive(header: pydicom.Dataset, keyword: str) -> float | None:
    value = header.get(keyword)
    number = float(value) if value is not None and value != "" else 0.0
    return number if math.isfinite(number) and number > 0 else None


def _window(header: pydicom.Dataset) -> tuple[float, float]:
    """Stored values shown as black and as white.

    The first Window Center and Width (DICOM PS3.3, C.11.2.1.2.1) taken back through the rescale
    slope and intercept; without them, the range of the stored bits. One range serves all
    frames, so that a cine doesn't flicker.
    """
    center, width = (_first(header, f"Window{part}") for part in ("Center", "Width"))
    bits = int(header.get("BitsStored") or 8)
    if center is None or width is None or not width > 1:
        signed = int(header.get("PixelRepresentation") or 0) == 1
        low = -(2.0 ** (bits - 1)) if signed else 0.0
        return low, low + 2.0**bits - 1
    slope = _first(header, "RescaleSlope") or 1.0
    intercept = _first(header, "RescaleIntercept") or 0.0
    edges = (center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)
    low, high = sorted((edge - intercept) / slope for edge in edges)
    return low, high


def _first(header: pydicom.Dataset, keyword: str) -> float | None:
    value = header.get(keyword)
    if value is None or value == "":
        return None
    return float(value if isinstance(value, (int, float)) else np.atleast_1d(value)[0])
