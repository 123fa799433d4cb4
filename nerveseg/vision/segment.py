"""Predict the structures on a frame with an exported network, and turn answers into masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from nerveseg.errors import ModelError
from nerveseg.resources import weights_dir
from nerveseg.types import Box, GrayImage, Mask, Probability, Segmentation
from nerveseg.vision import backends
from nerveseg.vision.preprocess import ModelSpec, Tensor, content_of, to_frame, to_tensor

__all__ = ["DEFAULT_MODEL", "Segmenter", "masks", "probability"]

DEFAULT_MODEL = "nerveseg-joint.onnx"
"""File name of the shipped model in `nerveseg.resources.weights_dir`."""


class Segmenter:
    """A network ready to run. Not for several threads at once: give each its own.

    The three steps of `predict` are public too, so that a pipeline can time them.
    """

    def __init__(self, spec: ModelSpec, runner: backends.Runner) -> None:
        self.spec = spec
        self._runner = runner

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
        return self._runner.run(tensor)

    def segmentation(
        self, answer: Tensor, region: Box, frame_shape: tuple[int, int]
    ) -> Segmentation:
        """Give the network's answer its names and its place on the frame."""
        return Segmentation(
            probabilities={
                name: content_of(answer[0, channel], region, self.spec)
                for channel, name in enumerate(self.spec.classes)
            },
            region=region,
            frame_shape=frame_shape,
            thresholds=dict(self.spec.thresholds),
            model_id=self.spec.model_id,
        )

    def _check_output(self, path: Path) -> None:
        shape = self.infer(np.zeros((1, 1, *self.spec.input_hw), np.float32)).shape
        if len(shape) != 4 or shape[:2] != (1, len(self.spec.classes)):
            raise ModelError(
                f"{path} answers with shape {shape}, its spec promises "
                f"(1, {len(self.spec.classes)}, h, w); export the model again"
            )


def probability(segmentation: Segmentation, name: str) -> Probability:
    """Probability of one class in frame pixels, ``float32`` ``(H, W)``, 0 outside the region."""
    return to_frame(segmentation.probabilities[name], segmentation.region, segmentation.frame_shape)


def masks(segmentation: Segmentation, *, min_area_share: float = 0.0003) -> Mapping[str, Mask]:
    """One ``bool`` ``(H, W)`` mask per class: where the probability reaches its threshold.

    Specks smaller than ``min_area_share`` of the image region are dropped: they are smaller
    than any structure that was labelled.
    """
    least = round(min_area_share * segmentation.region.width * segmentation.region.height)
    return {
        name: _mask(segmentation, name, threshold, least)
        for name, threshold in segmentation.thresholds.items()
    }


def _mask(segmentation: Segmentation, name: str, threshold: float, least: int) -> Mask:
    whole = np.zeros(segmentation.frame_shape, np.bool_)
    content = segmentation.probabilities[name]
    if float(content.max()) < threshold:
        return whole
    region = segmentation.region
    inner = to_frame(content, Box(0, 0, region.width, region.height), (region.height, region.width))
    whole[region.slices] = _without_specks(inner >= threshold, least)
    return whole


def _without_specks(mask: Mask, least: int) -> Mask:
    """Erase, in place, each 8-connected patch of fewer than ``least`` pixels, holes counted in.

    By outlines, which on a few smooth patches is ten times faster than labelling all pixels.
    """
    pixels = mask.view(np.uint8)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    small = [outline for outline in outlines if _pixels_within(outline) < least]
    cv2.drawContours(pixels, small, -1, 0, cv2.FILLED)
    return mask


def _pixels_within(outline: MatLike) -> float:
    # Pick's theorem: the outline runs through pixel centres, so half of them lie outside it.
    return cv2.contourArea(outline) + len(outline) / 2 + 1
