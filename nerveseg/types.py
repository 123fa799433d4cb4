"""The values that travel between rooms: frozen, slotted, checked when made.

Axis order is always row, column (``H``, ``W``) for arrays and ``x, y`` for points, with the
origin at the centre of the top-left pixel. Times are seconds of the clip's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Box",
    "Crossing",
    "Frame",
    "FrameResult",
    "GrayImage",
    "Guidance",
    "Label",
    "Mask",
    "Needle",
    "NeedleState",
    "NeedleStatus",
    "Plane",
    "Point",
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

Point: TypeAlias = tuple[float, float]
"""``x, y`` in frame pixels, to a fraction of a pixel."""

NeedleStatus: TypeAlias = Literal["seen", "predicted", "lost"]
"""Of the needle's *tip*: seen on this frame, carried on from frames just before, or unknown."""


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

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


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
    dropped. ``heatmaps`` (of the same shape) mark points rather than areas: ``"needle tip"``.
    Kept small on purpose: `nerveseg.vision.segment` makes masks in frame pixels on demand.
    """

    probabilities: Mapping[str, Probability]
    region: Box
    frame_shape: tuple[int, int]
    thresholds: Mapping[str, float]
    model_id: str
    min_confidence: Mapping[str, float] = field(default_factory=dict)
    heatmaps: Mapping[str, Probability] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.probabilities) != set(self.thresholds):
            raise ValueError("every class needs exactly one probability map and one threshold")
        height, width = self.frame_shape
        if self.region.right > width or self.region.bottom > height:
            raise ValueError(f"{self.region} leaves the frame of shape {self.frame_shape}")


@dataclass(frozen=True, slots=True)
class Needle:
    """An in-plane needle as one frame shows it, in pixels of that frame.

    ``entry_xy`` is where the shaft's line comes into the image region; ``tip_xy`` its deep end.
    ``confidence`` is the calibrated chance (0..1) that the tip lies within 2 % of the region's
    diagonal of ``tip_xy``; ``shaft_confidence`` the chance that the line is a needle's at all: a
    needle whose tip has left the plane has a low first and a high second. ``shaft_xy`` are the
    two ends of the part of the shaft that shows an echo, the shallow one first, and
    ``visible_share`` is how much of the way from entry to tip does so (0..1).
    """

    entry_xy: Point
    tip_xy: Point
    confidence: float
    shaft_confidence: float
    shaft_xy: tuple[Point, Point]
    visible_share: float

    def __post_init__(self) -> None:
        numbers = [*self.entry_xy, *self.tip_xy, *self.shaft_xy[0], *self.shaft_xy[1]]
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError(f"a needle's points must be finite numbers, got {numbers}")
        for name in ("confidence", "shaft_confidence", "visible_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"a needle's {name} is between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class NeedleState:
    """What is known of the needle at one moment of a clip.

    ``needle`` is ``None`` exactly when the status is ``lost``: no tip is ever invented.
    ``age_s`` is the time since the tip was last seen, 0 when it is seen now, and ``None`` when it
    never was in this clip, or is forgotten: drawn out, long unseen, or of a scene before a cut.
    ``shaft_xy`` are the ends (shallow, deep) of the shaft where it shows on this very frame, which
    may be so while the tip is predicted or lost.
    """

    status: NeedleStatus
    needle: Needle | None = None
    age_s: float | None = None
    shaft_xy: tuple[Point, Point] | None = None

    def __post_init__(self) -> None:
        if (self.status == "lost") != (self.needle is None):
            raise ValueError(f"a {self.status} needle goes with needle={self.needle}")


@dataclass(frozen=True, slots=True)
class Plane:
    """A fascial plane as a line, in frame pixels.

    ``points_xy`` run from left to right, no two in one column, ``y`` to a fraction of a pixel:
    the middle of the plane's echo. ``thickness_px`` is its mean thickness across the line,
    ``confidence`` (0..1) the mean probability along it. ``key`` stays the same from frame to
    frame of a clip for as long as the plane is followed, so that a name can be given to it.
    """

    points_xy: tuple[Point, ...]
    thickness_px: float
    confidence: float
    key: int = 0

    def __post_init__(self) -> None:
        if len(self.points_xy) < 2:
            raise ValueError(f"a plane needs at least 2 points, got {len(self.points_xy)}")


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the path ahead first meets a structure: how far from the tip, in pixels."""

    structure: str
    at_xy: Point
    distance_px: float


@dataclass(frozen=True, slots=True)
class Guidance:
    """What the needle's place means, in pixels of the frame.

    ``path_xy`` runs from the tip straight on to the end of the image region. ``distances_px``
    maps a class (``nerve``, ``vessel``) to the way from the tip to its nearest outline, 0 inside
    it; a class that is not in view is left out. ``crossings`` are what the path meets, nearest
    first. ``insertion_angle_deg`` (0..90) is between the shaft and the horizontal, which is the
    probe's face under a linear probe alone.
    """

    path_xy: tuple[Point, Point]
    distances_px: Mapping[str, float]
    crossings: tuple[Crossing, ...]
    insertion_angle_deg: float
    visible_share: float


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame with all that was found on it; ``timings_ms`` is milliseconds per stage.

    ``planes`` are ordered by depth. ``guidance`` is there when the needle's tip is (seen or
    predicted). ``warnings`` are keys of `nerveseg.vision.guidance.WARNINGS`. ``steadiness`` is,
    per class, the IoU (0..1) of this frame's area with the last one's moved along with the
    tissue: 1 less the flicker; ``None`` where there is no last frame of the same scene.
    """

    frame: Frame
    segmentation: Segmentation
    masks: Mapping[str, Mask]
    structures: Mapping[str, StructureStats]
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    planes: tuple[Plane, ...] = ()
    needle_state: NeedleState = field(default_factory=lambda: NeedleState("lost"))
    guidance: Guidance | None = None
    warnings: tuple[str, ...] = ()
    steadiness: Mapping[str, float] | None = None


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
