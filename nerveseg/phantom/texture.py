"""Random textures of tissue, made once per phantom.

Every texture is ``float32`` ``(rows, columns)`` in pixels of the picture; sigmas are pixels too.
"""

from __future__ import annotations

import cv2
import numpy as np

from nerveseg.phantom.probe import FloatGrid

__all__ = ["blur", "dashes", "septa", "smooth_noise"]

_COARSEST_SIGMA = 3.0
_THINNEST_SIGMA = 0.01


def blur(image: FloatGrid, *, sigma_x: float, sigma_y: float) -> FloatGrid:
    """``image`` under a Gaussian of the given sigmas (pixels)."""
    sigma_x, sigma_y = max(sigma_x, _THINNEST_SIGMA), max(sigma_y, _THINNEST_SIGMA)
    smooth = cv2.GaussianBlur(image, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return np.asarray(smooth, dtype=np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], *, sigma_xy: tuple[float, float]
) -> FloatGrid:
    """Gaussian noise of unit variance, correlated over ``sigma_xy`` pixels."""
    # Wide correlation is made on a coarse grid: the same statistics for a fraction of the time.
    step_x, step_y = (max(1.0, sigma / _COARSEST_SIGMA) for sigma in sigma_xy)
    rows, columns = int(shape[0] / step_y) + 8, int(shape[1] / step_x) + 8
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    coarse = blur(coarse, sigma_x=sigma_xy[0] / step_x, sigma_y=sigma_xy[1] / step_y)
    wanted = (int((shape[1] + 1) * columns / (columns - 8)), int(shape[0] * rows / (rows - 8)) + 1)
    noise = np.asarray(cv2.resize(coarse, wanted, interpolation=cv2.INTER_CUBIC))
    noise = noise[: shape[0], : shape[1]]
    spread = float(noise.std()) or 1.0
    return np.asarray((noise - noise.mean()) / spread, dtype=np.float32)


def septa(noise: FloatGrid, *, width_px: float) -> FloatGrid:
    """Thin connected walls, 0..1, along the zero lines of ``noise``.

    Walls that face the beam are bright and steep ones vanish, as a real septum's echo does.
    """
    across = np.asarray(cv2.Sobel(noise, cv2.CV_32F, 1, 0, ksize=3, scale=0.125))
    down = np.asarray(cv2.Sobel(noise, cv2.CV_32F, 0, 1, ksize=3, scale=0.125))
    slope2 = across * across + down * down + 1e-8
    distance2 = noise * noise / slope2
    facing = down * down / slope2
    return np.asarray(np.exp(-distance2 / width_px**2) * facing, dtype=np.float32)


def dashes(noise: FloatGrid, *, threshold: float) -> FloatGrid:
    """Scattered short strokes, 0..1, where ``noise`` tops ``threshold`` standard deviations."""
    return np.asarray(np.clip((noise - threshold) / 1.2, 0, 1), dtype=np.float32)
