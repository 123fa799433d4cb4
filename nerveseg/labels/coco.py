"""COCO instance files: one JSON for a whole folder of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nerveseg.errors import DataError
from nerveseg.labels import untrusted
from nerveseg.labels.areas import decode_runs, outline, rasterise
from nerveseg.labels.untrusted import JsonTable, LabelledImage
from nerveseg.types import Label

__all__ = ["read_coco", "write_coco"]

_MAX_RUNS = 10_000_000


def read_coco(path: Path) -> list[LabelledImage]:
    """Every picture of a COCO instance file, in the file's order, with its outlines.

    Polygons stay as they are; run lengths (plain or compressed) become the polygons of
    `areas.outline`. Annotations without a segmentation are left out. Raises `DataError` naming
    the file for anything malformed.
    """
    table = untrusted.load_table(path)
    names = {
        _id(entry, "id", path): _text(entry, "name", path)
        for entry in untrusted.entries(table, "categories", path)
    }
    shapes: dict[int | str, tuple[int, int]] = {}
    files: dict[int | str, str] = {}
    labels: dict[int | str, list[Label]] = {}
    for entry in untrusted.entries(table, "images", path):
        key = _id(entry, "id", path)
        files[key] = _text(entry, "file_name", path)
        shapes[key] = untrusted.image_shape(entry.get("height"), entry.get("width"), path)
        labels[key] = []
    for entry in untrusted.entries(table, "annotations", path):
        image, category = _id(entry, "image_id", path), _id(entry, "category_id", path)
        if image not in shapes or category not in names:
            raise DataError(f"{path}: an annotation names image {image}, category {category}: none")
        labels[image] += _labels(names[category], entry.get("segmentation"), shapes[image], path)
    return [LabelledImage(files[key], shapes[key], tuple(labels[key])) for key in shapes]


def write_coco(path: Path, images: Iterable[LabelledImage]) -> None:
    """Write a COCO instance file: one polygon annotation per outline; `StoreError` if refused."""
    listed = list(images)
    names = sorted({label.structure for image in listed for label in image.labels})
    categories = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[JsonTable] = []
    for image_id, image in enumerate(listed, start=1):
        for label in image.labels:
            entry = _annotation(label, image.shape)
            entry |= {"id": len(annotations) + 1, "image_id": image_id}
            annotations.append(entry | {"category_id": categories[label.structure]})
    untrusted.write_table(
        path,
        {
            "images": [
                {
                    "id": i,
                    "file_name": each.file_name,
                    "height": each.shape[0],
                    "width": each.shape[1],
                }
                for i, each in enumerate(listed, start=1)
            ],
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for name, i in categories.items()],
        },
    )


def _annotation(label: Label, shape: tuple[int, int]) -> JsonTable:
    points = untrusted.to_corner(label.polygon)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return {
        "segmentation": [[value for each in points for value in each]],
        "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
        "area": int(rasterise([label.polygon], shape).sum()),
        "iscrowd": 0,
    }


def _labels(name: str, value: Any, shape: tuple[int, int], path: Path) -> Iterator[Label]:
    if value is None or value == []:
        return
    if isinstance(value, dict):
        for polygon in outline(decode_runs(_runs(value, shape, path), shape)):
            yield Label(name, polygon)
        return
    if not isinstance(value, list):
        raise DataError(f"{path}: a segmentation is polygons or run lengths, got {str(value)[:40]}")
    for flat in value:
        yield Label(name, _polygon(flat, path))


def _polygon(flat: Any, path: Path) -> tuple[tuple[float, float], ...]:
    if not isinstance(flat, list) or len(flat) % 2 or len(flat) > 2 * untrusted.MAX_POINTS:
        raise DataError(f"{path}: a polygon is a list [x1, y1, x2, y2, …]")
    values = [untrusted.number(value, path) for value in flat]
    return untrusted.from_corner(list(zip(values[::2], values[1::2], strict=True)), path)


def _runs(value: JsonTable, shape: tuple[int, int], path: Path) -> list[int]:
    if value.get("size") != list(shape):
        raise DataError(f"{path}: run lengths for size {value.get('size')}, the image is {shape}")
    counts = value.get("counts")
    if isinstance(counts, str) and len(counts) <= _MAX_RUNS:
        return _decompress(counts, path)
    if isinstance(counts, list) and len(counts) <= _MAX_RUNS and all(map(_is_run, counts)):
        return counts
    raise DataError(f"{path}: run lengths must be whole numbers or COCO's compressed text")


def _is_run(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= untrusted.MAX_PIXELS


def _decompress(text: str, path: Path) -> list[int]:
    """COCO's compressed runs: base-32 digits from '0' on, least first, bit 5 = more to come.

    From the fourth run on, what is stored is the difference to the run two before.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 40:
            raise DataError(f"{path}: compressed run lengths hold {character!r}; they are damaged")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift or not all(map(_is_run, runs)):
        raise DataError(f"{path}: compressed run lengths are cut short or damaged")
    return runs


def _id(entry: JsonTable, key: str, path: Path) -> int | str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{path}: {key!r} is {str(value)[:40]!r}, expected a number or a text")
    return value


def _text(entry: JsonTable, key: str, path: Path) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise DataError(f"{path}: {key!r} is {str(value)[:40]!r}, expected a text")
    return value
