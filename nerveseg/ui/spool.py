"""One growing file that holds a clip's frames, so that a long clip doesn't fill the memory."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import NamedTuple

from nerveseg.errors import StoreError

__all__ = ["Slot", "Spool"]


class Slot(NamedTuple):
    """Where one piece lies in a spool, in bytes."""

    start: int
    length: int


class Spool:
    """Append pieces, read any of them back from any thread; the file goes when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._size = 0
        try:
            self._file = path.open("w+b")
        except OSError as error:
            raise StoreError(f"can't keep frames in {path.parent}: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Bytes kept so far."""
        return self._size

    def append(self, piece: bytes) -> Slot:
        """Keep ``piece``; raise `StoreError` when the disk is full."""
        with self._lock:
            slot = Slot(self._size, len(piece))
            try:
                self._file.seek(slot.start)
                self._file.write(piece)
                self._file.flush()
            except (OSError, ValueError) as error:
                raise StoreError(
                    f"can't keep more frames in {self._path.parent}: {error}; free some disk space"
                ) from error
            self._size += slot.length
        return slot

    def read(self, slot: Slot) -> bytes:
        """A piece as it was appended; raise `StoreError` once the spool is closed."""
        with self._lock:
            try:
                self._file.seek(slot.start)
                return self._file.read(slot.length)
            except (OSError, ValueError) as error:
                raise StoreError("this clip was closed; open it again") from error

    def close(self) -> None:
        """Close and delete the file; closing twice is fine."""
        with self._lock:
            # What was buffered on a full disk fails again here, and no longer matters.
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)
