"""What a page asks for, read with care: each is checked, and refused in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nerveseg import anatomy
from nerveseg.errors import SourceError
from nerveseg.live.settings import Crop, DeviceSettings
from nerveseg.types import Box, Point
from nerveseg.video.calibration import mm_per_px_from_depth, mm_per_px_from_points

__all__ = ["MAX_URI", "Seen", "block_of", "number", "settings_of", "uri_of"]

MAX_URI = 500
"""Letters that a source's address may have."""

_LEAST_CROP = 32
_KEYS = ("crop", "mirrored", "scale")


@dataclass(frozen=True, slots=True)
class Seen:
    """The picture that a page's settings are about: shape ``H, W``, and its image region."""

    shape: tuple[int, int]
    region: Box


def uri_of(raw: object) -> str:
    """A source's address."""
    uri = raw.strip() if isinstance(raw, str) else ""
    if not uri or len(uri) > MAX_URI or not uri.isprintable():
        raise SourceError(
            f"a source is named by one line of 1 to {MAX_URI} letters, such as uvc:0 or "
            "phantom:axillary?needle"
        )
    return uri


def block_of(raw: object) -> str | None:
    """A block's name; none is a choice too."""
    blocks = anatomy.default().blocks
    if raw is None or raw == "":
        return None
    if not isinstance(raw, str) or raw not in blocks:
        raise SourceError(f"there is no such block; there are {', '.join(blocks)}")
    return raw


def settings_of(
    raw: Mapping[str, Any], before: DeviceSettings, seen: Seen | None
) -> DeviceSettings:
    """``before`` with what is asked for; `SourceError` for anything that makes no sense.

    ``crop``: ``auto``, ``off`` or left, top, right, bottom in pixels of the frame. ``mirrored``:
    true or false. ``scale``: ``null`` for the source's own, ``{"depth_mm"}``, or ``{"points",
    "distance_mm"}`` with two points ``x, y``. The last two need a picture.
    """
    unknown = set(raw) - set(_KEYS)
    if unknown or not raw:
        raise SourceError(f"settings are {', '.join(_KEYS)}; got {sorted(unknown)}")
    settings = before
    if "crop" in raw:
        settings = replace(settings, crop=_crop(raw["crop"], seen))
    if "mirrored" in raw:
        if not isinstance(raw["mirrored"], bool):
            raise SourceError("mirrored is true or false")
        settings = replace(settings, mirrored=raw["mirrored"])
    if "scale" in raw:
        scale, source = _scale(raw["scale"], seen)
        settings = replace(settings, mm_per_px=scale, scale_from=source)
    return settings


def number(raw: object) -> float:
    """A finite number."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise SourceError("expected a finite number")
    return float(raw)


def _crop(raw: object, seen: Seen | None) -> Crop:
    if raw == "auto":
        return "auto"
    if raw == "off":
        return "off"
    height, width = _picture(seen).shape
    sides = [round(min(max(value, -1e6), 1e6)) for value in _numbers(raw, 4)]
    left, top = max(0, min(sides[0], sides[2])), max(0, min(sides[1], sides[3]))
    right, bottom = min(width, max(sides[0], sides[2])), min(height, max(sides[1], sides[3]))
    if right - left < _LEAST_CROP or bottom - top < _LEAST_CROP:
        raise SourceError(
            f"a crop is at least {_LEAST_CROP} pixels wide and high; draw a larger rectangle"
        )
    return Box(left, top, right, bottom)


def _scale(raw: object, seen: Seen | None) -> tuple[float | None, str]:
    if raw is None:
        return None, ""
    if not isinstance(raw, Mapping):
        raise SourceError("a scale is a depth in mm, or two points and their distance in mm")
    if "depth_mm" in raw:
        depth = number(raw["depth_mm"])
        return mm_per_px_from_depth(depth, _picture(seen).region), f"a depth of {depth:g} mm"
    ends, distance = raw.get("points"), number(raw.get("distance_mm"))
    if not isinstance(ends, list) or len(ends) != 2:
        raise SourceError("a ruler has two points")
    _picture(seen)
    first, second = (_point(end) for end in ends)
    scale = mm_per_px_from_points(first, second, distance_mm=distance)
    return scale, f"two marks {distance:g} mm apart"


def _point(raw: object) -> Point:
    x, y = _numbers(raw, 2)
    return x, y


def _numbers(raw: object, count: int) -> list[float]:
    if not isinstance(raw, list) or len(raw) != count:
        raise SourceError(f"expected {count} numbers")
    return [number(value) for value in raw]


def _picture(seen: Seen | None) -> Seen:
    if seen is None:
        raise SourceError("there is no picture yet that this could be about; wait for the first")
    return seen
