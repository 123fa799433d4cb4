"""A pencil for anatomy: seeded curves, blobs, vessels and nerves that add up to a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from nerveseg.phantom.probe import FloatGrid
from nerveseg.phantom.scene import Element, Plane, Points, Region, Scene, VesselMotion
from nerveseg.phantom.texture import smooth_noise

__all__ = ["Sketch"]

_HALF_WIDTH_MM = 90.0
_BOTTOM_MM = 140.0


@dataclass(slots=True)
class Sketch:
    """Collects elements in painting order; every shape varies with ``rng``.

    ``side`` is 1 or -1: left–right handedness, applied to every x that comes in.
    """

    rng: np.random.Generator
    side: int = 1
    elements: list[Element] = field(default_factory=list)
    vessels: list[VesselMotion] = field(default_factory=list)

    def scene(self, *, target_mm: tuple[float, float]) -> Scene:
        """Everything drawn so far; the needle goes to ``target_mm`` (x before handedness).

        Last of all the whole drawing is bent a little, as if it were drawn on rubber: nothing in
        a body is straight or round, and what touched still touches.
        """
        bend = _Rubber(self.rng)
        target = bend.point((self.side * target_mm[0], target_mm[1]))
        elements = tuple(bend.element(element) for element in self.elements)
        vessels = tuple(replace(v, centre_mm=bend.point(v.centre_mm)) for v in self.vessels)
        return Scene(elements, vessels, target)

    def vary(self, value: float, by: float) -> float:
        """``value`` give or take ``by`` (uniform)."""
        return value + by * float(self.rng.uniform(-1, 1))

    def curve(self, depth: float, *, slope: float = 0.0, wave: float = 0.5) -> Points:
        """A gently waving line from side to side at ``depth`` mm under the skin."""
        x = np.arange(-_HALF_WIDTH_MM, _HALF_WIDTH_MM + 1, 1.0, dtype=np.float32)
        y = depth + slope * self.side * x
        for length in (70.0, 31.0, 13.0):
            phase = self.rng.uniform(0, 2 * math.pi)
            y = y + wave * (length / 70) * np.sin(x * 2 * math.pi / length + phase)
        return np.stack([x, np.maximum(y, 0.2)], axis=1).astype(np.float32)

    def layer(self, top: Points, tissue: str, *, class_name: str | None = None) -> None:
        """Fill everything below ``top``; its texture follows ``top``."""
        corners = np.array(
            [[_HALF_WIDTH_MM, _BOTTOM_MM], [-_HALF_WIDTH_MM, _BOTTOM_MM]], dtype=np.float32
        )
        outline = np.concatenate([top, corners])
        self.elements.append(
            Region(outline=outline, tissue=tissue, class_name=class_name, follows=top)
        )

    def sheet(self, points: Points, *, level_db: float) -> None:
        """A bright interface that is no fascia, such as between skin and fat."""
        self.elements.append(Plane(points=points, level_db=self.vary(level_db, 3)))

    def fascia(self, points: Points, *, level_db: float = -8.0, double: bool = False) -> None:
        """A fascial plane; a ``double`` one has a fainter twin just below it."""
        self.elements.append(Plane(points=points, level_db=level_db, truth="fascia"))
        if double:
            gap = np.array([0, self.vary(0.7, 0.15)], dtype=np.float32)
            self.elements.append(Plane(points=points + gap, level_db=level_db - 6))

    def blob(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        *,
        turn_deg: float = 0.0,
        wobble: float = 0.08,
        square: float = 1.0,
    ) -> Points:
        """A rounded outline; ``square`` below 1 makes it boxier, ``wobble`` less regular."""
        angle = np.linspace(0, 2 * math.pi, 72, endpoint=False)
        ripple = np.ones_like(angle)
        for order in (2, 3, 5):
            phase = self.rng.uniform(0, 2 * math.pi)
            ripple += wobble / order * np.sin(order * angle + phase)
        cos, sin = np.cos(angle), np.sin(angle)
        x = radii[0] * np.sign(cos) * np.abs(cos) ** square * ripple
        y = radii[1] * np.sign(sin) * np.abs(sin) ** square * ripple
        turn = math.radians(turn_deg) * self.side
        x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        return np.stack([x + self.side * centre[0], y + centre[1]], axis=1).astype(np.float32)

    def muscle(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        *,
        turn_deg: float = 0.0,
        long: bool = False,
        square: float = 0.8,
    ) -> None:
        """A muscle belly with the fascia that wraps it."""
        outline = self.blob(centre, radii, turn_deg=turn_deg, wobble=0.2, square=square)
        middle = outline.mean(axis=0)
        reach = np.array([0.5, 0.7], dtype=np.float32) * self.vary(1, 0.5) / np.array(radii)
        sleeve = (middle + (outline - middle) * (1 + reach)).astype(np.float32)
        self.elements.append(Region(outline=sleeve, tissue="connective", feather_mm=0.25))
        self.elements.append(
            Region(
                outline=outline,
                tissue="long muscle" if long else "muscle",
                class_name="muscle",
                grain_deg=turn_deg * self.side + self.vary(0, 8),
                extra_db=self.vary(0, 2.5),
            )
        )
        closed = np.concatenate([outline, outline[:1]])
        self.elements.append(
            Plane(points=closed, level_db=self.vary(-15, 4), spread_deg=27, truth="fascia")
        )

    def connective(
        self, centre: tuple[float, float], radii: tuple[float, float], *, turn_deg: float = 0.0
    ) -> None:
        """A bright, ill-defined bed of fat and connective tissue round a bundle."""
        outline = self.blob(centre, radii, turn_deg=turn_deg, wobble=0.3)
        extra = self.vary(2, 2)
        self.elements.append(
            Region(outline=outline, tissue="connective", extra_db=extra, feather_mm=0.9)
        )

    def artery(self, centre: tuple[float, float], radius: float) -> None:
        """A round, thick-walled vessel that pulses."""
        centre = (self.vary(centre[0], 1.0), self.vary(centre[1], 0.8))
        radius *= self.vary(1, 0.18)
        outline = self.blob(centre, (radius, radius * self.vary(0.97, 0.05)), wobble=0.03)
        self._vessel(outline, "artery", wall_db=self.vary(-15, 3))
        self._moves(centre, radius, pulse=self.vary(0.07, 0.02), give=0.03)

    def vein(self, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        """A thin-walled vessel that gives way to pressure."""
        centre = (self.vary(centre[0], 1.0), self.vary(centre[1], 0.8))
        scale = self.vary(1, 0.2)
        radii = (radii[0] * scale, radii[1] * scale)
        outline = self.blob(centre, radii, turn_deg=self.vary(0, 25), wobble=0.16)
        self._vessel(outline, "vein", wall_db=self.vary(-21, 3))
        self._moves(centre, max(radii), pulse=0.015, give=1.0)

    def _vessel(self, outline: Points, class_name: str, *, wall_db: float) -> None:
        self.elements.append(
            Region(outline=outline, tissue="lumen", class_name=class_name, feather_mm=0.12)
        )
        closed = np.concatenate([outline, outline[:1]])
        self.elements.append(Plane(points=closed, level_db=wall_db, spread_deg=24))

    def _moves(
        self, centre: tuple[float, float], radius: float, *, pulse: float, give: float
    ) -> None:
        x = self.side * centre[0]
        self.vessels.append(
            VesselMotion(centre_mm=(x, centre[1]), radius_mm=radius, pulse=pulse, give=give)
        )

    def honeycomb_nerve(
        self, centre: tuple[float, float], radii: tuple[float, float], *, turn_deg: float = 0.0
    ) -> None:
        """A bright oval holding dark fascicles: most peripheral nerves."""
        centre = (self.vary(centre[0], 0.8), self.vary(centre[1], 0.6))
        outline = self.blob(centre, radii, turn_deg=turn_deg, wobble=0.14)
        self.elements.append(
            Region(
                outline=outline,
                tissue="nerve",
                class_name="nerve",
                extra_db=self.vary(0, 3),
                feather_mm=0.15,
            )
        )
        for x, y, radius in self._fascicles(radii):
            at = self._turned(centre, (x, y), turn_deg)
            dot = self.blob(at, (radius, radius * 0.9), wobble=0.15)
            self.elements.append(
                Region(
                    outline=dot,
                    tissue="fascicle",
                    class_name="nerve",
                    extra_db=self.vary(2, 5),
                    feather_mm=0.06,
                )
            )
        closed = np.concatenate([outline, outline[:1]])
        self.elements.append(Plane(points=closed, level_db=self.vary(-22, 4), spread_deg=42))

    def root(self, centre: tuple[float, float], radius: float) -> None:
        """A dark round nerve with a bright rim: a root, or a nerve of one fascicle."""
        centre = (self.vary(centre[0], 0.5), self.vary(centre[1], 0.4))
        outline = self.blob(centre, (radius * self.vary(1.05, 0.15), radius), wobble=0.08)
        self.elements.append(
            Region(outline=outline, tissue="root", class_name="nerve", extra_db=self.vary(0, 3))
        )
        closed = np.concatenate([outline, outline[:1]])
        self.elements.append(Plane(points=closed, level_db=self.vary(-15, 3), spread_deg=48))

    def bone(self, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        """A bone's convex surface, with nothing but shadow under it."""
        outline = self.blob(centre, radii, wobble=0.12, square=0.9)
        self.elements.append(Region(outline=outline, tissue="bone"))
        upper = outline[outline[:, 1] < centre[1]]
        upper = upper[np.argsort(upper[:, 0])]
        self.elements.append(
            Plane(
                points=upper, level_db=self.vary(-5, 3), width_mm=0.5, spread_deg=28, truth="bone"
            )
        )

    def _fascicles(self, radii: tuple[float, float]) -> list[tuple[float, float, float]]:
        """Positions and radii (mm) of fascicles on a jittered hexagonal lattice in an ellipse."""
        pitch = self.vary(1.05, 0.2) * max(0.8, min(1.3, min(radii) / 2))
        found = []
        for row in range(-12, 13):
            for column in range(-12, 13):
                x = (column + 0.5 * (row % 2)) * pitch + self.vary(0, 0.18 * pitch)
                y = row * pitch * 0.87 + self.vary(0, 0.18 * pitch)
                reach = math.hypot(x / (radii[0] - 0.3 * pitch), y / (radii[1] - 0.3 * pitch))
                if reach < 0.82 and self.rng.random() < 0.85:
                    found.append((x, y, pitch * self.vary(0.34, 0.14)))
        return found

    def _turned(
        self, centre: tuple[float, float], offset: tuple[float, float], turn_deg: float
    ) -> tuple[float, float]:
        turn = math.radians(turn_deg)
        return (
            centre[0] + offset[0] * math.cos(turn) - offset[1] * math.sin(turn),
            centre[1] + offset[0] * math.sin(turn) + offset[1] * math.cos(turn),
        )


class _Rubber:
    """A smooth random bending of tissue space, no more than about a millimetre anywhere."""

    _STEP_MM = 0.5

    def __init__(self, rng: np.random.Generator) -> None:
        self._shift = self._field(rng), self._field(rng)

    def element(self, element: Element) -> Element:
        if isinstance(element, Plane):
            return replace(element, points=self._bent(element.points))
        follows = None if element.follows is None else self._bent(element.follows)
        return replace(element, outline=self._bent(element.outline), follows=follows)

    def point(self, xy: tuple[float, float]) -> tuple[float, float]:
        bent = self._bent(np.array([xy], dtype=np.float32))[0]
        return float(bent[0]), float(bent[1])

    def _field(self, rng: np.random.Generator) -> FloatGrid:
        shape = (round(_BOTTOM_MM / self._STEP_MM), round(2 * _HALF_WIDTH_MM / self._STEP_MM))
        total = np.zeros(shape, dtype=np.float32)
        for scale_mm, shift_mm in ((6.0, 0.5), (2.2, 0.2), (0.9, 0.08)):
            sigma = scale_mm / self._STEP_MM
            total += shift_mm * smooth_noise(rng, shape, sigma_xy=(sigma, sigma))
        # The skin lies flat against the probe.
        depth = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(self._STEP_MM)
        return total * np.minimum(depth / 5, 1)

    def _bent(self, points: Points) -> Points:
        column = (points[:, 0] + _HALF_WIDTH_MM) / self._STEP_MM
        row = points[:, 1] / self._STEP_MM
        shifts = [
            np.asarray(
                cv2.remap(shift, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            ).reshape(-1)
            for shift in self._shift
        ]
        return np.asarray(points + np.stack(shifts, axis=1), dtype=np.float32)
