"""MetaImage sequences (MHA, MHD) as PLUS and 3D Slicer record them, read frame by frame.

The header is lines of ``key = value`` (ITK's MetaIO); PLUS adds ``Seq_Frame0012_Timestamp`` and
such. Only what is needed is kept, every size is checked before it is used, and compressed pixels
are unpacked a frame at a time.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nerveseg.errors import SourceError
from nerveseg.types import Frame, GrayImage
from nerveseg.video.calibration import Scale
from nerveseg.video.clip import MAX_CLIP_PIXELS, Clip, check_size, file_names
from nerveseg.video.images import to_gray

__all__ = ["MetaImageClip"]

_ELEMENT_TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MAX_LINE_BYTES = 65_536
_MAX_LINES = 20_000_000
_MAX_FRAMES = 1_000_000
_CHUNK_BYTES = 1 << 18

_SEQUENCE_FIELD = re.compile(r"Seq_Frame(\d{1,7})_(Timestamp|ImageStatus)$")


@dataclass(slots=True)
class _Header:
    """``keys``: the fields by name; ``times`` in s and ``invalid`` frames by index; ``data_at``:
    where the pixels begin in a file that holds both.
    """

    keys: dict[str, str] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    invalid: set[int] = field(default_factory=set)
    data_at: int = 0

    def flag(self, key: str) -> bool:
        return self.keys.get(key, "False").strip().lower() in ("true", "1")

    def integers(self, key: str) -> list[int]:
        return [int(value) for value in self.keys[key].split()]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one frame lies in the data: ``shape`` is ``(H, W)`` or ``(H, W, C)``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    frames: int

    @property
    def frame_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class MetaImageClip(Clip):
    """A MetaImage of two or three dimensions, the third one being time.

    Times are PLUS's timestamps from the first frame on; without them frames count one a second.
    Frames that PLUS marked invalid are skipped and counted. ``mm_per_px`` comes from
    ElementSpacing, except where it is 1, which is what writers put when they know no spacing.
    Pixels that aren't 8 bits wide are scaled by the first frame's lowest..highest value.
    """

    def __init__(self, path: Path, *, stride: int = 1) -> None:
        name, file = file_names(path)
        try:
            self._header = _read_header(path)
            self._layout = _layout(self._header, file)
            self._data = _data_file(self._header, path)
            mm_per_px = _spacing(self._header)
        except OSError as error:
            raise SourceError(f"can't read {path}: {error.strerror}; check the path") from error
        except (KeyError, ValueError) as error:
            raise SourceError(f"{file} has no good MetaImage header: {str(error)[:200]}") from error
        self._range: tuple[float, float] | None = None
        super().__init__(
            name,
            file=file,
            stride=stride,
            frame_count=self._layout.frames,
            fps=_rate(self._header.times),
            size_wh=(self._layout.shape[1], self._layout.shape[0]),
            mm_per_px=mm_per_px,
        )

    def frame_name(self, index: int) -> str:
        """The file's stem for a single picture, else with the frame's number."""
        return self.name if self._layout.frames == 1 else super().frame_name(index)

    def _frames(self) -> Iterator[Frame]:
        with ExitStack() as held:
            data = _Pixels(held.enter_context(self._data.open("rb")), self._header)
            yield from self._read(data)

    def _read(self, data: _Pixels) -> Iterator[Frame]:
        times, step_s = self._header.times, 1 / (self.fps or 1.0)
        start_s, last_s = min(times.values(), default=0.0), -step_s
        for index in range(self._layout.frames):
            wanted = index % self.stride == 0
            content = data.read(self._layout.frame_bytes, keep=wanted)
            if content is None:
                raise self._ended(index, data.problem)
            if index in self._header.invalid:
                self._broken(f"{self.file}: frame {index} is marked invalid")
            elif wanted:
                time_s = times[index] - start_s if index in times else index * step_s
                last_s = time_s if time_s > last_s else last_s + step_s * self.stride
                yield Frame(index, last_s, self._gray(content), self.mm_per_px)

    def _gray(self, content: bytes) -> GrayImage:
        values = np.frombuffer(content, self._layout.dtype).reshape(self._layout.shape)
        if values.ndim == 3:
            # OpenCV's habit is blue first, MetaImage's red first.
            values = values[..., [2, 1, 0, *range(3, values.shape[2])]]
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        if self._range is None and native.dtype != np.uint8:
            finite = native[np.isfinite(native)]
            self._range = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        gray = to_gray(native, value_range=self._range)
        upside_down = self._header.keys.get("UltrasoundImageOrientation", "MF")[1:2] == "N"
        return np.ascontiguousarray(gray[::-1]) if upside_down else gray

    def _ended(self, index: int, problem: str) -> SourceError:
        if index == 0:
            return SourceError(f"{self.file}: not one frame can be read: {problem}")
        return SourceError(
            f"{self.file}: reading failed midway, after {index} of {self._layout.frames} frames: "
            f"{problem}; what was read is good"
        )


class _Pixels:
    """The data as one stream of bytes, unpacked where it is compressed."""

    def __init__(self, file: BinaryIO, header: _Header) -> None:
        file.seek(header.data_at)
        self._file = file
        self._unpack = zlib.decompressobj() if header.flag("CompressedData") else None
        self.problem = "the file is cut short"

    def read(self, size: int, *, keep: bool) -> bytes | None:
        """The next ``size`` bytes, ``b""`` of them if not ``keep``, or ``None`` if they end."""
        if self._unpack is not None:
            return self._inflated(size, self._unpack)
        if not keep:
            self._file.seek(size, 1)
            return b""
        content = self._file.read(size)
        return content if len(content) == size else None

    def _inflated(self, size: int, unpack: zlib._Decompress) -> bytes | None:
        content = bytearray()
        while len(content) < size:
            packed = unpack.unconsumed_tail or self._file.read(_CHUNK_BYTES)
            try:
                unpacked = unpack.decompress(packed, size - len(content))
            except zlib.error as error:
                self.problem = f"the compressed pixels are damaged ({error})"
                return None
            content += unpacked
            # A last match can still come out of the unpacker after all input went in.
            if not unpacked and (unpack.eof or not packed):
                return None
        return bytes(content)


def _read_header(path: Path) -> _Header:
    header = _Header()
    with path.open("rb") as file:
        for _ in range(_MAX_LINES):
            line = file.readline(_MAX_LINE_BYTES)
            key, equals, value = line.decode("latin-1").partition("=")
            if not equals or not line.endswith(b"\n"):
                raise ValueError("it ends without ElementDataFile")
            _keep(header, key.strip(), value.strip())
            if key.strip() == "ElementDataFile":
                header.data_at = file.tell()
                return header
    raise ValueError("it is too long")


def _keep(header: _Header, key: str, value: str) -> None:
    if not key.startswith("Seq_Frame"):
        header.keys[key] = value
        return
    match = _SEQUENCE_FIELD.match(key)
    if match is None:
        return
    index = int(match[1])
    if match[2] == "ImageStatus":
        if value != "OK":
            header.invalid.add(index)
    elif math.isfinite(time_s := float(value)):
        header.times[index] = time_s


def _layout(header: _Header, name: str) -> _Layout:
    kind = header.keys.get("ObjectType", "Image")
    if kind != "Image":
        raise ValueError(f"its ObjectType is {kind}, expected Image")
    sizes = header.integers("DimSize")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise ValueError(f"its DimSize is {header.keys['DimSize']}, expected width height frames")
    width, height, frames = (*sizes, 1)[:3]
    check_size(name, width, height, most=MAX_CLIP_PIXELS)
    if frames > _MAX_FRAMES:
        raise ValueError(f"it declares {frames:,} frames, expected at most {_MAX_FRAMES:,}")
    channels = int(header.keys.get("ElementNumberOfChannels", "1"))
    if channels not in (1, 3, 4):
        raise ValueError(f"it has {channels} channels, expected 1, 3 or 4")
    shape = (height, width) if channels == 1 else (height, width, channels)
    return _Layout(shape, _dtype(header), frames)


def _dtype(header: _Header) -> np.dtype[Any]:
    element = header.keys["ElementType"]
    if element not in _ELEMENT_TYPES:
        raise ValueError(f"its ElementType is {element}, expected {', '.join(_ELEMENT_TYPES)}")
    if not (header.flag("BinaryData") or "BinaryData" not in header.keys):
        raise ValueError("its pixels are text, expected BinaryData = True")
    big = header.flag("BinaryDataByteOrderMSB") or header.flag("ElementByteOrderMSB")
    return np.dtype((">" if big else "<") + _ELEMENT_TYPES[element])


def _data_file(header: _Header, path: Path) -> Path:
    """The file that holds the pixels: this one, or one beside it."""
    named = header.keys["ElementDataFile"]
    shown = repr(named[:80])
    if named.upper() == "LOCAL":
        return path
    header.data_at = 0
    beside = path.parent / named
    # A header must not make us read files elsewhere on the disk.
    if Path(named).name != named or not beside.is_file():
        raise ValueError(f"its pixels are in {shown}, expected a file in the same folder")
    return beside


def _spacing(header: _Header) -> float | None:
    key = "ElementSpacing" if "ElementSpacing" in header.keys else "ElementSize"
    values = [float(value) for value in header.keys.get(key, "").split()][:2]
    if len(values) != 2 or values == [1.0, 1.0]:
        return None
    known = all(math.isfinite(value) and value > 0 for value in values)
    return Scale(values[0], values[1]).mm_per_px if known else None


def _rate(times: dict[int, float]) -> float | None:
    """Mean pictures a second over PLUS's timestamps; ``None`` without them."""
    if len(times) < 2:
        return None
    first, last = min(times), max(times)
    duration_s = times[last] - times[first]
    return (last - first) / duration_s if duration_s > 0 else None
