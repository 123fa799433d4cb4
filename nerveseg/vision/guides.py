"""Draw the needle, its path and distances, the planes and the warnings.

What is known of the needle's tip is told by form, never by colour alone:

======== ==================================== ==========================
tip      marker                               shaft
======== ==================================== ==========================
seen     a ring with a dot, the tip, in it    a whole line, entry to tip
predicted a hollow ring of dashes             a line of dashes
lost     none: the words say so               where it shows, in dashes
======== ==================================== ==========================

The path ahead is a row of fine dots, a place where it meets a structure is a lozenge. Planes are
thin lines numbered by depth at their left ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nerveseg.types import (
    Box,
    Crossing,
    FrameResult,
    Guidance,
    Needle,
    NeedleState,
    NeedleStatus,
    Plane,
    Point,
)
from nerveseg.vision import marks, placing
from nerveseg.vision.guidance import WARNINGS
from nerveseg.vision.marks import WHITE, Color, Outline, Palette
from nerveseg.vision.placing import Board
from nerveseg.vision.preprocess import NEEDLE

__all__ = [
    "distance_words",
    "draw_guidance",
    "draw_needle",
    "draw_planes",
    "draw_warnings",
    "number_planes",
    "swatch",
]

_RING, _DOT, _LOZENGE = 8.0, 2.5, 5.0
_NEAR_TIP = 3  # how much worse it is to hide the needle beside its tip than a structure
_FINE_DOTS = (1, 9)
_AMBER: Color = (112, 207, 255)
_RED: Color = (110, 120, 255)
_OBSTACLES = ("nerve", "vessel")
_LOST, _NOT_SEEN = "tip lost", "tip not seen"


def draw_needle(board: Board, state: NeedleState, *, palette: Palette) -> None:
    """The shaft and the tip's marker; keeps words off the marker."""
    color = marks.class_color(NEEDLE, palette)
    if state.needle is None:
        if state.shaft_xy is not None:
            _line(board, state.shaft_xy, color, "dashed", width=board.thin)
        return
    seen, tip = state.status == "seen", state.needle.tip_xy
    radius = _RING * board.size
    stop = _towards(tip, state.needle.entry_xy, radius)
    if stop is not None:  # the marker alone, where the needle is shorter than its radius
        ends = (state.needle.entry_xy, stop)
        _line(board, ends, color, "solid" if seen else "dashed", width=board.thin)
    if seen:
        marks.disc(board.image, tip, color, radius=radius, width=board.thin)
        marks.disc(board.image, tip, color, radius=_DOT * board.size)
    else:
        ring = _circle(tip, radius)
        marks.stroke(board.image, ring, color, style="dashed", width=board.thin)
    board.taken.extend(_around(board, tip, radius))


def draw_guidance(board: Board, result: FrameResult, *, palette: Palette) -> None:
    """The path ahead, where it meets a structure, and the distances beside the tip."""
    guidance, needle = result.guidance, result.needle_state.needle
    if guidance is None or needle is None:
        return
    _path(board, guidance, marks.class_color(NEEDLE, palette))
    clear = [c for c in guidance.crossings if c.distance_px > _RING * board.size]
    for crossing in clear:  # nearer ones would hide the tip
        shape = _lozenge(crossing.at_xy, _LOZENGE * board.size)
        marks.patch(board.image, shape, marks.class_color(crossing.structure, palette))
    words = [
        (_distance(name, px, result), marks.class_color(name, palette))
        for name, px in guidance.distances_px.items()
    ]
    masks = [mask.view(np.uint8) for name, mask in result.masks.items() if name in _OBSTACLES]
    _beside_tip(board, words, (needle.entry_xy, *guidance.path_xy), masks)


def draw_planes(board: Board, planes: Sequence[Plane], color: Color, *, line: str) -> None:
    """Each plane as a thin line in the style ``line``."""
    for plane in planes:
        course = np.array(plane.points_xy, np.float64)
        marks.stroke(board.image, course, color, style=line, width=board.thin, closed=False)


def number_planes(
    board: Board, planes: Sequence[Plane], color: Color, *, names: Mapping[int, str]
) -> None:
    """Each plane's number by depth, from 1, and its name at its left end."""
    for number, plane in enumerate(planes, start=1):
        name = names.get(plane.key, "")
        words = f"{number} {name}" if name else str(number)
        box = _at_left_end(board, words, plane.points_xy)
        if box is not None:
            board.write(words, box, color)


def swatch(board: Board, box: Box, status: NeedleStatus, *, palette: Palette) -> None:
    """A short needle with a ``status`` tip, for a legend."""
    middle = (box.top + box.bottom) / 2
    tip = (box.right - _RING * board.size, middle)
    needle = Needle((box.left, middle), tip, 1.0, 1.0, ((box.left, middle), tip), 1.0)
    draw_needle(board, NeedleState(status, needle), palette=palette)


def draw_warnings(
    board: Board, result: FrameResult, region: Box, *, needle: bool, guidance: bool
) -> None:
    """A strip of words with symbols at the top of the image region.

    ``needle`` tells of a tip that is out of sight, ``guidance`` of everything else.
    """
    rows = list(_told(result, needle=needle, guidance=guidance))
    for size in (board.size, 0.75 * board.size):  # smaller, where the picture is too narrow
        box = _strip(rows, region, board, size) if rows else None
        if box is not None:
            _write_strip(board, rows, box, size)
            return


def distance_words(px: float, mm_per_px: float | None, *, rough: bool = False) -> str:
    """A distance for reading: in mm where the scale is known, else in pixels and labelled so."""
    amount = f"{px:.0f} px" if mm_per_px is None else f"{px * mm_per_px:.1f} mm"
    return f"~{amount}" if rough else amount


def _distance(name: str, px: float, result: FrameResult) -> str:
    if px <= 0:
        return f"in {name}"
    rough = result.needle_state.status == "predicted"
    return f"{name} {distance_words(px, result.frame.mm_per_px, rough=rough)}"


def _told(result: FrameResult, *, needle: bool, guidance: bool) -> Iterator[str]:
    """The strip's rows. A tip that was never seen isn't lost, but its shaft may be there."""
    state = result.needle_state
    if needle and state.status == "lost" and (state.age_s is not None or state.shaft_xy):
        yield _LOST if state.age_s is not None else _NOT_SEEN
    if guidance:
        crossings = result.guidance.crossings if result.guidance else ()
        for key in result.warnings:
            if key != _LOST:
                yield key + _ahead(key, crossings, result.frame.mm_per_px)


def _ahead(key: str, crossings: Sequence[Crossing], mm_per_px: float | None) -> str:
    for crossing in crossings:
        if key == f"{crossing.structure} on path":
            return f", {distance_words(crossing.distance_px, mm_per_px)} ahead"
    return ""


def _line(board: Board, ends: tuple[Point, Point], color: Color, style: str, *, width: int) -> None:
    marks.stroke(board.image, np.array(ends), color, style=style, width=width, closed=False)


def _path(board: Board, guidance: Guidance, color: Color) -> None:
    """From the marker's rim on, so that the tip itself stays free."""
    tip, end = guidance.path_xy
    start = _towards(tip, end, 1.6 * _RING * board.size)
    if start is not None:
        course = np.array((start, end))
        marks.stroke(board.image, course, color, style=_FINE_DOTS, width=board.thin, closed=False)


def _towards(start: Point, end: Point, distance: float) -> Point | None:
    """The point ``distance`` from ``start`` on the way to ``end``, if the way is that long."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = math.hypot(across, down)
    if length <= distance:
        return None
    share = distance / length
    return start[0] + share * across, start[1] + share * down


def _circle(middle: Point, radius: float) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle: Outline = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + middle
    return circle


def _lozenge(middle: Point, reach: float) -> Outline:
    corners: Outline = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]]) * reach + np.array(middle)
    return corners


def _around(board: Board, middle: Point, radius: float) -> Iterator[Box]:
    """The box of a marker, as far as it lies in the picture."""
    rows, columns = board.image.shape[:2]
    left, top = (max(0, math.floor(value - radius)) for value in middle)
    right, bottom = (math.ceil(value + radius) + 1 for value in middle)
    if left < min(right, columns) and top < min(bottom, rows):
        yield Box(left, top, min(right, columns), min(bottom, rows))


def _beside_tip(
    board: Board,
    rows: Sequence[tuple[str, Color]],
    course: tuple[Point, Point, Point],
    masks: Sequence[npt.NDArray[np.uint8]],
) -> None:
    """In the first of four places near the tip, unless another hides clearly less.

    ``course`` is entry, tip and the path's end.
    """
    if not rows:
        return
    sizes = [marks.chip_size(words, size=board.size) for words, _ in rows]
    width, step = max(w for w, _ in sizes), max(h for _, h in sizes)
    height = step * len(rows)
    gap = (_RING + 4) * board.size
    places = _spots(course[1:], width, height, gap=gap)
    free = board.free(board.fit(x, y, width, height) for x, y in places)
    if not free:
        return
    near = list(_near_tip(board, course, reach=gap + math.hypot(width, height)))

    def cost(box: Box) -> int:
        hidden = placing.hidden(box, masks) + _NEAR_TIP * sum(placing.shared(box, n) for n in near)
        # In coarse steps: words that hop from place to place are harder to read than hidden echoes.
        return round(3 * hidden / (width * height))

    box = min(free, key=cost)
    for row, (words, color) in enumerate(rows):
        top = box.top + row * step
        board.write(words, Box(box.left, top, box.right, top + step), color)


def _near_tip(board: Board, course: tuple[Point, Point, Point], *, reach: float) -> Iterator[Box]:
    """Boxes along the last of the shaft and the first of the path, up to ``reach`` of each."""
    (entry, tip, end), side = course, 2 * _RING * board.size
    for far in (entry, end):
        for step in range(1, math.ceil(reach / side) + 1):
            middle = _towards(tip, far, step * side)
            if middle is not None:
                yield from _around(board, middle, side / 2)


def _spots(path: tuple[Point, Point], width: int, height: int, *, gap: float) -> list[Point]:
    """Corners of boxes near the tip: where neither shaft nor path runs come first."""
    (x, y), (end_x, _) = path
    right, left, above, below = x + gap, x - gap - width, y - gap - height, y + gap
    ahead, behind = (right, left) if end_x >= x else (left, right)
    return [(ahead, above), (behind, below), (behind, above), (ahead, below)]


def _at_left_end(board: Board, words: str, course: Sequence[Point]) -> Box | None:
    """Above the line's left end or below it, or further along where that is taken."""
    width, height = marks.chip_size(words, size=board.size)
    gap = 3 * board.size
    for start in (0.0, 0.25, 0.5):
        x, y = course[int(start * (len(course) - 1))]
        places = ((x, y - gap - height), (x, y + gap))
        free = board.free(board.fit(*place, width, height) for place in places)
        if free:
            return free[0]
    return None


def _strip(rows: Sequence[str], region: Box, board: Board, size: float) -> Box | None:
    width = max(marks.chip_size(row, size=size)[0] for row in rows) + _symbol_side(size)
    step = max(marks.chip_size(row, size=size)[1] for row in rows) + round(2 * size)
    limit_h, limit_w = board.image.shape[:2]
    if width > limit_w or step * len(rows) > limit_h:
        return None
    left = round((region.left + region.right - width) / 2)
    left = min(max(left, 0), limit_w - width)
    top = min(region.top + round(4 * size), limit_h - step * len(rows))
    return Box(left, top, left + width, top + step * len(rows))


def _symbol_side(size: float) -> int:
    return round(21 * size)


def _write_strip(board: Board, rows: Sequence[str], box: Box, size: float) -> None:
    marks.darken(board.image, box)
    step = box.height // len(rows)
    for row, words in enumerate(rows):
        top = box.top + row * step
        middle = (box.left + _symbol_side(size) / 2 + 1, top + step / 2)
        _symbol(board, words, middle, size)
        _, above, _ = marks.text_size(words, size=size)
        base = top + (step + above) // 2
        left = box.left + _symbol_side(size)
        marks.text(board.image, words.capitalize(), left, base, WHITE, size=size)
    board.taken.append(box)


def _symbol(board: Board, words: str, middle: Point, size: float) -> None:
    """The form that goes with a warning: a question in a ring, or an exclamation in a shape."""
    x, y = middle
    notice = WARNINGS.get(words.partition(",")[0])
    form = "question" if words == _NOT_SEEN else notice.symbol if notice else "triangle"
    if form == "question":
        marks.disc(board.image, middle, _AMBER, radius=6 * size)
    elif form == "octagon":
        marks.patch(board.image, _polygon(middle, 8 * size, corners=8), _RED)
    else:
        y += size
        marks.patch(board.image, _polygon((x, y + size), 9 * size, corners=3), _AMBER)
    mark = "?" if form == "question" else "!"
    width, above, _ = marks.text_size(mark, size=0.9 * size)
    left, base = round(x - width / 2), round(y + above / 2)
    marks.text(board.image, mark, left, base, (0, 0, 0), size=0.9 * size)


def _polygon(middle: Point, reach: float, *, corners: int) -> Outline:
    """Even-sided, with a corner up, or an edge where the number is a multiple of four."""
    start = np.pi / corners if corners % 4 == 0 else 0.0
    angle = start - np.pi / 2 + np.arange(corners) * (2 * np.pi / corners)
    around: Outline = np.stack([np.cos(angle), np.sin(angle)], axis=1) * reach + np.array(middle)
    return around
