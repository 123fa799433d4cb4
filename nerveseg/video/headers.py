"""Read from a picture's first bytes what it is and how large, before anything is decoded.

Formats: PNG (W3C, chunk IHDR), JPEG (ITU-T T.81, marker SOFn), TIFF 6.0 and BigTIFF
(tags 256 and 257), BMP (BITMAPCOREHEADER and BITMAPINFOHEADER).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nerveseg.errors import SourceError

__all__ = ["ImageHeader", "image_header", "image_kind"]

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """``kind`` (PNG, JPEG, TIFF, BMP), size in pixels, and whether the file's end is there."""

    kind: str
    width: int
    height: int
    complete: bool


def image_kind(head: bytes) -> str | None:
    """``PNG``, ``JPEG``, ``TIFF`` or ``BMP`` by a file's first bytes, else ``None``."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def image_header(content: npt.NDArray[np.uint8], name: str) -> ImageHeader:
    """Header of the picture in ``content`` (the whole file, ``uint8``); else `SourceError`."""
    data = content.data
    kind = image_kind(bytes(data[:16]))
    if kind is None:
        raise SourceError(
            f"{name} is no picture: it doesn't begin like a PNG, JPEG, TIFF or BMP file"
        )
    read = {"PNG": _png, "JPEG": _jpeg, "TIFF": _tiff, "BMP": _bmp}[kind]
    try:
        width, height, complete = read(data)
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise SourceError(f"{name} is a damaged or cut short {kind} file; copy it again") from error
    return ImageHeader(kind, width, height, complete)


def _png(data: memoryview) -> tuple[int, int, bool]:
    width, height = struct.unpack_from(">4x4sII", data, 8)[1:]
    return width, height, b"IEND" in bytes(data[-4096:])


def _jpeg(data: memoryview) -> tuple[int, int, bool]:
    at, size = 2, None
    while True:
        while data[at + 1] == 0xFF:
            at += 1
        prefix, marker = struct.unpack_from(">BB", data, at)
        if prefix != 0xFF:
            raise ValueError("no marker")
        if marker in _STANDALONE:
            at += 2
            continue
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == _START_OF_SCAN:
            break
    if size is None:
        raise ValueError("no frame header")
    return *size, _END_OF_IMAGE in bytes(data[at:])


def _bmp(data: memoryview) -> tuple[int, int, bool]:
    (offset, header) = struct.unpack_from("<II", data, 10)
    layout = "<HH" if header == 12 else "<ii"
    width, height = struct.unpack_from(layout, data, 18)
    bits, compression = 24, 0
    if header > 12:
        bits, compression = struct.unpack_from("<HI", data, 28)
    row = (abs(width) * bits + 31) // 32 * 4
    complete = compression not in (0, 3) or len(data) >= offset + row * abs(height)
    return abs(width), abs(height), complete


def _tiff(data: memoryview) -> tuple[int, int, bool]:
    order = "<" if data[0] == ord("I") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    at += 8 if big else 2
    step, value_at = (20, 12) if big else (12, 8)
    tags: dict[int, int] = {}
    for entry in range(at, at + min(count, 4096) * step, step):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):
            code = {3: "H", 4: "I", 16: "Q"}[kind]
            tags[tag] = struct.unpack_from(order + code, data, entry + value_at)[0]
    # The decoder itself notices missing strips, which can lie anywhere in the file.
    return tags[256], tags[257], True
