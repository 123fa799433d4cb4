"""The values a phantom takes and gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nerveseg.errors import DataError
from nerveseg.types import Frame, Mask

__all__ = ["TRUTH_CLASSES", "Difficulty", "NeedleTruth", "PhantomFrame"]

TRUTH_CLASSES = ("nerve", "artery", "vein", "vessel", "fascia", "muscle", "bone", "needle")
"""The keys of `PhantomFrame.truth`, always all of them; ``vessel`` is artery or vein."""

_RANGES = {
    "depth_mm": (20.0, 120.0),
    "gain_db": (-20.0, 20.0),
    "speckle": (0.0, 1.0),
    "visibility": (0.0, 1.0),
    "needle_angle_deg": (5.0, 75.0),
    "motion": (0.0, 2.0),
    "noise": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """How hard the picture is to read.

    ``depth_mm``: depth shown, 20..120 (``None``: what suits the probe). ``gain_db``: receive
    gain, -20..20. ``speckle``: grain contrast, 0 (smooth, much compounding) .. 1 (single look).
    ``visibility``: share of the time in which the needle lies in the image plane, 0..1.
    ``needle_angle_deg``: angle between the needle and the probe face, 5..75 (``None``: drawn from
    the seed); steep needles reflect less. ``motion``: probe motion and pressure, 0 (held by a
    stand) .. 2. ``noise``: electronic noise, 0..1. Raises `DataError` outside these ranges.
    """

    depth_mm: float | None = None
    gain_db: float = 0.0
    speckle: float = 0.5
    visibility: float = 1.0
    needle_angle_deg: float | None = None
    motion: float = 1.0
    noise: float = 0.3

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise DataError(
                    f"phantom difficulty {name} is {value}, expected {low:g} to {high:g}"
                )


@dataclass(frozen=True, slots=True)
class NeedleTruth:
    """Where the needle is, in frame pixels (``x, y``), exact to a fraction of a pixel.

    ``entry_xy`` is where the shaft enters the picture, ``tip_xy`` the projection of the tip
    onto the picture. ``visible`` says whether the tip lies in the image plane: when it is
    False, ``tip_xy`` still tells where the tip is, but no echo marks it.
    """

    entry_xy: tuple[float, float]
    tip_xy: tuple[float, float]
    visible: bool


@dataclass(frozen=True, slots=True, eq=False)
class PhantomFrame:
    """A synthetic picture with its truth: one ``bool`` ``(H, W)`` mask per `TRUTH_CLASSES`.

    ``fascia`` is a thin band along planes that face the beam; ``bone`` is the cortical surface
    that reflects, not what its shadow hides; ``needle`` is the part of the shaft that lies in the
    image plane. ``needle`` (the attribute) is ``None`` in a phantom without a needle.
    """

    frame: Frame
    truth: Mapping[str, Mask]
    needle: NeedleTruth | None
