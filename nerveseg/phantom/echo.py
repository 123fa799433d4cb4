"""From a painting to echo fields: speckle, attenuation, gain curve, log compression.

Sub-resolution scatterers are white noise weighted by the tissue's amplitude and blurred by a
pulse that widens across beams away from the focus. Two such fields are the real and imaginary
parts of one look, whose envelope is Rayleigh-distributed; more looks, as spatial compounding
takes them, smooth the grain. The grain belongs to the tissue and so moves with it.

Each part comes as a pair ``a``, ``b`` of independent fields that stand for two neighbouring
slices: turning from one to the other (``cos a + sin b``) is what a drift out of the plane looks
like, and keeps the statistics. A coherent part carries the mirror echoes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from nerveseg.phantom.paint import ROCK_RAD, Painting
from nerveseg.phantom.probe import FloatGrid, Probe
from nerveseg.phantom.texture import blur, smooth_noise
from nerveseg.phantom.values import Difficulty
from nerveseg.types import GrayImage

__all__ = ["Console", "EchoField", "make_field"]

_LN_TO_DB = 10 / math.log(10)
_NOISE_ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """How a scanner is set up: the same tissue looks different on another machine.

    ``range_db`` is shown between black and white, ``gamma`` bends the grey map, ``tgc`` is the
    gain curve (dB per mm), ``pulse_mm`` the pulse's half length.
    """

    range_db: float
    gamma: float
    tgc: float
    pulse_mm: float
    gain_db: float
    grain: float
    looks: int
    floor_db: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, difficulty: Difficulty, *, depth_mm: float) -> Console:
        """A plausible machine; ``difficulty`` sets gain, grain and noise.

        The gain curve makes up for most of what soft tissue absorbs (about 1.05 dB per mm), but
        leaves the deepest part darker, as real ones do.
        """
        return cls(
            range_db=float(rng.uniform(58, 68)),
            gamma=float(rng.uniform(1.25, 1.75)),
            tgc=1.05 - float(rng.uniform(6, 12)) / depth_mm,
            pulse_mm=float(rng.uniform(0.075, 0.1)),
            gain_db=difficulty.gain_db + float(rng.uniform(-2, 2)),
            grain=0.75 + 0.25 * difficulty.speckle,
            looks=1 + round(4 * (1 - difficulty.speckle)),
            floor_db=-88 + 38 * math.sqrt(difficulty.noise),
        )

    def grey_map(self) -> GrayImage:
        """``uint8`` ``(256,)``: the grey shown for each log-compressed level."""
        level = np.linspace(0, 1, 256)
        return np.round(255 * level**self.gamma).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class EchoField:
    """Beam-space echo amplitudes ``float32`` ``(rows, columns)``; see the module's note.

    ``a`` and ``b`` hold two parts per look. ``steady`` is the coherent part at rest, ``rocking``
    its change per radian of probe rock; ``noise`` has a few rows more, so that shifting it gives
    each frame its own.
    """

    a: tuple[FloatGrid, ...]
    b: tuple[FloatGrid, ...]
    steady: FloatGrid
    rocking: FloatGrid
    noise: FloatGrid
    console: Console

    def image(self, *, slice_rad: float, rock_rad: float, rng: np.random.Generator) -> GrayImage:
        """The log-compressed beam-space picture ``uint8`` ``(rows, columns)``."""
        coherent = cv2.addWeighted(self.steady, 1, self.rocking, rock_rad, 0)
        power = np.zeros_like(self.steady)
        for part, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            field = cv2.addWeighted(a, math.cos(slice_rad), b, math.sin(slice_rad), 0)
            if part == 0:
                field = cv2.add(field, coherent, dst=field)
            if part < 2:
                field = cv2.add(field, self._fresh_noise(rng), dst=field)
            cv2.accumulateSquare(field, power)
        log = cv2.log(power)
        scale = 255 / self.console.range_db
        offset = 255 + self.console.gain_db * scale
        grey = cv2.addWeighted(log, _LN_TO_DB * scale, log, 0, offset, dtype=cv2.CV_8U)
        smooth = cv2.GaussianBlur(grey, (3, 3), 0.75)
        return np.asarray(cv2.LUT(smooth, self.console.grey_map()), dtype=np.uint8)

    def _fresh_noise(self, rng: np.random.Generator) -> FloatGrid:
        # One flat buffer read from a random start: a fresh-looking field at no cost. A start that
        # is off by rows shifts the gain curve by about a millimetre at most.
        rows, columns = self.steady.shape
        start = int(rng.integers(0, _NOISE_ROWS * columns))
        return self.noise.reshape(-1)[start : start + rows * columns].reshape(rows, columns)


def make_field(
    painting: Painting, probe: Probe, difficulty: Difficulty, rng: np.random.Generator
) -> EchoField:
    """Echo fields of ``painting`` on a machine drawn from ``rng``."""
    console = Console.drawn(rng, difficulty, depth_mm=probe.depth_mm)
    beam_db = _beam_gain(painting, probe, console, rng)
    amplitude = _from_db(painting.level_db + beam_db)
    pulse = _Pulse(probe, console)
    share = np.float32(console.grain / math.sqrt(2 * console.looks))
    fields = [pulse.speckle(amplitude, rng) * share for _ in range(4 * console.looks)]
    gain = _from_db(beam_db)
    low, high = (pulse.coherent(mirror) * gain for mirror in painting.mirror)
    even = pulse.coherent(amplitude) * np.float32(math.sqrt(1 - console.grain**2))
    return EchoField(
        a=tuple(fields[::2]),
        b=tuple(fields[1::2]),
        steady=(low + high) * np.float32(0.5) + even,
        rocking=(high - low) * np.float32(0.5 / ROCK_RAD),
        noise=_noise(probe, console, rng),
        console=console,
    )


def _from_db(level: FloatGrid) -> FloatGrid:
    return np.asarray(np.exp(level * np.float32(math.log(10) / 20)), dtype=np.float32)


def _beam_gain(
    painting: Painting, probe: Probe, console: Console, rng: np.random.Generator
) -> FloatGrid:
    """What each sample gains or loses (dB) on the way: absorption, gain curve, poor contact."""
    loss = np.cumsum(painting.absorption, axis=0, dtype=np.float32) * np.float32(probe.mm_per_px)
    loss = blur(loss, sigma_x=0.22 / probe.mm_per_px, sigma_y=0.5)
    rows, columns = loss.shape
    depth = np.arange(rows, dtype=np.float32)[:, None] * np.float32(probe.mm_per_px)
    contact = smooth_noise(rng, (1, columns), sigma_xy=(4.0 / probe.mm_per_px, 0.0))
    contact += 0.5 * smooth_noise(rng, (1, columns), sigma_xy=(0.7 / probe.mm_per_px, 0.0))
    reach = np.minimum(depth / 10, 2.0)
    return np.asarray(depth * console.tgc - loss + 1.4 * contact * reach, dtype=np.float32)


def _noise(probe: Probe, console: Console, rng: np.random.Generator) -> FloatGrid:
    """Electronic noise, lifted with depth by the gain curve."""
    rows, columns = probe.beam_shape
    rows += _NOISE_ROWS + 1
    noise = blur(rng.standard_normal((rows, columns), dtype=np.float32), sigma_x=2.4, sigma_y=1.1)
    depth = np.arange(rows, dtype=np.float32)[:, None] * np.float32(probe.mm_per_px)
    level = _from_db(np.float32(console.floor_db) + np.float32(0.25) * depth)
    return np.asarray(noise / noise.std() * level, dtype=np.float32)


class _Pulse:
    """Blur by the pulse: constant along the beam, wider across beams away from the focus."""

    def __init__(self, probe: Probe, console: Console) -> None:
        rows = probe.beam_shape[0]
        depth = np.arange(rows, dtype=np.float32) * np.float32(probe.mm_per_px)
        across_mm = 0.15 + 0.013 * np.abs(depth - 0.35 * probe.depth_mm)
        self._axial = console.pulse_mm / probe.mm_per_px
        self._across = [width_mm / probe.mm_per_px for width_mm in (0.14, 0.28, 0.65)]
        place = np.interp(across_mm / probe.mm_per_px, self._across, np.arange(3))
        near = 1 - np.abs(place[:, None] - np.arange(3)[None, :])
        self._weights = np.clip(near, 0, 1).astype(np.float32)

    def speckle(self, amplitude: FloatGrid, rng: np.random.Generator) -> FloatGrid:
        """A zero-mean field whose mean power is ``amplitude`` squared."""
        noise = rng.standard_normal(amplitude.shape, dtype=np.float32) * amplitude
        return self._blend(noise, [self._unit(sigma) for sigma in self._across])

    def coherent(self, amplitude: FloatGrid) -> FloatGrid:
        """``amplitude`` seen through the pulse, without grain."""
        return self._blend(amplitude, [1.0, 1.0, 1.0])

    def _blend(self, image: FloatGrid, gains: list[float]) -> FloatGrid:
        total = np.zeros_like(image)
        for index, (sigma, gain) in enumerate(zip(self._across, gains, strict=True)):
            blurred = blur(image, sigma_x=sigma, sigma_y=self._axial)
            total += blurred * (self._weights[:, index : index + 1] * np.float32(gain))
        return total

    def _unit(self, sigma: float) -> float:
        """What restores unit power to blurred white noise."""
        return 1 / math.sqrt(_power(sigma) * _power(self._axial))


def _power(sigma: float) -> float:
    """Sum of squares of a Gaussian kernel of ``sigma`` pixels."""
    reach = math.ceil(4 * sigma)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma * sigma))
    return float((kernel**2).sum() / kernel.sum() ** 2)
