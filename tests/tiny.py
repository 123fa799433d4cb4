"""A tiny ONNX model with exact, known answers: probability = sigmoid(a·brightness + b)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nerveseg.vision.preprocess import SPEC_KEY, ModelSpec

SPEC = ModelSpec(
    name="tiny",
    version="1",
    classes=("nerve", "vessel", "fascia"),
    input_hw=(64, 96),
    mean=0.5,
    std=0.5,
    fit="stretch",
    thresholds={"nerve": 0.5, "vessel": 0.5, "fascia": 0.5},
)

NEEDLE_SPEC = dataclasses.replace(
    SPEC,
    name="tiny-needle",
    classes=(*SPEC.classes, "needle"),
    thresholds={**SPEC.thresholds, "needle": 0.5},
    heatmaps=("needle tip",),
    input_hw=(128, 192),
    # Sure of one long line (0.1 of the diagonal and more), and of its tip if the map shows one.
    confidence={
        "shaft": (-4.0, 0.0, 0.0, 60.0, 0.0, 0.0, -90.0),
        "tip": (-4.0, 0.0, 16.0, 0.0, 0.0, 0.0, 0.0),
    },
)
"""A needle's shaft where it is brighter than 232, its tip above 247: see `write_needle`."""


def write(path: Path, spec: ModelSpec | None = SPEC, *, channels: int = 3) -> Path:
    """A model at half resolution: nerve where bright, vessel where dark, fascia where brightest."""
    weights = np.array([20.0, -20.0, 20.0, 100.0, 100.0], np.float32)
    weights = weights[:channels].reshape(-1, 1, 1, 1)
    biases = np.array([0.0, -10.0, -15.0, -82.0, -94.0], np.float32)[:channels]
    nodes = [
        helper.make_node("AveragePool", ["picture"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["half", "w", "b"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    rows, columns = (spec or SPEC).input_hw
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 1, rows, columns])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(biases, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if spec is not None:
        model.metadata_props.add(key=SPEC_KEY, value=spec.to_json())
    onnx.save(model, path)
    return path


def write_needle(path: Path) -> Path:
    """A model that knows a needle too."""
    return write(path, NEEDLE_SPEC, channels=5)
