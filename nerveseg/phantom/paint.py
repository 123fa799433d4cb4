"""Paint a scene into beam space: echo level, absorption, mirror echoes and truth labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.scene import TISSUES, Plane, Points, Region, Scene, Tissue
from nerveseg.phantom.texture import dashes, septa, smooth_noise, upper_crust
from nerveseg.types import Mask

__all__ = ["LABEL_BITS", "ROCK_RAD", "Painting", "paint"]

LABEL_BITS: Final = {"nerve": 1, "artery": 2, "vein": 4, "fascia": 8, "muscle": 16, "bone": 32}
"""Which bit of `Painting.labels` marks which class."""

ROCK_RAD: Final = math.radians(4.0)
"""Mirror echoes are painted for a probe rocked by plus and minus this angle."""

_STEEPEST_FASCIA = math.radians(50.0)
_FASCIA_MM = 0.35
_BONE_MM = 1.0
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """Beam-space maps, each ``(rows, columns)``.

    ``level_db`` and ``absorption`` (dB per mm) are ``float32``; ``mirror`` holds the mirror
    echoes' linear amplitude (``float32``) for a probe rocked by ``-ROCK_RAD`` and ``+ROCK_RAD``;
    ``labels`` is ``uint8`` of `LABEL_BITS`.
    """

    level_db: FloatGrid
    absorption: FloatGrid
    mirror: tuple[FloatGrid, FloatGrid]
    labels: npt.NDArray[np.uint8]


def paint(scene: Scene, probe: Probe, rng: np.random.Generator) -> Painting:
    """Paint ``scene`` as ``probe`` would meet it."""
    return _Painter(probe, rng).paint(scene)


class _Painter:
    def __init__(self, probe: Probe, rng: np.random.Generator) -> None:
        self._probe = probe
        self._rng = rng
        self._shape = probe.beam_shape
        self._x_mm, self._y_mm = probe.beam_to_tissue()
        self._textures = _make_textures(rng, self._shape, probe.mm_per_px)
        self._level = np.full(self._shape, -30.0, dtype=np.float32)
        self._absorption = np.full(self._shape, 0.5, dtype=np.float32)
        self._mirror = (np.zeros(self._shape, np.float32), np.zeros(self._shape, np.float32))
        self._labels = np.zeros(self._shape, dtype=np.uint8)

    def paint(self, scene: Scene) -> Painting:
        for element in scene.elements:
            if isinstance(element, Region):
                self._region(element)
            else:
                self._plane(element)
        return Painting(self._level, self._absorption, self._mirror, self._labels)

    def _region(self, region: Region) -> None:
        corners = self._corners(region.outline)
        left, top, width, height = cv2.boundingRect(corners.astype(np.int32))
        box = (slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1))
        if self._level[box].size == 0:
            return
        inside = np.zeros(self._shape, dtype=np.uint8)
        fixed = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(inside, [fixed], 1, shift=_SUBPIXEL_BITS)
        where = inside[box].astype(np.bool_)
        tissue = TISSUES[region.tissue]
        self._level[box][where] = (self._textured(region, tissue, box) + region.extra_db)[where]
        self._absorption[box][where] = tissue.absorption
        for mirror in self._mirror:
            mirror[box][where] = 0
        self._labels[box][where] = LABEL_BITS.get(region.class_name or "", 0)

    def _textured(self, region: Region, tissue: Tissue, box: tuple[slice, slice]) -> FloatGrid:
        """The tissue's echo level (dB) in ``box``, with texture laid along its grain."""
        x, y = self._x_mm[box], self._y_mm[box]
        if region.follows is not None:
            # Deeper texture forgets the layer's border: it only has to lie along it near by.
            bend = np.interp(x[0], region.follows[:, 0], region.follows[:, 1]).astype(np.float32)
            y = y - bend
        turn = math.radians(region.grain_deg)
        scale = np.float32(1 / self._probe.mm_per_px)
        shift_x, shift_y = self._rng.uniform(0, 200, 2).astype(np.float32)
        along = (x * math.cos(turn) + y * math.sin(turn)) * scale + shift_x
        below = (y * math.cos(turn) - x * math.sin(turn)) * scale + shift_y
        level = np.full(x.shape, tissue.level_db, dtype=np.float32)
        kind = "wide" if tissue.wide else "short"
        for name, gain in (
            ("patch", tissue.patch_db),
            (f"{kind} septa", tissue.septa_db),
            (f"{kind} dashes", tissue.dash_db),
        ):
            if gain:
                texture = self._textures[name]
                level += gain * _sample(texture, along.astype(np.float32), below.astype(np.float32))
        return level

    def _plane(self, plane: Plane) -> None:
        corners = self._corners(plane.points)
        tilt = self._tilts(plane.points)
        shade = 10 ** (self._shimmer(len(tilt)) / 20)
        amplitude = 10 ** (plane.level_db / 20)
        spread = math.radians(plane.spread_deg)
        thick = max(1, round(plane.width_mm / self._probe.mm_per_px))
        for mirror, rock in zip(self._mirror, (-ROCK_RAD, ROCK_RAD), strict=True):
            strength = amplitude * shade * np.exp(-(((tilt - rock) / spread) ** 2))
            _draw(mirror, corners, strength.astype(np.float32), thick)
        if plane.truth == "fascia":
            self._mark(corners, np.abs(tilt) < _STEEPEST_FASCIA, "fascia", _FASCIA_MM)
        elif plane.truth == "bone":
            self._mark(corners, np.full(len(tilt), True), "bone", _BONE_MM)

    def _mark(self, corners: Points, shown: Mask, class_name: str, width_mm: float) -> None:
        """Label the shown segments of a line as a thin band, under vessels and nerves."""
        band = np.zeros(self._shape, dtype=np.uint8)
        thick = max(3, round(width_mm / self._probe.mm_per_px))
        _draw(band, corners, shown.astype(np.float32), thick)
        over = self._labels & (LABEL_BITS["nerve"] | LABEL_BITS["artery"] | LABEL_BITS["vein"])
        self._labels[(band > 0) & (over == 0)] = LABEL_BITS[class_name]

    def _corners(self, points: Points) -> Points:
        column, row = self._probe.tissue_to_beam(points[:, 0], points[:, 1])
        return np.stack([column, row], axis=1).astype(np.float32)

    def _tilts(self, points: Points) -> FloatGrid:
        """Angle (radians) of each segment to the wavefront, -pi/2..pi/2."""
        x, y = points[:, 0], points[:, 1]
        if self._probe.curved:
            angle = x / (self._probe.radius_mm + y)
            across = np.diff(angle) * (self._probe.radius_mm + (y[1:] + y[:-1]) / 2)
        else:
            across = np.diff(x)
        return np.asarray(np.arctan(np.diff(y) / np.where(across == 0, 1e-6, across)))

    def _shimmer(self, count: int) -> FloatGrid:
        """Slow ups and downs (dB) along a plane: real planes are never evenly bright."""
        noise = smooth_noise(self._rng, (1, count + 16), sigma_xy=(5.0, 0.01))
        return 3.5 * noise[0, :count]


def _draw(image: npt.NDArray[np.generic], corners: Points, value: FloatGrid, thick: int) -> None:
    fixed = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int64)
    high, wide = image.shape[0] << _SUBPIXEL_BITS, image.shape[1] << _SUBPIXEL_BITS
    start, end = fixed[:-1], fixed[1:]
    near = (np.maximum(start, end) >= 0).all(1) & (np.minimum(start, end) < (wide, high)).all(1)
    for index in np.flatnonzero(near & (value > 1e-4)):
        a, b = start[index].tolist(), end[index].tolist()
        cv2.line(image, a, b, float(value[index]), thick, cv2.LINE_8, _SUBPIXEL_BITS)


def _sample(texture: FloatGrid, x: FloatGrid, y: FloatGrid) -> FloatGrid:
    return np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))


def _make_textures(
    rng: np.random.Generator, shape: tuple[int, int], mm_per_px: float
) -> dict[str, FloatGrid]:
    def noise(along_mm: float, below_mm: float) -> FloatGrid:
        return smooth_noise(rng, shape, sigma_xy=(along_mm / mm_per_px, below_mm / mm_per_px))

    wall = 0.16 / mm_per_px
    bright = np.clip(0.55 + 0.45 * noise(4.0, 1.0), 0, 1.5)
    return {
        "patch": noise(3.5, 2.0),
        "wide septa": bright * septa(noise(3.6, 0.75), width_px=wall),
        "short septa": bright * septa(noise(2.0, 0.7), width_px=wall),
        "wide dashes": dashes(noise(2.4, 0.14), threshold=0.7),
        "short dashes": dashes(noise(0.75, 0.14), threshold=1.3),
        "crust": upper_crust(noise(2.0, 1.0)),
    }
