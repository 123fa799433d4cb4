"""``phantom:`` addresses: a phantom and its length in one line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nerveseg.address import Address, flag
from nerveseg.errors import SourceError
from nerveseg.phantom.phantom import Phantom
from nerveseg.phantom.values import Difficulty

__all__ = ["DEFAULT_FRAMES", "parse_uri"]

DEFAULT_FRAMES: Final = 120
_SCHEME = "phantom:"


def parse_uri(uri: str) -> tuple[Phantom, int]:
    """The phantom and the number of frames that ``uri`` asks for.

    ``phantom:BLOCK?seed=3&frames=120&needle&probe=curved&size=512x512``; the block is
    ``axillary`` if left out. Keys: ``seed``, ``frames``, ``needle``, ``probe``, ``size``
    (``WIDTHxHEIGHT``) and the difficulty: ``depth`` (mm), ``gain`` (dB), ``speckle``,
    ``visibility``, ``angle`` (degrees), ``motion``, ``noise``. Raises `SourceError` for an unknown
    or repeated key or a value that can't be read, `DataError` for an unknown block or a value out
    of range.
    """
    if not uri.startswith(_SCHEME):
        raise SourceError(f"{uri!r} is no phantom address; expected phantom:BLOCK?key=value")
    block, _, query = uri.removeprefix(_SCHEME).partition("?")
    address = Address("phantom", block, query, uri)
    values = address.options(_READERS, called="key")
    frames = values.pop("frames", DEFAULT_FRAMES)
    knobs = {name: values.pop(key) for key, name in _KNOBS.items() if key in values}
    phantom = Phantom(block or "axillary", difficulty=Difficulty(**knobs), **values)
    return phantom, frames


def _count(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise ValueError(f"is not a whole number from {low} up")
        return int(text)

    return read


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("is not a number") from None


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError("is not WIDTHxHEIGHT, such as 512x512")
    return int(width), int(height)


_KNOBS: Final = {
    "depth": "depth_mm",
    "gain": "gain_db",
    "speckle": "speckle",
    "visibility": "visibility",
    "angle": "needle_angle_deg",
    "motion": "motion",
    "noise": "noise",
}

_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "seed": _count(0),
    "frames": _count(1),
    "needle": flag,
    "probe": str,
    "size": _size,
    **dict.fromkeys(_KNOBS, _number),
}
