"""What a scene is made of: tissues, regions and planes, in tissue millimetres.

A scene is painted in order, later elements over earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["TISSUES", "Element", "Plane", "Points", "Region", "Scene", "Tissue", "VesselMotion"]

Points: TypeAlias = npt.NDArray[np.float32]
"""``float32`` of shape ``(N, 2)``: ``x, y`` in tissue millimetres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """How a tissue scatters and absorbs.

    ``level_db``: mean echo below the brightest. ``absorption``: dB per mm, there and back.
    ``patch_db``, ``septa_db``, ``dash_db``, ``clump_db``: how far slow patches, connected walls,
    short strokes and knots of fibre rise above the mean. ``wide`` picks the long-grained textures
    of fat and of tissue cut along its fibres, else the short-grained ones of muscle cut across.
    """

    level_db: float
    absorption: float
    patch_db: float = 2.0
    septa_db: float = 0.0
    dash_db: float = 0.0
    clump_db: float = 0.0
    wide: bool = True


TISSUES: Final[dict[str, Tissue]] = {
    "skin": Tissue(level_db=-33, absorption=1.1, patch_db=2, dash_db=9),
    "fat": Tissue(level_db=-43, absorption=0.85, patch_db=4, septa_db=30, dash_db=14),
    "muscle": Tissue(level_db=-47, absorption=1.1, patch_db=4, septa_db=14, dash_db=26, wide=False),
    "long muscle": Tissue(level_db=-46, absorption=1.1, patch_db=4, septa_db=22, dash_db=20),
    "connective": Tissue(
        level_db=-40, absorption=1.05, patch_db=6, septa_db=22, dash_db=14, clump_db=14
    ),
    "nerve": Tissue(level_db=-34, absorption=1.1, patch_db=3, dash_db=10, clump_db=7, wide=False),
    "fascicle": Tissue(level_db=-50, absorption=1.0, patch_db=2),
    "root": Tissue(level_db=-47, absorption=1.0, patch_db=3, dash_db=12, wide=False),
    "lumen": Tissue(level_db=-58, absorption=0.05, patch_db=3),
    "bone": Tissue(level_db=-56, absorption=9.0, patch_db=2),
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Region:
    """A closed outline filled with a tissue.

    ``class_name`` is its truth class or ``None``. ``grain_deg`` turns its texture, and
    ``follows`` (an open curve) bends the texture along a layer's upper border.
    ``extra_db`` lifts the tissue's mean level; ``feather_mm`` fades its border.
    """

    outline: Points
    tissue: str
    class_name: str | None = None
    grain_deg: float = 0.0
    follows: Points | None = None
    extra_db: float = 0.0
    feather_mm: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plane:
    """A mirror-like line. ``level_db`` is its echo when it faces the beam squarely.

    ``spread_deg`` is the angle to the beam at which the echo has dropped to 1/e. ``truth`` is
    ``"fascia"``, ``"bone"`` or ``None``.
    """

    points: Points
    level_db: float
    width_mm: float = 0.15
    spread_deg: float = 24.0
    truth: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VesselMotion:
    """How a vessel moves: ``pulse`` widens it with each beat, ``give`` lets pressure flatten it."""

    centre_mm: tuple[float, float]
    radius_mm: float
    pulse: float = 0.0
    give: float = 0.0


Element: TypeAlias = Region | Plane


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Elements in painting order, the vessels that move, and where a needle should go (mm)."""

    elements: tuple[Element, ...]
    vessels: tuple[VesselMotion, ...]
    target_mm: tuple[float, float]
