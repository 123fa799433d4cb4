"""Read label files that somebody else wrote: capped, typed, finite, or a `DataError`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from nerveseg.errors import DataError, StoreError
from nerveseg.types import Label

__all__ = [
    "CORNER",
    "MAX_SHAPES",
    "JsonTable",
    "LabelledImage",
    "entries",
    "from_corner",
    "image_shape",
    "load_table",
    "number",
    "point",
    "to_corner",
    "write_table",
]

JsonTable: TypeAlias = dict[str, Any]

MAX_BYTES = 512_000_000
MAX_SHAPES = 1_000_000
MAX_POINTS = 100_000
MAX_PIXELS = 150_000_000

CORNER = 0.5
"""From a pixel's corner, where LabelMe and COCO count from, to its centre."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """The outlines of one picture: ``shape`` is ``(H, W)``, ``file_name`` as the file says."""

    file_name: str
    shape: tuple[int, int]
    labels: tuple[Label, ...]


def load_table(path: Path) -> JsonTable:
    """The JSON object in ``path``; `DataError` if missing, too large, malformed or no object."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes, expected at most {MAX_BYTES:,}")
        # Some tools write a byte-order mark, or the picture's name in a local encoding.
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
        table = json.loads(text, parse_constant=_refuse)
    except OSError as error:
        raise DataError(f"label file {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"label file {path} is no valid JSON: {error}") from error
    if not isinstance(table, dict):
        raise DataError(f"label file {path} holds a {type(table).__name__}, expected an object")
    return table


def write_table(path: Path, table: JsonTable) -> None:
    """Write ``table`` as JSON: a whole file or none; `StoreError` if the disk refuses."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"label file {path} can't be written: {error.strerror}") from error


def entries(table: JsonTable, key: str, path: Path, *, limit: int = MAX_SHAPES) -> list[JsonTable]:
    """The objects in the list at ``key``, at most ``limit``."""
    value = table.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{path}: {key!r} must be a list of objects")
    if len(value) > limit:
        raise DataError(f"{path}: {key!r} has {len(value)} entries, expected at most {limit}")
    return value


def number(value: Any, path: Path) -> float:
    """``value`` as a finite float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{path}: got {str(value)[:40]!r} where a number is expected")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise DataError(f"{path}: got a number that is not finite")
    return converted


def point(value: Any, path: Path) -> tuple[float, float]:
    """``[x, y]`` as finite floats, still counted from the corner."""
    if not isinstance(value, list) or len(value) != 2:
        raise DataError(f"{path}: got {str(value)[:40]!r} where a point [x, y] is expected")
    return number(value[0], path), number(value[1], path)


def image_shape(height: Any, width: Any, path: Path) -> tuple[int, int]:
    """``(H, W)`` of a picture, both positive whole numbers and not absurdly large."""
    values = number(height, path), number(width, path)
    shape = int(values[0]), int(values[1])
    if tuple(map(float, shape)) != values or min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise DataError(f"{path}: an image of {width}x{height} pixels can't be")
    return shape


def from_corner(
    points: Sequence[tuple[float, float]], path: Path
) -> tuple[tuple[float, float], ...]:
    """Points counted from the pixel's centre; checks how many there are."""
    if not 3 <= len(points) <= MAX_POINTS:
        raise DataError(f"{path}: an outline of {len(points)} points, expected 3 to {MAX_POINTS}")
    return tuple((x - CORNER, y - CORNER) for x, y in points)


def to_corner(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Points counted from the pixel's corner, as LabelMe and COCO want them."""
    return [[x + CORNER, y + CORNER] for x, y in points]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")
