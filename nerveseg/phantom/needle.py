"""An in-plane block needle: its path, its echo with reverberations, and its truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.scene import Scene
from nerveseg.phantom.texture import blur, smooth_noise
from nerveseg.phantom.values import Difficulty, NeedleTruth
from nerveseg.types import GrayImage, Mask

__all__ = ["NeedleState", "NeedleTrack"]

_WIDTH_MM = 0.8
_TAIL_MM = 6.0
_ECHO_GAP_MM = 0.75
_FIRST_ECHO_DB = 10.0
_ECHO_LOSS_DB = 6.0
_MARGIN = 0.1
_LEAD_PX = 6
_SLICE_HALF_MM = 1.1
_TILT_RAD = math.radians(16.0)
_IN_PLANE = 0.5
_DRIFT_S = 4.0
_RANGE_DB = 60.0
_PROGRESS = ((0.0, 0.15), (3.6, 0.95), (4.6, 1.0), (6.0, 1.0), (7.2, 0.7), (8.6, 1.0), (10.0, 0.15))


@dataclass(frozen=True, slots=True, eq=False)
class NeedleState:
    """The needle at one moment; ``in_plane`` is 0..1 for each column of the sprite."""

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
        self._drift = float(rng.uniform(0, 1))
        target = _target(probe, scene)
        # The needle comes in on the target's own side: the shorter way, past fewer vessels.
        heading = 1 if scene.target_mm[0] < 0 else -1
        corner = _corner(probe, heading)
        self._angle = _angle(difficulty, target - corner, rng)
        self._along = np.array(
            [heading * math.cos(self._angle), math.sin(self._angle)], dtype=np.float32
        )
        target = _reachable(target, corner, self._along)
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
        behind_px = np.arange(self._sprite.shape[1]) - _LEAD_PX
        off_mm = (length - behind_px) * self._probe.mm_per_px * math.tan(self._tilt(time_s))
        in_plane = np.exp(-((off_mm / _SLICE_HALF_MM) ** 2))
        truth = NeedleTruth(
            entry_xy=(float(self._entry[0]), float(self._entry[1])),
            tip_xy=(float(tip[0]), float(tip[1])),
            visible=bool(in_plane[_LEAD_PX] > _IN_PLANE),
        )
        return NeedleState(truth, length, in_plane.astype(np.float32))

    def draw(self, pixels: GrayImage, state: NeedleState) -> None:
        """Add the needle's echo to ``pixels`` in place."""
        shown = self._sprite * state.in_plane[None, :]
        tip, above = state.truth.tip_xy, self._above_px
        # Sprite columns run back along the shaft, rows down the beam: reverberations and comet
        # tails then hang where the sound puts them, whatever the angle.
        corner = tip + self._along * _LEAD_PX - self._beam * above
        place = np.column_stack([-self._along, self._beam, corner])
        height, width = pixels.shape
        echo = cv2.warpAffine(shown.astype(np.uint8), place, (width, height))
        cv2.max(pixels, echo, dst=pixels)

    def mask(self, state: NeedleState) -> Mask:
        """``bool`` ``(H, W)``: the shaft where it lies in the image plane."""
        width, height = self._probe.size_wh
        filled = np.zeros((height, width), dtype=np.uint8)
        inside = np.flatnonzero(state.in_plane[_LEAD_PX:] > _IN_PLANE)
        inside = inside[inside <= state.length_px]
        if inside.size:
            tip = np.array(state.truth.tip_xy, dtype=np.float32)
            ends = tip - self._along * inside[[0, -1]].astype(np.float32)[:, None]
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
            return np.array([0.0, 1.0], dtype=np.float32)
        x = (target[0] - (self._probe.size_wh[0] - 1) / 2) * self._probe.mm_per_px
        y = target[1] * self._probe.mm_per_px - self._probe.face_y_mm + self._probe.radius_mm
        return np.array([x, y], dtype=np.float32) / np.float32(math.hypot(x, y))

    def _make_sprite(self, rng: np.random.Generator) -> FloatGrid:
        """Echo brightness ``(below the shaft, back from the tip)``, 0..255, of the whole needle."""
        scale = self._probe.mm_per_px
        # The shaft goes on a little outside the picture, where its echoes still come from.
        length = _LEAD_PX + math.ceil(self._reach_px + 2 * _TAIL_MM / scale)
        shape = (self._above_px + math.ceil(_TAIL_MM / scale), length)
        line = self._shaft_line(rng, shape[1])
        echoes = self._echoes(rng, shape)
        shaft = np.arange(length) >= _LEAD_PX
        level = blur(
            echoes * (line * shaft)[None, :], sigma_x=0.12 / scale, sigma_y=max(0.8, 0.17 / scale)
        )
        peak = float(level[self._above_px].mean()) / float(line.mean())
        decibel = 20 * np.log10(np.maximum(level / max(peak, 1e-6), 1e-6))
        return np.asarray(np.clip(255 * (1 + decibel / _RANGE_DB), 0, 255), dtype=np.float32)

    def _shaft_line(self, rng: np.random.Generator, length: int) -> FloatGrid:
        """Echo amplitude along the shaft, from the tip back; the bevel shines a little more."""
        # Sound that strikes a steep needle bounces away from the probe.
        shaft_db = -5.0 - 26.0 * math.sin(self._angle) ** 2
        scale = self._probe.mm_per_px
        uneven = smooth_noise(rng, (1, length), sigma_xy=(1.2 / scale, 0.0))[0]
        uneven += 0.6 * smooth_noise(rng, (1, length), sigma_xy=(0.35 / scale, 0.0))[0]
        bevel = 4.0 * np.exp(-(((np.arange(length) - _LEAD_PX) * scale / 1.2) ** 2))
        return np.asarray(10 ** ((shaft_db + 3.5 * uneven + bevel) / 20), dtype=np.float32)

    def _echoes(self, rng: np.random.Generator, shape: tuple[int, int]) -> FloatGrid:
        """The shaft's own echo (1), its reverberations and the comet tails under it."""
        scale = self._probe.mm_per_px
        below = (np.arange(shape[0], dtype=np.float32) - self._above_px)[:, None] * scale
        patchy = smooth_noise(rng, shape, sigma_xy=(1.1 / scale, 0.6 / scale))
        tails = 0.016 * np.clip(1 + patchy, 0, 3) * np.exp(-below / 2.0) * (below > 0)
        # Reverberations build up along the shaft; the bevel has none.
        behind = np.maximum(np.arange(shape[1], dtype=np.float32) - _LEAD_PX, 0)[None, :] * scale
        along = 1 - np.exp(-behind / 4.0)
        rows = np.zeros((shape[0], 1), dtype=np.float32)
        for echo in range(1, int(_TAIL_MM / _ECHO_GAP_MM)):
            row = self._above_px + round(echo * _ECHO_GAP_MM / scale)
            rows[row] = 10 ** (-(_FIRST_ECHO_DB + _ECHO_LOSS_DB * (echo - 1)) / 20)
        echoes = (tails + rows * (0.6 + 0.4 * patchy)) * along
        echoes[self._above_px] += 1
        return np.asarray(echoes, dtype=np.float32)


def _angle(difficulty: Difficulty, course: FloatGrid, rng: np.random.Generator) -> float:
    """Radians to the probe's face; a drawn angle is never too steep to reach the target."""
    drawn = math.radians(float(rng.uniform(22, 48)))
    if difficulty.needle_angle_deg is not None:
        return math.radians(difficulty.needle_angle_deg)
    return max(math.radians(12), min(drawn, math.atan2(course[1], abs(course[0]))))


def _corner(probe: Probe, heading: int) -> FloatGrid:
    """The end of the probe's face on the needle's side (frame pixels)."""
    if probe.curved:
        x = -heading * probe.radius_mm * probe.half_angle
    else:
        x = -heading * (probe.size_wh[0] - 1) / 2 * probe.mm_per_px
    column, row = probe.tissue_to_frame(_single(x), _single(0.5))
    return np.array([column[0], row[0]], dtype=np.float32)


def _reachable(target: FloatGrid, corner: FloatGrid, along: FloatGrid) -> FloatGrid:
    """``target``, or for a steep needle the point of its depth that can be reached.

    A needle comes in beside the probe: it can't pass through the probe's face.
    """
    down = target[1] - corner[1]
    across = abs(target[0] - corner[0])
    if down >= across * along[1] / abs(along[0]):
        return target
    return np.asarray(corner + along * (down / along[1]), dtype=np.float32)


def _target(probe: Probe, scene: Scene) -> FloatGrid:
    """The scene's target in frame pixels, kept off the picture's borders."""
    column, row = probe.tissue_to_frame(*(_single(value) for value in scene.target_mm))
    size = np.array(probe.size_wh, dtype=np.float32)
    place = np.array([column[0], row[0]], dtype=np.float32)
    return np.clip(place, _MARGIN * size, (1 - _MARGIN) * size)


def _single(value: float) -> FloatGrid:
    return np.array([value], dtype=np.float32)


def _entry(probe: Probe, target: FloatGrid, along: FloatGrid) -> FloatGrid:
    """Where a line through ``target`` leaves the picture, walking back along the needle."""
    field = probe.field()
    height, width = field.shape
    steps = np.arange(0, math.hypot(width, height), 0.25)
    walk = target[None, :] - steps[:, None] * along[None, :]
    cell = np.round(walk).astype(int)
    inside = (cell >= 0).all(axis=1) & (cell < (width, height)).all(axis=1)
    reached = np.zeros(len(walk), dtype=np.bool_)
    reached[inside] = field[cell[inside, 1], cell[inside, 0]]
    outside = np.flatnonzero(~reached)
    last = max(int(outside[0]) - 1, 1) if outside.size else len(walk) - 1
    return np.asarray(walk[last], dtype=np.float32)
