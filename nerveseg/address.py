"""``scheme:place?key=value&flag``: the one line of text by which a source is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from urllib.request import url2pathname

from nerveseg.errors import SourceError

__all__ = ["Address", "flag", "number_between", "picture_size", "shown_uri", "text"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""Two characters at least: one letter is a drive, as in ``C:\\clip.mp4``."""

_YES = ("", "1", "true", "yes")
_NO = ("0", "false", "no")
_SECRET = re.compile(r"(?<=://)[^/?#]*@")


@dataclass(frozen=True, slots=True)
class Address:
    """A source's name, taken apart.

    ``scheme`` is in small letters, ``place`` what stands between it and the last question mark,
    ``query`` what stands behind that, ``uri`` the whole as it was given.
    """

    scheme: str
    place: str
    query: str
    uri: str

    @classmethod
    def parse(cls, uri: str) -> Address | None:
        """The parts of ``uri``, or ``None`` if it is a path."""
        found = _SCHEME.match(uri)
        if found is None:
            return None
        place, mark, query = uri[found.end() :].rpartition("?")
        return cls(found[0][:-1].lower(), place if mark else query, query if mark else "", uri)

    @property
    def shown(self) -> str:
        """The address as it may be shown and logged: without a user's name and password."""
        return _SECRET.sub("", self.uri)

    @property
    def path(self) -> Path:
        """The place as a path; ``file:///home/a%20b.mp4`` is understood too."""
        if self.place.startswith("///"):
            return Path(url2pathname(self.place[2:]))
        return Path(self.place)

    @property
    def keys(self) -> tuple[str, ...]:
        """What stands behind the question mark, without the values."""
        return tuple(key for key, _ in parse_qsl(self.query, keep_blank_values=True))

    def options(
        self, readers: Mapping[str, Callable[[str], Any]], *, called: str = "option"
    ) -> dict[str, Any]:
        """The values behind the question mark, each read by its reader.

        ``called`` is what an unknown one is called in the error.

        A reader raises `ValueError` with what is wrong, such as "is not a number". Raises
        `SourceError` for that, and for a key that has no reader or is given twice.
        """
        values: dict[str, Any] = {}
        for key, given in parse_qsl(self.query, keep_blank_values=True):
            if key not in readers:
                raise SourceError(
                    f"{self.shown!r}: unknown {called} {key!r}; known are {', '.join(readers)}"
                )
            if key in values:
                raise SourceError(f"{self.shown!r}: {key!r} is given twice; give it once")
            try:
                values[key] = readers[key](given)
            except ValueError as error:
                raise SourceError(f"{self.shown!r}: {key}={given!r} {error}") from error
        return values

    def split(self, keys: tuple[str, ...]) -> tuple[Address, Address]:
        """The address with only the options ``keys``, and with all others."""
        pairs = parse_qsl(self.query, keep_blank_values=True)
        return (
            self._with([pair for pair in pairs if pair[0] in keys]),
            self._with([pair for pair in pairs if pair[0] not in keys]),
        )

    def _with(self, pairs: list[tuple[str, str]]) -> Address:
        query = urlencode(pairs)
        uri = f"{self.scheme}:{self.place}{'?' if query else ''}{query}"
        return Address(self.scheme, self.place, query, uri)


def shown_uri(uri: str) -> str:
    """``uri`` as it may be shown, logged and kept: without a user's name and password."""
    address = Address.parse(uri)
    return uri if address is None else address.shown


def flag(given: str) -> bool:
    """``loop``, ``loop=yes`` or ``loop=no``."""
    if given.lower() not in _YES + _NO:
        raise ValueError("is neither yes nor no")
    return given.lower() in _YES


def text(given: str) -> str:
    """Any text but none."""
    if not given:
        raise ValueError("is empty")
    return given


def picture_size(given: str) -> tuple[int, int]:
    """``1280x720``: width and height in pixels."""
    width, _, height = given.lower().partition("x")
    if not (_is_side(width) and _is_side(height)):
        raise ValueError("is not WIDTHxHEIGHT in pixels, such as 1280x720")
    return int(width), int(height)


_MOST_PIXELS_A_SIDE: Final = 16_384


def _is_side(digits: str) -> bool:
    return bool(re.fullmatch("[0-9]{1,5}", digits)) and 0 < int(digits) <= _MOST_PIXELS_A_SIDE


def number_between(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers from ``low`` to ``high``."""

    def read(given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            raise ValueError("is not a number") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low:g} and {high:g}")
        return value

    return read
