"""An in-plane block needle: its path, its echo with reverberations, and its truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.scene import Scene
from nerveseg.phantom.texture import smooth_noise
from nerveseg.phantom.values import Difficulty, NeedleTruth
from nerveseg.types import GrayImage, Mask

__all__ = ["NeedleState", "NeedleTrack"]

_WIDTH_MM = 0.8
_TAIL_MM = 7.0
_ECHO_GAP_MM = 0.85
_ECHO_LOSS_DB = 9.0
_SLICE_HALF_MM = 1.1
_TILT_RAD = math.radians(16.0)
_IN_PLANE = 0.5
_DRIFT_S = 4.0
_RANGE_DB = 60.0
_PROGRESS = ((0.0, 0.15), (3.6, 0.95), (4.6, 1.0), (6.0, 1.0), (7.2, 0.7), (8.6, 1.0), (10.0, 0.15))


@dataclass(frozen=True, slots=True, eq=False)
class NeedleState:
    """The needle at one moment; ``in_plane`` is 0..1 for each pixel of shaft from tip to entry."""

    truth: NeedleTruth
    length_px: float
    in_plane: FloatGrid


class NeedleTrack:
    """A needle that goes to the scene's target, waits, is redrawn and goes again."""

    def __init__(
        self, probe: Probe, scene: Scene, difficulty: Difficulty, rng: np.random.Generator
    ) -> None:
        self._probe = probe
        self._visibility = difficulty.visibility
        angle = difficulty.needle_angle_deg or float(rng.uniform(25, 50))
        self._angle = math.radians(angle)
        self._drift = float(rng.uniform(0, 1))
        heading = 1 if rng.random() < 0.5 else -1
        self._along = np.array([heading * math.cos(self._angle), math.sin(self._angle)])
        target = _target(probe, scene)
        self._entry = _entry(probe, target, self._along)
        self._reach_px = float(np.hypot(*(target - self._entry)))
        self._beam = self._beam_direction(target)
        self._sprite = self._make_sprite(rng)

    def at(self, time_s: float) -> NeedleState:
        """The needle at ``time_s`` seconds."""
        times, shares = zip(*_PROGRESS, strict=True)
        share = float(np.interp(time_s % times[-1], times, shares))
        length = share * self._reach_px
        tip = self._entry + self._along * length
        from_entry_mm = (length - np.arange(self._sprite.shape[1])) * self._probe.mm_per_px
        off_mm = from_entry_mm * math.tan(self._tilt(time_s))
        in_plane = np.exp(-((off_mm / _SLICE_HALF_MM) ** 2)) * (from_entry_mm >= 0)
        truth = NeedleTruth(
            entry_xy=(float(self._entry[0]), float(self._entry[1])),
            tip_xy=(float(tip[0]), float(tip[1])),
            visible=bool(in_plane[0] > _IN_PLANE),
        )
        return NeedleState(truth, length, in_plane.astype(np.float32))

    def draw(self, pixels: GrayImage, state: NeedleState) -> None:
        """Add the needle's echo to ``pixels`` in place."""
        shown = self._sprite * state.in_plane[None, :]
        tip, above = state.truth.tip_xy, self._above_px
        # Sprite columns run back along the shaft, rows down the beam: reverberations and comet
        # tails then hang where the sound puts them, whatever the angle.
        place = np.column_stack([-self._along, self._beam, tip - self._beam * above])
        height, width = pixels.shape
        echo = cv2.warpAffine(shown.astype(np.uint8), place, (width, height))
        cv2.max(pixels, echo, dst=pixels)

    def mask(self, state: NeedleState) -> Mask:
        """``bool`` ``(H, W)``: the shaft where it lies in the image plane."""
        width, height = self._probe.size_wh
        filled = np.zeros((height, width), dtype=np.uint8)
        inside = np.flatnonzero(state.in_plane > _IN_PLANE)
        if inside.size:
            tip = np.array(state.truth.tip_xy)
            far = min(float(inside[-1]), state.length_px)
            ends = np.stack([tip - self._along * float(inside[0]), tip - self._along * far])
            across = np.array([-self._along[1], self._along[0]]) * self._half_width_px
            corners = np.stack(
                [ends[0] - across, ends[0] + across, ends[1] + across, ends[1] - across]
            )
            cv2.fillConvexPoly(filled, np.round(corners * 16).astype(np.int32), 1, shift=4)
        return filled.astype(np.bool_)

    @property
    def _half_width_px(self) -> float:
        return max(1.5, _WIDTH_MM / 2 / self._probe.mm_per_px)

    @property
    def _above_px(self) -> int:
        return math.ceil(4 * self._half_width_px)

    def _tilt(self, time_s: float) -> float:
        """Angle (radians) out of the image plane; zero for the ``visibility`` share of the time."""
        out = 1 - self._visibility
        part = (time_s / _DRIFT_S + self._drift) % 1.0
        if part >= out:
            return 0.0
        if out == 1:
            return _TILT_RAD
        return _TILT_RAD * min(1.0, 6 * min(part, out - part) / out)

    def _beam_direction(self, target: FloatGrid) -> FloatGrid:
        if not self._probe.curved:
            return np.array([0.0, 1.0])
        x = (target[0] - (self._probe.size_wh[0] - 1) / 2) * self._probe.mm_per_px
        y = target[1] * self._probe.mm_per_px - self._probe.face_y_mm + self._probe.radius_mm
        return np.array([x, y]) / math.hypot(x, y)

    def _make_sprite(self, rng: np.random.Generator) -> FloatGrid:
        """Echo brightness ``(below the shaft, back from the tip)``, 0..255, of the whole needle."""
        scale = self._probe.mm_per_px
        shape = (self._above_px + math.ceil(_TAIL_MM / scale), math.ceil(self._reach_px) + 2)
        # Sound that strikes a steep needle bounces away from the probe.
        shaft_db = -3.0 - 24.0 * math.sin(self._angle) ** 2
        uneven = 3.0 * smooth_noise(rng, (1, shape[1]), sigma_xy=(0.8 / scale, 0.01))[0]
        line = 10 ** ((shaft_db + uneven) / 20)
        line[: round(1.2 / scale)] *= 1.9
        amplitude = np.zeros(shape, dtype=np.float32)
        for echo in range(int(_TAIL_MM / _ECHO_GAP_MM)):
            row = self._above_px + round(echo * _ECHO_GAP_MM / scale)
            amplitude[row] += line * 10 ** (-_ECHO_LOSS_DB * echo**0.8 / 20)
        amplitude += self._comets(rng, shape, line)
        blurred = cv2.GaussianBlur(
            amplitude, (0, 0), sigmaX=0.12 / scale, sigmaY=max(0.8, 0.16 / scale)
        )
        blurred *= float(line.mean()) / max(float(blurred[self._above_px].mean()), 1e-6)
        level = 20 * np.log10(np.maximum(blurred, 1e-6))
        return np.clip(255 * (1 + level / _RANGE_DB), 0, 255).astype(np.float32)

    def _comets(
        self, rng: np.random.Generator, shape: tuple[int, int], line: FloatGrid
    ) -> FloatGrid:
        """Faint tails that hang under the shaft where sound is caught in it."""
        patchy = smooth_noise(rng, shape, sigma_xy=(0.5 / self._probe.mm_per_px, 30.0))
        below = np.arange(shape[0], dtype=np.float32)[:, None] - self._above_px
        fade = np.where(below > 0, np.exp(-below * self._probe.mm_per_px / 2.2), 0)
        return np.asarray(0.05 * np.clip(patchy, 0, 2) * fade * line[None, :], dtype=np.float32)


def _target(probe: Probe, scene: Scene) -> FloatGrid:
    x, y = (np.array([value], dtype=np.float32) for value in scene.target_mm)
    column, row = probe.tissue_to_frame(x, y)
    margin = 0.12
    width, height = probe.size_wh
    return np.array(
        [
            np.clip(column[0], margin * width, (1 - margin) * width),
            np.clip(row[0], margin * height, (1 - margin) * height),
        ],
        dtype=np.float64,
    )


def _entry(probe: Probe, target: FloatGrid, along: FloatGrid) -> FloatGrid:
    """Where a line through ``target`` leaves the picture, walking back along the needle."""
    field = probe.field()
    height, width = field.shape
    steps = np.arange(0, math.hypot(width, height), 0.25)
    walk = target[None, :] - steps[:, None] * along[None, :]
    cell = np.round(walk).astype(int)
    inside = (cell >= 0).all(1) & (cell < (width, height)).all(1)
    inside[inside] = field[cell[inside, 1], cell[inside, 0]]
    outside = np.flatnonzero(~inside)
    last = max(int(outside[0]) - 1, 1) if outside.size else len(walk) - 1
    return np.asarray(walk[last])
