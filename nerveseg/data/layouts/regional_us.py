"""Regional-US brachial plexus: clips, with masks, boxes and needle lines per frame.

``data/<device>/videos/b240.mp4``; ``ac_masks/b240/b240_000.jpg`` (active contours, one JPEG a
frame); ``bb_annotations/b240.txt`` (one JSON object a line, the boxes a JSON text inside it);
``needle/needle_coordinates/s071.txt`` (one JSON object, frame to tip and skin end). The nerve is
taken from the contours of a clip where it has any, else from the union of its boxes; a frame
that a clip's labels leave out is skipped, and a class that a frame lacks is unknown there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nerveseg import labels
from nerveseg.data.cards import Card
from nerveseg.data.layouts.building import attempt, build, option_text
from nerveseg.data.pictures import MaskPicture, find_by_stem, natural_key
from nerveseg.errors import DataError, SourceError
from nerveseg.types import Frame, Mask, Sample
from nerveseg.video import sources

__all__ = ["read"]

Box: TypeAlias = tuple[float, float, float, float]
"""``x, y, width, height`` in pixels; may reach beyond the picture, even to negative sizes."""

Line: TypeAlias = tuple[tuple[float, float], tuple[float, float]]

_BRIGHT = 100
_HALF_SHAFT_PX = 1.5
_MAX_BYTES = 64_000_000


class _ClipLabels:
    """What is known of one clip; every lookup is by the frame's index in the clip."""

    def __init__(self, device: Path, clip: str) -> None:
        self._contours = device / "ac_masks" / clip
        self._stem = clip
        self._has_contours = self._contours.is_dir()
        boxes = device / "bb_annotations" / f"{clip}.txt"
        self._boxes = {} if self._has_contours or not boxes.is_file() else read_boxes(boxes)
        needle = device / "needle" / "needle_coordinates" / f"{clip}.txt"
        self._needle = read_lines(needle) if needle.is_file() else {}

    def masks(self, index: int, shape: tuple[int, int], wanted: frozenset[str]) -> dict[str, Mask]:
        """Masks of the wanted classes that this frame has labels of."""
        found = {"nerve": self._nerve(index, shape), "needle": self._shaft(index, shape)}
        return {name: m for name, m in found.items() if m is not None and name in wanted}

    def _nerve(self, index: int, shape: tuple[int, int]) -> Mask | None:
        if self._has_contours:
            path = find_by_stem(self._contours, f"{self._stem}_{index:03d}")
            return None if path is None else MaskPicture(path).at_least(_BRIGHT)
        boxes = self._boxes.get(index)
        return None if boxes is None else _union(boxes, shape)

    def _shaft(self, index: int, shape: tuple[int, int]) -> Mask | None:
        line = self._needle.get(index)
        return None if line is None else labels.rasterise(_band(line), shape)


def read(card: Card, root: Path) -> Iterator[Sample | DataError]:
    """Every labelled frame of every clip, decoded one at a time; ``group`` is the clip."""
    folder = root / option_text(card, "images", default="data")
    clips = sorted(folder.glob("*/videos/*.mp4"), key=natural_key)
    if not clips:
        raise DataError(f"{folder} holds no */videos/*.mp4; give the folder that Regional-US has")
    for path in clips:
        yield from _clip(card, path)


def _clip(card: Card, path: Path) -> Iterator[Sample | DataError]:
    try:
        known = _ClipLabels(path.parent.parent, path.stem)
        with sources.open(path) as clip:
            for frame in clip:
                item = attempt(partial(_sample, card, path, frame, known))
                if isinstance(item, DataError) or item.known:
                    yield item
    except SourceError as error:
        yield DataError(f"{path}: {error}")
    except DataError as error:
        yield error


def _sample(card: Card, path: Path, frame: Frame, known: _ClipLabels) -> Sample:
    height, width = frame.pixels.shape
    masks = known.masks(frame.index, (height, width), card.known)
    name = f"{path.parent.parent.name}/{path.stem}_{frame.index:03d}"
    return build(card, path, frame.pixels, masks, name=name, group=f"clip {path.stem}")


def read_boxes(path: Path) -> dict[int, list[Box]]:
    """Frame to its boxes; `DataError` names the line that is malformed."""
    boxes: dict[int, list[Box]] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            for frame, entry in _object(line).items():
                listed = json.loads(entry["bounding_boxes"])
                boxes[int(frame)] = [_box(each) for each in listed]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not a frame with its boxes") from error
    return boxes


def read_lines(path: Path) -> dict[int, Line]:
    """Frame to the needle's tip and skin end; `DataError` names the file."""
    try:
        table = _object(_text(path))
        return {int(frame): (_xy(e["start"]), _xy(e["stop"])) for frame, e in table.items()}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not frames with 'start' and 'stop' points") from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} is larger than any annotation file of this set")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read: {error}") from error


def _object(text: str) -> Mapping[str, Any]:
    table = json.loads(text)
    if not isinstance(table, dict):
        raise TypeError("no object")
    return table


def _box(values: Any) -> Box:
    left, top, width, height = (_finite(each) for each in values)
    return left, top, width, height


def _xy(values: Any) -> tuple[float, float]:
    x, y = (_finite(each) for each in values)
    return x, y


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no finite number")
    return float(value)


def _union(boxes: list[Box], shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, dtype=np.bool_)
    for x, y, width, height in boxes:
        # A box drawn from its far corner has negative sizes.
        columns = _pixels(x, x + width, shape[1])
        rows = _pixels(y, y + height, shape[0])
        mask[rows, columns] = True
    return mask


def _pixels(one: float, other: float, size: int) -> slice:
    low, high = sorted((one, other))
    return slice(round(max(0.0, min(low, size))), round(max(0.0, min(high, size))))


def _band(line: Line) -> list[labels.Polygon]:
    """The shaft as a thin rectangle, empty when both ends are one point."""
    (x0, y0), (x1, y1) = line
    length = math.dist(*line)
    if length == 0:
        return []
    dx, dy = (y1 - y0) / length * _HALF_SHAFT_PX, -(x1 - x0) / length * _HALF_SHAFT_PX
    return [((x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy))]
