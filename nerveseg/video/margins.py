"""Where the ultrasound image ends, told by the even margin around it rather than by its texture.

Texture finds the image but not its end: deep tissue may be as black as the margin, and lines of
text are as rough as tissue. The margin's colour tells both apart. What is as wide as the image
and leaves the margin beside it alone belongs to the image, however dark; what an even gap cuts
off is chrome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, GrayImage

__all__ = ["fit_to_margins"]

_SAMPLES = 24
"""So many pixels, evenly spread, are asked for a line's colour: a few of them may be text."""

_BLACK_NOISE, _GREY_NOISE = 1, 4
"""Codecs keep a black margin, of at most `_BLACK`, evener than a grey one."""

_BLACK = 2

_DARK = 16
"""An even column that is darker may lack contact; a lighter one is a panel or a bar."""

_STRIP = 0.04
"""Width of the strips beside the image that must be margin, as a share of the image's width."""

_EMPTY_ROW, _EMPTY_COLUMN = 0.01, 0.05
"""A line with a smaller share of pixels off the margin's colour is a gap. Rulers and bars stand
closer to the image than what is above and below it, so fewer columns are quite empty."""

_GAP, _ECHO = 2, 3
"""So many lines on end make a gap, or an echo; fewer are chance."""

_DENSE = 0.06
"""A line continues the image when at least this share of its pixels is off the margin's colour."""

_FULL = 0.5
"""A line beyond a gap is the image's own when at least this share is, and both its ends are."""

_LEAK = 0.25
"""A line whose strips are more off the margin's colour than this reaches beyond the image."""

_PART = 0.2
"""A stretch that a gap cuts off stays if it covers at least this share of the found lines."""

_Table = npt.NDArray[np.int32]
_Profile = npt.NDArray[np.float64]
_Lines = npt.NDArray[np.bool_]
_Span = tuple[int, int]
_Doubt = Callable[[GrayImage], _Lines]


def fit_to_margins(pixels: GrayImage, box: Box) -> Box:
    """``box``, found by texture in ``pixels`` (``uint8``, ``(H, W)``), fitted to the margins.

    An edge with no even margin beyond it stays where it is. Of a deep end without echoes no more
    is kept than was found: it holds nothing, and squeezes the tissue in the network's view.
    """
    table = np.asarray(cv2.integral(_off_margin(pixels, box)), np.int32)
    depth, width = (box.top, box.bottom), (box.left, box.right)
    rows = _Evidence.of(table, across=width)
    trimmed = _trimmed(rows, *depth, empty=_EMPTY_ROW)
    columns = _Evidence.of(table.T, across=trimmed)
    width = _trimmed(columns, *width, empty=_EMPTY_COLUMN)
    columns = columns.without(_side_panels, pixels.T, found=width, across=trimmed)
    width = _grown(columns, *width)
    # With the right width, the strips beside the image hold no tissue: only now may it grow deep.
    rows = _Evidence.of(table, across=width)
    depth = _trimmed(rows, *depth, empty=_EMPTY_ROW)
    rows = rows.without(_even, pixels, found=depth, across=width)
    top, bottom = _bridged(rows, *_grown(rows, *depth))
    return Box(width[0], top, width[1], bottom)


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """What speaks for and against each line (row or column) of the picture being image.

    ``fill`` and ``leak`` (``float64``) are shares of pixels off the margin's colour: within the
    image, and within the fuller of the strips on either side of it. ``continuing`` (``bool``)
    marks lines that are image if the line before them is; ``own``, lines as wide as the image
    and no wider, which are image whatever lies between.
    """

    fill: _Profile
    leak: _Profile
    continuing: _Lines
    own: _Lines

    @staticmethod
    def of(table: _Table, *, across: _Span) -> _Evidence:
        """For an image that spans ``across`` of each line.

        ``table`` is the summed-area table, ``(H + 1, W + 1)``, of the pixels off the margin.
        """
        first, last = across
        end, strip = max(1, (last - first) // 8), max(2, round(_STRIP * (last - first)))
        fill = _share(table, first, last)
        least = np.minimum(_share(table, first, first + end), _share(table, last - end, last))
        leak = np.maximum(_share(table, first - strip, first), _share(table, last, last + strip))
        continuing = (fill >= _DENSE) & (leak <= _LEAK)
        own = (fill >= _FULL) & (least >= _FULL / 2) & continuing
        return _Evidence(fill, leak, continuing, own)

    def without(self, doubt: _Doubt, lines: GrayImage, *, found: _Span, across: _Span) -> _Evidence:
        """Beyond the ``found`` lines, none whose samples ``doubt`` refutes is image."""
        beyond = self.continuing.copy()
        beyond[slice(*found)] = False
        asked = np.flatnonzero(beyond)
        refuted = asked[doubt(_samples(lines[asked, slice(*across)]))]
        continuing, own = self.continuing.copy(), self.own.copy()
        continuing[refuted] = own[refuted] = False
        return replace(self, continuing=continuing, own=own)


def _share(table: _Table, start: int, stop: int) -> _Profile:
    start, stop = max(0, start), min(table.shape[1] - 1, stop)
    if stop <= start:
        return np.zeros(table.shape[0] - 1)
    return np.diff(table[:, stop] - table[:, start]) / (stop - start)


def _even(samples: GrayImage) -> _Lines:
    """Lines of one brightness, but for a little text or a few echoes."""
    spread = samples[:, -_SAMPLES // 6] - samples[:, _SAMPLES // 6]
    return np.asarray(spread <= _GREY_NOISE, np.bool_)


def _side_panels(samples: GrayImage) -> _Lines:
    """Even lines too light to lack contact, and quite even ones: a probe shows its near echoes."""
    light = samples[:, _SAMPLES // 2] > _DARK
    return (_even(samples) & light) | (samples[:, -1] - samples[:, 0] <= _GREY_NOISE)


def _samples(lines: GrayImage) -> GrayImage:
    """`_SAMPLES` of each line's pixels, evenly spread, from dark to light."""
    chosen = np.linspace(0, lines.shape[1] - 1, _SAMPLES).astype(np.intp)
    return np.sort(lines[:, chosen], axis=1)


def _off_margin(pixels: GrayImage, box: Box) -> npt.NDArray[np.uint8]:
    """1 where a pixel isn't of its row's margin colour, ``uint8`` ``(H, W)``."""
    beside = np.r_[: box.left, box.right : pixels.shape[1]]
    if beside.size < 4:
        return _off_edge_rows(pixels, box)
    chosen = beside[np.linspace(0, beside.size - 1, _SAMPLES).astype(np.intp)]
    return _differs(pixels, _samples(pixels[:, chosen])[:, _SAMPLES // 2])


def _off_edge_rows(pixels: GrayImage, box: Box) -> npt.NDArray[np.uint8]:
    """As `_off_margin` for an image as wide as the picture: the first and last rows tell.

    A half whose edge row is not even tells nothing: there the found rows count as image.
    """
    off = np.zeros(pixels.shape, np.uint8)
    off[box.top : box.bottom] = 1
    middle = (box.top + box.bottom) // 2
    for half, edge in ((slice(0, middle), pixels[:1]), (slice(middle, None), pixels[-1:])):
        colour = np.median(edge, axis=1).astype(np.uint8)
        if _differs(edge, colour).mean() < _EMPTY_ROW:
            off[half] = _differs(pixels[half], colour)
    return off


def _differs(pixels: GrayImage, colours: GrayImage) -> npt.NDArray[np.uint8]:
    """1 where a pixel differs by more than noise from its row's colour, ``(H,)`` or ``(1,)``."""
    column = colours[:, None]
    noise = np.where(column <= _BLACK, _BLACK_NOISE, _GREY_NOISE).astype(np.uint8)
    even = np.ascontiguousarray(np.broadcast_to(column, pixels.shape))
    return (cv2.absdiff(pixels, even) > noise).view(np.uint8)


def _trimmed(evidence: _Evidence, first: int, last: int, *, empty: float) -> tuple[int, int]:
    """``first`` and past-last ``last`` line, without what gaps cut off from the image."""
    kept = list(_stretches(evidence, first, last, empty=empty))
    if not kept:
        return first, last
    return max(first, kept[0][0]), min(last, kept[-1][1])


def _stretches(
    evidence: _Evidence, first: int, last: int, *, empty: float
) -> Iterator[tuple[int, int]]:
    """The stretches between gaps that are image: the main one, large ones and full ones."""
    gaps = [run for run in _runs(evidence.fill < empty) if run[1] - run[0] >= _GAP]
    bounds = [0, *(edge for gap in gaps for edge in gap), evidence.fill.size]
    stretches = list(zip(bounds[::2], bounds[1::2], strict=True))
    covered = [min(b, last) - max(a, first) for a, b in stretches]
    for (a, b), lines in zip(stretches, covered, strict=True):
        large = lines >= _PART * (last - first) and evidence.leak[a:b].mean() <= _LEAK
        if lines > 0 and (large or lines == max(covered) or evidence.own[a:b].sum() >= _ECHO):
            yield a, b


def _grown(evidence: _Evidence, first: int, last: int) -> tuple[int, int]:
    """With the lines before and after that continue the image."""
    ends = np.flatnonzero(~evidence.continuing)
    before, after = ends[ends < first], ends[ends >= last]
    start = int(before[-1]) + 1 if before.size else 0
    return start, int(after[0]) if after.size else evidence.fill.size


def _bridged(evidence: _Evidence, first: int, last: int) -> tuple[int, int]:
    """With echoes as wide as the image, be it across a gap."""
    echoes = [run for run in _runs(evidence.own) if run[1] - run[0] >= _ECHO]
    return min([first, *(a for a, _ in echoes)]), max([last, *(b for _, b in echoes)])


def _runs(lines: _Lines) -> list[tuple[int, int]]:
    """First and past-last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.r_[0, lines.astype(np.int8), 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
