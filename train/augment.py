"""Augmentation chosen for ultrasound: what another probe, patient or knob would change.

Left–right flips are right (a probe can be turned round); up–down flips are not (skin is on top).
"""

from __future__ import annotations

from typing import Any

import albumentations as A  # noqa: N812 - the library's own convention
import cv2
import numpy as np
import numpy.typing as npt

__all__ = [
    "AcousticShadow",
    "DepthGain",
    "Speckle",
    "for_training",
    "for_validation",
    "geometry",
    "looks",
]

Image = npt.NDArray[np.uint8]


class DepthGain(A.ImageOnlyTransform):  # type: ignore[misc] # the library is untyped
    """Time-gain compensation set differently: brightness changes smoothly with depth."""

    def __init__(self, limit: float = 0.5, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.limit = limit

    def apply(self, img: Image, **_: Any) -> Image:
        """Scale each row by a smooth curve through four random gains."""
        knots = 1 + self.random_generator.uniform(-self.limit, self.limit, 4)
        curve = cv2.resize(knots.astype(np.float32)[:, None], (1, img.shape[0]))
        return np.asarray(np.clip(img * curve.reshape(-1, 1), 0, 255), np.uint8)


class AcousticShadow(A.ImageOnlyTransform):  # type: ignore[misc] # the library is untyped
    """A soft dark band below some depth: poor contact, gas or bone."""

    def apply(self, img: Image, **_: Any) -> Image:
        """Darken a random band of columns from a random row downward."""
        rng = self.random_generator
        height, width = img.shape
        centre, half = rng.uniform(0, width), rng.uniform(0.03, 0.12) * width
        top, strength = rng.uniform(0, 0.6) * height, rng.uniform(0.3, 0.9)
        across = np.exp(-(((np.arange(width) - centre) / half) ** 4))
        down = np.clip((np.arange(height) - top) / (0.1 * height), 0, 1)
        shade = 1 - strength * np.outer(down, across)
        return np.asarray(img * shade, np.uint8)


class Speckle(A.ImageOnlyTransform):  # type: ignore[misc] # the library is untyped
    """Multiplicative noise with the grain of speckle: wider than deep, of random size."""

    def apply(self, img: Image, **_: Any) -> Image:
        """Multiply by smoothed noise of mean one."""
        rng = self.random_generator
        grain_x, grain_y = rng.uniform(1, 4), rng.uniform(1, 2)
        height, width = img.shape
        coarse = rng.standard_normal((int(height / grain_y), int(width / grain_x)))
        noise = cv2.resize(coarse.astype(np.float32), (width, height))
        noisy = img * (1 + rng.uniform(0.05, 0.35) * noise)
        return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def for_training(input_hw: tuple[int, int], *, seed: int, strength: float = 1.0) -> A.Compose:
    """Geometry, gain, speckle and shadow; pictures and masks end at ``input_hw``.

    ``strength`` widens the ranges of the geometry and how often tissue is bent.
    """
    return A.Compose([*_moves(input_hw, strength), *_appearances()], seed=seed)


def geometry(input_hw: tuple[int, int], *, strength: float = 1.0) -> A.Compose:
    """The moves of `for_training` alone."""
    return A.Compose(_moves(input_hw, strength))


def looks() -> A.Compose:
    """The gain, speckle and shadow of `for_training` alone."""
    return A.Compose(_appearances())


def _moves(input_hw: tuple[int, int], strength: float) -> list[A.BasicTransform]:
    zoom = (0.8**strength, 1.35**strength)
    turn, shift = 12 * strength, 0.12 * strength
    return [
        A.HorizontalFlip(p=0.5),
        A.Affine(
            scale={"x": zoom, "y": zoom},
            keep_ratio=False,
            translate_percent={"x": (-shift, shift), "y": (-0.8 * shift, 0.8 * shift)},
            rotate=(-turn, turn),
            shear={"x": (-8, 8), "y": (-4, 4)},
            p=0.9,
        ),
        A.ElasticTransform(alpha=40 * strength, sigma=12, p=min(1.0, 0.15 * strength**2)),
        A.Resize(*input_hw, interpolation=cv2.INTER_AREA),
    ]


def _appearances() -> list[A.BasicTransform]:
    return [
        DepthGain(p=0.5),
        A.RandomGamma(gamma_limit=(60, 165), p=0.6),
        A.RandomBrightnessContrast(brightness_limit=0.12, contrast_limit=0.3, p=0.5),
        Speckle(p=0.4),
        AcousticShadow(p=0.2),
        A.OneOf([A.GaussianBlur(blur_limit=(3, 5)), A.Sharpen(), A.Downscale((0.5, 0.9))], p=0.25),
    ]


def for_validation(input_hw: tuple[int, int]) -> A.Compose:
    """Only the size."""
    return A.Compose([A.Resize(*input_hw, interpolation=cv2.INTER_AREA)])
