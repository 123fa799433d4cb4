"""The overlay: what is drawn, where, and what it must leave alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerveseg import anatomy
from nerveseg.types import Box, Frame, FrameResult, Segmentation
from nerveseg.vision.marks import LINES, stroke
from nerveseg.vision.overlay import OverlayStyle, draw, structure_stats

BARE = {"legend": False, "labels": False}


def ellipse(shape, centre, axes):
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    return mask.astype(bool)


def result_of(pixels, masks, *, probabilities=None, region=None):
    probabilities = probabilities or {n: m.astype(np.float32) for n, m in masks.items()}
    height, width = pixels.shape
    segmentation = Segmentation(
        probabilities,
        region or Box(0, 0, width, height),
        pixels.shape,
        dict.fromkeys(masks, 0.5),
        "made@1",
    )
    stats = {n: structure_stats(m, m.astype(np.float32)) for n, m in masks.items()}
    return FrameResult(Frame(0, 0.0, pixels), segmentation, masks, stats)


@pytest.fixture
def scene():
    """A grey picture with a nerve left and a vessel right."""
    shape = (240, 320)
    masks = {
        "nerve": ellipse(shape, (90, 120), (50, 30)),
        "vessel": ellipse(shape, (230, 120), (40, 40)),
        "fascia": np.zeros(shape, bool),
    }
    return result_of(np.full(shape, 100, np.uint8), masks)


def changed(picture, value=100):
    return (picture != value).any(axis=2)


class TestDraw:
    def test_fill_mixes_the_class_colour_by_its_opacity(self, scene):
        picture = draw(scene, OverlayStyle(opacity=0.4, **BARE))
        red, green, blue = anatomy.default().classes["nerve"].color
        expected = [0.6 * 100 + 0.4 * value for value in (blue, green, red)]
        assert picture[120, 90] == pytest.approx(expected, abs=1)

    def test_leaves_the_picture_alone_away_from_structures(self, scene):
        picture = draw(scene, OverlayStyle(**BARE))
        near = np.zeros((240, 320), np.uint8)
        for mask in scene.masks.values():
            near |= cv2.dilate(mask.view(np.uint8), np.ones((9, 9), np.uint8))
        assert not changed(picture)[near == 0].any()

    def test_no_opacity_leaves_the_inside_alone_but_keeps_the_outline(self, scene):
        picture = draw(scene, OverlayStyle(opacity=0.0, **BARE))
        inner = cv2.erode(scene.masks["nerve"].view(np.uint8), np.ones((11, 11), np.uint8)) > 0
        assert not changed(picture)[inner].any()
        assert changed(picture)[120, 40]

    def test_draws_only_the_classes_asked_for(self, scene):
        picture = draw(scene, OverlayStyle(classes=("vessel",), **BARE))
        assert not changed(picture)[:, :170].any()
        assert changed(picture)[:, 170:].any()

    def test_nothing_to_show_is_the_picture_itself(self, scene):
        assert not changed(draw(scene, OverlayStyle(classes=("fascia",), **BARE))).any()

    def test_a_class_beyond_the_syllabus_is_drawn_too(self, scene):
        masks = {"tendon": scene.masks["nerve"]}
        picture = draw(result_of(scene.frame.pixels, masks), OverlayStyle(classes=("tendon",)))
        assert changed(picture)[120, 90]

    def test_the_safe_palette_has_other_colours(self, scene):
        standard = draw(scene, OverlayStyle(**BARE))
        safe = draw(scene, OverlayStyle(palette="safe", **BARE))
        assert (standard[120, 230] != safe[120, 230]).any()

    def test_does_not_touch_the_frame(self, scene):
        scene.frame.pixels.flags.writeable = False
        draw(scene, OverlayStyle(uncertainty=True, note=True))
        assert (scene.frame.pixels == 100).all()

    def test_the_same_input_gives_the_same_picture(self, scene):
        style = OverlayStyle(uncertainty=True, note=True)
        np.testing.assert_array_equal(draw(scene, style), draw(scene, style))

    @pytest.mark.parametrize("shape", [(16, 16), (16, 900), (900, 16), (40, 60), (2000, 3000)])
    def test_any_size_of_picture(self, shape):
        mask = np.zeros(shape, bool)
        mask[4:12, 4:12] = True
        result = result_of(np.full(shape, 100, np.uint8), {"nerve": mask})
        picture = draw(result, OverlayStyle(uncertainty=True, note=True))
        assert picture.shape == (*shape, 3)
        assert picture.dtype == np.uint8
        assert changed(picture).any()

    def test_a_structure_that_fills_the_frame(self):
        result = result_of(np.full((120, 160), 100, np.uint8), {"nerve": np.ones((120, 160), bool)})
        assert changed(draw(result, OverlayStyle())).all()

    @pytest.mark.parametrize(("name", "value"), [("opacity", 1.1), ("palette", "pretty")])
    def test_refuses_a_style_that_makes_no_sense(self, name, value):
        with pytest.raises(ValueError, match=name):
            OverlayStyle(**{name: value})


class TestLabelsAndLegend:
    def test_each_structure_gets_a_label_of_its_own(self, scene):
        bare = draw(scene, OverlayStyle(**BARE))
        labelled = draw(scene, OverlayStyle(legend=False))
        added = (bare != labelled).any(axis=2).astype(np.uint8)
        joined = cv2.morphologyEx(added, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        count, _, stats, _ = cv2.connectedComponentsWithStats(joined)
        assert count - 1 == 2, "one for the nerve, one for the vessel, not touching"
        assert stats[1:, cv2.CC_STAT_WIDTH].min() > 20

    def test_labels_keep_off_the_structures_where_there_is_room(self, scene):
        added = draw(scene, OverlayStyle(legend=False)) != draw(scene, OverlayStyle(**BARE))
        for mask in scene.masks.values():
            assert not added[mask].any()

    def test_neighbours_at_the_edge_do_not_write_over_each_other(self):
        shape = (120, 160)
        masks = {
            "nerve": ellipse(shape, (70, 8), (12, 8)),
            "vessel": ellipse(shape, (92, 8), (9, 8)),
        }
        result = result_of(np.full(shape, 100, np.uint8), masks)
        bare, both = draw(result, OverlayStyle(**BARE)), draw(result, OverlayStyle(legend=False))
        alone = [draw(result, OverlayStyle(classes=(n,), legend=False)) for n in masks]
        assert (both != bare).any(axis=2).sum() > 1.5 * min(
            (one != draw(result, OverlayStyle(classes=(n,), **BARE))).any(axis=2).sum()
            for n, one in zip(masks, alone, strict=True)
        )

    def test_text_is_readable_on_white(self):
        mask = ellipse((240, 320), (160, 120), (40, 30))
        result = result_of(np.full((240, 320), 255, np.uint8), {"nerve": mask})
        bare, labelled = (
            draw(result, OverlayStyle(**BARE)),
            draw(result, OverlayStyle(legend=False)),
        )
        label = labelled[(bare != labelled).any(axis=2)].astype(int).sum(axis=1)
        assert label.max() - label.min() > 250, "bright letters on a dark ground"

    def test_the_legend_goes_where_the_image_is_not(self, scene):
        region = Box(0, 100, 320, 240)
        result = result_of(scene.frame.pixels, dict(scene.masks), region=region)
        added = draw(result, OverlayStyle(labels=False)) != draw(result, OverlayStyle(**BARE))
        rows = np.flatnonzero(added.any(axis=(1, 2)))
        assert rows.size
        assert rows.max() < 100

    def test_the_legend_lists_absent_classes_and_uncertainty(self, scene):
        def rows(style):
            added = (draw(scene, style) != draw(scene, OverlayStyle(**BARE))).any(axis=(1, 2))
            return int(added.sum())

        two = rows(OverlayStyle(classes=("nerve", "vessel"), labels=False))
        three = rows(OverlayStyle(labels=False))
        assert three > two

    def test_the_note_stands_without_a_legend(self, scene):
        noted = draw(scene, OverlayStyle(note=True, **BARE))
        assert (noted != draw(scene, OverlayStyle(**BARE))).any()


class TestUncertainty:
    @pytest.fixture
    def ramp(self):
        """Probability rising from left to right, 0 to 1."""
        shape = (200, 400)
        ramp = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (200, 1))
        masks = {"nerve": ramp >= 0.5}
        return result_of(np.full(shape, 100, np.uint8), masks, probabilities={"nerve": ramp})

    def test_fills_what_is_sure_hatches_what_is_not_and_leaves_the_rest(self, ramp):
        picture = changed(draw(ramp, OverlayStyle(uncertainty=True, **BARE)))
        assert picture[20:180, 310:390].all(), "sure: probability above 0.75"
        assert 0.15 < picture[20:180, 110:190].mean() < 0.5, "torn: 0.25 to 0.5, hatched"
        assert 0.15 < picture[20:180, 215:290].mean() < 0.5, "torn: 0.5 to 0.75, hatched"
        assert not picture[:, :90].any(), "surely absent: probability below 0.25"

    def test_without_it_the_mask_is_filled_whole(self, ramp):
        picture = changed(draw(ramp, OverlayStyle(**BARE)))
        assert picture[20:180, 215:390].all()
        assert not picture[:, :190].any()

    def test_classes_are_hatched_in_different_directions(self, ramp):
        masks = {"nerve": ramp.masks["nerve"], "vessel": ramp.masks["nerve"]}
        ramps = dict.fromkeys(masks, ramp.segmentation.probabilities["nerve"])
        result = result_of(ramp.frame.pixels, masks, probabilities=ramps)
        drawn = {
            name: draw(result, OverlayStyle(classes=order, uncertainty=True, **BARE))[
                100:140, 110:150
            ]
            for name, order in (("first", ("nerve",)), ("second", ("fascia", "nerve")))
        }
        lines = {name: changed(part) for name, part in drawn.items()}
        assert (lines["first"][1:, :-1] == lines["first"][:-1, 1:]).all(), "rising"
        assert (lines["second"][1:, 1:] == lines["second"][:-1, :-1]).all(), "falling"


class TestLines:
    @pytest.mark.parametrize("style", LINES)
    def test_styles_differ_by_how_much_of_the_line_is_drawn(self, style):
        angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        circle = np.stack([160 + 100 * np.cos(angle), 120 + 100 * np.sin(angle)], axis=1)
        image = np.full((240, 320, 3), 100, np.uint8)
        stroke(image, circle, (0, 255, 0), style=style, width=2)
        spots = np.rint(circle).astype(int)
        drawn = (image[spots[:, 1], spots[:, 0], 1] > 180).mean()
        low, high = {
            "solid": (0.99, 1.0),
            "dashed": (0.55, 0.85),
            "dashdot": (0.45, 0.85),
            "dotted": (0.2, 0.65),
        }[style]
        assert low <= drawn <= high

    @pytest.mark.parametrize("style", LINES)
    @pytest.mark.parametrize("points", [1, 2, 3])
    def test_the_smallest_outlines_are_drawn(self, style, points):
        image = np.full((40, 40, 3), 100, np.uint8)
        outline = np.array([[20, 20], [22, 20], [21, 22]], np.float64)[:points]
        stroke(image, outline, (0, 255, 0), style=style, width=2)
        assert (image != 100).any()


class TestStructureStats:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
    def test_agrees_with_counting_pixels(self, seed, height, width):
        rng = np.random.default_rng(seed)
        mask = rng.random((height, width)) < 0.4
        probability = rng.random((height, width), np.float32)
        stats = structure_stats(mask, probability)
        assert stats.area_px == mask.sum()
        if not mask.any():
            assert stats.centroid_xy is None
            assert stats.mean_confidence is None
            return
        rows, columns = np.nonzero(mask)
        assert stats.centroid_xy == pytest.approx((columns.mean(), rows.mean()))
        assert stats.mean_confidence == pytest.approx(probability[mask].mean(), rel=1e-4)

    def test_contours_give_the_mask_back(self):
        mask = ellipse((90, 120), (40, 40), (25, 18)) | ellipse((90, 120), (100, 60), (8, 12))
        stats = structure_stats(mask, mask.astype(np.float32))
        filled = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(filled, [np.array(c, np.int32) for c in stats.contours], 1)
        np.testing.assert_array_equal(filled.astype(bool), mask)
        assert len(stats.contours) == 2

    def test_a_hole_is_a_contour_of_its_own(self):
        mask = ellipse((90, 120), (60, 45), (40, 30)) & ~ellipse((90, 120), (60, 45), (15, 10))
        assert len(structure_stats(mask, mask.astype(np.float32)).contours) == 2

    def test_part_of_a_larger_picture_may_be_measured(self):
        mask = ellipse((90, 120), (60, 45), (20, 10))
        whole = np.zeros((200, 300), bool)
        whole[50:140, 100:220] = mask
        view = whole[50:140, 100:220]
        assert structure_stats(view, view.astype(np.float32)) == structure_stats(
            mask, mask.astype(np.float32)
        )
