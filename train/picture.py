"""One evaluated picture to look at: truth solid, prediction dashed, the Dice in the title."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg import anatomy
from nerveseg.types import Mask
from train.scores import WorstCase

__all__ = ["draw_case"]

_Picture: TypeAlias = npt.NDArray[np.uint8]

_LEAST_WIDTH = 640
_TITLE_HEIGHT = 48
_WHITE = (255, 255, 255)
_DASH, _GAP = 9, 7


def draw_case(case: WorstCase) -> _Picture:
    """The case in colour: ``uint8`` BGR ``(H, W, 3)``, enlarged where small, title on top."""
    scale = max(1, -(-_LEAST_WIDTH // case.image.shape[1]))
    picture = np.repeat(_enlarge(case.image, scale)[..., np.newaxis], 3, axis=2)
    for outline in _outlines(case.truth, scale):
        cv2.polylines(picture, [outline], True, _color(case.row.class_name), 2, cv2.LINE_AA)
    for outline in _outlines(case.prediction, scale):
        _draw_dashed(picture, outline)
    return np.vstack([_title(case, picture.shape[1]), picture])


def _enlarge(picture: _Picture, scale: int) -> _Picture:
    height, width = picture.shape
    size = (width * scale, height * scale)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _outlines(mask: Mask, scale: int) -> list[npt.NDArray[np.int32]]:
    large = _enlarge(mask.astype(np.uint8), scale)
    found, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(outline, np.int32) for outline in found]


def _draw_dashed(picture: _Picture, outline: npt.NDArray[np.int32]) -> None:
    starts = range(0, len(outline) + _DASH + _GAP, _DASH + _GAP)
    for start, following in pairwise(starts):
        dash = outline[start : following - _GAP]
        cv2.polylines(picture, [dash], False, _WHITE, 2, cv2.LINE_AA)


def _color(class_name: str) -> tuple[int, int, int]:
    """The class's colour-blind-safe colour as BGR; green for a class without one."""
    known = anatomy.default().classes.get(class_name)
    red, green, blue = known.safe_color if known else (0, 200, 0)
    return blue, green, red


def _title(case: WorstCase, width: int) -> _Picture:
    strip = np.zeros((_TITLE_HEIGHT, width, 3), np.uint8)
    row = case.row
    _write(strip, f"{row.card}  {row.class_name}  Dice {row.dice:.3f}", 19)
    _write(strip, f"{row.name}   truth solid, prediction dashed", 39)
    return strip


def _write(strip: _Picture, text: str, baseline: int) -> None:
    plain = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(strip, plain, (8, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _WHITE, 1, cv2.LINE_AA)
