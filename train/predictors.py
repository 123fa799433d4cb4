"""One shape for everything that predicts, so that one harness measures all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from nerveseg.types import GrayImage, Mask, Probability, Segmentation
from nerveseg.video.crop import find_region
from nerveseg.vision.backends import Runner
from nerveseg.vision.preprocess import ModelSpec, Tensor
from nerveseg.vision.segment import Segmenter, masks, probability

__all__ = ["Prediction", "Predictor", "from_checkpoint", "from_file", "from_onnx", "from_torch"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Per class, in frame pixels: ``probabilities`` float32 ``(H, W)``, ``masks`` bool.

    ``segmentation`` is what the app would have, for whatever is measured beside masks; ``None``
    for a model that answers with masks alone.
    """

    probabilities: Mapping[str, Probability]
    masks: Mapping[str, Mask]
    segmentation: Segmentation | None = None


@dataclass(frozen=True, slots=True)
class Predictor:
    """A named model: ``predict`` maps a grey frame, uint8 ``(H, W)``, to a `Prediction`.

    ``spec`` is ``None`` for what is no network of ours.
    """

    model_id: str
    classes: tuple[str, ...]
    thresholds: Mapping[str, float]
    predict: Callable[[GrayImage], Prediction]
    spec: ModelSpec | None = None


def from_file(path: Path) -> Predictor:
    """An ONNX file or a training checkpoint, by its suffix."""
    return from_onnx(path) if path.suffix == ".onnx" else from_checkpoint(path)


def from_onnx(path: Path, *, threads: int = 2, backend: str = "onnxruntime") -> Predictor:
    """An exported model, run exactly as the app runs it."""
    return _from_segmenter(Segmenter.load(path, threads=threads, backend=backend))


def from_checkpoint(path: Path) -> Predictor:
    """A checkpoint run by torch, with the same cropping, fitting and thresholds as the app."""
    from train.checkpoint import load_config, load_network
    from train.fit import spec_of

    return _from_segmenter(from_torch(load_network(path), spec_of(load_config(path))))


def from_torch(network: nn.Module, spec: ModelSpec) -> Segmenter:
    """A network in evaluation mode, answering with logits, in the place of an exported file."""

    @torch.inference_mode()
    def run(tensor: Tensor) -> Tensor:
        answer: Tensor = network(torch.from_numpy(tensor)).sigmoid().numpy()
        return answer

    return Segmenter(spec, Runner("torch", run))


def _from_segmenter(segmenter: Segmenter) -> Predictor:
    def predict(pixels: GrayImage) -> Prediction:
        found = segmenter.predict(pixels, find_region(pixels))
        return Prediction(
            {name: probability(found, name) for name in found.thresholds}, masks(found), found
        )

    spec = segmenter.spec
    return Predictor(spec.model_id, spec.classes, dict(spec.thresholds), predict, spec)
