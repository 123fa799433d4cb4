"""Where recordings lie, what they are called, and how much room is left for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs

from nerveseg.errors import SourceError, StoreError
from nerveseg.video.recorded import ABOUT, About
from nerveseg.video.sinks import storing

__all__ = ["ENOUGH_BYTES", "LEAST_BYTES", "RecordingFacts", "Recordings", "free_bytes"]

ENOUGH_BYTES = 2_000_000_000
"""With less room than this left, it is said: five to ten minutes of a 640x480 picture."""

LEAST_BYTES = 200_000_000
"""With less room than this left, nothing is recorded: other programs need some too."""

_PLACE = "NERVESEG_RECORDINGS"
_LETTERS = 60
_ALIKE = 1000


def free_bytes(folder: Path) -> int:
    """Room on the disk that holds ``folder``; raises `OSError` where the folder is gone."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What a list of recordings tells of one.

    ``kind`` is ``recording``, ``snapshot`` or ``damaged``; ``started`` in local time; ``seconds``
    and ``frames`` of one that was not closed are those of a few seconds before its end. ``note``
    says in words what is wrong with it, if anything.
    """

    name: str
    path: Path
    kind: str
    started: datetime
    seconds: float = 0.0
    frames: int = 0
    source: str = ""
    size_bytes: int = 0
    note: str | None = None


class Recordings:
    """The folder ``root`` with a folder for each recording.

    By default the one that ``NERVESEG_RECORDINGS`` names, or else one among the user's
    application data: unlike *Documents* it isn't copied to a cloud unasked.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or _default_root()

    def new(self, name: str = "") -> Path:
        """A fresh folder named after the time and ``name``: ``2026-11-24 23-14-05 axillary``.

        Letters that a file system may not take are left out. Raises `StoreError` if it can't be
        made.
        """
        stamp = datetime.now().astimezone().strftime("%Y-%m-%d %H-%M-%S")
        wanted = f"{stamp} {_plain(name)}".strip()
        with storing(self.root / wanted):
            self.root.mkdir(parents=True, exist_ok=True)
            return self._made(wanted)

    def _made(self, wanted: str) -> Path:
        for number in range(1, _ALIKE):
            path = self.root / (wanted if number == 1 else f"{wanted} ({number})")
            with suppress(FileExistsError):
                # Only this user's: what was recorded is nobody else's business.
                path.mkdir(mode=0o700)
                return path
        raise StoreError(f"{self.root} holds {_ALIKE} recordings called {wanted}; wait a second")

    def list(self) -> tuple[RecordingFacts, ...]:
        """All recordings and snapshots, the newest first; damaged ones say so in their note."""
        found = (_facts(path) for path in self._folders())
        return tuple(sorted(found, key=lambda facts: (facts.started, facts.name), reverse=True))

    def find(self, name: str) -> Path:
        """The folder of the recording called ``name``; `StoreError` if there is none."""
        # Looked up among what is there, so that no name leads anywhere else.
        for path in self._folders():
            if path.name == name:
                return path
        raise StoreError(f"there is no recording {name[:80]!r} in {self.root}; list them again")

    def _folders(self) -> Iterator[Path]:
        try:
            entries = sorted(self.root.iterdir())
        except OSError:
            return
        for path in entries:
            if path.is_dir() and not path.is_symlink() and _looks_recorded(path):
                yield path


def _default_root() -> Path:
    given = os.environ.get(_PLACE)
    if given:
        return Path(given).expanduser()
    return platformdirs.user_data_path("nerveseg", appauthor=False) / "recordings"


def _plain(name: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in " -_+" else " " for letter in name)
    return " ".join(kept.split())[:_LETTERS].strip()


def _looks_recorded(path: Path) -> bool:
    with suppress(OSError):
        return (path / ABOUT).is_file() or any(path.glob("picture*.mkv"))
    return False


def _facts(path: Path) -> RecordingFacts:
    size = _size(path)
    try:
        about = About.read(path)
        started = datetime.fromisoformat(about.started).astimezone()
    except (SourceError, ValueError, OverflowError, OSError) as error:
        return RecordingFacts(
            path.name, path, "damaged", _touched(path), size_bytes=size, note=str(error)
        )
    return RecordingFacts(
        path.name,
        path,
        about.kind,
        started,
        seconds=about.seconds,
        frames=about.frames,
        source=str(about.facts.get("source", "")),
        size_bytes=size,
        note=_note(about),
    )


def _note(about: About) -> str | None:
    if not about.parts:
        return "holds no picture"
    if about.ended is not None:
        return f"ended by itself: {about.ended}"
    if not about.closed:
        return "was not closed: it may lack its last second"
    return f"lacks {about.dropped} frames" if about.dropped else None


def _touched(path: Path) -> datetime:
    with suppress(OSError, OverflowError):
        return datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    return datetime.fromtimestamp(0).astimezone()


def _size(path: Path) -> int:
    total = 0
    with suppress(OSError):
        for file in path.iterdir():
            with suppress(OSError):
                total += file.stat().st_size
    return total
