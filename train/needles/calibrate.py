"""How sure is sure: fit the curves that turn a sighting's measurements into a chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from nerveseg.types import Box
from nerveseg.vision.needle.observe import sightings
from nerveseg.vision.segment import Segmenter
from train.needle_scores import TOLERANCE, TrueNeedle, score_needle
from train.needles.scenes import Scene

__all__ = ["Judged", "fit_confidence", "judge", "logistic_fit"]

_SHRINK = 1e-3


@dataclass(frozen=True, slots=True)
class Judged:
    """A sighting's measurements, and whether its line and its tip were right."""

    features: tuple[float, ...]
    line: bool
    tip: bool


def fit_confidence(segmenter: Segmenter, scenes: Iterable[Scene]) -> dict[str, tuple[float, ...]]:
    """Offset and weights for ``shaft`` and ``tip`` (see `nerveseg.vision.needle.observe`).

    ``scenes`` must be none that the network was trained on.
    """
    judged = [found for scene in scenes for found in judge(segmenter, scene)]
    features = np.array([row.features for row in judged])
    return {
        "shaft": logistic_fit(features, [row.line for row in judged]),
        "tip": logistic_fit(features, [row.tip for row in judged]),
    }


def judge(segmenter: Segmenter, scene: Scene) -> Iterator[Judged]:
    """What each of the network's sightings on a scene is worth."""
    height, width = scene.picture.shape
    answer = segmenter.predict(scene.picture, Box(0, 0, width, height))
    for sighting in sightings(answer):
        if scene.needle is None:
            yield Judged(sighting.features, line=False, tip=False)
            continue
        deep = scene.needle.tip_xy or _deep_end(scene)
        truth = TrueNeedle(scene.needle.entry_xy, deep)
        score = score_needle(sighting.needle(shaft=1.0, tip=1.0), truth, (height, width))
        near = scene.needle.tip_xy is not None and score.tip_share <= TOLERANCE
        yield Judged(sighting.features, line=score.found, tip=score.found and near)


def logistic_fit(features: npt.NDArray[np.float64], right: Sequence[bool]) -> tuple[float, ...]:
    """Offset and weights of a logistic curve, by penalised maximum likelihood.

    ``features`` is ``(n, k)``. The penalty is on weights of standardised features, so that
    rare ones are not trusted too much.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    scaled = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    sign = np.where(np.asarray(right), 1.0, -1.0)

    def cost(weights: npt.NDArray[np.float64]) -> float:
        loss = float(np.logaddexp(0.0, -sign * (scaled @ weights)).mean())
        return loss + _SHRINK * float(weights[1:] @ weights[1:])

    fitted = minimize(cost, np.zeros(scaled.shape[1]), method="BFGS").x
    weights = fitted[1:] / spread
    return (float(fitted[0] - weights @ mean), *(float(w) for w in weights))


def _deep_end(scene: Scene) -> tuple[float, float]:
    """Where the shaft is last seen, for a needle whose tip has left the plane."""
    assert scene.needle is not None
    rows, columns = np.nonzero(scene.needle.shaft > 0.5)
    if len(rows) == 0:
        return scene.needle.entry_xy[0], scene.needle.entry_xy[1] + 1.0
    far = [math.dist(scene.needle.entry_xy, at) for at in zip(columns, rows, strict=True)]
    best = int(np.argmax(far))
    return float(columns[best]), float(rows[best])
