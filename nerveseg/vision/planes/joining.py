"""Pieces of ridge into lines: gaps bridged where there is evidence, crossings undone.

Everything here is in grid units, as in `nerveseg.vision.planes.ridges`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Probability
from nerveseg.vision.planes.ridges import Floats, Piece

__all__ = ["joined", "uncrossed"]

_WIDEST_GAP = 0.2
"""Of the region's width: a wider gap is left open whatever lies in it."""

_LEAST_EVIDENCE = 0.12
"""Mean probability along a bridge."""

_BEND = (1.2, 0.12)
"""Rows, and rows per column of gap, by which a straight continuation may miss the other end."""

_END = 10
"""Columns at a piece's end that tell its direction."""

_MOST_PIECES = 48
"""The longest ones are kept: a map of pure noise must not cost more than a picture."""

_TOUCH = 6.0
"""Rows within which a line's end lies at another line: there they may have met."""


def joined(pieces: Sequence[Piece], smooth: Probability) -> list[Piece]:
    """Pieces with their gaps bridged, best bridges first; an end is used once."""
    kept = sorted(pieces, key=lambda piece: -piece.columns.size)[:_MOST_PIECES]
    following: dict[int, tuple[int, Piece]] = {}
    taken: set[int] = set()
    for left, right, bridge in _bridges(kept, smooth):
        if left not in following and right not in taken:
            following[left] = (right, bridge)
            taken.add(right)
    return [_follow(start, kept, following) for start in range(len(kept)) if start not in taken]


def _follow(start: int, pieces: Sequence[Piece], following: dict[int, tuple[int, Piece]]) -> Piece:
    parts, at = [pieces[start]], start
    while at in following:
        at, bridge = following[at]
        parts += [bridge, pieces[at]]
    return _chained(parts) if len(parts) > 1 else parts[0]


def _chained(parts: Sequence[Piece]) -> Piece:
    return Piece(
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.widths for part in parts]),
        np.concatenate([part.strengths for part in parts]),
    )


def _bridges(pieces: Sequence[Piece], smooth: Probability) -> Iterator[tuple[int, int, Piece]]:
    """Bridges that the evidence supports as (left piece, right piece, bridge), best first."""
    if len(pieces) < 2:
        return
    misses, gaps = _misses(pieces)
    widest = _WIDEST_GAP * smooth.shape[1]
    fits = (gaps >= 1) & (gaps <= widest) & (misses <= _BEND[0] + _BEND[1] * gaps)
    pairs = np.argwhere(fits)
    # A ridge's crest may lie a row beside a straight bridge.
    crest = cv2.dilate(smooth, np.ones((3, 1), np.uint8)) if len(pairs) else smooth
    cost = misses[fits] + 0.1 * gaps[fits]
    for left, right in pairs[np.argsort(cost, kind="stable")].tolist():
        bridge = _bridge(pieces[left], pieces[right], np.asarray(crest, np.float32))
        if bridge.strengths.mean() >= _LEAST_EVIDENCE:
            yield left, right, bridge


def _misses(pieces: Sequence[Piece]) -> tuple[Floats, Floats]:
    """For each pair (left piece, right piece): rows by which they miss each other, and the gap.

    The larger of the two misses, of the left piece carried on to the right one's start and of
    the right one carried back. Both ``(n, n)``; the gap is in columns.
    """
    ends = np.array([_tail(piece.columns, piece.rows) for piece in pieces], np.float32)
    starts = np.array(
        [_tail(piece.columns[::-1], piece.rows[::-1]) for piece in pieces], np.float32
    )
    across = starts[None, :, 0] - ends[:, None, 0]
    down = starts[None, :, 1] - ends[:, None, 1]
    forward = np.abs(down - across * ends[:, None, 2])
    backward = np.abs(down - across * starts[None, :, 2])
    return np.maximum(forward, backward), across - 1


def _tail(columns: npt.NDArray[np.intp], rows: Floats) -> tuple[float, float, float]:
    """Last column, row there, and slope (rows per column) of the last few columns' fitted line."""
    y = rows[-_END:]
    count = y.size
    # Columns are consecutive, up or down: the least-squares slope in closed form.
    ramp = np.arange(count, dtype=np.float32) - 0.5 * (count - 1)
    step = float(ramp @ y) * 12.0 / (count * (count * count - 1))
    slope = step * float(columns[-1] - columns[-2])
    return float(columns[-1]), float(y.sum()) / count + 0.5 * step * (count - 1), slope


def _bridge(left: Piece, right: Piece, crest: Probability) -> Piece:
    columns, rows = _chord(left, right)
    nearest = np.rint(rows).astype(np.intp).clip(0, crest.shape[0] - 1)
    return _straight(left, right, crest[nearest, columns])


def _straight(left: Piece, right: Piece, strengths: Floats) -> Piece:
    """A straight stretch between two pieces; it has no width of its own to measure."""
    columns, rows = _chord(left, right)
    return Piece(columns, rows, np.full(columns.size, np.nan, np.float32), strengths)


def _chord(left: Piece, right: Piece) -> tuple[npt.NDArray[np.intp], Floats]:
    start, end = left.columns[-1], right.columns[0]
    columns = np.arange(start + 1, end)
    share = (columns - start) / (end - start)
    rows = left.rows[-1] + share * (right.rows[0] - left.rows[-1])
    return columns, rows.astype(np.float32)


def uncrossed(lines: Sequence[Piece]) -> list[Piece]:
    """Lines that meet and part again, each led straight on.

    Where two ridges cross they are one for some columns, so that one line runs through with a
    kink while the other ends and starts anew beyond. If swapping the far sides makes both
    straighter, they are swapped.
    """
    found = list(lines)
    for _ in range(len(found)):
        crossing = next(_crossings(found), None)
        if crossing is None:
            break
        through, ending, starting = crossing
        swapped = _swapped(found[through], found[ending], found[starting])
        found = [line for at, line in enumerate(found) if at not in crossing] + swapped
    return found


def _crossings(lines: Sequence[Piece]) -> Iterator[tuple[int, int, int]]:
    """Places of the line that runs through, of the one that ends, and of the one that starts."""
    long = [at for at, line in enumerate(lines) if line.columns.size >= _END]
    for through in long:
        ends = [at for at in long if at != through and _touches(lines[through], lines[at], -1)]
        starts = [at for at in long if at != through and _touches(lines[through], lines[at], 0)]
        for ending in ends:
            for starting in starts:
                if _crosses(lines[through], lines[ending], lines[starting]):
                    yield through, ending, starting


def _touches(through: Piece, other: Piece, end: int) -> bool:
    place = int(other.columns[end] - through.columns[0])
    if not _END <= place < through.columns.size - _END:
        return False
    return bool(abs(float(through.rows[place] - other.rows[end])) <= _TOUCH)


def _crosses(through: Piece, ending: Piece, starting: Piece) -> bool:
    if starting.columns[0] <= ending.columns[-1]:
        return False
    before, after = _parted(through, ending, starting)
    kept = abs(_slope_in(after) - _slope_out(before)) + abs(
        _slope_in(starting) - _slope_out(ending)
    )
    swapped = abs(_slope_in(starting) - _slope_out(before)) + abs(
        _slope_in(after) - _slope_out(ending)
    )
    return swapped < 0.5 * kept


def _slope_out(line: Piece) -> float:
    return _tail(line.columns, line.rows)[2]


def _slope_in(line: Piece) -> float:
    return _tail(line.columns[::-1], line.rows[::-1])[2]


def _swapped(through: Piece, ending: Piece, starting: Piece) -> list[Piece]:
    """The two lines that cross: where they were one, both take that stretch's strength."""
    before, after = _parted(through, ending, starting)
    first, last = ending.columns[-1] + 1, starting.columns[0]
    strengths = through.strengths[first - through.columns[0] : last - through.columns[0]]
    return [
        _chained([left, _straight(left, right, strengths), right])
        for left, right in ((before, starting), (ending, after))
    ]


def _parted(through: Piece, ending: Piece, starting: Piece) -> tuple[Piece, Piece]:
    """The line up to where the other ends, and from where it starts again."""
    first = int(ending.columns[-1] - through.columns[0]) + 1
    second = int(starting.columns[0] - through.columns[0])
    return _cut(through, slice(first)), _cut(through, slice(second, None))


def _cut(line: Piece, part: slice) -> Piece:
    return Piece(line.columns[part], line.rows[part], line.widths[part], line.strengths[part])
