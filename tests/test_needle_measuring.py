"""Measuring needles: single pictures in a report, and phantoms followed through a clip."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from nerveseg.errors import DataError, ModelError
from nerveseg.types import Sample
from tests import tiny
from train.bootstrap import GroupBootstrap
from train.evaluate import evaluate
from train.needle_clips import Moment, measure_clips, phantom_figures
from train.needle_scores import NeedleMeter
from train.predictors import from_onnx


def sample(name: str, *, drawn: bool, labelled: bool, known: bool = True) -> Sample:
    pixels, mask = np.full((256, 384), 100, np.uint8), np.zeros((256, 384), np.uint8)
    if drawn:
        cv2.line(pixels, (0, 40), (250, 190), 240, 9)
        cv2.circle(pixels, (250, 190), 8, 255, -1)
    if labelled:
        cv2.line(mask, (0, 40), (250, 190), 1, 9)
    return Sample(
        name=name,
        image=pixels,
        masks={"needle": mask.astype(np.bool_)} if known else {},
        known=frozenset({"needle"} if known else {"nerve"}),
        group=name,
        card="drawn" if known else "without",
    )


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> NeedleMeter:
    predictor = from_onnx(tiny.write_needle(tmp_path_factory.mktemp("m") / "needle.onnx"))
    meter = NeedleMeter(predictor.spec, worst=3, without=frozenset({"without"}))
    for each in (
        sample("right", drawn=True, labelled=True),
        sample("missed", drawn=False, labelled=True),
        sample("false", drawn=True, labelled=False),
        sample("none", drawn=False, labelled=False),
        sample("elsewhere", drawn=True, labelled=False, known=False),
        dataclasses.replace(sample("x", drawn=True, labelled=False, known=False), card="unknown"),
    ):
        meter.measure(each, predictor.predict(each.image))
    return meter


def test_found_missed_and_false_needles_are_told_apart(meter: NeedleMeter) -> None:
    section = meter.section(draws=50, seed=0)
    assert section is not None
    drawn, without = section.sets  # and none of the card of which nothing is known
    assert drawn.counts == {"present": 2, "said": 2, "found": 1, "false": 1, "sure": 2}
    assert drawn.figures["found_rate"].interval.value == 0.5
    assert drawn.figures["false_rate"].interval.value == 0.5
    assert drawn.figures["angle_median"].interval.value < 2
    assert drawn.figures["tip_median"].interval.value < 3
    assert without.counts["false"] == 1
    assert math.isnan(without.figures["found_rate"].interval.value)


def test_the_worst_are_the_false_and_the_missed(meter: NeedleMeter) -> None:
    section = meter.section(draws=50, seed=0)
    assert section is not None
    captions = [picture.caption for picture in section.pictures]
    assert len(captions) == 3
    assert not any("right" in caption for caption in captions)


def test_a_set_without_labels_is_measured_for_false_needles_alone(tmp_path: Path) -> None:
    predictor = from_onnx(tiny.write_needle(tmp_path / "needle.onnx"))
    picture = sample("x", drawn=True, labelled=False, known=False)
    anatomy = dataclasses.replace(picture, card="usgra-seg")
    (section,) = evaluate(predictor, [anatomy], classes=["needle"], draws=20).sections
    assert section.sets[0].counts["false"] == 1
    unknown = dataclasses.replace(picture, card="needle-frames")
    with pytest.raises(DataError, match="known class"):
        evaluate(predictor, [unknown], classes=["needle"], draws=20)


def test_a_model_that_cannot_tell_how_sure_it_is_is_refused() -> None:
    unsure = dataclasses.replace(tiny.NEEDLE_SPEC, confidence={})
    with pytest.raises(ModelError, match="train export"):
        NeedleMeter(unsure, worst=1)


def test_a_median_is_the_middle_one_and_its_interval_holds_it() -> None:
    values = [5.0, 1.0, math.nan, 3.0]
    median = GroupBootstrap(["a", "b", "c", "d"], draws=200).median(values)
    assert (median.value, median.n) == (3.0, 3)
    assert 1.0 <= median.low <= 3.0 <= median.high <= 5.0
    assert math.isnan(GroupBootstrap(["a"]).median([math.nan]).value)


# One clip of eight frames, worked by hand: tip in plane on the first five.
CLIP = [
    # time, status, confidence, visible, hidden for, error, tolerance
    Moment(0.0, "lost", 0.0, True, 0.0, math.nan, 1.0),
    Moment(0.1, "seen", 0.9, True, 0.0, 0.5, 1.0),
    Moment(0.2, "seen", 0.9, True, 0.0, 0.7, 1.0),
    Moment(0.3, "seen", 0.4, True, 0.0, 9.0, 1.0),  # wrong, but not confident
    Moment(0.4, "seen", 0.9, True, 0.0, 6.0, 1.0),  # wrong and confident
    Moment(0.5, "predicted", 0.5, False, 0.0, 1.0, 1.0),
    Moment(0.6, "predicted", 0.3, False, 0.1, 1.2, 1.0),
    Moment(0.9, "seen", 0.6, False, 0.4, 2.0, 1.0),  # said too long after it left
]


def test_figures_of_a_clip_worked_by_hand() -> None:
    figures = phantom_figures([CLIP])
    assert figures["frames"] == 8
    assert figures["answered"] == pytest.approx(4 / 5)
    assert figures["tip_mm"]["median"] == pytest.approx((0.7 + 6.0) / 2)
    assert figures["said_when_hidden"] == 1.0
    assert (figures["left_the_plane"], figures["lost_in_time"]) == (1, 0.0)
    assert figures["confident_and_wrong"] == pytest.approx(1 / 8)
    assert (figures["sure"], figures["sure_near"]) == (3, pytest.approx(2 / 3, abs=1e-4))


def test_a_model_without_a_needle_can_not_be_followed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="knows no needle"):
        measure_clips(tiny.write(tmp_path / "tiny.onnx"))


def test_phantoms_are_followed_from_end_to_end(tmp_path: Path) -> None:
    report = measure_clips(tiny.write_needle(tmp_path / "needle.onnx"), phantoms=2, frames=4)
    assert report["model"] == "tiny-needle@1"
    assert report["phantoms"]["frames"] == 8
    assert report["without_needle"] == {}
