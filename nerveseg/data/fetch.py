"""Bring a dataset to its folder: from its publisher, or from a folder or archive on disk.

The folder appears at once and whole, or not at all: everything happens in a hidden folder
beside it, which is then renamed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nerveseg.data import cards
from nerveseg.data.cards import Card
from nerveseg.data.download import Progress, download, file_sha256
from nerveseg.data.unpack import Budget, is_archive, unpack
from nerveseg.errors import DataError, StoreError

__all__ = ["Fetched", "fetch"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where the data is now; ``sha256`` is that of the archive, ``None`` if there was none.

    ``verified`` says whether the card had a hash to compare with; ``already`` that the folder
    was there before and nothing was done.
    """

    path: Path
    sha256: str | None = None
    verified: bool = False
    already: bool = False

    @property
    def note(self) -> str | None:
        """What the user should be told, one line, or ``None``."""
        if self.already:
            return f"{self.path} is there already; remove it to fetch it again"
        if self.sha256 is not None and not self.verified:
            return (
                f"the card has no hash to compare with: if you trust this download, record "
                f'sha256 = "{self.sha256}" under [archive]'
            )
        return None


def fetch(
    name: str | Path,
    dest: Path | None = None,
    *,
    source: Path | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Get the data of card ``name`` into ``dest`` (default ``datasets/data/<name>``).

    From ``source``, a folder or an archive on disk, if given; else from the card's address. An
    archive must have the card's SHA-256 where the card has one. Links in a folder are not
    followed. Raises `DataError` for a download, hash or archive that is wrong, and
    `StoreError` when the disk is full or may not be written. A download that broke off goes on
    at the next call.
    """
    card = cards.load(name)
    target = cards.default_root(card) if dest is None else dest
    if not card.has_files:
        raise DataError(f"{card.name} is made on the spot; there is nothing to fetch")
    with _disk_errors(target):
        if target.is_dir() and any(target.iterdir()):
            return Fetched(target, already=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source is None:
            return _from_publisher(card, target, progress)
        if source.is_dir():
            return _from_folder(source, target, progress)
        return _from_archive(card, source, target)


def _from_publisher(card: Card, target: Path, progress: Progress | None) -> Fetched:
    if card.archive.url is None:
        raise DataError(
            f"{card.name} can't be downloaded without you: get it from {card.homepage}, then "
            f"`nerveseg data fetch {card.name} --from PATH`"
        )
    part = target.with_name(f".{target.name}.download")
    download(card.archive.url, part, progress=progress)
    try:
        fetched = _from_archive(card, part, target)
    except DataError:
        # A wrong file can't be gone on with: the next call must start anew.
        _forget(part)
        raise
    _forget(part)
    return fetched


def _from_archive(card: Card, archive: Path, target: Path) -> Fetched:
    if not archive.is_file():
        raise DataError(f"{archive} is neither a folder nor a file; give the publisher's archive")
    sha256 = file_sha256(archive)
    expected = card.archive.sha256
    if expected is not None and sha256 != expected:
        raise DataError(
            f"the archive of {card.name} has SHA-256 {sha256}, its card says {expected}: "
            "damaged, or not what was published; not unpacked"
        )
    if not is_archive(archive):
        raise DataError(f"what came for {card.name} is neither a zip nor a tar archive")
    with _appearing(target) as hidden:
        unpack(archive, hidden, strip=card.archive.strip)
    return Fetched(target, sha256, verified=expected is not None)


def _from_folder(source: Path, target: Path, progress: Progress | None) -> Fetched:
    if target.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{target} lies inside of {source}; give another folder")
    files = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    if not files:
        raise DataError(f"{source} holds no files; give the folder that holds the data")
    sizes = [path.stat().st_size for path in files]
    budget, done = Budget(), 0
    with _appearing(target) as hidden:
        for path, size in zip(files, sizes, strict=True):
            budget.spend(size=size, entries=1)
            copy = hidden / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            done += size
            if progress is not None:
                progress(done, sum(sizes))
    return Fetched(target)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A hidden folder that becomes ``target`` if all goes well, and vanishes if not."""
    hidden = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield hidden
        if target.is_dir():
            target.rmdir()
        hidden.chmod(0o755)
        hidden.rename(target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the data can't be put at {target}: {error.strerror or error} "
            f"({error.filename or 'no file named'}); free space or choose another folder"
        ) from error


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".version").unlink(missing_ok=True)
