"""LabelMe files: one JSON beside each picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nerveseg.errors import DataError
from nerveseg.labels import untrusted
from nerveseg.labels.untrusted import JsonTable, LabelledImage
from nerveseg.types import Label

__all__ = ["read_labelme", "write_labelme"]

_VERSION = "5.5.0"
_CIRCLE_POINTS = 72
_NOT_AREAS = frozenset({"point", "line", "linestrip", "points"})


def read_labelme(path: Path) -> LabelledImage:
    """Outlines in a LabelMe JSON: polygons, rectangles and circles.

    Points and lines enclose nothing and are left out. Raises `DataError` naming the file for
    anything malformed and for shapes that can't be read.
    """
    table = untrusted.load_table(path)
    shape = untrusted.image_shape(table.get("imageHeight"), table.get("imageWidth"), path)
    shapes = untrusted.entries(table, "shapes", path)
    labels = tuple(_label(entry, path) for entry in shapes if not _is_line(entry))
    return LabelledImage(str(table.get("imagePath") or ""), shape, labels)


def write_labelme(path: Path, image: LabelledImage) -> None:
    """Write the outlines of one picture as LabelMe reads them; `StoreError` if it can't be."""
    height, width = image.shape
    shapes: list[JsonTable] = [
        {
            "label": label.structure,
            "points": untrusted.to_corner(label.polygon),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for label in image.labels
    ]
    untrusted.write_table(
        path,
        {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": image.file_name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        },
    )


def _is_line(entry: JsonTable) -> bool:
    return entry.get("shape_type") in _NOT_AREAS


def _label(entry: JsonTable, path: Path) -> Label:
    name, raw = entry.get("label"), entry.get("points")
    if not isinstance(name, str) or not isinstance(raw, list) or len(raw) > untrusted.MAX_POINTS:
        raise DataError(
            f"{path}: a shape needs a text 'label' and a list 'points' of at most "
            f"{untrusted.MAX_POINTS}"
        )
    points = [untrusted.point(item, path) for item in raw]
    return Label(name, untrusted.from_corner(_area(entry, points, path), path))


def _area(
    entry: JsonTable, points: Sequence[tuple[float, float]], path: Path
) -> Sequence[tuple[float, float]]:
    kind = entry.get("shape_type", "polygon")
    if kind == "polygon":
        return points
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind == "rectangle":
        return points
    if kind == "circle" and len(points) == 2:
        return _circle(points[0], math.dist(points[0], points[1]))
    raise DataError(
        f"{path}: a shape is a {str(kind)[:40]!r} of {len(points)} points; "
        "expected a polygon, a rectangle or a circle"
    )


def _circle(centre: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    turns = (2 * math.pi * i / _CIRCLE_POINTS for i in range(_CIRCLE_POINTS))
    return [
        (centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)) for turn in turns
    ]
