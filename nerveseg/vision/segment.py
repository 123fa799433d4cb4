"""Predict the structures on a frame with an exported network, and turn answers into masks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from nerveseg.errors import ModelError
from nerveseg.resources import weights_dir
from nerveseg.types import Box, GrayImage, Mask, Probability, Segmentation
from nerveseg.vision import backends
from nerveseg.vision.preprocess import ModelSpec, Tensor, content_of, to_frame, to_tensor

__all__ = ["DEFAULT_MODEL", "Segmenter", "masks", "probability"]

DEFAULT_MODEL = "nerveseg-int8.onnx"
"""File name of the shipped model in `nerveseg.resources.weights_dir`."""


class Segmenter:
    """A network ready to run. Threads that share one take turns at `infer`.

    The three steps of `predict` are public too, so that a pipeline can time them.
    """

    def __init__(self, spec: ModelSpec, runner: backends.Runner) -> None:
        self.spec = spec
        self._runner = runner
        # Not every backend can be run by two threads at once.
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls, path: Path | None = None, *, threads: int = 2, backend: str = "auto"
    ) -> Segmenter:
        """Load an ONNX file (the shipped model by default).

        ``backend`` is ``auto`` (the fastest that is installed, measured at first use) or a name
        from `nerveseg.vision.backends.available`. Raises `ModelError` for a file that is
        missing, damaged, foreign, or whose output doesn't fit its spec.
        """
        path = path if path is not None else weights_dir() / DEFAULT_MODEL
        spec = backends.read_spec(path)
        if backend == "auto":
            runner = backends.choose(path, spec, threads=threads)
        else:
            runner = backends.open_runner(path, backend=backend, threads=threads)
        segmenter = cls(spec, runner)
        segmenter._check_output(path)
        return segmenter

    @property
    def backend_name(self) -> str:
        """Which backend runs the network."""
        return self._runner.name

    def predict(self, pixels: GrayImage, region: Box) -> Segmentation:
        """Structures on ``pixels`` (``uint8``, ``(H, W)``) within ``region``."""
        answer = self.infer(self.preprocess(pixels, region))
        return self.segmentation(answer, region, (pixels.shape[0], pixels.shape[1]))

    def preprocess(self, pixels: GrayImage, region: Box) -> Tensor:
        """The region as the network's input, ``float32`` ``(1, 1, h, w)``."""
        return to_tensor(pixels, region, self.spec)

    def infer(self, tensor: Tensor) -> Tensor:
        """Run the network: probabilities, ``float32`` ``(1, C, h', w')``."""
        with self._turn:
            return self._runner.run(tensor)

    def segmentation(
        self, answer: Tensor, region: Box, frame_shape: tuple[int, int]
    ) -> Segmentation:
        """Give the network's answer its names and its place on the frame."""
        names = (*self.spec.classes, *self.spec.heatmaps)
        maps = {
            name: content_of(answer[0, channel], region, self.spec)
            for channel, name in enumerate(names)
        }
        return Segmentation(
            probabilities={name: maps[name] for name in self.spec.classes},
            region=region,
            frame_shape=frame_shape,
            thresholds=dict(self.spec.thresholds),
            model_id=self.spec.model_id,
            min_confidence=dict(self.spec.min_confidence),
            heatmaps={name: maps[name] for name in self.spec.heatmaps},
        )

    def _check_output(self, path: Path) -> None:
        shape = self.infer(np.zeros((1, 1, *self.spec.input_hw), np.float32)).shape
        channels = len(self.spec.classes) + len(self.spec.heatmaps)
        if len(shape) != 4 or shape[:2] != (1, channels):
            raise ModelError(
                f"{path} answers with shape {shape}, its spec promises "
                f"(1, {channels}, h, w); export the model again"
            )


def probability(segmentation: Segmentation, name: str) -> Probability:
    """Probability of one class in frame pixels, ``float32`` ``(H, W)``, 0 outside the region."""
    return to_frame(segmentation.probabilities[name], segmentation.region, segmentation.frame_shape)


def masks(segmentation: Segmentation, *, min_area_share: float = 0.0003) -> Mapping[str, Mask]:
    """One ``bool`` ``(H, W)`` mask per class: where the probability reaches its threshold.

    Patches smaller than ``min_area_share`` of the image region are dropped, being smaller than
    any structure that was labelled; so are those whose mean probability stays below the class's
    ``min_confidence``.
    """
    least = round(min_area_share * segmentation.region.width * segmentation.region.height)
    return {name: _mask(segmentation, name, least) for name in segmentation.thresholds}


def _mask(segmentation: Segmentation, name: str, least: int) -> Mask:
    whole = np.zeros(segmentation.frame_shape, np.bool_)
    content, threshold = segmentation.probabilities[name], segmentation.thresholds[name]
    if float(content.max()) < threshold:
        return whole
    region = segmentation.region
    inner = to_frame(content, Box(0, 0, region.width, region.height), (region.height, region.width))
    mask = inner >= threshold
    _drop_patches(mask, inner, least, segmentation.min_confidence.get(name, 0.0))
    whole[region.slices] = mask
    return whole


def _drop_patches(mask: Mask, probability: Probability, least: int, confidence: float) -> None:
    """Erase, in place, each 8-connected patch that is too small or too doubtful.

    By outlines, which on a few smooth patches is ten times faster than labelling all pixels.
    """
    pixels = mask.view(np.uint8)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    dropped = [
        outline
        for outline in outlines
        if _pixels_within(outline) < least
        or (confidence > 0 and _mean_within(outline, pixels, probability) < confidence)
    ]
    cv2.drawContours(pixels, dropped, -1, 0, cv2.FILLED)


def _pixels_within(outline: MatLike) -> float:
    # Pick's theorem: the outline runs through pixel centres, so half of them lie outside it.
    return cv2.contourArea(outline) + len(outline) / 2 + 1


def _mean_within(
    outline: MatLike, pixels: npt.NDArray[np.uint8], probability: Probability
) -> float:
    """Mean probability over a patch's pixels."""
    left, top, width, height = cv2.boundingRect(outline)
    part = (slice(top, top + height), slice(left, left + width))
    patch = np.zeros((height, width), np.uint8)
    cv2.drawContours(patch, [outline], -1, 1, cv2.FILLED, offset=(-left, -top))
    return float(cv2.mean(probability[part], patch & pixels[part])[0])
