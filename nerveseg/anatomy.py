"""Structures, classes, colours and blocks, read from `anatomy.toml`.

A *structure* is what a trainee names ("femoral nerve"); a *class* is what a network can learn
("nerve"). Both are data: pass another file to `load` to teach another syllabus.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from nerveseg.errors import DataError

__all__ = ["Anatomy", "AnatomyClass", "Block", "Structure", "default", "load"]

_LINES = ("solid", "dashed", "dotted", "dashdot")


@dataclass(frozen=True, slots=True)
class AnatomyClass:
    """A class a network can learn. ``color`` and ``safe_color`` (colour-blind-safe) are RGB."""

    name: str
    label: str
    color: tuple[int, int, int]
    safe_color: tuple[int, int, int]
    line: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class Structure:
    """A named structure of a block and the class it belongs to."""

    name: str
    class_name: str


@dataclass(frozen=True, slots=True)
class Block:
    """A nerve block and the structures that a trainee must name for it."""

    name: str
    label: str
    structures: tuple[Structure, ...]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """All classes and blocks of one syllabus file."""

    status: str
    classes: dict[str, AnatomyClass]
    blocks: dict[str, Block]

    def block(self, name: str) -> Block:
        """The block called ``name``; raise `DataError` if there is none."""
        if name not in self.blocks:
            raise DataError(f"there is no block {name!r}; there are {', '.join(self.blocks)}")
        return self.blocks[name]


@cache
def default() -> Anatomy:
    """The syllabus that travels with the package."""
    text = (resources.files("nerveseg") / "anatomy.toml").read_text("utf-8")
    return _parse(text, "nerveseg/anatomy.toml")


def load(path: Path) -> Anatomy:
    """Read a syllabus file; raise `DataError` if it can't be read or a value is wrong."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"can't read the syllabus {path}: {error}; pass a UTF-8 TOML file"
        ) from error
    return _parse(text, str(path))


def _parse(text: str, origin: str) -> Anatomy:
    try:
        raw = tomllib.loads(text)
        classes = {name: _class(name, entry) for name, entry in raw["classes"].items()}
        blocks = {name: _block(name, entry, classes) for name, entry in raw["blocks"].items()}
        return Anatomy(str(raw.get("status", "")), classes, blocks)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{origin} is not a syllabus: {error}; see nerveseg/anatomy.toml"
        ) from error


def _class(name: str, entry: dict[str, Any]) -> AnatomyClass:
    line = str(entry["line"])
    if line not in _LINES:
        raise ValueError(f"class {name!r} has line {line!r}, expected one of {_LINES}")
    return AnatomyClass(
        name=name,
        label=str(entry["label"]),
        color=_rgb(entry["color"]),
        safe_color=_rgb(entry["safe_color"]),
        line=line,
        parent=entry.get("parent"),
    )


def _block(name: str, entry: dict[str, Any], classes: dict[str, AnatomyClass]) -> Block:
    structures = tuple(Structure(s["name"], s["class"]) for s in entry["structures"])
    unknown = {s.class_name for s in structures} - set(classes)
    if unknown:
        raise ValueError(f"block {name!r} uses unknown classes {sorted(unknown)}")
    return Block(name, str(entry["label"]), structures)


def _rgb(text: str) -> tuple[int, int, int]:
    if len(text) != 7 or not text.startswith("#"):
        raise ValueError(f"a colour is written #RRGGBB, got {text!r}")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
