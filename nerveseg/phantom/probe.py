"""Linear and curved arrays: where a pixel of the picture lies in the tissue.

Three spaces, all flat arrays:

- *frame*: the picture, pixels ``(x, y)``;
- *tissue*: millimetres along the skin (0 under the probe's middle) and below it;
- *beam*: columns are scan lines and rows are depths, so that what sound does on its way down
  (attenuation, shadow, blur across beams) works along rows and columns.

For a linear array the three differ by scale and margins only. For a curved array the beams
spread from a centre of curvature ``radius_mm`` above the skin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nerveseg.errors import DataError
from nerveseg.types import Mask

__all__ = ["PROBES", "FloatGrid", "Probe", "make_probe"]

FloatGrid = npt.NDArray[np.float32]

PROBES = ("linear", "curved")
_SIDE_MARGIN_MM = 7.0
_DEEP_MARGIN_MM = 3.0
_CURVED_RADIUS_MM = 35.0
_CURVED_HALF_ANGLE = math.radians(27.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """Geometry of one view. ``radius_mm`` is infinite for a linear array.

    ``size_wh`` is the frame in pixels, ``depth_mm`` the depth shown along a beam, ``face_y_mm``
    the height of the frame's top above the middle of the probe's face.
    """

    size_wh: tuple[int, int]
    mm_per_px: float
    depth_mm: float
    radius_mm: float
    half_angle: float
    face_y_mm: float

    @property
    def curved(self) -> bool:
        """Whether the beams spread."""
        return math.isfinite(self.radius_mm)

    @property
    def half_width_mm(self) -> float:
        """Half the tissue's width that beam space covers, at the deepest row."""
        if self.curved:
            margin = _SIDE_MARGIN_MM / self.radius_mm
            return (self.radius_mm + self.depth_mm) * (self.half_angle + margin)
        return self.size_wh[0] * self.mm_per_px / 2 + _SIDE_MARGIN_MM

    @property
    def beam_shape(self) -> tuple[int, int]:
        """Rows (depths) and columns (scan lines) of beam space, margins included."""
        rows = math.ceil((self.depth_mm + _DEEP_MARGIN_MM) / self.mm_per_px)
        if self.curved:
            return rows, math.ceil(2 * self._beam_half_angle / self._angle_per_column)
        return rows, math.ceil(2 * self.half_width_mm / self.mm_per_px)

    @property
    def _beam_half_angle(self) -> float:
        return self.half_angle + _SIDE_MARGIN_MM / self.radius_mm

    @property
    def _angle_per_column(self) -> float:
        # One column spans one pixel at mid depth: finer above, a little coarser below.
        return self.mm_per_px / (self.radius_mm + self.depth_mm / 2)

    def frame_to_tissue(self, x_px: FloatGrid, y_px: FloatGrid) -> tuple[FloatGrid, FloatGrid]:
        """Millimetres along and below the skin for points of the frame at rest."""
        x = (x_px - (self.size_wh[0] - 1) / 2) * self.mm_per_px
        y = y_px * self.mm_per_px - self.face_y_mm
        if not self.curved:
            return x, y
        radius = np.hypot(x, y + self.radius_mm)
        return radius * np.arctan2(x, y + self.radius_mm), radius - self.radius_mm

    def tissue_to_frame(self, x_mm: FloatGrid, y_mm: FloatGrid) -> tuple[FloatGrid, FloatGrid]:
        """The inverse of `frame_to_tissue`."""
        if self.curved:
            radius = y_mm + self.radius_mm
            angle = x_mm / radius
            x_mm, y_mm = radius * np.sin(angle), radius * np.cos(angle) - self.radius_mm
        return (
            x_mm / self.mm_per_px + (self.size_wh[0] - 1) / 2,
            (y_mm + self.face_y_mm) / self.mm_per_px,
        )

    def tissue_to_beam(self, x_mm: FloatGrid, y_mm: FloatGrid) -> tuple[FloatGrid, FloatGrid]:
        """Columns and rows of beam space for points of the tissue."""
        if self.curved:
            across = x_mm / ((self.radius_mm + y_mm) * np.float32(self._angle_per_column))
        else:
            across = x_mm / np.float32(self.mm_per_px)
        middle = np.float32((self.beam_shape[1] - 1) / 2)
        return across + middle, y_mm / np.float32(self.mm_per_px)

    def beam_to_tissue(self) -> tuple[FloatGrid, FloatGrid]:
        """Millimetres along and below the skin of every beam-space sample."""
        rows, columns = self.beam_shape
        across = np.arange(columns, dtype=np.float32)[None, :] - np.float32((columns - 1) / 2)
        y = np.arange(rows, dtype=np.float32)[:, None] * np.float32(self.mm_per_px)
        scale = (self.radius_mm + y) * self._angle_per_column if self.curved else self.mm_per_px
        x = np.broadcast_to((across * scale).astype(np.float32), (rows, columns))
        return np.ascontiguousarray(x), np.repeat(y, columns, axis=1)

    def field(self) -> Mask:
        """``bool`` ``(H, W)``: the pixels that the beams reach."""
        width, height = self.size_wh
        if not self.curved:
            return np.ones((height, width), dtype=np.bool_)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        across, below = self.frame_to_tissue(x, y)
        angle = across / (below + self.radius_mm)
        return (below >= 0) & (below <= self.depth_mm) & (np.abs(angle) <= self.half_angle)


def make_probe(kind: str, *, size_wh: tuple[int, int], depth_mm: float) -> Probe:
    """A probe of ``kind`` whose view of ``depth_mm`` fills a frame of ``size_wh`` pixels."""
    width, height = size_wh
    if kind == "linear":
        return Probe(size_wh, depth_mm / height, depth_mm, math.inf, 0.0, 0.0)
    if kind != "curved":
        raise DataError(f"no probe {kind!r}; choose one of {', '.join(PROBES)}")
    sag = _CURVED_RADIUS_MM * (1 - math.cos(_CURVED_HALF_ANGLE))
    chord = 2 * (_CURVED_RADIUS_MM + depth_mm) * math.sin(_CURVED_HALF_ANGLE)
    scale = max((depth_mm + sag) / height, chord / width)
    return Probe(size_wh, scale, depth_mm, _CURVED_RADIUS_MM, _CURVED_HALF_ANGLE, sag)
