"""Frame to tensor and back: the geometry is an exact inverse, the spec survives a round trip."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerveseg.errors import ModelError
from nerveseg.types import Box
from nerveseg.vision.preprocess import (
    ModelSpec,
    content_of,
    fit_image,
    fit_mask,
    to_frame,
    to_tensor,
)
from tests.tiny import SPEC

LETTERBOX = dataclasses.replace(SPEC, fit="letterbox")


def test_tensor_is_normalised_brightness() -> None:
    frame = np.full((50, 70), 255, np.uint8)
    frame[:, :35] = 0
    tensor = to_tensor(frame, Box(0, 0, 70, 50), SPEC)
    assert tensor.shape == (1, 1, 64, 96)
    assert tensor.dtype == np.float32
    # (0 - 0.5) / 0.5 and (1 - 0.5) / 0.5
    assert tensor[0, 0, :, 0] == pytest.approx(-1)
    assert tensor[0, 0, :, -1] == pytest.approx(1)


def test_only_the_region_reaches_the_network() -> None:
    frame = np.full((100, 100), 200, np.uint8)
    frame[20:60, 30:90] = 10
    tensor = to_tensor(frame, Box(30, 20, 90, 60), SPEC)
    assert tensor == pytest.approx((10 / 255 - 0.5) / 0.5)


def test_letterbox_keeps_the_aspect_and_centres_on_black() -> None:
    fitted = fit_image(np.full((100, 50), 255, np.uint8), LETTERBOX)
    # 100×50 into 64×96: scale 0.64, so 64×32, with (96 − 32) / 2 = 32 columns each side.
    assert (fitted[:, :32] == 0).all()
    assert (fitted[:, 32:64] == 255).all()
    assert (fitted[:, 64:] == 0).all()


def test_mask_keeps_its_share_of_the_picture() -> None:
    mask = np.zeros((128, 192), np.bool_)
    mask[32:96, 48:144] = True
    assert fit_mask(mask, SPEC).mean() == pytest.approx(mask.mean(), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(40, 300),
    width=st.integers(40, 300),
    left=st.integers(0, 15),
    top=st.integers(0, 15),
    fit=st.sampled_from(["stretch", "letterbox"]),
    half=st.booleans(),
)
def test_a_box_comes_back_where_it_was(
    height: int, width: int, left: int, top: int, fit: str, half: bool
) -> None:
    """A rectangle drawn on the frame, sent to network space and back, stays within rounding."""
    spec = dataclasses.replace(SPEC, fit=fit)
    region = Box(left, top, width - 5, height - 5)
    truth = np.zeros((height, width), np.bool_)
    truth[
        top + region.height // 4 : top + 3 * region.height // 4,
        left + region.width // 4 : left + 3 * region.width // 4,
    ] = True
    seen = fit_mask(truth[region.slices], spec)
    if half:
        seen = seen.reshape(32, 2, 48, 2).mean(axis=(1, 3))
    back = to_frame(content_of(seen, region, spec), region, (height, width)) >= 0.5
    # One network pixel (two at half resolution) of error along each edge at most.
    rows, columns = content_of(seen, region, spec).shape
    slack = 2 * (region.width * (region.height / rows) + region.height * (region.width / columns))
    assert np.count_nonzero(back != truth) <= slack
    centre = np.argwhere(back).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    assert abs(centre[0]) <= 0.5 + region.height / rows
    assert abs(centre[1]) <= 0.5 + region.width / columns


def test_nothing_outside_the_region() -> None:
    back = to_frame(np.ones((32, 48), np.float32), Box(10, 20, 60, 80), (100, 100))
    assert back.sum() == 50 * 60
    assert back[20:80, 10:60].min() == 1


def test_spec_round_trip() -> None:
    spec = dataclasses.replace(
        SPEC,
        trained_on=("a",),
        min_confidence={"nerve": 0.8},
        licences={"a": "CC BY 4.0"},
        metrics={"b": 1},
    )
    assert ModelSpec.from_json(spec.to_json()) == spec


NEEDLE_SPEC = dataclasses.replace(
    SPEC,
    classes=(*SPEC.classes, "needle"),
    thresholds={**SPEC.thresholds, "needle": 0.5},
    heatmaps=("needle tip",),
    confidence={"shaft": (0.5,) * 7, "tip": (1.5,) * 7},
)


def test_spec_of_a_needle_round_trip() -> None:
    assert ModelSpec.from_json(NEEDLE_SPEC.to_json()) == NEEDLE_SPEC
    assert NEEDLE_SPEC.areas == SPEC.classes


@pytest.mark.parametrize(
    "confidence",
    [
        {"tip": [0.0] * 7},
        {"shaft": [0.0] * 2, "tip": [0.0] * 7},
        {"shaft": [0.0] * 7, "tip": [float("inf")] * 7},
    ],
)
def test_curves_that_can_not_be_used_are_refused(confidence: dict[str, list[float]]) -> None:
    raw = json.loads(NEEDLE_SPEC.to_json()) | {"confidence": confidence}
    with pytest.raises(ModelError, match="confidence"):
        ModelSpec.from_json(json.dumps(raw))


def test_spec_of_a_later_version_still_reads() -> None:
    raw = json.loads(SPEC.to_json()) | {"something_new": 3}
    assert ModelSpec.from_json(json.dumps(raw)) == SPEC


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_hw": [100, 100]}, "multiples of 32"),
        ({"fit": "squash"}, "squash"),
        ({"std": 0}, "std"),
        ({"thresholds": {"nerve": 0.5}}, "thresholds"),
        ({"thresholds": {"nerve": 0.5, "vessel": 1.5, "fascia": 0.5}}, "0..1"),
        ({"min_confidence": {"bone": 0.5}}, "min_confidence"),
        ({"min_confidence": {"nerve": 2}}, "min_confidence"),
        ({"classes": []}, "classes"),
        ({"mean": float("nan")}, "mean"),
        ({"input_hw": 3}, "spec can't be read"),
        ({"heatmaps": ["nerve"]}, "heatmaps"),
        ({"confidence": {"shaft": [0] * 7, "tip": [0] * 7}}, "confidence"),  # but no needle
    ],
)
def test_a_wrong_spec_says_what_is_wrong(change: dict[str, object], said: str) -> None:
    raw = json.loads(SPEC.to_json()) | change
    with pytest.raises(ModelError, match=said):
        ModelSpec.from_json(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "null", '"x"', "{"])
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="export"):
        ModelSpec.from_json(text)
