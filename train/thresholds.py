"""Choose each class's threshold on validation samples: the one with the best mean Dice."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from nerveseg.types import Mask, Sample, Segmentation
from nerveseg.video.crop import find_region
from nerveseg.vision.metrics import dice
from nerveseg.vision.segment import Segmenter, masks

__all__ = ["CANDIDATES", "best_thresholds"]

CANDIDATES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)

_Scores = defaultdict[tuple[str, float], defaultdict[str, list[float]]]


def best_thresholds(segmenter: Segmenter, samples: Iterable[Sample]) -> dict[str, float]:
    """Class to threshold, over the classes known in each sample.

    Cards weigh alike, however many samples each has. A picture without the class in truth or
    answer is left out, as in evaluation. Classes that no sample knows keep their threshold.
    """
    scores: _Scores = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        answer = segmenter.predict(sample.image, find_region(sample.image))
        for threshold in CANDIDATES:
            _collect(scores, sample, _masks_at(answer, threshold), threshold)
    return {
        name: _best(scores, name, fallback) for name, fallback in segmenter.spec.thresholds.items()
    }


def _masks_at(answer: Segmentation, threshold: float) -> Mapping[str, Mask]:
    return masks(
        dataclasses.replace(answer, thresholds=dict.fromkeys(answer.thresholds, threshold))
    )


def _collect(scores: _Scores, sample: Sample, found: Mapping[str, Mask], threshold: float) -> None:
    nothing = np.zeros(sample.image.shape, np.bool_)
    for name in sample.known & set(found):
        value = dice(found[name], sample.masks.get(name, nothing))
        if not np.isnan(value):
            scores[name, threshold][sample.card].append(value)


def _best(scores: _Scores, name: str, fallback: float) -> float:
    means = {
        threshold: float(np.mean([np.mean(values) for values in scores[name, threshold].values()]))
        for threshold in CANDIDATES
        if scores[name, threshold]
    }
    # Among equals the one nearest to a half: the least surprising.
    return max(means, key=lambda t: (means[t], -abs(t - 0.5))) if means else fallback
