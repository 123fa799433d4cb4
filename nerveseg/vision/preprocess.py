"""How a frame becomes a network's input, and how its output comes back: one place for both.

Training, evaluation and the app all call these functions, so a model can't be fed differently
from how it was trained. The settings are a `ModelSpec`, which travels inside the ONNX file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import ModelError
from nerveseg.types import Box, GrayImage, Mask, Probability

__all__ = [
    "CONFIDENCE_WEIGHTS",
    "NEEDLE",
    "NEEDLE_TIP",
    "SPEC_KEY",
    "ModelSpec",
    "Tensor",
    "content_of",
    "fit_image",
    "fit_mask",
    "to_frame",
    "to_tensor",
]

SPEC_KEY = "nerveseg.spec"
"""Key of the JSON spec among an ONNX file's metadata."""

NEEDLE = "needle"
"""The class of a needle's shaft."""

NEEDLE_TIP = "needle tip"
"""The heat map that marks a needle's tip."""

CONFIDENCE_WEIGHTS = 7
"""An offset, and a weight for each measurement of `nerveseg.vision.needle.observe.FEATURES`."""

_SURE_OF = ("shaft", "tip")

Tensor: TypeAlias = npt.NDArray[np.float32]
"""``float32`` of shape ``(1, 1, h, w)``: one grey picture for the network."""

_FITS = ("stretch", "letterbox")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is needed to use a model rightly, and to know where it came from.

    ``input_hw`` is (rows, columns); ``mean`` and ``std`` apply to brightness in 0..1;
    ``fit`` is how the image region meets the input: ``stretch`` (each axis on its own, no
    padding) or ``letterbox`` (aspect kept, centred on black). ``thresholds`` is one probability
    per class; a patch above it whose mean probability is below the class's ``min_confidence`` is
    not shown as found. The network's channels are the ``classes``, then the ``heatmaps``, which
    mark points. ``confidence`` maps a heat map's question to an offset and weights, from which
    `nerveseg.vision.needle.observe` tells how sure it is. ``trained_on`` names dataset cards;
    ``licences`` maps each to its licence; ``metrics`` holds measured figures, each saying on what.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    input_hw: tuple[int, int]
    mean: float
    std: float
    fit: str
    thresholds: Mapping[str, float]
    min_confidence: Mapping[str, float] = field(default_factory=dict)
    heatmaps: tuple[str, ...] = ()
    confidence: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    licences: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ModelError("the model's spec is wrong: " + "; ".join(problems))

    def _problems(self) -> list[str]:
        rows, columns = self.input_hw
        checks = {
            "no classes": bool(self.classes),
            "confidence goes with the class needle and its tip's heat map, and has finite weights "
            f"for {_SURE_OF}, {CONFIDENCE_WEIGHTS} each": not self.confidence
            or self._can_be_sure(),
            f"heatmaps {self.heatmaps} must not name classes": not (
                set(self.heatmaps) & set(self.classes)
            ),
            f"fit {self.fit!r} is not one of {_FITS}": self.fit in _FITS,
            f"input size {self.input_hw} must be multiples of 32 from 32 to 2048": all(
                32 <= side <= 2048 and side % 32 == 0 for side in (rows, columns)
            ),
            f"std {self.std} must be positive": math.isfinite(self.std) and self.std > 0,
            f"mean {self.mean} must be finite": math.isfinite(self.mean),
            "thresholds must name exactly the classes": set(self.thresholds) == set(self.classes),
            "thresholds must lie in 0..1": all(0 < t < 1 for t in self.thresholds.values()),
            "min_confidence must name classes, each in 0..1": (
                set(self.min_confidence) <= set(self.classes)
                and all(0 <= c < 1 for c in self.min_confidence.values())
            ),
        }
        return [text for text, good in checks.items() if not good]

    def _can_be_sure(self) -> bool:
        return (
            NEEDLE in self.classes
            and NEEDLE_TIP in self.heatmaps
            and set(self.confidence) == set(_SURE_OF)
            and all(
                len(weights) == CONFIDENCE_WEIGHTS and all(map(math.isfinite, weights))
                for weights in self.confidence.values()
            )
        )

    @property
    def sees_needles(self) -> bool:
        """Whether the model looks for needles at all, and can tell how sure it is."""
        return bool(self.confidence)

    @property
    def areas(self) -> tuple[str, ...]:
        """The classes that are shown as areas: a needle is shown as a needle."""
        return tuple(name for name in self.classes if name != NEEDLE)

    @property
    def model_id(self) -> str:
        """Name and version, as written beside every result."""
        return f"{self.name}@{self.version}"

    def to_json(self) -> str:
        """The spec as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read `to_json`'s text; raise `ModelError` that names what is missing or wrong."""
        try:
            raw = json.loads(text)
            known = {f.name for f in fields(cls)}
            values = {key: value for key, value in raw.items() if key in known}
            rows, columns = values["input_hw"]
            values["input_hw"] = (int(rows), int(columns))
            for key in ("classes", "heatmaps", "trained_on"):
                values[key] = tuple(str(item) for item in values.get(key, ()))
            for key in ("thresholds", "min_confidence"):
                values[key] = {k: float(v) for k, v in values.get(key, {}).items()}
            values["confidence"] = {
                key: tuple(float(v) for v in weights)
                for key, weights in values.get("confidence", {}).items()
            }
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the model's spec can't be read ({error!r}); export the model again "
                "with `python -m train export`"
            ) from error


def to_tensor(pixels: GrayImage, region: Box, spec: ModelSpec) -> Tensor:
    """The part of a frame inside ``region`` as the network's input.

    ``pixels`` is ``uint8`` ``(H, W)``; the result is ``float32`` ``(1, 1, h, w)``, normalised.
    """
    fitted = fit_image(pixels[region.slices], spec)
    scale = 1.0 / (255.0 * spec.std)
    tensor = fitted.astype(np.float32) * np.float32(scale) - np.float32(spec.mean / spec.std)
    return tensor[np.newaxis, np.newaxis]


def fit_image(picture: GrayImage, spec: ModelSpec) -> GrayImage:
    """``picture`` (``uint8``, ``(H, W)``) brought to the spec's input size, ``(h, w)``."""
    height, width = _content_hw(picture.shape, spec)
    # Area averaging keeps thin fascia when shrinking; it is the same as linear when growing.
    shrinks = height < picture.shape[0] or width < picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(picture, (width, height), interpolation=how)
    return np.asarray(_pad(resized, spec), np.uint8)


def fit_mask(mask: Mask, spec: ModelSpec) -> npt.NDArray[np.float32]:
    """``mask`` (``bool``, ``(H, W)``) as soft coverage in 0..1 at the spec's input size."""
    height, width = _content_hw(mask.shape, spec)
    soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(_pad(soft, spec), np.float32)


def content_of(probability: Probability, region: Box, spec: ModelSpec) -> Probability:
    """A network's map without the letterbox's padding: what covers exactly ``region``.

    The map may be smaller than the input (a network may answer at half resolution).
    """
    if spec.fit == "stretch":
        return probability
    height, width = _letterbox_hw((region.height, region.width), probability.shape)
    top, left = (probability.shape[0] - height) // 2, (probability.shape[1] - width) // 2
    return probability[top : top + height, left : left + width]


def to_frame(content: Probability, region: Box, frame_shape: tuple[int, int]) -> Probability:
    """`content_of`'s map put back on the frame: ``float32`` ``(H, W)``, 0 outside ``region``.

    With `content_of`, the inverse of `to_tensor`'s geometry.
    """
    size = (region.width, region.height)
    inner = np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_LINEAR), np.float32)
    if inner.shape == frame_shape:
        return inner
    whole = np.zeros(frame_shape, np.float32)
    whole[region.slices] = inner
    return whole


def _content_hw(shape: tuple[int, ...], spec: ModelSpec) -> tuple[int, int]:
    if spec.fit == "stretch":
        return spec.input_hw
    return _letterbox_hw(shape, spec.input_hw)


def _letterbox_hw(shape: tuple[int, ...], into: tuple[int, ...]) -> tuple[int, int]:
    scale = min(into[0] / shape[0], into[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _pad(content: npt.NDArray[Any], spec: ModelSpec) -> npt.NDArray[Any]:
    rows, columns = (s - c for s, c in zip(spec.input_hw, content.shape, strict=True))
    if rows == 0 and columns == 0:
        return content
    top, left = rows // 2, columns // 2
    return np.pad(content, ((top, rows - top), (left, columns - left)))
