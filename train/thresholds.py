"""Choose each class's threshold and least confidence on validation samples, by mean Dice."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np

from nerveseg.types import Mask, Sample, Segmentation
from nerveseg.video.crop import find_region
from nerveseg.vision.metrics import dice
from nerveseg.vision.preprocess import ModelSpec
from nerveseg.vision.segment import Segmenter, masks

__all__ = ["tuned"]

_THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)
_CONFIDENCES = (0.0, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)

_Choice = tuple[float, float]
_Scores = defaultdict[tuple[str, _Choice], defaultdict[str, list[float]]]


def tuned(segmenter: Segmenter, samples: Iterable[Sample]) -> ModelSpec:
    """The segmenter's spec with the best threshold and least confidence of each class.

    Best by mean Dice over the pictures in which a class is known; cards weigh alike, however
    many samples each has. A picture without the class in truth or answer is left out, as in
    evaluation. A class that no sample knows keeps what it had.
    """
    scores: _Scores = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        answer = segmenter.predict(sample.image, find_region(sample.image))
        for choice in product(_THRESHOLDS, _CONFIDENCES):
            _collect(scores, sample, _masks_with(answer, choice, sample.known), choice)
    best = {name: _best(scores, name) for name in segmenter.spec.classes}
    found = {name: choice for name, choice in best.items() if choice is not None}
    spec = segmenter.spec
    return dataclasses.replace(
        spec,
        thresholds={**spec.thresholds, **{name: choice[0] for name, choice in found.items()}},
        min_confidence={
            **spec.min_confidence,
            **{name: choice[1] for name, choice in found.items()},
        },
    )


def _masks_with(answer: Segmentation, choice: _Choice, known: frozenset[str]) -> Mapping[str, Mask]:
    threshold, confidence = choice
    names = [name for name in answer.probabilities if name in known]
    return masks(
        dataclasses.replace(
            answer,
            probabilities={name: answer.probabilities[name] for name in names},
            thresholds=dict.fromkeys(names, threshold),
            min_confidence=dict.fromkeys(names, confidence),
        )
    )


def _collect(scores: _Scores, sample: Sample, found: Mapping[str, Mask], choice: _Choice) -> None:
    nothing = np.zeros(sample.image.shape, np.bool_)
    for name, mask in found.items():
        value = dice(mask, sample.masks.get(name, nothing))
        if not np.isnan(value):
            scores[name, choice][sample.card].append(value)


def _best(scores: _Scores, name: str) -> _Choice | None:
    means = {
        choice: float(np.mean([np.mean(values) for values in cards.values()]))
        for (scored, choice), cards in scores.items()
        if scored == name
    }
    # Among equals the least surprising: a threshold near a half, then no least confidence.
    return max(means, key=lambda c: (means[c], -abs(c[0] - 0.5), -c[1]), default=None)
