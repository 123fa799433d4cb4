"""Draw what was found on a frame: outline, light fill, label, legend, and what is uncertain.

A class is never told by colour alone: its line style and its label say it too (both, and the
colours, come from `anatomy.toml`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg import anatomy
from nerveseg.types import Box, FrameResult, Mask, Probability, Segmentation, StructureStats
from nerveseg.vision import marks
from nerveseg.vision.marks import BgrImage, Color, Outline

__all__ = ["BgrImage", "OverlayStyle", "draw", "structure_stats"]

NOTE = "Education only"
_UNCERTAIN = "Uncertain"
_LABELS_PER_CLASS = 3
_WHITE = (235, 235, 235)


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """What to show and how.

    ``classes`` are drawn in this order, later ones on top; ``opacity`` (0..1) is that of the
    fill, the outlines stay opaque; ``palette`` ``safe`` has colours that the colour-blind can
    tell apart; ``uncertainty`` hatches where the network is torn (see `draw`); ``note`` writes
    that the picture is for education only.
    """

    classes: tuple[str, ...] = ("nerve", "vessel", "fascia")
    opacity: float = 0.25
    palette: Literal["standard", "safe"] = "standard"
    uncertainty: bool = False
    legend: bool = True
    labels: bool = True
    note: bool = False

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
    size = _size(result.frame.pixels.shape)
    looks = tuple(_look(name, style) for name in style.classes if name in result.masks)
    for look in looks:
        _fill(image, result, look, style, size)
    outlines = {look.name: _outlines(result.structures[look.name]) for look in looks}
    for look in looks:
        for outline in outlines[look.name]:
            marks.stroke(image, outline, look.color, style=look.line, width=_line_width(size))
    taken = _draw_legend(image, looks, style, result.segmentation.region, size)
    if style.labels:
        _draw_labels(image, looks, outlines, result.masks, taken, size)
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
    known = anatomy.default().classes
    rising = style.classes.index(name) % 2 == 0
    if name not in known:  # a model may know a class that the syllabus doesn't
        return _Look(name, name.capitalize(), _WHITE, "solid", rising)
    entry = known[name]
    red, green, blue = entry.safe_color if style.palette == "safe" else entry.color
    return _Look(name, entry.label, (blue, green, red), entry.line, rising)


def _size(shape: tuple[int, ...]) -> float:
    """Scale of lines and text: 1 at 640×480."""
    return float(np.clip(math.hypot(*shape[:2]) / 800.0, 0.8, 6.0))


def _line_width(size: float) -> int:
    return max(2, round(1.6 * size))


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
    image: BgrImage, looks: tuple[_Look, ...], style: OverlayStyle, region: Box, size: float
) -> list[Box]:
    """Draw the legend and the note; return the box they take, to keep labels off it."""
    panel = _legend(looks if style.legend else (), style.uncertainty, style.note, size)
    if panel is None:
        return []
    box = _corner(image.shape, region, panel.shape[1], panel.shape[0], margin=round(6 * size))
    if box is None:
        return []
    marks.darken(image, box)
    part = image[box.slices]
    cv2.add(part, panel, part)
    return [box]


@lru_cache(maxsize=8)
def _legend(
    looks: tuple[_Look, ...], uncertainty: bool, note: bool, size: float
) -> BgrImage | None:
    """The legend on black, ``uint8`` ``(h, w, 3)``: the same on every frame of a clip."""
    names = [look.label for look in looks] + ([_UNCERTAIN] if looks and uncertainty else [])
    rows = names + ([NOTE] if note else [])
    if not rows:
        return None
    pad, swatch = round(6 * size), round(38 * size) if names else 0
    widths, heights, depths = zip(*(marks.text_size(row, size=size) for row in rows), strict=True)
    above, step = max(heights), max(heights) + max(depths) + round(3 * size)
    width = max(widths) + 2 * pad + (swatch + pad if names else 0)
    panel = np.zeros((step * len(rows) + pad, width, 3), np.uint8)
    for row, words in enumerate(rows):
        base, left = pad // 2 + row * step + above + 1, pad
        if row < len(names):
            look = looks[row] if row < len(looks) else None
            _swatch(panel, look, Box(left, base - above, left + swatch, base + 1), size)
            left += swatch + pad
        marks.text(panel, words, left, base, _WHITE, size=size)
    return panel


def _swatch(panel: BgrImage, look: _Look | None, box: Box, size: float) -> None:
    """A stretch of the class's line, or of hatching where there is no class."""
    if look is None:
        area = np.full((box.height, box.width), 255, np.uint8)
        marks.hatch(panel[box.slices], area, _WHITE, rising=True, size=size)
        return
    middle = (box.top + box.bottom) / 2
    line = np.array([[box.left, middle], [box.right, middle]], np.float64)
    width = _line_width(size)
    marks.stroke(panel, line, look.color, style=look.line, width=width, closed=False)


def _corner(
    shape: tuple[int, ...], region: Box, width: int, height: int, *, margin: int
) -> Box | None:
    """The corner of the picture that hides least of the image region; ``None`` if too big."""
    rows, columns = shape[:2]
    if width + 2 * margin > columns * 0.6 or height + 2 * margin > rows * 0.6:
        return None
    right, bottom = columns - margin - width, rows - margin - height
    corners = [(margin, bottom), (right, bottom), (margin, margin), (right, margin)]
    boxes = [Box(x, y, x + width, y + height) for x, y in corners]
    return min(boxes, key=lambda box: _shared(box, region))


def _draw_labels(
    image: BgrImage,
    looks: Sequence[_Look],
    outlines: Mapping[str, Sequence[Outline]],
    masks: Mapping[str, Mask],
    taken: list[Box],
    size: float,
) -> None:
    shown = [masks[look.name].view(np.uint8) for look in looks]
    for look in looks:
        for outline in outlines[look.name][:_LABELS_PER_CLASS]:
            box = _place(look.label, outline, image.shape, shown, taken, size)
            if box is None:
                continue
            marks.darken(image, box)
            _, _, depth = marks.text_size(look.label, size=size)
            left, base = box.left + round(3 * size), box.bottom - depth
            marks.text(image, look.label, left, base, look.color, size=size)
            taken.append(box)


def _place(
    words: str,
    outline: Outline,
    shape: tuple[int, ...],
    masks: Sequence[npt.NDArray[np.uint8]],
    taken: Sequence[Box],
    size: float,
) -> Box | None:
    """Where a label hides least: above, below, right or left of its outline, or nowhere."""
    width, above, depth = marks.text_size(words, size=size)
    width, height, gap = width + round(6 * size), above + depth + round(3 * size), round(5 * size)
    (x0, y0), (x1, y1) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    middle_x, middle_y = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
    # A long slanted band's box reaches far from it: keep to the part that the label spans.
    near = outline[np.abs(outline[:, 0] - (x0 + x1) / 2) <= width / 2, 1]
    if near.size:
        y0, y1 = float(near.min()), float(near.max())
    spots = [
        (middle_x, y0 - gap - height),
        (middle_x, y1 + gap),
        (x1 + gap, middle_y),
        (x0 - gap - width, middle_y),
    ]
    boxes = [_inside(x, y, width, height, shape) for x, y in spots]
    free = [b for b in boxes if b is not None and not any(_shared(b, t) for t in taken)]
    return min(free, key=lambda box: _hidden(box, masks), default=None)


def _inside(x: float, y: float, width: int, height: int, shape: tuple[int, ...]) -> Box | None:
    """The box at ``x, y`` moved into the picture; ``None`` where the picture is too small."""
    rows, columns = shape[:2]
    if width > columns * 0.6 or height > rows * 0.4:
        return None
    left = round(min(max(x, 0), columns - width))
    top = round(min(max(y, 0), rows - height))
    return Box(left, top, left + width, top + height)


def _hidden(box: Box, masks: Sequence[npt.NDArray[np.uint8]]) -> int:
    """Pixels of structures below the box."""
    return sum(cv2.countNonZero(mask[box.slices]) for mask in masks)


def _shared(one: Box, other: Box) -> int:
    """Area in pixels that two boxes share."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, width) * max(0, height)
