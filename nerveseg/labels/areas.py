"""Polygons to masks and back; run lengths to masks and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import DataError
from nerveseg.types import Mask

__all__ = ["Polygon", "decode_runs", "encode_runs", "outline", "rasterise"]

Polygon: TypeAlias = Sequence[tuple[float, float]]
"""A closed outline ``((x, y), …)`` in pixels, at least three points, last joined to first."""

_FINE = 4
"""Sub-pixels per pixel and axis in which polygons are filled."""

_FARTHEST = 1e9
_STRIP_SUBPIXELS = 1 << 25
"""Sub-pixels held at once: large pictures are filled in strips of rows."""


def rasterise(polygons: Sequence[Polygon], shape: tuple[int, int]) -> Mask:
    """Mask ``bool`` ``(H, W)`` of the union of ``polygons``.

    Each polygon is filled at four times the resolution; a pixel belongs to it when at least
    half of it is covered. Parts outside the picture are cut off. A polygon that crosses itself
    is filled by the even-odd rule.
    """
    height, width = shape
    mask = np.zeros(shape, dtype=np.bool_)
    rows = max(1, _STRIP_SUBPIXELS // (_FINE * _FINE * width))
    for polygon in polygons:
        points = _checked(polygon)
        left, right = _span(points[:, 0], width)
        top, bottom = _span(points[:, 1], height)
        for start in range(top, bottom, rows):
            stop = min(bottom, start + rows)
            mask[start:stop, left:right] |= _fill(
                points - (left, start), stop - start, right - left
            )
    return mask


def outline(mask: Mask) -> list[tuple[tuple[float, float], ...]]:
    """Polygons whose union is ``mask``: ``rasterise(outline(mask), mask.shape)`` gives it back.

    They follow the border an eighth of a pixel inside. An area with a hole is cut through the
    hole into pieces, since neither LabelMe nor a COCO polygon can tell a hole.
    """
    return [_border(piece, left, top) for piece, left, top in _pieces(mask)]


def decode_runs(runs: Sequence[int], shape: tuple[int, int]) -> Mask:
    """Mask ``bool`` ``(H, W)`` from run lengths down the columns: off, on, off, on, …

    This is COCO's uncompressed order. Raises `DataError` unless the runs fill the picture.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or int(lengths.sum()) != shape[0] * shape[1]:
        raise DataError(
            f"run lengths fill {int(lengths.sum())} pixels, expected {shape[0] * shape[1]} "
            f"({shape[1]}x{shape[0]}) in lengths of at least 0"
        )
    values = np.arange(lengths.size) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, lengths).reshape(shape, order="F"))


def encode_runs(mask: Mask) -> list[int]:
    """Run lengths of ``mask`` down the columns, beginning with a (maybe empty) run of off."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = [0, *edges.tolist(), flat.size]
    runs = [after - before for before, after in itertools.pairwise(bounds)]
    return [0, *runs] if flat[0] else runs


def _checked(polygon: Polygon) -> npt.NDArray[np.float64]:
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 2 or points.shape[0] < 3 or points.shape[1] != 2:
        raise DataError(f"an outline is at least 3 points (x, y), got shape {points.shape}")
    if not np.isfinite(points).all():
        raise DataError("an outline has a point that is not a finite number")
    return points.clip(-_FARTHEST, _FARTHEST)


def _span(values: npt.NDArray[np.float64], size: int) -> tuple[int, int]:
    """First and one past the last pixel that the polygon can touch on one axis."""
    first = max(0, int(np.floor(values.min())))
    last = min(size, int(np.ceil(values.max())) + 1)
    return (first, last) if first < last else (0, 0)


def _fill(points: npt.NDArray[np.float64], height: int, width: int) -> Mask:
    """Even-odd fill, sampled at the centres of sub-pixels: no bias outwards or inwards."""
    # In units of sub-pixels, with the centre of sub-pixel 0 at 0.
    fine = (points + 0.5) * _FINE - 0.5
    crossed = np.zeros((height * _FINE, width * _FINE + 1), dtype=np.uint8)
    for (x0, y0), (x1, y1) in zip(fine, np.roll(fine, -1, axis=0), strict=True):
        rows = np.arange(*np.clip(np.ceil(sorted((y0, y1))), 0, len(crossed)), dtype=np.int64)
        if rows.size:
            x = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
            crossed[rows, np.clip(np.ceil(x), 0, width * _FINE).astype(np.int64)] ^= 1
    inside = np.bitwise_xor.accumulate(crossed[:, :-1], axis=1)
    covered = inside.reshape(height, _FINE, width, _FINE).sum(axis=(1, 3), dtype=np.uint16)
    return np.asarray(covered * 2 >= _FINE * _FINE, dtype=np.bool_)


def _pieces(mask: Mask) -> Iterator[tuple[npt.NDArray[np.uint8], int, int]]:
    """Connected areas without holes: each with the left and top of its crop of the mask."""
    for area, left, top in _connected(mask.astype(np.uint8)):
        cuts = [0, *_columns_of_holes(area), area.shape[1]]
        if len(cuts) == 2:
            yield area, left, top
            continue
        for start, stop in itertools.pairwise(cuts):
            for piece, dx, dy in _connected(area[:, start:stop]):
                yield piece, left + start + dx, top + dy


def _connected(area: npt.NDArray[np.uint8]) -> Iterator[tuple[npt.NDArray[np.uint8], int, int]]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(area, connectivity=8)
    for label in range(1, count):
        left, top, width, height = (int(v) for v in stats[label, :4])
        crop = labels[top : top + height, left : left + width] == label
        yield crop.astype(np.uint8), left, top


def _columns_of_holes(area: npt.NDArray[np.uint8]) -> list[int]:
    """Columns at which to cut so that every hole is opened on both sides, ascending.

    The cut lies right of a hole's first column: then one piece has that column at its edge and
    the other has the rest.
    """
    background = np.pad(1 - area, 1, constant_values=1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    outside = int(labels[0, 0])
    # Padding moved the columns by one, so a hole's LEFT here is one past its first column.
    firsts = {int(stats[i, cv2.CC_STAT_LEFT]) for i in range(1, count) if i != outside}
    return sorted(firsts)


def _border(piece: npt.NDArray[np.uint8], left: int, top: int) -> tuple[tuple[float, float], ...]:
    """Through the centres of the outermost sub-pixels: at least half of each pixel is inside."""
    fine = piece.repeat(_FINE, axis=0).repeat(_FINE, axis=1)
    contours, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = (contours[0][:, 0, :].astype(np.float64) + 0.5) / _FINE - 0.5 + (left, top)
    return tuple((float(x), float(y)) for x, y in points)
