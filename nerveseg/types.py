"""The values that travel between rooms: frozen, slotted, checked when made.

Axis order is always row, column (``H``, ``W``) for arrays and ``x, y`` for points, with the
origin at the centre of the top-left pixel. Times are seconds of the clip's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Box",
    "Frame",
    "FrameResult",
    "GrayImage",
    "Label",
    "Mask",
    "Probability",
    "Sample",
    "Segmentation",
    "StructureStats",
]

GrayImage: TypeAlias = npt.NDArray[np.uint8]
"""``uint8`` of shape ``(H, W)``: B-mode brightness."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""``bool`` of shape ``(H, W)``: True inside a structure."""

Probability: TypeAlias = npt.NDArray[np.float32]
"""``float32`` of shape ``(H, W)``, each value in 0..1."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: ``left``/``top`` inclusive, ``right``/``bottom`` exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right and 0 <= self.top < self.bottom):
            raise ValueError(f"empty or negative box: {self}")

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, so that ``pixels[box.slices]`` is the box's content."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a clip.

    ``index`` counts from 0 in the order shown; ``time_s`` is the presentation time in seconds;
    ``pixels`` is ``uint8`` ``(H, W)``; ``mm_per_px`` is ``None`` when the scale is unknown.
    """

    index: int
    time_s: float
    pixels: GrayImage
    mm_per_px: float | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 2 or self.pixels.size == 0:
            raise ValueError(
                f"a frame's pixels are uint8 of shape (H, W), got {self.pixels.dtype} "
                f"of shape {self.pixels.shape}"
            )
        if self.mm_per_px is not None and not (
            math.isfinite(self.mm_per_px) and self.mm_per_px > 0
        ):
            raise ValueError(f"mm_per_px is a positive number or None, got {self.mm_per_px}")


@dataclass(frozen=True, slots=True)
class StructureStats:
    """What one class measures on one frame, in pixels of that frame.

    ``centroid_xy`` and ``mean_confidence`` (mean probability inside the mask) are ``None`` when
    the class isn't there; ``contours`` are closed outlines, each ``((x, y), …)``.
    """

    area_px: int
    centroid_xy: tuple[float, float] | None
    mean_confidence: float | None
    contours: tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Probability per class, at the network's resolution, placed on a frame.

    ``probabilities`` maps a class name to ``float32`` ``(h, w)``; it covers ``region`` of the
    frame, outside of which every class is absent. ``thresholds`` turns them into masks, from
    which patches of a lower mean probability than ``min_confidence`` (0 where not named) are
    dropped.
    Kept small on purpose: `nerveseg.vision.segment` makes masks in frame pixels on demand.
    """

    probabilities: Mapping[str, Probability]
    region: Box
    frame_shape: tuple[int, int]
    thresholds: Mapping[str, float]
    model_id: str
    min_confidence: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.probabilities) != set(self.thresholds):
            raise ValueError("every class needs exactly one probability map and one threshold")
        height, width = self.frame_shape
        if self.region.right > width or self.region.bottom > height:
            raise ValueError(f"{self.region} leaves the frame of shape {self.frame_shape}")


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame with all that was found on it; ``timings_ms`` is milliseconds per stage."""

    frame: Frame
    segmentation: Segmentation
    masks: Mapping[str, Mask]
    structures: Mapping[str, StructureStats]
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """Somebody's outline of one structure: a closed polygon ``((x, y), …)`` in frame pixels."""

    structure: str
    polygon: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.polygon) < 3:
            raise ValueError(f"an outline needs at least 3 points, got {len(self.polygon)}")
        if not all(math.isfinite(v) for point in self.polygon for v in point):
            raise ValueError("an outline's points must be finite numbers")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One labelled picture of a dataset.

    ``masks`` maps class name to mask; ``known`` names the classes that were labelled **at all**
    in this picture: a class outside it is unknown, not absent, and must mask the loss in
    training and be left out in evaluation. ``group`` keeps pictures of one subject (or one
    cluster of look-alikes) on the same side of a split. ``card`` names the dataset.
    """

    name: str
    image: GrayImage
    masks: Mapping[str, Mask]
    known: frozenset[str]
    group: str
    card: str
    mm_per_px: float | None = None

    def __post_init__(self) -> None:
        if not set(self.masks) <= self.known:
            raise ValueError(f"{self.name}: masks {set(self.masks)} go beyond known {self.known}")
        for structure, mask in self.masks.items():
            if mask.shape != self.image.shape or mask.dtype != np.bool_:
                raise ValueError(
                    f"{self.name}: mask {structure!r} is {mask.dtype} {mask.shape}, "
                    f"the image is {self.image.shape}"
                )
