"""The measures of an insertion, against clips worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.practice import NeedleSample, measure, sample_of, tip_statuses
from nerveseg.practice.smoothness import spectral_arc_length
from nerveseg.types import Box, Frame, FrameResult, Guidance, Needle, NeedleState, Segmentation

LOST = NeedleSample(0.0, "lost", None, None, False, {}, 1.0, 500.0)


def at(x, y=0.0, status="seen", *, entry=(-10.0, 0.0), **near):
    """A needle with its tip there, at 1 mm a pixel: a least move is 1."""
    return NeedleSample(0.0, status, (float(x), float(y)), entry, True, near, 1.0, 500.0)


def clip(*samples, step_s=1.0):
    return [replace(sample, time_s=index * step_s) for index, sample in enumerate(samples)]


SHAFT = replace(LOST, shaft_shown=True)

# One frame a second, one millimetre a pixel. Expected: elapsed time, share of it in sight, whole
# path, L, d, inefficiency in %, advance, share of it in sight, redirections, withdrawals.
HAND_WORKED = {
    "no frame at all": ([], (None,) * 10),
    "no needle": ([LOST] * 4, (None,) * 10),
    # one picture: a place, but no time and no move
    "one picture": ([at(5)], (0, None, 0, 0, 0, None, 0, None, None, None)),
    "straight in, all in sight": ([at(0), at(2), at(4), at(6)], (3, 1, 6, 6, 6, 0, 6, 1, 0, 0)),
    # 3 right and 4 down: L = 3 + 4, d = 5; forward is 3 and then, along (13, 4)/13.6, 4·0.294;
    # it points atan(4/13) = 17.1 degrees elsewhere
    "round a corner": (
        [at(0), at(3), at(3, 4)],
        (2, 1, 7, 7, 5, 40, 3 + 16 / math.hypot(13, 4), 1, 1, 0),
    ),
    # 6 in, 4 back, 4 in again: L = 14 for d = 6
    "drawn back once": ([at(0), at(6), at(2), at(6)], (3, 1, 14, 14, 6, 100 * 8 / 6, 10, 1, 0, 1)),
    # 2 back is a hesitation, less than three moves
    "a hesitation": ([at(0), at(6), at(4), at(6)], (3, 1, 10, 10, 6, 100 * 4 / 6, 8, 1, 0, 0)),
    # drawn out at the end, which is no waste
    "in and out again": ([at(0), at(6), at(0)], (2, 1, 12, 6, 6, 0, 6, 1, 0, 1)),
    # only drawn back: there is no way in
    "only out": ([at(6), at(0)], (1, 1, 6, 0, 0, None, 0, None, 0, 1)),
    # 2 seconds of 4 out of sight, 1 of them in the move of 6 mm that took 2
    "half of it blind": (
        [at(0), at(4), LOST, at(10), at(10)],
        (4, 3 / 4, 10, 10, 10, 0, 10, (4 + 6 * 0.5) / 10, 0, 0),
    ),
    # a predicted tip is a guess: neither sight nor place
    "predicted is not seen": (
        [at(0), at(90, status="predicted"), at(4)],
        (2, 1 / 2, 4, 4, 4, 0, 4, 1 / 2, 0, 0),
    ),
    # the shaft shows before the tip and after it: 5 s of needle, 2 of them with its tip
    "the shaft alone": (
        [SHAFT, SHAFT, at(0), at(3), SHAFT, SHAFT, LOST],
        (5, 2 / 5, 3, 3, 3, 0, 3, 1, 0, 0),
    ),
    # nothing is known of the needle once even its shaft is gone
    "gone at the end": ([at(0), at(3), LOST, LOST], (1, 1, 3, 3, 3, 0, 3, 1, 0, 0)),
    # moves of half a millimetre are none, but they add up to some
    "creeping": ([at(0), at(0.5), at(1.0), at(1.5), at(2.0)], (4, 1, 2, 2, 2, 0, 2, 1, 0, 0)),
    "jitter": (
        [at(0), at(0.9), at(-0.9), at(0.9)],
        (3, 1, 0, 0, 0, None, 0, None, None, None),
    ),
    # sideways without pointing elsewhere: a path, but no way in and no advance
    "pushed sideways": (
        [at(0, entry=(0, 10)), at(4, entry=(4, 10)), at(8, entry=(8, 10))],
        (2, 1, 8, 8, 8, 0, 0, None, 0, 0),
    ),
    # it points straight on twice, then 11.3 degrees elsewhere (2 in 10), and stays there
    "redirected once": (
        [at(0), at(10), at(10, 4), at(20, 6)],
        (3, 1, None, None, None, None, None, 1, 1, 0),
    ),
}


@pytest.mark.parametrize("case", HAND_WORKED)
def test_hand_worked_clips(case):
    frames, expected = HAND_WORKED[case]
    found = measure(clip(*frames))
    got = (
        found.elapsed_s, found.tip_visible_share, found.path_length, found.way_in,
        found.straight_way_in, found.path_inefficiency_pct, found.advance,
        found.advance_visible_share, found.redirections, found.withdrawals,
    )  # fmt: skip
    if case == "redirected once":  # the turn is what it is about
        got = (*got[:2], *[None] * 5, *got[7:])
    for ours, true in zip(got, expected, strict=True):
        assert ours == (None if true is None else pytest.approx(true))
    assert found.frames == len(frames) == (
        found.not_yet_frames + found.seen_frames + found.predicted_frames + found.lost_frames
    )  # fmt: skip


# letters of what is known: n(ot yet), s(een), p(redicted), l(ost)
@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([], ""),
        ([LOST, SHAFT, LOST], "nnn"),  # never seen, so never lost
        ([LOST, at(0), LOST, at(1, status="predicted"), LOST], "nslpl"),
        ([at(0), SHAFT], "sl"),
    ],
)
def test_only_a_tip_that_was_seen_is_lost_later(frames, told):
    assert "".join(status[0] for status in tip_statuses(clip(*frames))) == told
    found = measure(clip(*frames))
    counts = found.not_yet_frames, found.seen_frames, found.predicted_frames, found.lost_frames
    assert counts == tuple(told.count(letter) for letter in "nspl")


def test_nearest_structures_count_only_where_the_tip_is_seen():
    guess = at(4, status="predicted", nerve=1.0, vessel=0.0)
    frames = clip(at(0, nerve=9.0), at(2, nerve=6.5), guess, at(5, nerve=7.0, vessel=3.0), LOST)
    found = measure([replace(frame, mm_per_px=0.5) for frame in frames])
    assert (found.nearest_nerve, found.nearest_vessel) == (3.25, 1.5)
    assert found.unit == "mm"
    none = measure(clip(at(0), at(3)))
    assert (none.nearest_nerve, none.nearest_vessel) == (None, None)


def test_millimetres_only_where_every_frame_tells_the_same_scale():
    frames = clip(at(0), at(40), at(80))
    for scales, unit, length in [
        ((0.1, 0.1, 0.1), "mm", 8.0),
        ((None, None, None), "px", 80.0),
        ((0.1, None, 0.1), "px", 80.0),
        ((0.1, 0.2, 0.2), "px", 80.0),  # the depth was changed: no one scale
    ]:
        scaled = [replace(f, mm_per_px=s) for f, s in zip(frames, scales, strict=True)]
        found = measure(scaled)
        assert (found.unit, found.path_length) == (unit, pytest.approx(length))


def test_without_a_scale_a_move_is_a_share_of_the_diagonal():
    frames = [replace(f, mm_per_px=None) for f in clip(at(0), at(4.9), at(0.0), at(5.1))]
    assert measure(frames).path_length == pytest.approx(5.1)  # 1 % of 500 is 5


@pytest.mark.parametrize("fps", [10, 25, 60])
def test_the_jitter_of_a_still_tip_adds_nothing(fps):
    """Followed tips jitter by about 2 px of 800, here 0.2 mm."""
    rng = np.random.default_rng(3)
    frames = clip(*(at(*rng.normal(0, 0.2, 2)) for _ in range(20 * fps)), step_s=1 / fps)
    found = measure(frames)
    # Its raw steps add up to more than 50 mm.
    tips = np.array([frame.tip_xy for frame in frames])
    assert np.hypot(*np.diff(tips, axis=0).T).sum() > 50
    assert found.path_length == 0
    assert found.smoothness is None


def test_jitter_on_the_way_hardly_lengthens_it():
    rng = np.random.default_rng(5)
    frames = clip(
        *(at(5 * t + rng.normal(0, 0.2), rng.normal(0, 0.1)) for t in np.arange(0, 8, 0.04)),
        step_s=0.04,
    )
    found = measure(frames)
    assert found.path_length == pytest.approx(40, abs=2)
    assert 0 <= found.path_inefficiency_pct < 3
    assert (found.redirections, found.withdrawals) == (0, 0)
    assert found.advance_visible_share == 1.0


def test_an_angle_that_jumps_between_plus_and_minus_180_is_no_redirection():
    """A level needle from the right, its direction a little up and a little down."""
    frames = [at(-3 * i, 0.3 * (-1) ** i, entry=(90.0, 0.0)) for i in range(12)]
    found = measure(clip(*frames))
    assert found.redirections == 0
    assert found.advance == pytest.approx(33, abs=0.5)


def test_times_that_repeat_or_run_back_are_no_time():
    frames = [
        replace(at(2 * i), time_s=t) for i, t in enumerate([1.0, 2.0, 2.0, 1.0, 2.0, math.nan])
    ]
    found = measure(frames)
    assert (found.clip_s, found.elapsed_s, found.tip_visible_share) == (2.0, 2.0, 1.0)
    # Looks at one moment are averaged: 0, then 2, 4 and 6, then 8 and 10.
    assert found.path_length == pytest.approx(9.0)


class TestSmoothness:
    def strokes(self, *starts, rate=50.0, seconds=4.0):
        """Speed of even strokes of one second each (a cosine bell)."""
        time = np.arange(0, seconds, 1 / rate)
        bells = [
            np.where(abs(time - s - 0.5) < 0.5, 1 - np.cos(2 * np.pi * (time - s)), 0)
            for s in starts
        ]
        return np.sum(bells, axis=0)

    def test_a_minimum_jerk_stroke_has_the_published_value(self):
        """About -1.4, whatever its height and duration (Balasubramanian et al. 2015, figure 2)."""
        share = np.linspace(0, 1, 200)
        bell = 30 * share**2 - 60 * share**3 + 30 * share**4
        values = [
            spectral_arc_length(bell * high, rate) for high in (1, 40) for rate in (50.0, 200.0)
        ]
        assert values == pytest.approx([-1.41] * 4, abs=0.02)

    def test_each_stroke_more_is_less_smooth(self):
        values = [
            spectral_arc_length(self.strokes(*starts), 50.0)
            for starts in ([0.5], [0.5, 1.6], [0.1, 1.3, 2.6])
        ]
        assert values[0] > values[1] + 0.3 > values[2] + 0.6

    def test_the_arc_of_a_known_spectrum(self):
        """Against the definition, the spectrum summed up by hand at every frequency."""
        rate, speed = 40.0, self.strokes(0.3, 1.7, rate=40.0)
        when = np.arange(len(speed)) / rate
        hz = np.arange(0, 10, 0.001)
        amplitude = np.array([abs(np.sum(speed * np.exp(-2j * np.pi * f * when))) for f in hz])
        amplitude /= amplitude[0]
        last = np.flatnonzero(amplitude >= 0.05)[-1]
        slope = np.gradient(amplitude[: last + 1], hz[: last + 1])
        arc = np.sum(np.sqrt((1 / hz[last]) ** 2 + slope[:-1] ** 2)) * 0.001
        assert spectral_arc_length(speed, rate) == pytest.approx(-arc, rel=0.02)

    @pytest.mark.parametrize("speed", [[], [1.0, 2.0], [0.0] * 50])
    def test_nothing_that_moves_has_no_smoothness(self, speed):
        assert spectral_arc_length(np.array(speed), 25.0) is None

    def test_an_even_insertion_is_smoother_than_a_halting_one(self):
        def depth(time, *, halting):
            return 20 * (1 - math.cos(math.pi * time / 4)) / 2 + halting * math.sin(8 * time)

        scores = []
        for halting in (0.0, 1.0, 2.0):
            frames = [at(depth(i / 25, halting=halting)) for i in range(100)]
            scores.append(measure(clip(*frames, step_s=0.04)).smoothness)
        assert scores[0] == pytest.approx(-1.5, abs=0.15)
        assert scores[0] > scores[1] + 0.2 > scores[2] + 0.4

    def test_the_longest_stretch_in_sight_counts(self):
        halting = [at(2 * (i % 5)) for i in range(20)]
        even = [at(10 - 10 * math.cos(math.pi * i / 100)) for i in range(101)]
        both = measure(clip(*halting, *[LOST] * 20, *even, step_s=0.04)).smoothness
        assert both == pytest.approx(measure(clip(*even, step_s=0.04)).smoothness)

    def test_short_breaks_are_bridged(self):
        even = [at(10 - 10 * math.cos(math.pi * i / 100)) for i in range(101)]
        holes = [LOST if i % 10 in (4, 5) else sample for i, sample in enumerate(even)]
        whole, broken = (measure(clip(*f, step_s=0.04)).smoothness for f in (even, holes))
        assert broken == pytest.approx(whole, abs=0.05)


def result_of(state, guidance=None, mm_per_px=0.2):
    frame = Frame(3, 1.5, np.zeros((80, 100), np.uint8), mm_per_px)
    nothing = np.zeros((8, 10), np.float32)
    segmentation = Segmentation(
        {"nerve": nothing}, Box(10, 10, 40, 50), (80, 100), {"nerve": 0.5}, "a@1"
    )
    return FrameResult(frame, segmentation, {}, {}, needle_state=state, guidance=guidance)


def test_a_sample_is_taken_from_a_frames_result():
    needle = Needle((0, 0), (30, 40), 0.8, 0.9, ((1, 1), (30, 40)), 0.9)
    guidance = Guidance(((30, 40), (40, 50)), {"nerve": 7.0}, (), 53.0, 0.9)
    sample = sample_of(result_of(NeedleState("seen", needle, 0.0, ((1, 1), (30, 40))), guidance))
    assert sample == NeedleSample(1.5, "seen", (30, 40), (0, 0), True, {"nerve": 7.0}, 0.2, 50.0)
    gone = sample_of(result_of(NeedleState("lost", age_s=3.0)))
    assert gone == NeedleSample(1.5, "lost", None, None, False, {}, 0.2, 50.0)


@pytest.mark.parametrize(("status", "tip"), [("seen", None), ("lost", (1.0, 2.0))])
def test_a_sample_has_a_tip_exactly_when_it_is_not_lost(status, tip):
    with pytest.raises(ValueError, match=status):
        NeedleSample(0.0, status, tip, tip, False, {}, None, 100.0)


places = st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
samples = st.one_of(
    st.just(LOST),
    st.builds(
        lambda tip, entry, status, near: NeedleSample(
            0.0, status, tip, entry, True, near, None, 500.0
        ),
        places,
        places,
        st.sampled_from(["seen", "predicted"]),
        st.dictionaries(st.sampled_from(["nerve", "vessel"]), st.floats(0, 1e3)),
    ),
)


@given(frames=st.lists(st.tuples(samples, st.floats(-1, 1)), max_size=30))
def test_whatever_a_clip_holds_its_measures_are_sane(frames):
    times = np.cumsum([step for _, step in frames])
    found = measure([replace(f, time_s=float(t)) for (f, _), t in zip(frames, times, strict=True)])
    for share in (found.tip_visible_share, found.advance_visible_share):
        assert share is None or -1e-9 <= share <= 1 + 1e-9
    if found.path_inefficiency_pct is not None:
        assert found.path_inefficiency_pct >= -1e-6
    if found.path_length is not None:
        assert found.straight_way_in <= found.way_in + 1e-6
        assert found.way_in <= found.path_length + 1e-6
        assert found.advance <= found.path_length + 1e-6
    assert found.elapsed_s is None or 0 <= found.elapsed_s <= found.clip_s + 1e-9
    assert (found.path_length is None) == (found.seen_frames == 0)
