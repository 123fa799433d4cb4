"""A needle's shaft is a bright line too, but no fascia."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.types import Box, Point, Probability, Segmentation
from nerveseg.vision.planes.lines import FASCIA

__all__ = ["without_shaft"]

_REACH = 0.015
"""Of the region's diagonal: fascia this close to a shaft is the shaft."""

_LEFT = 0.5
"""Of the class's threshold is left beside the shaft. Too little for an outline or a plane, and
enough for a plane that goes on behind the needle to be led across: what is hidden isn't gone."""

_SHIFT = 4
"""Binary places of a pixel to which the band is drawn."""


def without_shaft(segmentation: Segmentation, shaft_xy: tuple[Point, Point]) -> Segmentation:
    """The same answer with no fascia along a needle's shaft.

    ``shaft_xy`` are its ends in frame pixels. Within a band around it the probability of fascia
    falls to at most half its threshold; nothing else is touched.
    """
    fascia = segmentation.probabilities.get(FASCIA)
    if fascia is None or fascia.size == 0:
        return segmentation
    band = _band(shaft_xy, segmentation.region, fascia)
    most = np.float32(_LEFT * segmentation.thresholds[FASCIA])
    cleared = np.where(band, np.minimum(fascia, most), fascia)
    return replace(segmentation, probabilities={**segmentation.probabilities, FASCIA: cleared})


def _band(
    shaft_xy: tuple[Point, Point], region: Box, content: Probability
) -> npt.NDArray[np.bool_]:
    """Which cells of ``content`` lie within reach of the shaft."""
    start, end = np.array(shaft_xy, np.float64)
    length = math.dist(start, end)
    along = (end - start) / length if length > 0 else np.array([1.0, 0.0])
    along *= _REACH * math.hypot(region.width, region.height)
    across = np.array([-along[1], along[0]])
    ends = start - along, end + along
    corners = np.array([ends[0] - across, ends[0] + across, ends[1] + across, ends[1] - across])
    scale = np.array(content.shape[::-1]) / (region.width, region.height)
    cells = (corners - (region.left, region.top) + 0.5) * scale - 0.5
    drawn = np.zeros(content.shape, np.uint8)
    spots = np.rint(cells * 2**_SHIFT).astype(np.int32)
    cv2.fillConvexPoly(drawn, spots, 1, cv2.LINE_8, _SHIFT)
    return drawn.view(np.bool_)
