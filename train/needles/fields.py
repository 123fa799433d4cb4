"""Where a picture shows tissue and which way the sound travels there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Field", "Image", "linear", "sector"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """``inside`` is ``bool`` ``(h, w)``; ``apex_xy`` is where a sector's beams meet.

    ``aspect`` is how much wider than high a pixel is: pictures are stretched to the network's
    input, and a sector's beams with them. ``apex_xy`` is ``None`` for a linear probe, whose
    beams go straight down.
    """

    inside: npt.NDArray[np.bool_]
    apex_xy: tuple[float, float] | None = None
    aspect: float = 1.0

    def beam(self, x: float, y: float) -> tuple[float, float]:
        """Unit vector, in pixels, along which sound travels at ``x, y``."""
        if self.apex_xy is None:
            return 0.0, 1.0
        across, down = x - self.apex_xy[0], y - self.apex_xy[1]
        length = math.hypot(across, down) or 1.0
        return across / length, down / length


def linear(picture: Image) -> Field:
    """The field of a linear probe: all of the picture."""
    return Field(np.ones(picture.shape, np.bool_))


def sector(picture: Image, rng: np.random.Generator) -> tuple[Image, Field]:
    """``picture`` seen by a curved probe: each column becomes a beam of a fan.

    The fan's opening (40° to 76°) and the probe's radius (0.2 to 1.2 of the depth shown) are
    drawn at random; the answer fills its box, of the same shape as ``picture``, black around the
    fan.
    """
    height, width = picture.shape
    half = math.radians(rng.uniform(20, 38))
    near = rng.uniform(0.2, 1.2)
    far = near + 1.0
    left, top = -far * math.sin(half), near * math.cos(half)
    step_x, step_y = -2 * left / width, (far - top) / height
    x = left + (np.arange(width, dtype=np.float32) + 0.5) * step_x
    y = top + (np.arange(height, dtype=np.float32) + 0.5) * step_y
    radius = np.hypot(x[None, :], y[:, None])
    angle = np.arctan2(x[None, :], y[:, None])
    map_x = (angle / half + 1) * (width / 2) - 0.5
    map_y = (radius - near) * height - 0.5
    inside = (np.abs(angle) < half) & (radius > near) & (radius < far)
    fan = cv2.remap(
        picture,
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    fan[~inside] = 0
    apex = (width / 2 - 0.5, -top / step_y - 0.5)
    return np.asarray(fan, np.uint8), Field(inside, apex, step_x / step_y)
