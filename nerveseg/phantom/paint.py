"""Paint a scene into beam space: echo level, absorption, mirror echoes and truth labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np

from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.scene import TISSUES, Plane, Points, Region, Scene
from nerveseg.phantom.texture import blur, dashes, septa, smooth_noise
from nerveseg.types import GrayImage, Mask

__all__ = ["LABEL_BITS", "ROCK_RAD", "Painting", "paint"]

LABEL_BITS: Final = {"nerve": 1, "artery": 2, "vein": 4, "fascia": 8, "muscle": 16, "bone": 32}
"""Which bit of `Painting.labels` marks which class."""

ROCK_RAD: Final = math.radians(4.0)
"""Mirror echoes are painted for a probe rocked by plus and minus this angle."""

_STEEPEST = {"fascia": math.radians(50.0), "bone": math.radians(65.0)}
_BAND_MM = {"fascia": 0.28, "bone": 0.8}
_SUBPIXEL_BITS = 4
_STRANDS = ((0.05, 0.0), (0.2, -4.0), (0.35, -8.0))
_WALL_SHARE = 0.7

_Window: TypeAlias = tuple[slice, slice]


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
    labels: GrayImage


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
        feather_px = region.feather_mm / self._probe.mm_per_px
        window = self._window(corners, margin=1 + math.ceil(2 * feather_px))
        if window is None:
            return
        filled = np.zeros(self._shape, dtype=np.uint8)
        fixed = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(filled, [fixed], 1, shift=_SUBPIXEL_BITS)
        inside = filled[window].astype(np.bool_)
        share = inside.astype(np.float32)
        if feather_px:
            share = blur(share, sigma_x=feather_px, sigma_y=feather_px)
        level, walls = self._textured(region, window)
        self._level[window] += share * (level - self._level[window])
        for mirror in self._mirror:
            mirror[window] += share * (walls - mirror[window])
        self._absorption[window][inside] = TISSUES[region.tissue].absorption
        self._labels[window][inside] = LABEL_BITS.get(region.class_name or "", 0)

    def _window(self, corners: Points, *, margin: int) -> _Window | None:
        """The part of beam space round ``corners``, ``None`` if they all lie outside."""
        left, top = np.floor(corners.min(axis=0)).astype(int) - margin
        right, bottom = np.ceil(corners.max(axis=0)).astype(int) + margin + 1
        rows, columns = self._shape
        if right <= 0 or bottom <= 0 or left >= columns or top >= rows:
            return None
        return slice(max(int(top), 0), int(bottom)), slice(max(int(left), 0), int(right))

    def _textured(self, region: Region, window: _Window) -> tuple[FloatGrid, FloatGrid]:
        """A tissue's echo level (dB) and the mirror amplitude of the walls and strokes in it."""
        tissue = TISSUES[region.tissue]
        along, below = self._grain(region, window)
        kind = "wide" if tissue.wide else "short"
        level = tissue.level_db + region.extra_db
        patches = _sample(self._textures["patch"], along, below)
        ground = level + tissue.patch_db * patches
        rise = np.zeros_like(patches)
        for name, gain in (
            (f"{kind} septa", tissue.septa_db),
            (f"{kind} dashes", tissue.dash_db),
            ("clumps", tissue.clump_db),
        ):
            if gain:
                rise += gain * _sample(self._textures[name], along, below)
        # A wall's echo is in step along its length: it adds as a line, not as grain.
        walls = _amplitude(level + rise) - _amplitude(np.full_like(rise, level))
        echo = np.asarray(ground + rise / 2, dtype=np.float32)
        return echo, np.asarray(_WALL_SHARE * walls, dtype=np.float32)

    def _grain(self, region: Region, window: _Window) -> tuple[FloatGrid, FloatGrid]:
        """Texture coordinates (pixels) of ``window``, turned and bent along the region's grain."""
        x, y = self._x_mm[window], self._y_mm[window]
        if region.follows is not None:
            bend = np.interp(x, region.follows[:, 0], region.follows[:, 1])
            y = y - bend.astype(np.float32)
        turn = math.radians(region.grain_deg)
        shift_x, shift_y = self._rng.uniform(0, 200, 2).astype(np.float32)
        scale = np.float32(1 / self._probe.mm_per_px)
        return (
            (x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))) * scale + shift_x,
            (y * np.float32(math.cos(turn)) - x * np.float32(math.sin(turn))) * scale + shift_y,
        )

    def _plane(self, plane: Plane) -> None:
        tilt = self._tilts(plane.points)
        spread = math.radians(plane.spread_deg)
        for offset_mm, loss_db in _STRANDS:
            points = plane.points + self._stray(len(plane.points), offset_mm)
            shade = self._shimmer(plane.points) + plane.level_db + loss_db
            for mirror, rock in zip(self._mirror, (-ROCK_RAD, ROCK_RAD), strict=True):
                facing = np.exp(-(((tilt - rock) / spread) ** 2))
                strength = np.asarray(_amplitude(shade) * facing, dtype=np.float32)
                self._stroke(mirror, points, strength, plane.width_mm)
        if plane.truth is not None:
            self._mark(plane.points, np.abs(tilt) < _STEEPEST[plane.truth], plane.truth)

    def _stroke(
        self, image: FloatGrid, points: Points, strength: FloatGrid, width_mm: float
    ) -> None:
        corners = self._corners(points)
        thick = max(1, round(width_mm / self._probe.mm_per_px))
        _draw(image, corners, strength, thick)

    def _mark(self, points: Points, shown: Mask, class_name: str) -> None:
        """Label the shown segments of a line as a thin band, under vessels and nerves."""
        band = np.zeros(self._shape, dtype=np.float32)
        thick = max(2, round(_BAND_MM[class_name] / self._probe.mm_per_px))
        _draw(band, self._corners(points), shown.astype(np.float32), thick)
        over = self._labels & (LABEL_BITS["nerve"] | LABEL_BITS["artery"] | LABEL_BITS["vein"])
        self._labels[(band > 0) & (over == 0)] = LABEL_BITS[class_name]

    def _corners(self, points: Points) -> Points:
        column, row = self._probe.tissue_to_beam(points[:, 0], points[:, 1])
        return np.stack([column, row], axis=1).astype(np.float32)

    def _tilts(self, points: Points) -> FloatGrid:
        """Angle (radians) of each segment to the wavefront, -pi/2..pi/2."""
        x, y = points[:, 0], points[:, 1]
        if self._probe.curved:
            radius = self._probe.radius_mm + y
            across = np.diff(x / radius) * (radius[1:] + radius[:-1]) / 2
        else:
            across = np.diff(x)
        steep = np.arctan(np.diff(y) / np.where(across == 0, 1e-6, across))
        return np.asarray(steep, dtype=np.float32)

    def _shimmer(self, points: Points) -> FloatGrid:
        """Ups and downs (dB) along a plane, and a fade towards loose ends."""
        count = len(points) - 1
        slow = smooth_noise(self._rng, (1, count), sigma_xy=(7.0, 0.0))[0]
        quick = smooth_noise(self._rng, (1, count), sigma_xy=(1.2, 0.0))[0]
        shade = np.asarray(4.0 * slow + 3.0 * quick, dtype=np.float32)
        if not np.array_equal(points[0], points[-1]):
            to_end = np.minimum(np.arange(count), np.arange(count)[::-1])
            shade -= 18 * np.exp(-to_end / 4).astype(np.float32)
        return shade

    def _stray(self, count: int, offset_mm: float) -> Points:
        """How far (mm) a strand of a plane strays from its course."""
        noise = smooth_noise(self._rng, (1, count), sigma_xy=(4.0, 0.0))[0]
        return np.stack([np.zeros_like(noise), offset_mm * noise], axis=1)


def _draw(image: FloatGrid, corners: Points, value: FloatGrid, thick: int) -> None:
    """Draw a polyline whose segments have their own ``value``; none is darkened."""
    fixed = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int64)
    high, wide = image.shape[0] << _SUBPIXEL_BITS, image.shape[1] << _SUBPIXEL_BITS
    start, end = fixed[:-1], fixed[1:]
    near = (np.maximum(start, end) >= 0).all(1) & (np.minimum(start, end) < (wide, high)).all(1)
    for index in np.flatnonzero(near & (value > 1e-4)):
        a, b = start[index].tolist(), end[index].tolist()
        cv2.line(image, a, b, float(value[index]), thick, cv2.LINE_8, _SUBPIXEL_BITS)


def _amplitude(level_db: FloatGrid) -> FloatGrid:
    return np.asarray(np.exp(level_db * np.float32(math.log(10) / 20)), dtype=np.float32)


def _sample(texture: FloatGrid, x: FloatGrid, y: FloatGrid) -> FloatGrid:
    sampled = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(sampled, dtype=np.float32)


def _make_textures(
    rng: np.random.Generator, shape: tuple[int, int], mm_per_px: float
) -> dict[str, FloatGrid]:
    def noise(along_mm: float, below_mm: float) -> FloatGrid:
        return smooth_noise(rng, shape, sigma_xy=(along_mm / mm_per_px, below_mm / mm_per_px))

    def rough(along_mm: float, below_mm: float) -> FloatGrid:
        # Three octaves: tissue has structure at every scale that the pulse resolves.
        total = noise(along_mm, below_mm)
        total += 0.45 * noise(along_mm / 2.6, below_mm / 2)
        total += 0.25 * noise(along_mm / 6, below_mm / 3.5)
        return total

    wall = 0.13 / mm_per_px
    bright = np.clip(0.5 + 0.4 * rough(3.0, 0.8), 0, 1.4)
    return {
        "patch": 0.75 * rough(3.2, 1.6),
        "wide septa": bright * septa(rough(4.0, 0.42), width_px=wall),
        "short septa": bright * septa(rough(2.2, 0.8), width_px=wall),
        "clumps": dashes(rough(1.1, 0.5), threshold=0.6),
        "wide dashes": dashes(rough(1.8, 0.16), threshold=1.2),
        "short dashes": dashes(rough(0.8, 0.16), threshold=1.7),
    }
