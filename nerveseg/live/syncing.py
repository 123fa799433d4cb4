"""Have the disk itself keep what is recorded, so that a power cut costs seconds and not minutes."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

__all__ = ["Syncing"]

_logger = logging.getLogger(__name__)

_EVERY_S = 4.0
_CLOSE_S = 20.0
_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0)


class Syncing:
    """Syncs the files in ``folder`` every ``every_s`` seconds, and once more when it is closed.

    In a thread of its own: a busy disk takes a second over it, in which whoever writes mustn't
    stand still, since frames that wait to be written are lost when the process is killed.
    """

    def __init__(self, folder: Path, *, every_s: float = _EVERY_S) -> None:
        self._folder = folder
        self._every_s = every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="nerveseg-recorder-sync", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Sync for the last time, and end."""
        self._closed.set()
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while not self._closed.wait(self._every_s):
            self._sync()
        self._sync()

    def _sync(self) -> None:
        try:
            for path in self._folder.iterdir():
                _sync_file(path)
        except OSError as error:
            # Whoever writes meets the same trouble, and tells of it.
            _logger.info("can't sync %s: %s", self._folder, error)


def _sync_file(path: Path) -> None:
    try:
        handle = os.open(path, _FLAGS)
    except FileNotFoundError:
        return  # a file that was written under another name has its own by now
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
