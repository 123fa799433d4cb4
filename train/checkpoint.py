"""Read a training checkpoint back as a network, with the config it was trained by."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from nerveseg.errors import ModelError
from train.config import ExperimentConfig, from_dict
from train.model import build

__all__ = ["load_config", "load_network"]


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
