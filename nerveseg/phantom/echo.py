"""From a painting to echo fields: speckle, attenuation, gain curve, log compression.

The field is complex. Sub-resolution scatterers are complex white noise weighted by the tissue's
amplitude, blurred by a pulse that widens across beams away from the focus: its envelope is
Rayleigh-distributed, and its grain belongs to the tissue and so moves with it. Two independent
fields ``a`` and ``b`` stand for two neighbouring slices: turning from one to the other
(``cos a + sin b``) is what a drift out of the plane looks like, and keeps the statistics.
A real, coherent part carries mirror echoes and the share of the echo that compounding smooths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from nerveseg.phantom.paint import ROCK_RAD, Painting
from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.texture import smooth_noise
from nerveseg.phantom.values import Difficulty
from nerveseg.types import GrayImage

__all__ = ["EchoField", "make_field"]

_DYNAMIC_RANGE_DB = 60.0
_TGC_DB_PER_MM = 0.52
_LN_TO_DB = 10 / np.log(10)
_NOISE_ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class EchoField:
    """Beam-space echo amplitudes ``float32`` ``(rows, columns)``; see the module's note.

    ``steady`` is the coherent part at rest, ``rocking`` its change per radian of probe rock;
    ``noise`` has a few rows more, so that shifting it gives each frame its own.
    """

    a: tuple[FloatGrid, FloatGrid]
    b: tuple[FloatGrid, FloatGrid]
    steady: FloatGrid
    rocking: FloatGrid
    noise: tuple[FloatGrid, FloatGrid]
    gain_db: float

    def image(self, *, slice_rad: float, rock_rad: float, rng: np.random.Generator) -> GrayImage:
        """The log-compressed beam-space picture ``uint8`` ``(rows, columns)``."""
        cos, sin = float(np.cos(slice_rad)), float(np.sin(slice_rad))
        power = None
        for part in (0, 1):
            field = cv2.addWeighted(self.a[part], cos, self.b[part], sin, 0)
            if part == 0:
                coherent = cv2.addWeighted(self.steady, 1, self.rocking, rock_rad, 0)
                field = cv2.add(field, coherent, dst=field)
            field = cv2.add(field, self._noise(part, rng), dst=field)
            power = field * field if power is None else cv2.accumulateSquare(field, power)
        scale = 255 / _DYNAMIC_RANGE_DB
        log = cv2.log(power)
        offset = 255 + self.gain_db * scale
        return np.asarray(cv2.addWeighted(log, _LN_TO_DB * scale, log, 0, offset, dtype=cv2.CV_8U))

    def _noise(self, part: int, rng: np.random.Generator) -> FloatGrid:
        # One flat buffer read from a random start: a fresh-looking field at no cost. A start that
        # is off by rows shifts the gain curve by under a millimetre.
        rows, columns = self.steady.shape
        start = int(rng.integers(0, _NOISE_ROWS * columns))
        return self.noise[part].reshape(-1)[start : start + rows * columns].reshape(rows, columns)


def make_field(
    painting: Painting, probe: Probe, difficulty: Difficulty, rng: np.random.Generator
) -> EchoField:
    """Echo fields of ``painting``; ``difficulty`` sets grain, noise and gain."""
    beam_db = _beam_gain(painting, probe, rng)
    amplitude = _from_db(painting.level_db + beam_db)
    blur = _PulseBlur(probe)
    grain = 0.35 + 0.65 * difficulty.speckle
    fields = [blur.speckle(amplitude * grain, rng) for _ in range(4)]
    low, high = (_mirror(mirror, beam_db, probe) for mirror in painting.mirror)
    smooth = blur.coherent(amplitude) * math.sqrt(1 - grain * grain * 0.9)
    return EchoField(
        a=(fields[0], fields[1]),
        b=(fields[2], fields[3]),
        steady=(low + high) / 2 + smooth,
        rocking=(high - low) / (2 * ROCK_RAD),
        noise=(_noise(probe, difficulty, rng), _noise(probe, difficulty, rng)),
        gain_db=difficulty.gain_db,
    )


def _from_db(level: FloatGrid) -> FloatGrid:
    return np.exp(level * np.float32(np.log(10) / 20))


def _beam_gain(painting: Painting, probe: Probe, rng: np.random.Generator) -> FloatGrid:
    """What each sample gains or loses (dB) on the way: absorption, gain curve, poor contact."""
    loss = np.cumsum(painting.absorption, axis=0, dtype=np.float32) * np.float32(probe.mm_per_px)
    loss = cv2.GaussianBlur(loss, (0, 0), sigmaX=2.0, sigmaY=0.8)
    rows, columns = loss.shape
    depth = np.arange(rows, dtype=np.float32)[:, None] * np.float32(probe.mm_per_px)
    contact = smooth_noise(rng, (1, columns), sigma_xy=(3.0 / probe.mm_per_px, 0.01))
    contact += 0.5 * smooth_noise(rng, (1, columns), sigma_xy=(0.8 / probe.mm_per_px, 0.01))
    reach = np.minimum(depth / 12, 1.6)
    return np.asarray(depth * _TGC_DB_PER_MM - loss + 1.3 * contact * reach, dtype=np.float32)


def _mirror(mirror: FloatGrid, beam_db: FloatGrid, probe: Probe) -> FloatGrid:
    lateral = 0.16 / probe.mm_per_px
    blurred = cv2.GaussianBlur(mirror, (0, 0), sigmaX=lateral, sigmaY=0.09 / probe.mm_per_px)
    return np.asarray(blurred * _from_db(beam_db))


def _noise(probe: Probe, difficulty: Difficulty, rng: np.random.Generator) -> FloatGrid:
    rows, columns = probe.beam_shape
    rows += _NOISE_ROWS + 1
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.2, sigmaY=0.7)
    depth = np.arange(rows, dtype=np.float32)[:, None] * np.float32(probe.mm_per_px)
    floor = -72 + 22 * difficulty.noise + 0.25 * depth
    return np.asarray(noise / noise.std() * _from_db(floor), dtype=np.float32)


class _PulseBlur:
    """Blur by the pulse: constant along the beam, wider across beams away from the focus."""

    def __init__(self, probe: Probe) -> None:
        rows = probe.beam_shape[0]
        depth = np.arange(rows, dtype=np.float32) * np.float32(probe.mm_per_px)
        focus = probe.depth_mm * 0.4
        across_mm = 0.13 + 0.012 * np.abs(depth - focus)
        self._axial = 0.075 / probe.mm_per_px
        self._steps = np.array([0.12, 0.25, 0.6]) / probe.mm_per_px
        place = np.interp(across_mm / probe.mm_per_px, self._steps, np.arange(3))
        near = 1 - np.abs(place[:, None] - np.arange(3)[None, :])
        self._weights = np.clip(near, 0, 1).astype(np.float32)

    def speckle(self, amplitude: FloatGrid, rng: np.random.Generator) -> FloatGrid:
        """One part of a complex field whose mean power is ``amplitude`` squared, halved."""
        noise = rng.standard_normal(amplitude.shape, dtype=np.float32) * amplitude
        return self._blend([self._blur(noise, s) * self._unit(s) for s in self._steps]) * 0.707

    def coherent(self, amplitude: FloatGrid) -> FloatGrid:
        """``amplitude`` seen through the pulse, without grain."""
        return self._blend([self._blur(amplitude, sigma) for sigma in self._steps])

    def _blur(self, image: FloatGrid, sigma: float) -> FloatGrid:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigmaX=sigma, sigmaY=self._axial))

    def _unit(self, sigma: float) -> float:
        """What restores unit power to blurred white noise."""
        return float(1 / np.sqrt(_power(sigma) * _power(self._axial)))

    def _blend(self, blurred: list[FloatGrid]) -> FloatGrid:
        total = np.zeros_like(blurred[0])
        for index, image in enumerate(blurred):
            total += image * self._weights[:, index : index + 1]
        return total


def _power(sigma: float) -> float:
    """Sum of squares of the Gaussian kernel that OpenCV uses for ``sigma``."""
    size = 2 * int(np.ceil(4 * sigma)) + 1
    return float((cv2.getGaussianKernel(size, sigma) ** 2).sum())
