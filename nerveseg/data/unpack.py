"""Unpack an archive that a stranger made: plain files below one folder, and not too much.

Refused are absolute paths, ``..``, drive letters, links, devices, encrypted entries, more
bytes than `MAX_BYTES` (counted as they are written, not as declared) and more than
`MAX_ENTRIES` entries.
"""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from nerveseg.errors import DataError

__all__ = ["MAX_BYTES", "MAX_ENTRIES", "Budget", "is_archive", "unpack"]

MAX_BYTES = 40_000_000_000
MAX_ENTRIES = 1_000_000
_CHUNK = 1 << 20

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


class Budget:
    """How many bytes and entries may still be written."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self._bytes, self._entries = max_bytes, max_entries

    def spend(self, *, size: int = 0, entries: int = 0) -> None:
        """Take from what is left; `DataError` once nothing is."""
        self._bytes -= size
        self._entries -= entries
        if self._bytes < 0 or self._entries < 0:
            raise DataError("the archive unpacks to more than any of these sets; not unpacked")


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a zip or a tar (plain, gz, bz2 or xz), told by its content."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path, *, strip: int = 0, budget: Budget | None = None) -> None:
    """Write the files of ``archive`` below ``folder``, without their first ``strip`` folders.

    Raises `DataError` for an archive that is broken or tries to escape (what was written up to
    there stays in ``folder``: unpack into a temporary one) and `OSError` for the disk's own
    refusals.
    """
    budget = budget or Budget()
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, strip, budget)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, folder, strip, budget)
        else:
            raise DataError(f"{archive} is neither a zip nor a tar archive")
    except _BROKEN as error:
        raise DataError(f"archive {archive} is damaged: {error}; fetch it again") from error


def _unpack_zip(archive: Path, folder: Path, strip: int, budget: Budget) -> None:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            budget.spend(entries=1)
            target = _target(folder, entry.filename, strip)
            mode = entry.external_attr >> 16
            if entry.flag_bits & 1 or (stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)):
                raise DataError(f"{archive} holds {entry.filename!r}, encrypted or no plain file")
            if target is None or entry.is_dir():
                continue
            with opened.open(entry) as source:
                _write(source, target, budget)


def _unpack_tar(archive: Path, folder: Path, strip: int, budget: Budget) -> None:
    with tarfile.open(archive) as opened:
        for entry in opened:
            budget.spend(entries=1)
            target = _target(folder, entry.name, strip)
            if not entry.isreg() and not entry.isdir():
                raise DataError(f"{archive} holds {entry.name!r}, a link or a device")
            source = opened.extractfile(entry) if entry.isreg() else None
            if target is not None and source is not None:
                _write(source, target, budget)


def _target(folder: Path, name: str, strip: int) -> Path | None:
    """Where an entry goes; ``None`` for a folder that is stripped away."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
        raise DataError(f"the archive holds {name!r}, which leads out of its folder; not unpacked")
    kept = path.parts[strip:]
    return folder.joinpath(*kept) if kept else None


def _write(source: IO[bytes], target: Path, budget: Budget) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        for chunk in _chunks(source):
            budget.spend(size=len(chunk))
            file.write(chunk)


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk
