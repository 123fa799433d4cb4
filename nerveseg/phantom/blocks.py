"""How the anatomy of each block lies under the probe.

Millimetres, for a slim adult; x grows towards the right of the picture before handedness.
The arrangement is a teaching simplification of the cross-sections in standard atlases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from nerveseg import anatomy
from nerveseg.errors import DataError
from nerveseg.phantom.scene import Points, Scene
from nerveseg.phantom.sketch import Sketch

__all__ = ["blocks", "build_scene"]


def build_scene(block: str, rng: np.random.Generator) -> Scene:
    """A scene of ``block`` that varies with ``rng``; `DataError` if there is none."""
    if block not in _BUILDERS:
        known = (
            "is a block without a phantom" if block in anatomy.default().blocks else "is unknown"
        )
        raise DataError(f"{block!r} {known}; phantoms exist for {', '.join(blocks())}")
    sketch = Sketch(rng, side=1 if rng.random() < 0.5 else -1)
    return _BUILDERS[block](sketch)


def blocks() -> tuple[str, ...]:
    """Names of the blocks that have a phantom."""
    return tuple(_BUILDERS)


def _cover(sketch: Sketch, *, fat_mm: float, wave: float = 0.5) -> tuple[float, Points]:
    """Skin and subcutaneous fat; the depth and course of the superficial fascia under them."""
    skin = sketch.curve(0.2, wave=0.0)
    sketch.layer(skin, "skin")
    dermis = sketch.curve(sketch.vary(1.6, 0.3), wave=0.08)
    sketch.layer(dermis, "fat")
    sketch.sheet(dermis, level_db=-17)
    sketch.sheet(skin + np.array([0, 0.25], dtype=np.float32), level_db=-14)
    depth = 1.6 + fat_mm * sketch.vary(1, 0.3)
    return depth, sketch.curve(depth, slope=sketch.vary(0, 0.02), wave=wave)


def _axillary(sketch: Sketch) -> Scene:
    depth, border = _cover(sketch, fat_mm=4.0)
    sketch.layer(border, "long muscle", class_name="muscle")
    y = depth + 7.0
    sketch.bone((-17, y + 24), (8, 7))
    sketch.muscle((3, y + 19), (24, 10), turn_deg=sketch.vary(0, 6))
    sketch.muscle((-11, y + 10), (11, 7), turn_deg=18)
    sketch.muscle((-18, y + 2), (16, 8), turn_deg=12)
    sketch.muscle((22, y + 6), (18, 9), turn_deg=-8)
    sketch.connective((1, y + 1.0), (8.5, 7.0))
    sketch.fascia(sketch.curve(y + 8.5, slope=sketch.vary(0, 0.04), wave=0.5)[78:104], level_db=-11)
    sketch.vein((6.0, y - 1.5), (2.6, 1.8))
    if sketch.rng.random() < 0.6:
        sketch.vein((5.0, y + 5.0), (2.2, 1.5))
    sketch.artery((0, y + 1), 2.7)
    sketch.honeycomb_nerve((-4.0, y - 2.0), (2.4, 1.5), turn_deg=sketch.vary(-20, 10))
    sketch.honeycomb_nerve((2.4, y - 4.0), (2.0, 1.3), turn_deg=sketch.vary(10, 10))
    sketch.honeycomb_nerve((1.2, y + 5.8), (2.7, 1.5), turn_deg=sketch.vary(0, 12))
    sketch.honeycomb_nerve((-8.0, y + 4.8), (2.5, 1.1), turn_deg=sketch.vary(25, 8))
    sketch.fascia(border, double=True)
    return sketch.scene(target_mm=(-0.5, y + 5.0))


def _femoral(sketch: Sketch) -> Scene:
    depth, border = _cover(sketch, fat_mm=7.0, wave=0.8)
    sketch.layer(border, "fat")
    lata = sketch.curve(depth + sketch.vary(2.5, 0.6), slope=sketch.vary(0, 0.02), wave=0.5)
    sketch.layer(lata, "connective")
    y = depth + 9.5
    sketch.layer(sketch.curve(y + 6, wave=0.8), "long muscle", class_name="muscle")
    sketch.bone((-4, y + 27), (13, 8))
    sketch.muscle((14, y + 14), (18, 9), turn_deg=-8)
    sketch.muscle((-16, y + 9.5), (20, 9), turn_deg=10)
    sketch.muscle((-25, y - 2), (13, 5), turn_deg=8)
    iliaca = _through([(-34, y - 6), (-14, y - 2.5), (-7, y - 0.8), (-2, y + 2.6), (5, y + 5)])
    sketch.connective((2, y), (11, 5.0))
    sketch.vein((9.0, y + 1.0), (4.3, 3.1))
    sketch.artery((0.5, y - 0.5), 3.8)
    sketch.honeycomb_nerve((-7.5, y + 1.1), (4.4, 1.5), turn_deg=sketch.vary(16, 6))
    sketch.fascia(iliaca * _flip(sketch), level_db=-9)
    sketch.fascia(lata, level_db=-8)
    sketch.fascia(border, level_db=-14)
    return sketch.scene(target_mm=(-8.5, y + 0.0))


def _interscalene(sketch: Sketch) -> Scene:
    depth, border = _cover(sketch, fat_mm=2.6, wave=0.3)
    y = depth + 5.5
    sketch.layer(border, "long muscle", class_name="muscle")
    under = sketch.curve(y, slope=sketch.vary(0.03, 0.02), wave=0.6)
    sketch.layer(under, "long muscle", class_name="muscle")
    sketch.muscle((8, y + 22), (30, 10), turn_deg=sketch.vary(0, 6))
    sketch.bone((-5, y + 24), (6, 5))
    sketch.muscle((22, y + 9), (13, 9), turn_deg=-15)
    sketch.muscle((-10, y + 9), (8.2, 8.0), turn_deg=30)
    sketch.muscle((10, y + 9), (9.0, 8.2), turn_deg=-25)
    sketch.connective((-0.2, y + 7.5), (2.4, 8.0), turn_deg=5)
    sketch.connective((-18.0, y + 5.5), (6.5, 7.0))
    sketch.vein((-17.0, y + 2.5), (4.6, 2.6))
    sketch.artery((-18.5, y + 8.6), 3.2)
    sketch.root((0.3, y + 3.0), sketch.vary(1.7, 0.25))
    sketch.root((-0.2, y + 7.0), sketch.vary(2.0, 0.3))
    sketch.root((-0.8, y + 11.2), sketch.vary(1.9, 0.3))
    sketch.fascia(under, level_db=-10)
    sketch.fascia(border, level_db=-10)
    return sketch.scene(target_mm=(2.2, y + 5.0))


def _popliteal_sciatic(sketch: Sketch) -> Scene:
    depth, border = _cover(sketch, fat_mm=6.0, wave=0.7)
    y = depth + 8.5
    sketch.layer(border, "long muscle", class_name="muscle")
    sketch.layer(sketch.curve(y + 13, wave=1.2), "fat")
    sketch.bone((-1, y + 33), (15, 9))
    sketch.muscle((-19, y + 4), (16, 11), turn_deg=-8)
    sketch.muscle((20, y + 5), (16, 10.5), turn_deg=10)
    sketch.connective((0.5, y + 4), (6.5, 8))
    sketch.vein((3.0, y + 10.5), (3.0, 2.2))
    sketch.artery((3.5, y + 16.5), 2.9)
    sketch.honeycomb_nerve((0.7, y + 3.0), (3.6, 2.8), turn_deg=sketch.vary(0, 15))
    sketch.honeycomb_nerve((-5.4, y + 0.2), (2.4, 1.7), turn_deg=sketch.vary(-15, 10))
    sketch.fascia(border, double=True)
    return sketch.scene(target_mm=(-2.6, y + 2.2))


def _through(corners: list[tuple[float, float]]) -> Points:
    """A polyline of 0.5 mm steps through ``corners``."""
    x, y = np.array(corners).T
    along = np.arange(x[0], x[-1], 0.5)
    return np.stack([along, np.interp(along, x, y)], axis=1).astype(np.float32)


def _flip(sketch: Sketch) -> Points:
    return np.array([sketch.side, 1], dtype=np.float32)


_BUILDERS: Final[dict[str, Callable[[Sketch], Scene]]] = {
    "axillary": _axillary,
    "femoral": _femoral,
    "interscalene": _interscalene,
    "popliteal-sciatic": _popliteal_sciatic,
}
