"""Where words may stand on a picture: inside it, off each other, and hiding as little as can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box
from nerveseg.vision import marks
from nerveseg.vision.marks import BgrImage, Color, Outline

__all__ = ["Board", "beside", "corner", "hidden", "shared"]


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """A picture that is being written on.

    ``image`` is ``uint8`` ``(H, W, 3)`` and is changed in place; ``size`` is the scale of lines
    and text, 1 at 640×480; no two words share a pixel of the boxes in ``taken``.
    """

    image: BgrImage
    size: float
    taken: list[Box] = field(default_factory=list)

    @property
    def thin(self) -> int:
        """Width in pixels of a line that must hide little."""
        return max(2, round(1.2 * self.size))

    def fit(self, x: float, y: float, width: int, height: int) -> Box | None:
        """The box at ``x, y`` moved into the picture; ``None`` where the picture is too small."""
        rows, columns = self.image.shape[:2]
        if width > columns * 0.6 or height > rows * 0.4:
            return None
        left = round(min(max(x, 0), columns - width))
        top = round(min(max(y, 0), rows - height))
        return Box(left, top, left + width, top + height)

    def free(self, boxes: Iterable[Box | None]) -> list[Box]:
        """Those of ``boxes`` on which nothing stands yet."""
        return [b for b in boxes if b is not None and not any(shared(b, t) for t in self.taken)]

    def write(self, words: str, box: Box, color: Color) -> None:
        """Words on a dark ground that fills ``box`` (see `marks.chip_size`): now taken."""
        marks.chip(self.image, words, box, color, size=self.size)
        self.taken.append(box)


def beside(
    board: Board, words: str, outline: Outline, masks: Sequence[npt.NDArray[np.uint8]]
) -> Box | None:
    """Where a label hides least of ``masks``: above, below, right or left of ``outline``.

    ``None`` where each of the four is taken.
    """
    width, height = marks.chip_size(words, size=board.size)
    gap = round(5 * board.size)
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
    free = board.free(board.fit(x, y, width, height) for x, y in spots)
    return min(free, key=lambda box: hidden(box, masks), default=None)


def corner(board: Board, region: Box, width: int, height: int) -> Box | None:
    """The free corner of the picture that hides least of the image region; ``None`` if too big."""
    rows, columns = board.image.shape[:2]
    margin = round(6 * board.size)
    if width + 2 * margin > columns * 0.6 or height + 2 * margin > rows * 0.6:
        return None
    right, bottom = columns - margin - width, rows - margin - height
    corners = [(margin, bottom), (right, bottom), (margin, margin), (right, margin)]
    boxes = board.free(Box(x, y, x + width, y + height) for x, y in corners)
    return min(boxes, key=lambda box: shared(box, region), default=None)


def shared(one: Box, other: Box) -> int:
    """Area in pixels that two boxes share."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, width) * max(0, height)


def hidden(box: Box, masks: Sequence[npt.NDArray[np.uint8]]) -> int:
    """Pixels of structures below the box."""
    return sum(cv2.countNonZero(mask[box.slices]) for mask in masks)
