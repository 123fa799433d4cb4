"""An INT8 variant of an exported model: QDQ, calibrated on training frames.

Kept only when it is faster and loses at most 0.005 Dice: `python -m train quantise` measures
both against the fp32 file and says so.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from nerveseg.data import cards
from nerveseg.errors import DataError
from nerveseg.types import GrayImage
from nerveseg.video.crop import find_region
from nerveseg.vision.backends import read_spec
from nerveseg.vision.preprocess import ModelSpec, Tensor, to_tensor
from train.data import split_samples
from train.export import stamp
from train.fit import PHANTOM
from train.needles.phantoms import phantom_scenes
from train.needles.scenes import make_scene

__all__ = ["decoder_nodes", "quantise", "quantise_run"]

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


class _Frames(CalibrationDataReader):  # type: ignore[misc] # the library is untyped
    """Feeds frames as the app would: cropped, fitted, normalised."""

    def __init__(self, pictures: Iterable[GrayImage], spec: ModelSpec) -> None:
        self._tensors: Iterator[Tensor] = (
            to_tensor(pixels, find_region(pixels), spec) for pixels in pictures
        )

    def get_next(self) -> dict[str, Tensor] | None:
        """The next input, or ``None`` at the end (the library's protocol)."""
        tensor = next(self._tensors, None)
        return None if tensor is None else {"picture": tensor}


def quantise(
    source: Path,
    target: Path,
    pictures: Iterable[GrayImage],
    *,
    method: str = "percentile",
    keep_float: Sequence[str] = (),
) -> None:
    """Write the INT8 variant of ``source``; nodes named in ``keep_float`` stay in fp32.

    ``pictures`` are grey frames, uint8 ``(H, W)``, of the training part only.
    """
    # Its own identity, and none of the fp32 model's figures: it has yet to be measured.
    fp32 = read_spec(source)
    spec = dataclasses.replace(fp32, version=f"{fp32.version}-int8", metrics={})
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(target),
            _Frames(pictures, spec),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=METHODS[method],
            nodes_to_exclude=list(keep_float),
        )
    model = onnx.load(target)
    stamp(model, spec)
    onnx.save(model, target)


def quantise_run(
    source: Path,
    target: Path,
    *,
    root: Path | None = None,
    method: str = "percentile",
    frames: int = 96,
    keep_last_stage: bool = True,
) -> None:
    """`quantise` on training frames of the sets that the model was trained on."""
    if method not in METHODS:
        raise DataError(f"calibration method {method!r} is not one of {sorted(METHODS)}")
    real = [name for name in read_spec(source).trained_on if name != PHANTOM]
    each = max(1, frames // max(1, len(real)))
    pictures = [
        sample.image
        for name in real
        for sample in islice(split_samples(cards.load(name), "train", root=root), each)
    ]
    if read_spec(source).heatmaps:
        pictures += _needle_pictures(pictures)
    keep = decoder_nodes(source) if keep_last_stage else []
    quantise(source, target, pictures, method=method, keep_float=keep)


def _needle_pictures(tissue: Sequence[GrayImage]) -> list[GrayImage]:
    """Half as many again with needles: real frames show none, and its layers would see nothing."""
    rng = np.random.default_rng(0)
    drawn = [make_scene(picture, rng).picture for picture in tissue[::4]]
    return drawn + [scene.picture for scene in phantom_scenes(len(drawn), seed=5)]


def decoder_nodes(source: Path) -> list[str]:
    """Names of the nodes after the last skip connection of each decoder, to the outputs.

    They decide where an outline runs, so that rounding hurts there most. Found by walking back
    from the outputs: a join that is met before any convolution only gathers the heads.
    """
    graph = onnx.load(source).graph
    maker = {name: node for node in graph.node for name in node.output}
    ahead = [(maker[output.name], False) for output in graph.output]
    found: dict[str, None] = {}
    while ahead:
        node, past_a_head = ahead.pop()
        if node.op_type == "Concat" and past_a_head:
            continue
        if node.name in found or node.op_type in ("Constant", "Shape"):
            continue
        found[node.name] = None
        convolved = past_a_head or node.op_type == "Conv"
        ahead += [(maker[name], convolved) for name in node.input if name in maker]
    return [node.name for node in graph.node if node.name in found]
