"""Draw what was found on a frame: outline, light fill, label, legend, and what is uncertain.

A class is never told by colour alone: its line style and its label say it too (both, and the
colours, come from `anatomy.toml`). Needle, planes and warnings are drawn by
`nerveseg.vision.guides`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg import anatomy
from nerveseg.types import (
    Box,
    FrameResult,
    Mask,
    NeedleStatus,
    Probability,
    Segmentation,
    StructureStats,
)
from nerveseg.vision import guides, marks, placing
from nerveseg.vision.marks import WHITE, BgrImage, Color, Outline, Palette
from nerveseg.vision.placing import Board

__all__ = ["BgrImage", "OverlayStyle", "draw", "structure_stats"]

NOTE = "Education only"
_UNCERTAIN = "Uncertain"
_LABELS_PER_CLASS = 3
_LEGEND_ROOM = 400  # rows of a picture below which the legend keeps to the classes
_PLANES_OF = "fascia"
_TIPS: tuple[NeedleStatus, ...] = ("seen", "predicted")


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """What to show and how.

    ``classes`` are drawn in this order, later ones on top; ``opacity`` (0..1) is that of the
    fill, the outlines stay opaque; ``palette`` ``safe`` has colours that the colour-blind can
    tell apart; ``uncertainty`` hatches where the network is torn (see `draw`); ``note`` writes
    that the picture is for education only.

    ``needle`` draws the needle and says when its tip is out of sight; ``guidance`` draws the path
    and distances of a needle that is drawn, and warnings with or without it. With ``planes``,
    fascia is drawn as numbered lines where a frame has them, in place of its area
    (``plane_areas``: above it); where there are ``labels``, ``names`` says what they are called,
    by `Plane.key`.
    """

    classes: tuple[str, ...] = ("nerve", "vessel", "fascia")
    opacity: float = 0.25
    palette: Palette = "standard"
    uncertainty: bool = False
    legend: bool = True
    labels: bool = True
    note: bool = False
    needle: bool = True
    guidance: bool = True
    planes: bool = True
    plane_areas: bool = False
    names: Mapping[int, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.opacity <= 1.0:
            raise ValueError(f"opacity is between 0 and 1, got {self.opacity}")
        if self.palette not in ("standard", "safe"):
            raise ValueError(f"palette is 'standard' or 'safe', got {self.palette!r}")


@dataclass(frozen=True, slots=True)
class _Look:
    """How one class appears; ``rising`` is the direction of its hatching."""

    name: str
    label: str
    color: Color
    line: str
    rising: bool


def draw(result: FrameResult, style: OverlayStyle) -> BgrImage:
    """The frame with its overlay: ``uint8`` ``(H, W, 3)``, blue, green, red.

    With ``style.uncertainty`` the fill covers only what the network is sure of, and hatching
    marks the band around each class's threshold ``t`` where the probability lies between
    ``t/2`` and ``(1+t)/2``: the true edge may run anywhere in it.
    """
    image = np.asarray(cv2.cvtColor(result.frame.pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    board = Board(image, _size(image.shape))
    looks = tuple(_look(name, style) for name in style.classes if name in result.masks)
    planes = result.planes if style.planes and _PLANES_OF in style.classes else ()
    lines_only = bool(planes) and not style.plane_areas
    areas = [look for look in looks if not (lines_only and look.name == _PLANES_OF)]
    outlines = _draw_areas(image, areas, result, style, board.size)
    plane_look = _look(_PLANES_OF, style) if planes else None
    if plane_look is not None:
        guides.draw_planes(board, planes, plane_look.color, line=plane_look.line)
    _draw_guides(board, result, style)
    _draw_legend(board, looks, result, style)
    if plane_look is not None:
        names = style.names if style.labels else {}
        guides.number_planes(board, planes, plane_look.color, names=names)
    if style.labels:
        _draw_labels(board, areas, outlines, result.masks)
    return image


def structure_stats(mask: Mask, probability: Probability) -> StructureStats:
    """Measure one class: ``mask`` ``bool`` and ``probability`` ``float32``, both ``(H, W)``.

    The centroid is the mean of the mask's pixel centres. Contours run through the mask's own
    border pixels; those of holes follow the outer ones, and the even-odd rule tells which
    is which.
    """
    flat = mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(flat)
    if width == 0:
        return StructureStats(0, None, None, ())
    part = (slice(top, top + height), slice(left, left + width))
    moments = cv2.moments(flat[part], binaryImage=True)
    area = moments["m00"]
    found, _ = cv2.findContours(
        flat[part], cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    return StructureStats(
        area_px=round(area),
        centroid_xy=(left + moments["m10"] / area, top + moments["m01"] / area),
        mean_confidence=float(cv2.mean(probability[part], flat[part])[0]),
        contours=tuple(_points(contour) for contour in found),
    )


def _points(contour: npt.NDArray[Any]) -> tuple[tuple[int, int], ...]:
    return tuple((x, y) for x, y in contour.reshape(-1, 2).tolist())


def _look(name: str, style: OverlayStyle) -> _Look:
    entry = anatomy.default().classes.get(name)
    label, line = (entry.label, entry.line) if entry else (name.capitalize(), "solid")
    rising = style.classes.index(name) % 2 == 0
    return _Look(name, label, marks.class_color(name, style.palette), line, rising)


def _size(shape: tuple[int, ...]) -> float:
    """Scale of lines and text: 1 at 640×480."""
    return float(np.clip(math.hypot(*shape[:2]) / 800.0, 0.8, 6.0))


def _line_width(size: float) -> int:
    return max(2, round(1.6 * size))


def _draw_areas(
    image: BgrImage,
    looks: Sequence[_Look],
    result: FrameResult,
    style: OverlayStyle,
    size: float,
) -> dict[str, list[Outline]]:
    """Fills, then outlines above all of them; the outlines, by class."""
    for look in looks:
        _fill(image, result, look, style, size)
    outlines = {look.name: _outlines(result.structures[look.name]) for look in looks}
    for look in looks:
        for outline in outlines[look.name]:
            marks.stroke(image, outline, look.color, style=look.line, width=_line_width(size))
    return outlines


def _draw_guides(board: Board, result: FrameResult, style: OverlayStyle) -> None:
    region = result.segmentation.region
    if style.needle or style.guidance:
        guides.draw_warnings(board, result, region, needle=style.needle, guidance=style.guidance)
    if style.needle:
        guides.draw_needle(board, result.needle_state, palette=style.palette)
    if style.needle and style.guidance:  # a path from nothing would tell nothing
        guides.draw_guidance(board, result, palette=style.palette)


def _fill(
    image: BgrImage, result: FrameResult, look: _Look, style: OverlayStyle, size: float
) -> None:
    mask = result.masks[look.name].view(np.uint8)
    if not style.uncertainty or look.name not in result.segmentation.probabilities:
        marks.tint(image, mask, look.color, opacity=style.opacity)
        return
    sure, torn = _certainty(result.segmentation, look.name)
    part = image[result.segmentation.region.slices]
    marks.tint(part, sure, look.color, opacity=style.opacity)
    marks.hatch(part, torn, look.color, rising=look.rising, size=size)


def _certainty(
    segmentation: Segmentation, name: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Where the class surely is, and where the network is torn: 0 or 255, of the region's size."""
    region, threshold = segmentation.region, segmentation.thresholds[name]
    # Eight bits are plenty for a display, and resizing them is four times as fast.
    coarse = cv2.convertScaleAbs(segmentation.probabilities[name], alpha=255.0)
    inner = cv2.resize(coarse, (region.width, region.height), interpolation=cv2.INTER_LINEAR)
    low, high = 127.5 * threshold, 127.5 * (1.0 + threshold)
    sure, torn = cv2.inRange(inner, high, 255.0), cv2.inRange(inner, low, high)
    return np.asarray(sure, np.uint8), np.asarray(torn, np.uint8)


def _outlines(stats: StructureStats) -> list[Outline]:
    """Largest first."""
    outlines = [
        np.fromiter(chain.from_iterable(contour), np.float64, 2 * len(contour)).reshape(-1, 2)
        for contour in stats.contours
    ]
    return sorted(outlines, key=_area, reverse=True) if len(outlines) > 1 else outlines


def _area(outline: Outline) -> float:
    return float(cv2.contourArea(outline.astype(np.float32)))


def _draw_legend(
    board: Board, looks: tuple[_Look, ...], result: FrameResult, style: OverlayStyle
) -> None:
    """Draw the legend and the note where they hide least."""
    state = result.needle_state
    roomy = board.image.shape[0] >= _LEGEND_ROOM
    tips = roomy and style.needle and (state.needle is not None or state.age_s is not None)
    rows = (looks, tips, style.uncertainty) if style.legend else ((), False, False)
    panel = _legend(*rows, note=style.note, palette=style.palette, size=board.size)
    if panel is None:
        return
    height, width = panel.shape[:2]
    box = placing.corner(board, result.segmentation.region, width, height)
    if box is None:
        return
    marks.darken(board.image, box)
    part = board.image[box.slices]
    cv2.add(part, panel, part)
    board.taken.append(box)


@lru_cache(maxsize=8)
def _legend(
    looks: tuple[_Look, ...],
    tips: bool,
    uncertainty: bool,
    *,
    note: bool,
    palette: Palette,
    size: float,
) -> BgrImage | None:
    """The legend on black, ``uint8`` ``(h, w, 3)``: the same on most frames of a clip."""
    swatches: dict[str, _Look | NeedleStatus | None] = {look.label: look for look in looks}
    swatches |= {f"Tip {status}": status for status in _TIPS if tips}
    if looks and uncertainty:
        swatches[_UNCERTAIN] = None
    rows = [*swatches, *([NOTE] if note else [])]
    if not rows:
        return None
    pad, side = round(6 * size), round(38 * size) if swatches else 0
    widths, heights, depths = zip(*(marks.text_size(row, size=size) for row in rows), strict=True)
    above, step = max(heights), max(heights) + max(depths) + round(3 * size)
    width = max(widths) + 2 * pad + (side + pad if swatches else 0)
    panel = Board(np.zeros((step * len(rows) + pad, width, 3), np.uint8), size)
    for row, words in enumerate(rows):
        base, left = pad // 2 + row * step + above + 1, pad
        if words in swatches:
            _swatch(panel, swatches[words], Box(left, base - above, left + side, base + 1), palette)
            left += side + pad
        marks.text(panel.image, words, left, base, WHITE, size=size)
    return panel.image


def _swatch(panel: Board, what: _Look | NeedleStatus | None, box: Box, palette: Palette) -> None:
    """A stretch of a class's line, a needle's tip, or hatching where it is neither."""
    if isinstance(what, str):
        guides.swatch(panel, box, what, palette=palette)
        return
    if what is None:
        area = np.full((box.height, box.width), 255, np.uint8)
        marks.hatch(panel.image[box.slices], area, WHITE, rising=True, size=panel.size)
        return
    middle = (box.top + box.bottom) / 2
    line = np.array([[box.left, middle], [box.right, middle]], np.float64)
    width = _line_width(panel.size)
    marks.stroke(panel.image, line, what.color, style=what.line, width=width, closed=False)


def _draw_labels(
    board: Board,
    looks: Sequence[_Look],
    outlines: Mapping[str, Sequence[Outline]],
    masks: Mapping[str, Mask],
) -> None:
    shown = [masks[look.name].view(np.uint8) for look in looks]
    for look in looks:
        for outline in outlines[look.name][:_LABELS_PER_CLASS]:
            box = placing.beside(board, look.label, outline, shown)
            if box is not None:
                board.write(look.label, box, look.color)
