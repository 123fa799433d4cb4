"""Gel blocks and water baths, on which trainees practise: drawn from nothing."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from train.needles.fields import Image

__all__ = ["gel", "grain"]

Floats = npt.NDArray[np.float32]


def grain(
    rng: np.random.Generator, shape: tuple[int, ...], sigma_xy: tuple[float, float]
) -> Floats:
    """Smooth noise, ``float32`` ``(h, w)`` of mean 0 and deviation 1, of the given grain."""
    # Drawn coarsely and enlarged: as smooth, and quick for any grain.
    rows = max(2, round(shape[0] / max(1.0, 1.2 * sigma_xy[1])))
    columns = max(2, round(shape[1] / max(1.0, 1.2 * sigma_xy[0])))
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((fine - fine.mean()) / max(float(fine.std()), 1e-6), np.float32)


def gel(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    """A gel sample: speckle, perhaps only in a rounded block, in water over a bright floor."""
    height, _ = shape
    speckle = np.abs(1 + rng.uniform(0.2, 0.6) * grain(rng, shape, _grain_size(rng)))
    clouds = 1 + rng.uniform(0, 0.3) * grain(rng, shape, (40.0, 30.0))
    fading = np.linspace(1, rng.uniform(0.3, 1.1), height, dtype=np.float32)[:, None]
    picture = rng.uniform(20, 110) * speckle * clouds * fading
    if rng.random() < 0.45:
        picture = rng.uniform(0.2, 1) * picture + _scatterers(rng, shape)
    if rng.random() < 0.5:
        picture = _block(rng, picture)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _grain_size(rng: np.random.Generator) -> tuple[float, float]:
    axial = rng.uniform(0.5, 1.5)
    return axial * rng.uniform(1, 3.5), axial


def _scatterers(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Bright flecks in a dark gel, wider than high."""
    points = np.zeros(shape, np.float32)
    number = int(rng.integers(80, 700))
    rows, columns = rng.integers(0, shape[0], number), rng.integers(0, shape[1], number)
    points[rows, columns] = rng.uniform(0.2, 1, number)
    sigma_x, sigma_y = rng.uniform(1.2, 4.0), rng.uniform(0.7, 1.8)
    flecks = cv2.GaussianBlur(points, (0, 0), sigma_x, sigmaY=sigma_y)
    return np.asarray(flecks * (2 * np.pi * sigma_x * sigma_y * rng.uniform(60, 200)), np.float32)


def _block(rng: np.random.Generator, picture: Floats) -> Floats:
    """Keep a rounded block of ``picture``, with or without a bright rim, in dark water."""
    height, width = picture.shape
    centre = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6))
    half = (width * rng.uniform(0.32, 0.6), height * rng.uniform(0.25, 0.55))
    x = (np.arange(width)[None, :] - centre[0]) / half[0]
    y = (np.arange(height)[:, None] - centre[1]) / half[1]
    power = rng.uniform(2, 6)
    far = np.abs(x) ** power + np.abs(y) ** power + 0.02 * grain(rng, picture.shape, (12, 12))
    water = rng.uniform(0, 12) * np.abs(grain(rng, picture.shape, (2.0, 1.0)))
    rim = rng.uniform(0, 90) * np.exp(-(((far - 1) / 0.06) ** 2))
    return np.asarray(np.where(far < 1, picture, water) + rim, np.float32)
