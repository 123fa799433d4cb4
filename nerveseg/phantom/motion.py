"""How the tissue under the probe moves: slide, rock, pressure, pulse.

Motion is smooth, so it is worked out on a coarse grid and interpolated; every quantity is a
function of time alone, so any frame can be had without the ones before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.scene import Scene, VesselMotion

__all__ = ["Motion", "Pose"]

_CELL_PX = 8
_SLIDE_MM = 2.2
_ROCK_RAD = math.radians(2.5)
_PRESS_MM = 1.4
_PRESS_REACH_MM = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """The probe and the heart at one moment.

    ``slide_mm`` along the skin; ``rock_rad`` about the probe's face; ``press`` 0..1;
    ``slice_rad`` how far the slice has drifted out of the plane; ``beat`` 0..1, the arterial
    pressure wave.
    """

    slide_mm: float
    rock_rad: float
    press: float
    slice_rad: float
    beat: float


class Motion:
    """Maps from the frame to beam space at any time."""

    def __init__(self, probe: Probe, scene: Scene, rng: np.random.Generator, amount: float) -> None:
        self._probe = probe
        self._vessels = scene.vessels
        self._amount = amount
        self._phases = rng.uniform(0, 2 * math.pi, 8)
        self._beat_hz = float(rng.uniform(1.0, 1.4))
        self._x_mm, self._y_mm = self._coarse_rest()

    def pose(self, time_s: float) -> Pose:
        """The pose at ``time_s`` seconds."""

        def sway(index: int, period_s: float) -> float:
            return math.sin(2 * math.pi * time_s / period_s + float(self._phases[index]))

        amount = self._amount
        return Pose(
            slide_mm=amount * _SLIDE_MM * (0.7 * sway(0, 7.3) + 0.3 * sway(1, 2.9)),
            rock_rad=amount * _ROCK_RAD * sway(2, 5.1),
            press=amount * 0.8 * (0.5 + 0.5 * (0.8 * sway(3, 4.4) + 0.2 * sway(4, 1.7))),
            slice_rad=amount * (0.9 * sway(5, 6.1) + 0.25 * sway(6, 2.3)),
            beat=_pressure_wave(time_s * self._beat_hz + float(self._phases[7])),
        )

    def maps(self, pose: Pose) -> tuple[FloatGrid, FloatGrid]:
        """Beam-space column and row of every frame pixel, each ``float32`` ``(H, W)``."""
        column, row = self._probe.tissue_to_beam(*self._tissue(self._x_mm, self._y_mm, pose))
        return self._fine(column), self._fine(row)

    def _tissue(self, x: FloatGrid, y: FloatGrid, pose: Pose) -> tuple[FloatGrid, FloatGrid]:
        x = x + np.float32(pose.slide_mm) + y * np.float32(math.tan(pose.rock_rad))
        # Pressing squeezes shallow tissue most: what lay deeper comes up.
        y = y + np.float32(_PRESS_MM * pose.press) * (1 - np.exp(-y / np.float32(_PRESS_REACH_MM)))
        for vessel in self._vessels:
            x, y = _move_vessel(x, y, vessel, pose)
        return x, y

    def _coarse_rest(self) -> tuple[FloatGrid, FloatGrid]:
        width, height = self._probe.size_wh
        x, y = _cells(width), _cells(height)
        grid_x, grid_y = np.meshgrid(x, y)
        return self._probe.frame_to_tissue(grid_x, grid_y)

    def _fine(self, coarse: FloatGrid) -> FloatGrid:
        width, height = self._probe.size_wh
        size = (coarse.shape[1] * _CELL_PX, coarse.shape[0] * _CELL_PX)
        fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(fine[_CELL_PX : _CELL_PX + height, _CELL_PX : _CELL_PX + width])


def _cells(length_px: int) -> FloatGrid:
    """Centres of cells that cover ``length_px`` pixels and one cell more on either side."""
    count = math.ceil(length_px / _CELL_PX) + 2
    return np.arange(count, dtype=np.float32) * _CELL_PX + np.float32(_CELL_PX / 2 - 0.5 - _CELL_PX)


def _pressure_wave(beats: float) -> float:
    """Arterial pressure, 0..1: a quick rise, a slow fall, and the notch between."""
    part = beats % 1.0
    rise = 0.5 - 0.5 * math.cos(math.pi * min(part / 0.16, 1.0))
    fall = math.exp(-max(part - 0.16, 0.0) / 0.26)
    notch = 0.16 * math.exp(-(((part - 0.45) / 0.07) ** 2))
    return rise * fall + notch


def _move_vessel(
    x: FloatGrid, y: FloatGrid, vessel: VesselMotion, pose: Pose
) -> tuple[FloatGrid, FloatGrid]:
    """Where the tissue near a vessel was before the beat widened it and the probe flattened it."""
    across = x - np.float32(vessel.centre_mm[0])
    below = y - np.float32(vessel.centre_mm[1])
    # A bell this wide keeps the map one-to-one: tissue is squeezed, never folded.
    reach = (across * across + below * below) / np.float32((1.5 * vessel.radius_mm) ** 2)
    near = np.exp(-reach)
    wider = 1 / (1 + vessel.pulse * pose.beat) - 1
    squeeze = vessel.give * pose.press
    # The probe pushes from above, so the far wall stays where it is and the near one comes down.
    above_far_wall = below - np.float32(0.6 * vessel.radius_mm)
    return (
        x + across * near * np.float32(wider - 0.12 * squeeze),
        y + near * (below * np.float32(wider) + above_far_wall * np.float32(1.15 * squeeze)),
    )
