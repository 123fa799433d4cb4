"""What a video file's outermost layer tells: its kind, its codec, whether its end is there.

Read from ISO base media boxes (ISO/IEC 14496-12: MP4, MOV), RIFF chunks (AVI) and EBML elements
(RFC 8794: MKV, WebM). FFmpeg is offered these alone: a text file dressed up as a clip can't
make it open a playlist's addresses.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["Container", "container_kind", "read_container"]

_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_SEARCHED_BYTES = 1 << 20
_MAX_BOXES = 1_000_000


@dataclass(frozen=True, slots=True)
class Container:
    """``kind``: MP4, AVI or MKV; ``codec``: its four letters or name, ``None`` if not found;
    ``missing_bytes``: how much longer the file should be; ``has_index``: False for an MP4 whose
    recording was never finished.
    """

    kind: str
    codec: str | None
    missing_bytes: int
    has_index: bool


def container_kind(head: bytes) -> str | None:
    """``MP4`` (MOV too), ``AVI`` or ``MKV`` (WebM too) by a file's first 16 bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "MKV"
    return "MP4" if head[4:8] in _ISO_BOXES else None


def read_container(path: Path) -> Container | None:
    """The outermost layer of ``path``; ``None`` if it is no such file. May raise `OSError`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = container_kind(file.read(16))
        if kind == "MP4":
            return _mp4(file, size)
        if kind == "AVI":
            return _avi(file, size)
        return _mkv(file, size) if kind == "MKV" else None


def _mp4(file: BinaryIO, size: int) -> Container:
    at, codec, has_index = 0, None, False
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, name = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            length = struct.unpack_from(">Q", head, 8)[0]
        elif length == 0:
            length = size - at
        if length < 8:
            break
        if name == b"moov":
            has_index, codec = True, _sample_entry(_peek(file, at))
        at += length
    return Container("MP4", codec, max(0, at - size), has_index)


def _sample_entry(moov: bytes) -> str | None:
    """Four letters of the video track's sample description."""
    track = moov.find(b"vide")
    found = moov.find(b"stsd", max(0, track))
    return _letters(moov[found + 16 : found + 20]) if found >= 0 else None


def _avi(file: BinaryIO, size: int) -> Container:
    head = _peek(file, 0)
    found = head.find(b"vids")
    codec = _letters(head[found + 4 : found + 8]) if found >= 0 else None
    at = 0
    # Files above 1 GB hold several RIFF chunks, one after another.
    for _ in range(_MAX_BOXES):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[:4] != b"RIFF":
            break
        length = struct.unpack_from("<I", chunk, 4)[0]
        at += 8 + length + length % 2
    return Container("AVI", codec, max(0, at - size - 1), True)


def _mkv(file: BinaryIO, size: int) -> Container:
    head = _peek(file, 0)
    named = re.search(rb"V_[A-Z0-9/_]{2,24}", head)
    codec = named.group().decode() if named else None
    _, at = _ebml_size(head, 4)
    at += _ebml_size(head, 4)[0] or 0
    missing = 0
    if head[at : at + 4] == b"\x18S\x80g":
        length, body = _ebml_size(head, at + 4)
        missing = 0 if length is None else max(0, body + length - size)
    return Container("MKV", codec, missing, True)


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """Size of the element whose size field is at ``at`` (``None``: unknown), and its start."""
    if at >= len(data) or data[at] == 0:
        return None, at + 1
    width = 9 - data[at].bit_length()
    raw = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if raw == (1 << 7 * width) - 1 else raw), at + width


def _peek(file: BinaryIO, at: int) -> bytes:
    file.seek(at)
    return file.read(_SEARCHED_BYTES)


def _letters(code: bytes) -> str | None:
    text = code.decode("latin-1").strip("\0 ")
    return text if text.isascii() and text.isprintable() and text else None
