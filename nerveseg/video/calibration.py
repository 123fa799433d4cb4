"""Millimetres per pixel: from a DICOM's regions, from the depth shown, or from two clicks.

A scale that isn't known stays ``None``; nothing here guesses one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nerveseg.errors import SourceError
from nerveseg.types import Box

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Scale", "dicom_scales", "mm_per_px_from_depth", "mm_per_px_from_points", "scale_at"]

_CENTIMETRES = 3
"""Code of the unit cm in Physical Units X/Y Direction (DICOM PS3.3, C.8.5.5.1.15)."""

_SAME = 0.01
"""Spacings that differ by less than this share are one spacing."""

_PLAUSIBLE_MM = (1e-4, 10.0)
"""No ultrasound picture has finer or coarser pixels, in mm; anything else is a wrong entry."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Spacing of the pixels in ``region``: ``x_mm`` across, ``y_mm`` down, in mm per pixel.

    ``region`` is ``None`` where the scale holds for the whole picture.
    """

    x_mm: float
    y_mm: float
    region: Box | None = None

    @property
    def mm_per_px(self) -> float | None:
        """The one spacing, or ``None`` if across and down differ by more than 1 %."""
        if abs(self.x_mm - self.y_mm) > _SAME * max(self.x_mm, self.y_mm):
            return None
        return (self.x_mm + self.y_mm) / 2


def dicom_scales(header: Dataset) -> list[Scale]:
    """Scales in a DICOM header, that of the largest region first.

    Sequence of Ultrasound Regions (0018,6011), Physical Delta X/Y (0018,602C/E), where both
    units are cm; a region of Doppler or M-mode has seconds on one axis and is left out. Without
    any region, Pixel Spacing (0028,0030), which is row spacing then column spacing in mm.
    """
    regions = getattr(header, "SequenceOfUltrasoundRegions", None) or ()
    scales = [scale for region in regions if (scale := _region_scale(region)) is not None]
    if regions:
        return sorted(scales, key=_area, reverse=True)
    spacing = [float(value) for value in getattr(header, "PixelSpacing", None) or ()]
    if len(spacing) == 2 and all(_plausible(value) for value in spacing):
        return [Scale(x_mm=spacing[1], y_mm=spacing[0])]
    return []


def _region_scale(region: Any) -> Scale | None:
    units = [getattr(region, f"PhysicalUnits{axis}Direction", None) for axis in "XY"]
    # A delta is negative where the physical axis runs against the pixels.
    x_mm = abs(float(getattr(region, "PhysicalDeltaX", None) or 0)) * 10
    y_mm = abs(float(getattr(region, "PhysicalDeltaY", None) or 0)) * 10
    if units != [_CENTIMETRES, _CENTIMETRES] or not (_plausible(x_mm) and _plausible(y_mm)):
        return None
    return Scale(x_mm, y_mm, _region_box(region))


def _region_box(region: Any) -> Box | None:
    corners = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    values = [getattr(region, f"RegionLocation{corner}", None) for corner in corners]
    if any(value is None for value in values):
        return None
    left, top, right, bottom = (int(value) for value in values if value is not None)
    # Both corners belong to the region in DICOM, hence the added pixel.
    return Box(left, top, right + 1, bottom + 1) if left <= right and top <= bottom else None


def _area(scale: Scale) -> int:
    return scale.region.width * scale.region.height if scale.region else 0


def _plausible(spacing_mm: float) -> bool:
    return _PLAUSIBLE_MM[0] <= spacing_mm <= _PLAUSIBLE_MM[1]


def scale_at(scales: list[Scale], x: float, y: float) -> Scale | None:
    """The scale that holds at pixel ``(x, y)``; a picture can show two regions side by side."""
    for scale in scales:
        box = scale.region
        if box is None or (box.left <= x < box.right and box.top <= y < box.bottom):
            return scale
    return None


def mm_per_px_from_depth(depth_mm: float, region: Box) -> float:
    """Millimetres per pixel of a picture whose image region shows ``depth_mm`` from top to bottom.

    For a linear probe, or any whose image fills ``region`` downwards. `SourceError` for a depth
    that isn't a positive number or gives no ultrasound scale.
    """
    return _checked(_length("depth", depth_mm) / region.height, f"a depth of {depth_mm} mm")


def mm_per_px_from_points(
    first_xy: tuple[float, float], second_xy: tuple[float, float], *, distance_mm: float
) -> float:
    """Millimetres per pixel from two points (pixels) on the ruler, ``distance_mm`` apart.

    `SourceError` if the points are one, or the distance isn't a positive number.
    """
    distance_px = math.dist(first_xy, second_xy)
    if not (math.isfinite(distance_px) and distance_px >= 1):
        raise SourceError(
            f"the two points are {distance_px:g} pixels apart; click two marks further apart"
        )
    return _checked(_length("distance", distance_mm) / distance_px, f"{distance_mm} mm")


def _length(what: str, value_mm: float) -> float:
    if not (math.isfinite(value_mm) and value_mm > 0):
        raise SourceError(f"the {what} is {value_mm} mm; expected a positive number")
    return value_mm


def _checked(mm_per_px: float, given: str) -> float:
    if not _plausible(mm_per_px):
        raise SourceError(
            f"{given} makes {mm_per_px:g} mm per pixel, expected {_PLAUSIBLE_MM[0]:g} to "
            f"{_PLAUSIBLE_MM[1]:g}; check that it is in millimetres"
        )
    return mm_per_px
