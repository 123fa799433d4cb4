"""Download one file over HTTP: with progress, and going on where it broke off."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import httpx

from nerveseg.errors import DataError

__all__ = ["Progress", "download", "file_sha256"]

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes there are so far and the bytes there will be (``None`` if unknown)."""

_TIMEOUT_S = 30.0


def download(url: str, part: Path, *, progress: Progress | None = None) -> None:
    """Fetch ``url`` into ``part``; bytes that ``part`` already has are not fetched again.

    They are, if the server says that the file has changed since, or knows no ranges. Raises
    `DataError` for an address that doesn't answer, answers with an error, or breaks off early
    (``part`` then keeps what came, so that the next call goes on), and `OSError` for the disk's
    own refusals.
    """
    try:
        with _answer(url, part) as (response, start):
            _receive(response, part, start, progress)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        kept = f"; {part.stat().st_size:,} bytes are kept, run it again" if part.exists() else ""
        raise DataError(f"{url} can't be fetched: {reason}{kept}") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _answer(url: str, part: Path) -> Iterator[tuple[httpx.Response, int]]:
    """The server's response, and from which byte on it carries the file."""
    have = part.stat().st_size if part.exists() else 0
    mark = _mark_of(part)
    # Without a mark of the version that the bytes came from, they can't be trusted to fit.
    headers = {"Accept-Encoding": "identity"}
    if have and mark.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text(encoding="utf-8")}
    with httpx.stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S
    ) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # All of it may be here already, or the file has shrunk: the hash will tell.
            yield response, have
            return
        response.raise_for_status()
        start = have if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
        if start and not _starts_at(response, start):
            raise DataError(f"{url} sent another part than asked for; remove {part} and try again")
        _remember(response, mark)
        yield response, start


def _receive(response: httpx.Response, part: Path, start: int, progress: Progress | None) -> None:
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    declared = response.headers.get("Content-Length", "")
    total = start + int(declared) if declared.isdecimal() else None
    done = start
    with part.open("ab" if start else "wb") as file:
        # As they arrive: a chunk that is still being collected when the line drops is lost.
        for chunk in response.iter_raw():
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    if total is not None and done != total:
        raise DataError(
            f"{response.url} broke off after {done:,} of {total:,} bytes; run it again to go on"
        )


def _starts_at(response: httpx.Response, start: int) -> bool:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return match is not None and int(match.group(1)) == start


def _mark_of(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _remember(response: httpx.Response, mark: Path) -> None:
    """Keep the strong mark of this version of the file, by which a later part is asked for."""
    etag = response.headers.get("ETag", "")
    version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    if version:
        mark.write_text(version, encoding="utf-8")
    else:
        mark.unlink(missing_ok=True)
