"""What the needle's place means: the path ahead, distances, what lies on the path, warnings.

All of it is plane geometry on the outlines that were found, in pixels of the frame: `x, y`, the
origin at the centre of the top-left pixel. A class's outlines are read by the even-odd rule, so
that an outline inside another is a hole; a point on an outline is inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, Crossing, Guidance, Needle, NeedleState, Point, StructureStats

__all__ = ["REACH_MM", "REACH_SHARE", "WARNINGS", "Notice", "guide", "reach_px", "warnings"]

REACH_MM = 15.0
"""How far ahead of the tip a structure on the path is told of, where the scale is known."""

REACH_SHARE = 0.25
"""The same as a share of the region's diagonal, where it isn't."""


@dataclass(frozen=True, slots=True)
class Notice:
    """How a warning is told: in words, and by a symbol, never by colour alone.

    ``symbol`` is a form for the overlay: ``question`` (a question mark in a ring), ``triangle``
    (a hollow triangle, point up) or ``octagon`` (a filled octagon).
    """

    text: str
    symbol: str


WARNINGS: Mapping[str, Notice] = {
    "tip lost": Notice("The needle's tip can't be seen", "question"),
    "vessel on path": Notice("The path ahead meets a vessel outline", "triangle"),
    "nerve on path": Notice("The path ahead meets a nerve outline", "triangle"),
    "tip in vessel": Notice("The tip lies inside a vessel outline", "octagon"),
    "tip in nerve": Notice("The tip lies inside a nerve outline", "octagon"),
}
"""What each key of `FrameResult.warnings` says. It tells what the picture shows, not what to do."""

_GROUPS = {"nerve": ("nerve",), "vessel": ("vessel", "artery", "vein")}

_Edges: TypeAlias = npt.NDArray[np.float64]
"""``float64`` ``(n, 4)``: the edges of closed outlines, each ``x, y`` to ``x, y``."""


def guide(needle: Needle, structures: Mapping[str, StructureStats], region: Box) -> Guidance:
    """What lies around and ahead of a needle's tip.

    ``structures`` is `FrameResult.structures`; of it, ``nerve`` counts, and ``vessel`` with
    ``artery`` and ``vein`` as one. The path runs from the tip in the direction from entry to tip
    to the end of ``region``; it has no length when the tip is outside. Each of the two classes
    is crossed where the path first meets it, at the tip itself and 0 pixels away when the tip is
    inside. A needle whose entry and tip are one point has no direction: no path, and 0 degrees.
    """
    tip, direction = needle.tip_xy, _direction(needle)
    end = _end_of_path(tip, direction, region)
    outlines = {name: _outlines(structures, members) for name, members in _GROUPS.items()}
    distances = {name: _distance(areas, tip) for name, areas in outlines.items() if areas}
    crossings = [
        crossing
        for name, away in distances.items()
        if (crossing := _crossing(name, outlines[name], tip, end, inside=away == 0)) is not None
    ]
    return Guidance(
        path_xy=(tip, end),
        distances_px=distances,
        crossings=tuple(sorted(crossings, key=lambda crossing: crossing.distance_px)),
        insertion_angle_deg=math.degrees(math.atan2(abs(direction[1]), abs(direction[0]))),
        visible_share=needle.visible_share,
    )


def reach_px(region: Box, mm_per_px: float | None) -> float:
    """How far ahead, in pixels, the path is watched: `REACH_MM`, or `REACH_SHARE`."""
    if mm_per_px is not None:
        return REACH_MM / mm_per_px
    return REACH_SHARE * math.hypot(region.width, region.height)


def warnings(state: NeedleState, guidance: Guidance | None, *, reach_px: float) -> tuple[str, ...]:
    """Keys of `WARNINGS` that hold now, the gravest first.

    ``tip lost`` only while its age is known: a clip without a needle has lost nothing, and a
    needle that was drawn out, or hasn't shown for a while, is forgotten
    (`nerveseg.vision.needle.TrackerSettings.forget_s`).
    A structure on the path counts up to ``reach_px`` ahead, and no more once the tip is in it.
    """
    if guidance is None or state.status == "lost":
        return ("tip lost",) if state.status == "lost" and state.age_s is not None else ()
    return tuple(chain(_inside(guidance), _ahead(guidance, reach_px)))


def _inside(guidance: Guidance) -> Iterator[str]:
    return (f"tip in {name}" for name, away in guidance.distances_px.items() if away == 0)


def _ahead(guidance: Guidance, reach_px: float) -> Iterator[str]:
    for crossing in guidance.crossings:
        if 0 < crossing.distance_px <= reach_px:
            yield f"{crossing.structure} on path"


def _direction(needle: Needle) -> Point:
    """Unit vector from entry to tip; 0, 0 where they are one point."""
    (entry_x, entry_y), (x, y) = needle.entry_xy, needle.tip_xy
    length = math.hypot(x - entry_x, y - entry_y)
    return ((x - entry_x) / length, (y - entry_y) / length) if length > 0 else (0.0, 0.0)


def _end_of_path(tip: Point, direction: Point, region: Box) -> Point:
    """Where the way from the tip leaves the centres of the region's outermost pixels."""
    low, high = (region.left, region.top), (region.right - 1, region.bottom - 1)
    if not all(low[axis] <= tip[axis] <= high[axis] for axis in (0, 1)):
        return tip
    ways = [
        ((high if step > 0 else low)[axis] - tip[axis]) / step
        for axis, step in enumerate(direction)
        if step != 0
    ]
    way = min(ways, default=0.0)
    return tip[0] + way * direction[0], tip[1] + way * direction[1]


def _outlines(structures: Mapping[str, StructureStats], names: tuple[str, ...]) -> list[_Edges]:
    """The edges of each class that is there: an artery inside a vessel makes no hole in it."""
    found = (structures[name].contours for name in names if name in structures)
    return [np.concatenate([_edges(line) for line in contours]) for contours in found if contours]


def _edges(contour: tuple[tuple[int, int], ...]) -> _Edges:
    # Several times faster on hundreds of pairs than np.array alone.
    flat = np.fromiter(chain.from_iterable(contour), np.float64, 2 * len(contour))
    corners = flat.reshape(-1, 2)
    return np.hstack([corners, np.roll(corners, -1, axis=0)])


def _distance(areas: list[_Edges], point: Point) -> float:
    """To the nearest outline; 0 inside one."""
    return min(0.0 if _inside_of(edges, point) else _to_edges(edges, point) for edges in areas)


def _to_edges(edges: _Edges, point: Point) -> float:
    start, step = edges[:, :2], edges[:, 2:] - edges[:, :2]
    along = ((point - start) * step).sum(axis=1)
    length = (step**2).sum(axis=1)
    share = np.clip(along / np.where(length > 0, length, 1), 0, 1)
    return float(np.hypot(*(start + share[:, None] * step - point).T).min())


def _inside_of(edges: _Edges, point: Point) -> bool:
    """Even-odd: whether a ray to the right meets an odd number of edges."""
    x1, y1, x2, y2 = edges.T
    spans = (y1 > point[1]) != (y2 > point[1])
    x1, y1, x2, y2 = edges[spans].T
    meets = x1 + (point[1] - y1) * (x2 - x1) / (y2 - y1) > point[0]
    return bool(np.count_nonzero(meets) % 2)


def _crossing(
    name: str, areas: list[_Edges], tip: Point, end: Point, *, inside: bool
) -> Crossing | None:
    """Where the path from ``tip`` to ``end`` first meets a class."""
    shares = [0.0] if inside else [_first_meeting(edges, tip, end) for edges in areas]
    share = min(shares)
    if share > 1:
        return None
    away = (share * (end[0] - tip[0]), share * (end[1] - tip[1]))
    return Crossing(name, (tip[0] + away[0], tip[1] + away[1]), math.hypot(*away))


def _first_meeting(edges: _Edges, tip: Point, end: Point) -> float:
    """Share 0..1 of the path at which it first meets an edge, ends included; infinity if none."""
    path = np.subtract(end, tip)
    start, step = edges[:, :2] - tip, edges[:, 2:] - edges[:, :2]
    across = path[0] * step[:, 1] - path[1] * step[:, 0]
    # A parallel edge is met at its neighbours' ends.
    slant = across != 0
    start, step, across = start[slant], step[slant], across[slant]
    along_path = (start[:, 0] * step[:, 1] - start[:, 1] * step[:, 0]) / across
    along_edge = (start[:, 0] * path[1] - start[:, 1] * path[0]) / across
    met = (along_path >= 0) & (along_path <= 1) & (along_edge >= 0) & (along_edge <= 1)
    return float(along_path[met].min(initial=math.inf))
