"""Needle, path, distances, planes and warnings on the picture: told by form, not just colour."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerveseg import anatomy
from nerveseg.types import (
    Box,
    Crossing,
    Frame,
    FrameResult,
    Guidance,
    Needle,
    NeedleState,
    Plane,
    Segmentation,
)
from nerveseg.vision.guides import distance_words
from nerveseg.vision.overlay import OverlayStyle, draw, structure_stats

SHAPE = (480, 640)
ENTRY, TIP, PATH_END = (0.0, 150.0), (300.0, 300.0), (639.0, 469.5)
SHAFT = ((0.0, 150.0), (200.0, 250.0))
GREEN = anatomy.default().classes["needle"].color
BARE = {"legend": False, "labels": False}


def needle(tip=TIP):
    return Needle(ENTRY, tip, 0.9, 0.95, SHAFT, 0.7)


SEEN = NeedleState("seen", needle(), 0.0, SHAFT)
PREDICTED = NeedleState("predicted", needle(), 0.2, None)
LOST = NeedleState("lost", None, 0.5, None)
LOST_BUT_SHAFT = NeedleState("lost", None, 0.5, SHAFT)
NEVER = NeedleState("lost")
GUIDANCE = Guidance(
    (TIP, PATH_END),
    {"nerve": 42.0, "vessel": 0.0},
    (Crossing("nerve", (400.0, 350.0), 111.8),),
    26.6,
    0.7,
)


def result_of(state, *, shape=SHAPE, value=100, masks=None, scale=0.1, **more):
    masks = {"nerve": np.zeros(shape, bool)} if masks is None else masks
    soft = {name: mask.astype(np.float32) for name, mask in masks.items()}
    height, width = shape
    segmentation = Segmentation(
        soft, Box(0, 0, width, height), shape, dict.fromkeys(masks, 0.5), "made@1"
    )
    stats = {name: structure_stats(mask, soft[name]) for name, mask in masks.items()}
    frame = Frame(0, 0.0, np.full(shape, value, np.uint8), scale)
    return FrameResult(frame, segmentation, masks, stats, needle_state=state, **more)


def changed(picture, value=100):
    return (picture != value).any(axis=2)


def near(picture, rgb, within=60):
    far = np.abs(picture[..., ::-1].astype(int) - np.array(rgb)).max(axis=2)
    return far <= within


def share_along(marked, start, end):
    """How much of the way from ``start`` to ``end`` is marked."""
    steps = np.linspace(0, 1, 400)[:, None]
    x, y = np.rint(np.array(start) + steps * (np.array(end) - np.array(start))).astype(int).T
    return marked[y, x].mean()


def before(tip, start, pixels):
    way = np.array(tip) - start
    return tuple(np.array(tip) - way / np.hypot(*way) * pixels)


def symbols(picture):
    """Where the strip's symbols are: yellow or red, which its words are not."""
    strip = picture[:120].astype(int)
    return (strip[..., 2] - strip[..., 0] > 60) & (strip[..., 2] > 180)


def _top(form):
    """The upper third of a symbol."""
    rows = np.flatnonzero(form.any(axis=1))
    return form[rows.min() : rows.min() + (rows.size + 2) // 3]


class TestNeedle:
    @pytest.mark.parametrize(
        ("state", "low", "high"),
        [(SEEN, 0.98, 1.0), (PREDICTED, 0.4, 0.8), (LOST, 0.0, 0.0)],
        ids=["seen", "predicted", "lost"],
    )
    def test_the_shaft_is_whole_when_seen_dashed_when_predicted_and_gone_when_lost(
        self, state, low, high
    ):
        green = near(draw(result_of(state), OverlayStyle(**BARE)), GREEN)
        assert low <= share_along(green, ENTRY, before(TIP, ENTRY, 12)) <= high

    def test_a_seen_tip_is_a_dot_in_a_ring_and_a_predicted_one_a_hollow_broken_ring(self):
        seen, predicted = (draw(result_of(s), OverlayStyle(**BARE)) for s in (SEEN, PREDICTED))
        angle = np.linspace(0, 2 * np.pi, 90)
        ring = np.rint(np.array(TIP) + 8 * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(int)
        x, y = (int(value) for value in TIP)
        assert near(seen, GREEN)[y, x]
        assert near(seen, GREEN)[ring[:, 1], ring[:, 0]].mean() > 0.95
        assert (predicted[y - 3 : y + 4, x - 3 : x + 4] == 100).all(), "hollow"
        assert 0.4 < near(predicted, GREEN)[ring[:, 1], ring[:, 0]].mean() < 0.9

    def test_of_a_lost_tip_nothing_is_drawn_but_words_and_the_shaft_where_it_shows(self):
        picture = draw(result_of(LOST_BUT_SHAFT), OverlayStyle(**BARE))
        assert 0.4 < share_along(near(picture, GREEN), *SHAFT) < 0.8
        assert not changed(picture)[260:, 215:].any(), "nothing at or beyond the tip"
        assert changed(picture)[:40, 270:370].any(), "the words"
        wordless = draw(result_of(LOST), OverlayStyle(needle=False, **BARE))
        assert not changed(wordless).any()

    def test_a_clip_without_a_needle_is_not_told_of_one(self):
        assert not changed(draw(result_of(NEVER), OverlayStyle(**BARE))).any()

    def test_a_shaft_whose_tip_was_never_seen_has_other_words_than_a_lost_tip(self):
        never = replace(LOST_BUT_SHAFT, age_s=None)
        one, other = (draw(result_of(s), OverlayStyle(**BARE)) for s in (never, LOST_BUT_SHAFT))
        assert changed(one)[:40].any()
        assert (one[:40] != other[:40]).any()

    @pytest.mark.parametrize("value", [0, 100, 255])
    def test_it_stands_out_on_any_tissue(self, value):
        picture = draw(result_of(SEEN, value=value), OverlayStyle(**BARE)).astype(int)
        x, y = 150, 225  # on the shaft
        across = picture[y - 4 : y + 5, x]
        assert np.abs(across[4] - value).max() > 90, "the line"
        assert value == 0 or across.max(axis=1).min() < 90, "its dark rim"

    def test_a_mask_named_needle_is_no_blob_unless_asked_for(self):
        blob = np.zeros(SHAPE, bool)
        blob[300:340, 400:500] = True
        result = result_of(NEVER, masks={"needle": blob})
        assert not changed(draw(result, OverlayStyle(**BARE))).any()
        assert changed(draw(result, OverlayStyle(classes=("needle",), **BARE)))[320, 450]

    def test_no_label_covers_the_tip(self):
        mask = np.zeros(SHAPE, np.uint8)
        cv2.circle(mask, (300, 325), 14, 1, -1)  # its label would stand above it, on the tip
        result = result_of(SEEN, masks={"nerve": mask.astype(bool)})
        bare, labelled = (
            draw(result, OverlayStyle(legend=False, labels=on)) for on in (False, True)
        )
        assert (bare != labelled).any()
        assert (bare[292:309, 292:309] == labelled[292:309, 292:309]).all()

    def test_the_legend_explains_the_forms_once_there_is_a_needle(self):
        def rows(state):
            style = OverlayStyle(labels=False, needle=True)
            legend = draw(result_of(state), style) != draw(result_of(state), OverlayStyle(**BARE))
            return int(legend.any(axis=(1, 2)).sum())

        assert rows(NEVER) < rows(SEEN) == rows(LOST)


class TestGuidance:
    def test_the_path_is_a_row_of_dots_from_the_tip_to_its_end(self):
        picture = draw(result_of(SEEN, guidance=GUIDANCE), OverlayStyle(**BARE))
        green = near(picture, GREEN)
        assert 0.1 < share_along(green, before(PATH_END, TIP, 360), PATH_END) < 0.6
        off = draw(result_of(SEEN, guidance=GUIDANCE), OverlayStyle(guidance=False, **BARE))
        assert not changed(off)[320:, 320:].any()

    def test_where_the_path_meets_a_structure_is_marked_in_its_colour(self):
        picture = draw(result_of(SEEN, guidance=GUIDANCE), OverlayStyle(**BARE))
        assert near(picture, anatomy.default().classes["nerve"].color)[349:352, 399:402].all()

    def test_distances_stand_near_the_tip_and_not_on_the_path(self):
        with_words = draw(result_of(SEEN, guidance=GUIDANCE), OverlayStyle(**BARE))
        without = draw(
            result_of(SEEN, guidance=replace(GUIDANCE, distances_px={})), OverlayStyle(**BARE)
        )
        rows, columns = np.nonzero((with_words != without).any(axis=2))
        assert rows.size
        assert np.hypot(columns - TIP[0], rows - TIP[1]).min() < 25
        assert np.abs(columns - TIP[0]).max() < 130
        assert not (with_words != without)[350, 400].any()

    def test_they_hide_a_structure_rather_than_the_shaft_at_its_tip(self):
        nerve = np.zeros(SHAPE, bool)
        nerve[:320, 305:] = True  # where they would stand first
        nerve[305:] = True  # and second; to the left above the tip there is only the shaft
        result = result_of(SEEN, masks={"nerve": nerve}, guidance=GUIDANCE)
        picture = draw(result, OverlayStyle(opacity=0.0, **BARE))
        near_tip = before(TIP, ENTRY, 110), before(TIP, ENTRY, 12)
        assert share_along(near(picture, GREEN), *near_tip) > 0.98

    def test_without_the_needle_there_is_no_path_and_no_distance_but_the_warnings(self):
        result = result_of(SEEN, guidance=GUIDANCE, warnings=("nerve on path",))
        picture = draw(result, OverlayStyle(needle=False, **BARE))
        assert changed(picture)[:40, 250:400].any()
        assert not changed(picture)[60:].any()

    @pytest.mark.parametrize(
        ("px", "scale", "rough", "words"),
        [
            (42.0, 0.1, False, "4.2 mm"),
            (42.0, 0.1, True, "~4.2 mm"),
            (37.6, None, False, "38 px"),
            (37.6, None, True, "~38 px"),
        ],
    )
    def test_millimetres_are_never_made_up(self, px, scale, rough, words):
        assert distance_words(px, scale, rough=rough) == words

    def test_every_warning_gets_a_row_with_a_symbol(self):
        keys = ("tip in vessel", "vessel on path", "nerve on path", "something new")
        heights, signs = [], []
        for count in range(5):
            picture = draw(result_of(SEEN, warnings=keys[:count]), OverlayStyle(**BARE))
            heights.append(int(changed(picture)[:120, 250:400].any(axis=1).sum()))
            signs.append(int(symbols(picture).sum()))
        assert heights == sorted(set(heights)), heights
        assert np.diff(signs).min() > 25, signs

    def test_the_symbols_differ_in_form_and_not_just_in_colour(self):
        forms = [
            symbols(draw(result_of(state, warnings=(key,)), OverlayStyle(**BARE)))
            for state, key in ((SEEN, "tip in vessel"), (SEEN, "vessel on path"), (LOST, ""))
        ]
        octagon, triangle, ring = (np.ptp(np.nonzero(_top(form))[1]) for form in forms)
        assert triangle < 0.6 * min(octagon, ring), "a point up, where the others are wide"

    def test_a_lost_tip_is_told_once(self):
        told = draw(result_of(LOST, warnings=("tip lost",)), OverlayStyle(**BARE))
        plain = draw(result_of(LOST), OverlayStyle(guidance=False, **BARE))
        np.testing.assert_array_equal(told, plain)

    def test_switched_off_nothing_of_it_is_left(self):
        result = result_of(SEEN, guidance=GUIDANCE, warnings=("tip in nerve",))
        style = OverlayStyle(needle=False, guidance=False, **BARE)
        assert not changed(draw(result, style)).any()


class TestPlanes:
    PLANES = (
        Plane(((60.0, 120.0), (320.0, 125.0), (600.0, 120.0)), 6.0, 0.9, key=4),
        Plane(((100.0, 260.0), (500.0, 270.0)), 6.0, 0.8, key=2),
    )
    CYAN = anatomy.default().classes["fascia"].color

    @pytest.fixture
    def area(self):
        mask = np.zeros(SHAPE, bool)
        mask[105:140, 60:600] = True
        return {"fascia": mask}

    def test_each_is_a_thin_line_with_its_number_at_the_left_end(self):
        picture = draw(result_of(NEVER, planes=self.PLANES), OverlayStyle(**BARE))
        assert share_along(near(picture, self.CYAN), (100, 260), (500, 270)) > 0.3
        assert changed(picture)[200:, 300].sum() <= 5, "thin"
        assert changed(picture)[95:118, 60:75].any(), "a number above the first one's left end"
        assert changed(picture)[235:258, 100:115].any(), "and above the second one's"
        assert not changed(picture)[:110, 90:].any()

    def test_lines_replace_the_area_unless_both_are_wanted(self, area):
        result = result_of(NEVER, masks=area, planes=self.PLANES)
        both = draw(result, OverlayStyle(plane_areas=True, **BARE))
        only_area = draw(result, OverlayStyle(planes=False, **BARE))
        assert not changed(draw(result, OverlayStyle(**BARE)))[133, 400]
        assert changed(both)[133, 400]
        assert changed(only_area)[133, 400]
        assert not changed(only_area)[265, 300]
        assert not changed(draw(result, OverlayStyle(classes=("nerve",), **BARE))).any()

    def test_without_lines_the_area_is_drawn(self, area):
        assert changed(draw(result_of(NEVER, masks=area), OverlayStyle(**BARE)))[133, 400]

    def test_a_name_goes_to_the_plane_with_its_key(self):
        result = result_of(NEVER, planes=self.PLANES)
        names = {2: "fascia iliaca", 9: "nobody"}
        plain = draw(result, OverlayStyle(legend=False))
        named = draw(result, OverlayStyle(names=names, legend=False))
        np.testing.assert_array_equal(draw(result, OverlayStyle(names=names, **BARE)), plain)
        rows, columns = np.nonzero((plain != named).any(axis=2))
        assert 230 < rows.min() <= rows.max() < 262
        assert np.ptp(columns) > 60

    def test_two_at_one_place_keep_their_numbers_apart(self):
        close = (self.PLANES[0], replace(self.PLANES[0], key=5))
        one, two = (draw(result_of(NEVER, planes=close[:n]), OverlayStyle(**BARE)) for n in (1, 2))
        added = (one != two).any(axis=2)[:, :90].sum()
        assert added > 40


coordinate = st.one_of(st.floats(-50, 400), st.floats(-1e12, 1e12))
point = st.tuples(coordinate, coordinate)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([(16, 16), (16, 300), (200, 24), (120, 160)]),
    status=st.sampled_from(["seen", "predicted", "lost"]),
    points=st.lists(point, min_size=6, max_size=6),
    distance=st.floats(0, 1e9),
)
def test_odd_numbers_and_odd_pictures_are_drawn_without_fail(shape, status, points, distance):
    entry, tip, one, other, end, cross = points
    seen = None if status == "lost" else Needle(entry, tip, 0.5, 0.5, (one, other), 0.5)
    guidance = Guidance((tip, end), {"nerve": distance}, (Crossing("x", cross, 1.0),), 10.0, 0.5)
    result = result_of(
        NeedleState(status, seen, 0.1, (one, other)),
        shape=shape,
        guidance=guidance,
        warnings=("tip in vessel", "something new"),
        planes=(Plane((one, other, end), 2.0, 0.5),),
    )
    picture = draw(result, OverlayStyle(note=True, names={0: "näme ⚠ 筋膜"}))
    assert picture.shape == (*shape, 3)
