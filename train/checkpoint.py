"""Read a training checkpoint back as a network, with the config it was trained by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import nn

from nerveseg.errors import ModelError
from train.config import ExperimentConfig, from_dict
from train.model import NeedleUnet, build

__all__ = ["load_config", "load_network", "start_from"]


def load_config(checkpoint: Path) -> ExperimentConfig:
    """The config stored beside a checkpoint by `train.fit`."""
    record = checkpoint.parent / "provenance.json"
    try:
        return from_dict(json.loads(record.read_text("utf-8"))["config"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"can't read {record} ({error}); a checkpoint is used where training left it, "
            "beside its provenance.json"
        ) from error


def load_network(checkpoint: Path) -> nn.Module:
    """The trained network (the averaged weights), in evaluation mode, fp32, on the CPU."""
    network = build(load_config(checkpoint).model)
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        weights = {k.removeprefix("network."): v for k, v in state.items()}
        network.load_state_dict(weights)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{checkpoint} is not a checkpoint of this experiment: {first}") from error
    return network.eval()


def start_from(network: nn.Module, source: Path) -> None:
    """Give ``network`` the weights of a checkpoint or of an exported fp32 ONNX file.

    A network with a needle takes those of one without, and of an ONNX file always the base
    alone: the needle then starts afresh. Raises `ModelError` for a file that is neither, or
    holds another network.
    """
    if source.suffix == ".onnx":
        _from_onnx(network.base if isinstance(network, NeedleUnet) else network, source)
        return
    other = load_network(source)
    plain = isinstance(network, NeedleUnet) and not isinstance(other, NeedleUnet)
    target = cast("NeedleUnet", network).base if plain else network
    try:
        target.load_state_dict(other.state_dict())
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{source} holds another network than this config's: {first}") from error


def _from_onnx(network: nn.Module, source: Path) -> None:
    """Exporting folded each batch norm into its convolution: put it back as one that adds only.

    Convolutions stand in the file in the order in which the network runs them.
    """
    try:
        graph = onnx.load(source).graph
    except (OSError, ValueError, DecodeError) as error:
        raise ModelError(f"can't read {source} as an ONNX file: {error}") from error
    tensors = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    # Equal tensors are kept once, and the others stand for it.
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    folded = [
        [torch.from_numpy(tensors[name].copy()) for name in node.input[1:] if name in tensors]
        for node in graph.node
        if node.op_type == "Conv"
    ]
    layers = list(network.modules())
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    if len(places) > len(folded):
        raise ModelError(
            f"{source} has {len(folded)} convolutions, this config's network has {len(places)}; "
            "start from the exported fp32 file of the same network"
        )
    with torch.no_grad():
        # Of a file with a needle, the base's come first.
        for place, tensor in zip(places, folded, strict=False):
            after = layers[place + 1] if place + 1 < len(layers) else None
            _unfold(cast("nn.Conv2d", layers[place]), after, tensor, source)


def _unfold(
    layer: nn.Conv2d, after: nn.Module | None, folded: list[torch.Tensor], source: Path
) -> None:
    norm = after if isinstance(after, nn.BatchNorm2d) else None
    bias = layer.bias if norm is None else norm.bias
    if len(folded) != 2 or folded[0].shape != layer.weight.shape or bias is None:
        raise ModelError(
            f"{source} has no weights that fit {layer}; start from the exported fp32 file "
            "of the same network"
        )
    layer.weight.copy_(folded[0])
    bias.copy_(folded[1])
    if norm is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
        norm.weight.fill_(1.0)
