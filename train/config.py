"""One TOML file is one experiment: read into a frozen config, checked, stored with the run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nerveseg.errors import DataError
from nerveseg.vision.preprocess import NEEDLE_TIP

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["DataConfig", "ExperimentConfig", "ModelConfig", "OptimConfig", "from_dict", "read"]

_Part = TypeVar("_Part", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What is trained on. ``mix`` maps a card to its share of the samples drawn.

    ``margin`` is how much larger than the network's input the pictures are kept, so that
    zooming in shows detail. ``augmentation`` widens (above 1) or narrows the ranges of geometry.
    """

    mix: Mapping[str, float]
    phantom_frames: int = 0
    margin: float = 1.2
    samples_per_epoch: int = 1600
    workers: int = 1
    augmentation: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which network. ``architecture`` is ``unet`` (pretrained encoder) or ``plain`` (from scratch).

    ``half`` leaves the last decoder stage out: the network answers at half its input's
    resolution, and bilinear interpolation of the probabilities does the rest.
    ``needle_channels`` are the widths of a decoder of its own for the needle, which reads the
    same encoder and answers for the class ``needle`` and the heat map of its tip: only it is
    then trained, and all else stays as ``start_from`` has it. Empty: no needle.
    """

    classes: tuple[str, ...] = ("nerve", "vessel", "fascia")
    architecture: str = "unet"
    encoder: str = "tu-tf_efficientnet_lite0"
    pretrained: bool = True
    decoder_channels: tuple[int, ...] = (128, 64, 32, 16)
    half: bool = True
    needle_channels: tuple[int, ...] = ()
    input_hw: tuple[int, int] = (256, 256)
    fit: str = "stretch"
    mean: float = 0.2
    std: float = 0.2

    @property
    def heatmaps(self) -> tuple[str, ...]:
        """What the network's channels after those of ``classes`` mark."""
        return (NEEDLE_TIP,) if self.needle_channels else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """How it is trained. ``encoder_lr`` applies to the pretrained encoder's parameters.

    Weights are averaged (exponentially, ``ema_decay`` a step) from ``ema_from_step`` on: earlier
    ones are too far from the end to help.
    """

    epochs: int = 16
    batch_size: int = 8
    lr: float = 1.5e-3
    encoder_lr: float = 5e-4
    weight_decay: float = 1e-2
    warmup: float = 0.05
    ema_decay: float = 0.995
    ema_from_step: int = 300
    precision: str = "bf16-mixed"
    patience: int = 100
    gradient_clip: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentConfig:
    """A whole experiment.

    ``start_from`` is a checkpoint, or an exported fp32 ONNX file, of a network to go on from:
    the same, or the same without its needle.
    """

    name: str
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    seed: int = 0
    start_from: str = ""


def read(path: Path) -> ExperimentConfig:
    """Read an experiment; raise `DataError` that names the key that is wrong."""
    try:
        return from_dict(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"can't read the experiment {path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not an experiment: {error}; see train/configs/") from error


def from_dict(raw: Mapping[str, Any]) -> ExperimentConfig:
    """A config from its tables, as `dataclasses.asdict` gives them.

    Raises ``KeyError``, ``TypeError`` or ``ValueError`` for a key that is missing or wrong.
    """
    parts = {
        "data": _build(DataConfig, raw["data"]),
        "model": _build(ModelConfig, raw.get("model", {})),
        "optim": _build(OptimConfig, raw.get("optim", {})),
    }
    return _build(ExperimentConfig, {**raw, **parts})


def _build(kind: type[_Part], values: Mapping[str, Any]) -> _Part:
    allowed = sorted(f.name for f in fields(kind))
    unknown = sorted(set(values) - set(allowed))
    if unknown:
        raise ValueError(f"unknown keys {unknown}, expected some of {allowed}")
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return kind(**frozen)
