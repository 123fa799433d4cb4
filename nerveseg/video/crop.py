"""Find the ultrasound image inside the scanner's chrome (text, rulers, logos, panels).

Speckle is textured nearly everywhere; chrome is flat with thin strokes. So: where is the picture
densely textured, what is the largest such patch, and which rectangle bounds it? The margins
around that rectangle then tell where exactly the image ends. The network sees it alone, and
nothing outside it (a patient's name, say) is ever stored.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, GrayImage
from nerveseg.video.margins import fit_to_margins

__all__ = ["RegionTracker", "cut_to", "find_region", "seen_region", "textured_box"]

_CELL = 4
"""Side of the cells, in pixels of the analysed picture, in which texture is measured."""

_ANALYSED_SIDE = 640
"""Larger pictures are analysed at this longer side, so that the cost stays small."""

_MIN_SHARE = 0.06
"""A textured patch smaller than this share of the picture is taken for chrome."""

_SOLID = 17
"""Parts of a textured patch narrower than this many cells may be text, rulers or bars."""

_FLANK = 0.1
"""A flank narrower than this share of the patch is an edge with poor contact, not a panel."""

_COVERAGE = 0.12
"""A row or column of the patch belongs to the image when at least this share is textured."""


def cut_to(shape: tuple[int, ...], box: Box) -> Box | None:
    """What of ``box`` lies in a frame of ``shape`` ``(H, W)``; ``None`` if nothing does."""
    height, width = shape
    if box.left >= width or box.top >= height:
        return None
    return Box(box.left, box.top, min(box.right, width), min(box.bottom, height))


def find_region(pixels: GrayImage) -> Box:
    """Rectangle of the ultrasound image within ``pixels`` (``uint8``, ``(H, W)``).

    The whole picture if nothing stands out: a blank frame, or one that is all image.
    """
    return seen_region(pixels) or Box(0, 0, pixels.shape[1], pixels.shape[0])


def textured_box(pixels: GrayImage) -> Box:
    """The rectangle around the textured patch alone, before the margins have their say.

    What the committed splits' look-alikes were found on: a better search for the image's edges
    must not move pictures from one side of a split to the other.
    """
    whole = Box(0, 0, pixels.shape[1], pixels.shape[0])
    small, scale = _analysed(pixels)
    patch = _patch(small, aligned=False)
    if patch is None:
        return whole
    cell_px = _CELL / scale
    return _snap(_bounds(patch, cell_px, whole), whole, reach=round(3 * cell_px))


def seen_region(pixels: GrayImage) -> Box | None:
    """As `find_region`, but ``None`` where nothing stands out: there is no image, or all is."""
    small, scale = _analysed(pixels)
    patch = _patch(small)
    if patch is None:
        return None
    analysed = Box(0, 0, small.shape[1], small.shape[0])
    box = fit_to_margins(small, _snap(_bounds(patch, _CELL, analysed), analysed, reach=3 * _CELL))
    whole = Box(0, 0, pixels.shape[1], pixels.shape[0])
    return _snap(_scaled(box, 1 / scale, whole), whole, reach=math.ceil(1 / scale))


def _analysed(pixels: GrayImage) -> tuple[GrayImage, float]:
    """The picture at the size at which it is looked at, and how much smaller that is."""
    scale = min(1.0, _ANALYSED_SIDE / max(pixels.shape))
    return (pixels if scale == 1.0 else _shrink(pixels, scale)), scale


def _patch(small: GrayImage, *, aligned: bool = True) -> npt.NDArray[np.bool_] | None:
    if min(small.shape) < 8 * _CELL:
        return None
    return _largest_patch(_textured_cells(small, aligned=aligned))


class RegionTracker:
    """The image region of a clip: it may grow with what later frames show, never jump.

    A dark first frame shows less of the image than later ones; a region that followed every
    frame would make the overlay breathe. After ``settle`` frames the region is fixed; another
    picture size starts anew. Frames that show no image (blank ones, before the probe is on) tell
    nothing: they get the region so far, or the whole picture before there is one.
    """

    def __init__(self, *, settle: int = 30) -> None:
        self._settle = settle
        self.reset()

    def reset(self) -> None:
        """Forget the clip."""
        self._seen = 0
        self._shape: tuple[int, ...] | None = None
        self._region: Box | None = None

    def update(self, pixels: GrayImage) -> Box:
        """Region of the next frame, ``uint8`` ``(H, W)``."""
        if pixels.shape != self._shape:
            self.reset()
            self._shape = pixels.shape
        if self._region is None or self._seen < self._settle:
            self._learn(seen_region(pixels))
        return self._region or Box(0, 0, pixels.shape[1], pixels.shape[0])

    def _learn(self, found: Box | None) -> None:
        if found is not None:
            self._region = found if self._region is None else self._region.union(found)
            self._seen += 1


def _shrink(pixels: GrayImage, scale: float) -> GrayImage:
    # Nearest keeps each pixel's noise, which averaging would smooth away.
    return np.asarray(
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _textured_cells(pixels: GrayImage, *, aligned: bool) -> npt.NDArray[np.uint8]:
    """1 for each cell in which most pixels differ from a neighbour, ``uint8`` ``(H/4, W/4)``.

    Where the sides are no multiples of a cell, ``aligned`` leaves the rest out; else all cells are
    stretched over it.
    """
    kernel = np.ones((3, 3), np.uint8)
    relief = cv2.morphologyEx(pixels, cv2.MORPH_GRADIENT, kernel)
    rough = ((relief > 2) & (pixels > 0)).astype(np.uint8) * 255
    rows, columns = pixels.shape[0] // _CELL, pixels.shape[1] // _CELL
    counted = rough[: rows * _CELL, : columns * _CELL] if aligned else rough
    density = cv2.resize(counted, (columns, rows), interpolation=cv2.INTER_AREA)
    density = cv2.blur(density, (5, 5), borderType=cv2.BORDER_REPLICATE)
    return (density > 110).astype(np.uint8)


def _largest_patch(cells: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """The main textured patch, with the big ones that an anechoic gap cut off from it."""
    joined = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    patch = _big_parts(joined)
    if np.count_nonzero(patch) < _MIN_SHARE * cells.size:
        return None
    return _without_side_panels(patch)


def _big_parts(cells: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """The largest connected part and those of at least a fifth of its size."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0
    large: npt.NDArray[np.bool_] = areas >= max(1.0, 0.2 * areas.max())
    return np.take(large, np.asarray(labels, np.int32))


def _without_side_panels(patch: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Clear the columns left and right of the patch's solid core.

    Text and rulers beside the image hang on it by thin bridges, which a wide opening cuts. Rows
    are left alone: thin layers of tissue above a dark muscle look just like lines of text.
    """
    wide = np.ones((_SOLID, _SOLID), np.uint8)
    core = _big_parts(cv2.morphologyEx(patch.astype(np.uint8), cv2.MORPH_OPEN, wide))
    columns = np.flatnonzero(core.any(axis=0))
    if columns.size == 0:
        return patch
    # A sector's or a shadowed image's flanks are thinner than its core, but not by much.
    dense = patch.sum(axis=0) >= 0.5 * core.sum(axis=0).max()
    left, right = int(columns[0]), int(columns[-1])
    while left > 0 and dense[left - 1]:
        left -= 1
    while right + 1 < patch.shape[1] and dense[right + 1]:
        right += 1
    covered = np.flatnonzero(patch.any(axis=0))
    narrow = _FLANK * covered.size
    cleared = patch.copy()
    if left - covered[0] > narrow:
        cleared[:, :left] = False
    if covered[-1] - right > narrow:
        cleared[:, right + 1 :] = False
    return cleared


def _bounds(patch: npt.NDArray[np.bool_], cell_px: float, whole: Box) -> Box:
    top, bottom = _covered(patch.sum(axis=1), _COVERAGE * patch.any(axis=0).sum())
    left, right = _covered(patch.sum(axis=0), _COVERAGE * patch.any(axis=1).sum())
    return _scaled(Box(left, top, right, bottom), cell_px, whole)


def _scaled(box: Box, factor: float, whole: Box) -> Box:
    return Box(
        round(box.left * factor),
        round(box.top * factor),
        min(whole.right, round(box.right * factor)),
        min(whole.bottom, round(box.bottom * factor)),
    )


def _covered(counts: npt.NDArray[np.int_], at_least: float) -> tuple[int, int]:
    hits = np.flatnonzero(counts >= at_least)
    return int(hits[0]), int(hits[-1]) + 1


def _snap(box: Box, whole: Box, *, reach: int) -> Box:
    """Edges within ``reach`` pixels of the picture's edge are taken to lie on it."""
    return Box(
        0 if box.left <= reach else box.left,
        0 if box.top <= reach else box.top,
        whole.right if box.right >= whole.right - reach else box.right,
        whole.bottom if box.bottom >= whole.bottom - reach else box.bottom,
    )
