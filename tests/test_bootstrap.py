"""`train.bootstrap`: intervals that redraw whole groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nerveseg.errors import DataError
from nerveseg.vision.metrics import calibration
from train.bootstrap import GroupBootstrap


def test_intervals_redraw_groups_not_pictures() -> None:
    values = [0.0] * 50 + [1.0] * 50
    twins = GroupBootstrap(["a"] * 50 + ["b"] * 50).mean(values)
    strangers = GroupBootstrap([str(i) for i in range(100)]).mean(values)
    # two groups: a quarter of the draws hold only the one, a quarter only the other
    assert (twins.value, twins.low, twins.high) == (0.5, 0.0, 1.0)
    # a hundred: about 0.5 ± 1.96·sqrt(0.25/100)
    assert (strangers.low, strangers.high) == pytest.approx((0.402, 0.598), abs=0.02)


def test_intervals_are_repeatable_and_hold_the_value() -> None:
    values = np.random.default_rng(1).random(60)
    groups = [str(i % 12) for i in range(60)]
    one, same = (GroupBootstrap(groups, seed=4).mean(values) for _ in range(2))
    assert one == same
    assert one.value == pytest.approx(values.mean())
    assert one.low < one.value < one.high
    assert one != GroupBootstrap(groups, seed=5).mean(values)


def test_one_group_gives_no_interval_and_no_value_gives_none() -> None:
    lonely = GroupBootstrap(["a", "a"]).mean([0.2, 0.4])
    assert lonely.value == pytest.approx(0.3)
    assert math.isnan(lonely.low)
    assert math.isnan(lonely.high)
    nothing = GroupBootstrap(["a", "b"]).mean([math.nan, math.nan])
    assert math.isnan(nothing.value)
    assert nothing.n == 0


def test_a_group_without_a_value_takes_no_part() -> None:
    interval = GroupBootstrap(["a", "b", "c"]).mean([0.5, math.nan, 0.5])
    assert (interval.value, interval.low, interval.high, interval.n) == (0.5, 0.5, 0.5, 2)


def test_calibration_is_pooled_over_pictures_before_it_is_measured() -> None:
    half = np.full((4, 5), 0.5, np.float32)
    empty = np.zeros((4, 5), bool)
    bins = [calibration(half, ~empty), calibration(half, empty)]
    # each alone is off by 0.5, one too high and one too low; together they are right
    assert [each.ece for each in bins] == [0.5, 0.5]
    interval = GroupBootstrap(["a", "b"]).ece(bins)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.5)


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(DataError, match="0 pictures"):
        GroupBootstrap([])
