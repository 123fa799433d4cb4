"""From a checkpoint to an ONNX file that carries its spec, checked against torch."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import nn

from nerveseg.data import cards
from nerveseg.errors import DataError, ModelError
from nerveseg.types import Box, GrayImage, Sample
from nerveseg.video.crop import find_region
from nerveseg.vision.backends import read_spec
from nerveseg.vision.preprocess import SPEC_KEY, ModelSpec
from nerveseg.vision.segment import Segmenter, masks
from train.checkpoint import load_config, load_network
from train.config import ExperimentConfig
from train.data import split_samples
from train.fit import PHANTOM, held_out_grounds, spec_of
from train.needles.calibrate import fit_confidence
from train.needles.dataset import DRAWN, SceneSet
from train.needles.scenes import Scene, mirrored
from train.predictors import from_torch
from train.thresholds import tuned

__all__ = [
    "Parity",
    "Probabilities",
    "export",
    "export_run",
    "parity",
    "stamp",
    "stamp_reports",
    "write_onnx",
]

MAX_PROBABILITY_DIFFERENCE = 1e-3
MIN_MASK_DICE = 0.999
_SCENES = 2000


class Probabilities(nn.Module):
    """A network followed by the sigmoid: what is exported answers with probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(1, C, h', w')`` of a picture ``(1, 1, h, w)``."""
        return cast("torch.Tensor", self.network(picture).sigmoid())


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the exported file is from torch, over some pictures, in fp32 on the CPU."""

    pictures: int
    max_probability_difference: float
    min_mask_dice: float

    @property
    def holds(self) -> bool:
        """Whether the file may be shipped."""
        return (
            self.max_probability_difference <= MAX_PROBABILITY_DIFFERENCE
            and self.min_mask_dice >= MIN_MASK_DICE
        )


def export(
    checkpoint: Path, target: Path, spec: ModelSpec, pictures: Sequence[GrayImage]
) -> Parity:
    """Write ``target`` from ``checkpoint`` and check it through `nerveseg.vision.segment`.

    ``pictures`` are grey frames, ``uint8`` ``(H, W)``. Raises `ModelError` when parity fails;
    ``target`` is replaced only when it holds.
    """
    network = Probabilities(load_network(checkpoint)).eval()
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / target.name
        write_onnx(network, fresh, spec)
        result = parity(network, fresh, pictures)
        if not result.holds:
            raise ModelError(f"{target.name} differs from torch: {result}; it was not written")
        fresh.replace(target)
    return result


def write_onnx(network: nn.Module, target: Path, spec: ModelSpec) -> None:
    """Trace ``network`` for one picture of the spec's size and put the spec in the metadata."""
    picture = torch.zeros(1, 1, *spec.input_hw)
    torch.onnx.export(
        network,
        (picture,),
        str(target),
        input_names=["picture"],
        output_names=["probabilities"],
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(target)
    stamp(model, spec)
    onnx.save(model, target)


def stamp(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Put ``spec`` into an ONNX model's metadata, in place of any it had."""
    kept = [p for p in model.metadata_props if p.key != SPEC_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=SPEC_KEY, value=spec.to_json())


def parity(network: nn.Module, file: Path, pictures: Sequence[GrayImage]) -> Parity:
    """Compare torch and the file on whole pictures, masks in frame pixels included."""
    segmenter = Segmenter.load(file, backend="onnxruntime")
    differences, dices = [], []
    for pixels in pictures:
        region = Box(0, 0, pixels.shape[1], pixels.shape[0])
        tensor = segmenter.preprocess(pixels, region)
        with torch.inference_mode():
            expected = network(torch.from_numpy(tensor)).numpy()
        got = segmenter.infer(tensor)
        differences.append(float(np.abs(expected - got).max()))
        shape = (pixels.shape[0], pixels.shape[1])
        ours = masks(segmenter.segmentation(got, region, shape))
        theirs = masks(segmenter.segmentation(expected, region, shape))
        dices += [_dice(ours[name], theirs[name]) for name in ours]
    return Parity(len(pictures), max(differences), min(dices))


def _dice(one: Any, other: Any) -> float:
    total = int(one.sum()) + int(other.sum())
    return 1.0 if total == 0 else 2.0 * int((one & other).sum()) / total


def export_run(
    checkpoint: Path,
    target: Path,
    *,
    root: Path | None = None,
    version: str = "1",
    pictures: int = 24,
) -> Parity:
    """`export` with the spec made from the run's config and its cards' licences.

    Thresholds are chosen, and parity is checked on about ``pictures`` frames, on the validation
    part of the run's own sets; how sure a needle is, on scenes made of them. A network that only
    learnt the needle on top of an exported file keeps that file's thresholds.
    """
    config = load_config(checkpoint)
    real = [name for name in config.data.mix if name not in (PHANTOM, *DRAWN)]
    validation = [s for name in real for s in split_samples(cards.load(name), "val", root=root)]
    spec = dataclasses.replace(
        spec_of(config),
        version=version,
        trained_on=tuple(name for name in config.data.mix if name not in DRAWN),
        licences={name: cards.load(name).licence for name in real},
    )
    segmenter = from_torch(load_network(checkpoint), spec)
    if config.model.needle_channels:
        spec = _with_needle(config, segmenter, validation)
    else:
        spec = tuned(segmenter, validation)
    every = max(1, len(validation) // pictures)
    return export(checkpoint, target, spec, [s.image for s in validation[::every]])


def _with_needle(
    config: ExperimentConfig, segmenter: Segmenter, validation: Sequence[Sample]
) -> ModelSpec:
    """The spec with what the base was exported with, and the needle's own curves."""
    spec = segmenter.spec
    if Path(config.start_from).suffix == ".onnx":
        base = read_spec(Path(config.start_from))
        spec = dataclasses.replace(
            spec,
            thresholds={**spec.thresholds, **base.thresholds},
            min_confidence=base.min_confidence,
        )
    else:
        spec = tuned(segmenter, validation)
    grounds = held_out_grounds(config, validation)
    scenes = SceneSet(grounds, spec, seed=config.seed + 3, strength=config.data.augmentation)
    drawn = (scenes.scene(number) for number in range(_SCENES))
    # Real frames show no needle: what is seen there is none, and weighs beside the scenes.
    real = (Scene(s.image[find_region(s.image).slices], None) for s in validation)
    both_ways = (side for scene in real for side in (scene, mirrored(scene)))
    fitted = fit_confidence(segmenter, chain(drawn, both_ways))
    return dataclasses.replace(spec, confidence=fitted)


def stamp_reports(file: Path, reports: Sequence[Path]) -> ModelSpec:
    """Put evaluations' figures into the spec inside ``file``, so that the app can show them.

    Several reports are of different sets: where two measure the same, the later one counts.
    Raises `DataError` when one is not an evaluation of this very model.
    """
    spec = read_spec(file)
    metrics: dict[str, Any] = {"sets": {}, "sections": {}}
    for report in reports:
        summary = _summary_of(report, spec)
        metrics["sets"] |= {
            card: {**classes, "split": summary["split"]}
            for card, classes in summary["sets"].items()
        }
        for key, sets in summary.get("sections", {}).items():
            metrics["sections"].setdefault(key, {}).update(sets)
        metrics["date"] = summary["date"]
    spec = dataclasses.replace(spec, metrics=metrics)
    model = onnx.load(file)
    stamp(model, spec)
    onnx.save(model, file)
    return spec


def _summary_of(report: Path, spec: ModelSpec) -> dict[str, Any]:
    try:
        raw = json.loads(report.read_text("utf-8"))
        measured, summary = raw["model"], dict(raw["summary"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{report} is not an evaluation's report.json: {error}") from error
    if measured != spec.model_id:
        raise DataError(f"{report} measures {measured}, not {spec.model_id}; evaluate it first")
    return summary
