"""The phantom: its pictures agree with its truth, and with what sound does in tissue."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerveseg import anatomy
from nerveseg.errors import DataError, SourceError
from nerveseg.phantom import TRUTH_CLASSES, Difficulty, Phantom, blocks, parse_uri
from nerveseg.phantom.blocks import build_scene
from nerveseg.phantom.echo import make_field
from nerveseg.phantom.motion import Motion, Pose
from nerveseg.phantom.paint import ROCK_RAD, Painting, paint
from nerveseg.phantom.probe import PROBES, make_probe
from nerveseg.phantom.scene import Plane, Scene

SMALL = (256, 256)
STILL = Difficulty(motion=0.0, noise=0.0)


def points(*corners):
    x, y = np.array(corners, dtype=np.float32).T
    along = np.linspace(x[0], x[-1], 60, dtype=np.float32)
    return np.stack([along, np.interp(along, x, y).astype(np.float32)], axis=1)


@pytest.fixture(scope="module", params=[*itertools.product(blocks(), PROBES)], ids="-".join)
def shot(request):
    block, probe = request.param
    return Phantom(block, seed=5, size=SMALL, probe=probe).frame_at(3)


class TestTruth:
    def test_every_class_has_a_mask_of_the_frames_shape(self, shot):
        assert tuple(sorted(shot.truth)) == tuple(sorted(TRUTH_CLASSES))
        assert {mask.dtype for mask in shot.truth.values()} == {np.dtype(bool)}
        assert {mask.shape for mask in shot.truth.values()} == {shot.frame.pixels.shape}

    def test_vessel_is_artery_or_vein_and_nothing_is_two_things(self, shot):
        truth = shot.truth
        assert np.array_equal(truth["vessel"], truth["artery"] | truth["vein"])
        parts = ("nerve", "artery", "vein", "fascia", "muscle", "bone")
        assert sum(truth[name].astype(int) for name in parts).max() == 1

    def test_the_block_shows_its_nerves_vessels_and_planes(self, shot):
        assert shot.truth["nerve"].sum() > 150
        assert shot.truth["artery"].sum() > 100
        assert shot.truth["fascia"].sum() > 300
        assert not shot.truth["needle"].any()
        assert shot.needle is None

    def test_lumen_is_dark_and_fascia_bright(self, shot):
        def mean(name, erosions=0):
            mask = shot.truth[name].astype(np.uint8)
            inside = cv2.erode(mask, np.ones((3, 3)), iterations=erosions) > 0
            return shot.frame.pixels[inside].mean()

        # The wall's echo bleeds into the lumen's rim, as it does in a real picture.
        assert mean("vessel", erosions=3) < 0.8 * mean("muscle")
        assert mean("vessel", erosions=3) < 0.5 * mean("nerve")
        assert mean("fascia") > 2 * mean("muscle")

    @pytest.mark.parametrize("block", blocks())
    def test_fascia_is_a_thin_band(self, block):
        fascia = Phantom(block, seed=2).frame_at(0).truth["fascia"].astype(np.uint8)
        reach = cv2.distanceTransform(fascia, cv2.DIST_L2, 3)
        ridge = reach[(reach > 0) & (reach == cv2.dilate(reach, np.ones((5, 5))))]
        # The ridge of a band of 3 to 6 pixels lies 2 to 3 pixels from the first one outside.
        assert 2 <= np.median(ridge) <= 3

    def test_bone_is_bright_above_and_casts_a_shadow(self):
        shot = Phantom("popliteal-sciatic", seed=1, size=SMALL, probe="curved").frame_at(0)
        bone = shot.truth["bone"]
        column = int(np.flatnonzero(bone.any(axis=0)).mean())
        surface = np.flatnonzero(bone[:, column])
        pixels = shot.frame.pixels
        beside = pixels[surface[0] - 25 : surface[0] - 8, column - 8 : column + 9]
        below = pixels[surface[-1] + 6 : surface[-1] + 22, column - 8 : column + 9]
        assert pixels[surface, column].max() > 2 * beside.mean()
        assert below.mean() < 0.5 * beside.mean()


class TestSound:
    PROBE = make_probe("linear", size_wh=(256, 256), depth_mm=30.0)

    def flat(self, *, level=-30.0, absorption=1.05, lumen=None):
        shape = self.PROBE.beam_shape
        levels = np.full(shape, level, np.float32)
        absorbed = np.full(shape, absorption, np.float32)
        if lumen is not None:
            absorbed[lumen] = 0.05
        none = np.zeros(shape, np.float32)
        return Painting(levels, absorbed, (none, none), np.zeros(shape, np.uint8))

    def test_one_look_is_rayleigh_distributed(self):
        field = make_field(
            self.flat(absorption=0.0), self.PROBE, Difficulty(speckle=1.0), np.random.default_rng(0)
        )
        envelope = np.hypot(field.a[0], field.a[1])[60:90]
        assert len(field.a) == 2
        assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.15)

    def test_more_compounding_means_less_contrast(self):
        def contrast(speckle):
            knobs = Difficulty(speckle=speckle, noise=0.0)
            field = make_field(self.flat(), self.PROBE, knobs, np.random.default_rng(0))
            power = sum(part.astype(float) ** 2 for part in field.a)[60:90]
            return power.std() / power.mean()

        assert contrast(1.0) > 1.3 * contrast(0.5) > 1.5 * contrast(0.0)

    def test_what_lies_behind_a_vessel_is_enhanced(self):
        lumen = (slice(60, 110), slice(120, 180))
        painting = self.flat(lumen=lumen)
        field = make_field(painting, self.PROBE, STILL, np.random.default_rng(0))
        image = field.image(slice_rad=0, rock_rad=0, rng=np.random.default_rng(1))
        behind, beside = image[120:170, 130:170], image[120:170, 220:260]
        assert behind.mean() > beside.mean() + 8

    @pytest.mark.parametrize("kind", PROBES)
    def test_a_plane_dims_with_its_angle_to_the_beam(self, kind):
        probe = make_probe(kind, size_wh=(256, 256), depth_mm=30.0)

        def echo(slope, rock):
            plane = Plane(points=points((-6, 15 - 6 * slope), (6, 15 + 6 * slope)), level_db=0)
            scene = Scene((plane,), (), (0.0, 10.0))
            mirror = paint(scene, probe, np.random.default_rng(0)).mirror[rock]
            return mirror[mirror > 0].mean()

        assert echo(0.0, 0) > 2 * echo(0.5, 0) > 4 * echo(0.9, 0)
        uphill = math.tan(ROCK_RAD)
        assert echo(uphill, 1) > echo(uphill, 0)


class TestMotion:
    def test_the_same_arguments_give_the_same_pictures(self):
        one, two = (Phantom("femoral", seed=4, size=SMALL, needle=True) for _ in range(2))
        for a, b in zip(one.frames(3), two.frames(3), strict=True):
            assert np.array_equal(a.frame.pixels, b.frame.pixels)
            assert all(np.array_equal(a.truth[name], b.truth[name]) for name in TRUTH_CLASSES)
            assert a.needle == b.needle

    def test_another_seed_is_another_person(self):
        one, two = (Phantom(seed=seed, size=SMALL).frame_at(0) for seed in (1, 2))
        assert (one.truth["nerve"] ^ two.truth["nerve"]).sum() > 100

    def test_a_needle_and_the_knobs_leave_the_anatomy_alone(self):
        plain = Phantom(seed=1, size=SMALL).frame_at(7)
        hard = Phantom(
            seed=1, size=SMALL, needle=True, difficulty=Difficulty(gain_db=-6, speckle=0.9)
        ).frame_at(7)
        assert np.array_equal(plain.truth["nerve"], hard.truth["nerve"])
        assert hard.frame.pixels.mean() < plain.frame.pixels.mean()

    def test_any_frame_can_be_had_without_the_ones_before(self):
        phantom = Phantom("interscalene", size=SMALL)
        fifth = list(phantom.frames(6, fps=10.0))[5]
        again = phantom.frame_at(5, fps=10.0)
        assert np.array_equal(fifth.frame.pixels, again.frame.pixels)
        assert (fifth.frame.index, fifth.frame.time_s) == (5, 0.5)

    def test_frames_come_lazily(self):
        clip = Phantom(size=(64, 64)).frames(10**9)
        assert [next(clip).frame.index, next(clip).frame.index] == [0, 1]

    def test_speckle_moves_with_the_tissue(self):
        knobs = Difficulty(motion=1.0, noise=0.0)
        phantom = Phantom("axillary", seed=3, difficulty=knobs)
        # Within 0.2 s the probe has slid by several pixels but the grain has hardly changed.
        first, later = phantom.frame_at(0), phantom.frame_at(5)
        places = [np.argwhere(shot.truth["nerve"]).mean(axis=0) for shot in (first, later)]
        moved = places[1][1] - places[0][1]
        top = int(places[0][0]) - 50
        crops = [s.frame.pixels[top : top + 100].astype(np.float64) for s in (first, later)]
        window = cv2.createHanningWindow((512, 100), cv2.CV_64F)
        (dx, _), response = cv2.phaseCorrelate(*crops, window)
        assert abs(moved) > 1.0
        assert dx == pytest.approx(moved, abs=1.0)
        assert response > 0.1

    def test_held_still_only_what_pulses_changes(self):
        phantom = Phantom("interscalene", seed=3, size=SMALL, difficulty=STILL)
        shots = [phantom.frame_at(index) for index in range(0, 20, 4)]
        spread = np.ptp([shot.frame.pixels.astype(int) for shot in shots], axis=0)
        near = cv2.dilate(shots[0].truth["vessel"].astype(np.uint8), np.ones((31, 31))) > 0
        assert spread[near].mean() > 3 * spread[~near].mean()

    @pytest.mark.parametrize("block", blocks())
    def test_pressure_squeezes_tissue_and_never_folds_it(self, block):
        probe = make_probe("linear", size_wh=SMALL, depth_mm=38.0)
        scene = build_scene(block, np.random.default_rng(3))
        motion = Motion(probe, scene, np.random.default_rng(3), amount=1.0)
        hardest = Pose(slide_mm=0.0, rock_rad=0.0, press=0.8, slice_rad=0.0, beat=1.0)
        column, row = motion.maps(hardest)
        assert np.diff(row, axis=0).min() > 0
        assert np.diff(column, axis=1).min() > 0

    def test_the_artery_pulses_and_the_vein_gives_way(self):
        phantom = Phantom("femoral", seed=1, size=SMALL)
        shots = [phantom.frame_at(index) for index in range(0, 120, 4)]
        artery, vein = (np.array([s.truth[n].sum() for s in shots]) for n in ("artery", "vein"))
        assert artery.max() > 1.05 * artery.min()
        assert vein.max() / vein.min() > 1.15 * artery.max() / artery.min()


class TestNeedle:
    @pytest.mark.parametrize(("block", "probe"), [*itertools.product(blocks(), PROBES)])
    def test_the_shaft_runs_from_the_border_to_the_tip(self, block, probe):
        shot = Phantom(block, seed=2, size=SMALL, probe=probe, needle=True).frame_at(110)
        mask, needle = shot.truth["needle"], shot.needle
        rows, columns = mask.nonzero()
        (x0, y0), (x1, y1) = needle.entry_xy, needle.tip_xy
        length = math.hypot(x1 - x0, y1 - y0)
        off_line = np.abs((columns - x0) * (y1 - y0) - (rows - y0) * (x1 - x0)) / length
        assert needle.visible
        assert off_line.max() < 4
        assert np.hypot(columns - x1, rows - y1).min() < 2
        assert np.hypot(columns - x0, rows - y0).min() < 3
        if probe == "linear":
            assert min(x0, SMALL[0] - 1 - x0) < 1.5
        assert shot.frame.pixels[mask].mean() > 1.5 * shot.frame.pixels[~mask].mean()

    @pytest.mark.parametrize("angle", [15.0, 40.0, 65.0])
    def test_the_angle_is_the_one_asked_for(self, angle):
        knobs = Difficulty(needle_angle_deg=angle)
        needle = Phantom(size=SMALL, needle=True, difficulty=knobs).frame_at(110).needle
        (x0, y0), (x1, y1) = needle.entry_xy, needle.tip_xy
        assert math.degrees(math.atan2(y1 - y0, abs(x1 - x0))) == pytest.approx(angle, abs=0.5)

    def test_a_steep_needle_is_fainter(self):
        def brightness(angle):
            knobs = Difficulty(needle_angle_deg=angle)
            shot = Phantom(seed=2, size=SMALL, needle=True, difficulty=knobs).frame_at(110)
            return shot.frame.pixels[shot.truth["needle"]].mean()

        assert brightness(15) > brightness(35) > brightness(65)

    def test_it_advances(self):
        phantom = Phantom(size=SMALL, needle=True)
        early, late = phantom.frame_at(10).needle, phantom.frame_at(80).needle
        assert early.entry_xy == late.entry_xy
        assert math.dist(late.entry_xy, late.tip_xy) > 1.5 * math.dist(early.entry_xy, early.tip_xy)

    def test_out_of_plane_the_tip_is_unmarked_but_known(self):
        knobs = Difficulty(visibility=0.0)
        shot = Phantom(size=SMALL, needle=True, difficulty=knobs).frame_at(110)
        rows, columns = shot.truth["needle"].nonzero()
        gap = np.hypot(columns - shot.needle.tip_xy[0], rows - shot.needle.tip_xy[1]).min()
        assert not shot.needle.visible
        assert gap * shot.frame.mm_per_px > 3

    def test_visibility_is_the_share_of_time_in_plane(self):
        phantom = Phantom(size=(64, 64), needle=True, difficulty=Difficulty(visibility=0.5))
        seen = [phantom.frame_at(index).needle.visible for index in range(0, 200, 5)]
        assert 0.4 <= np.mean(seen) <= 0.75


class TestProbe:
    @given(
        kind=st.sampled_from(PROBES),
        x=st.floats(60, 440),
        y=st.floats(40, 300),
        depth=st.floats(25, 100),
    )
    @settings(max_examples=50, deadline=None)
    def test_frame_and_tissue_round_trip(self, kind, x, y, depth):
        probe = make_probe(kind, size_wh=(500, 400), depth_mm=depth)
        start = [np.array([value], dtype=np.float32) for value in (x, y)]
        back = probe.tissue_to_frame(*probe.frame_to_tissue(*start))
        assert np.allclose(back, start, atol=0.02)

    def test_scale_of_a_linear_view_is_depth_over_height(self):
        phantom = Phantom(size=(320, 200), difficulty=Difficulty(depth_mm=50))
        assert phantom.frame_at(0).frame.mm_per_px == pytest.approx(0.25)

    def test_a_curved_view_is_black_outside_its_fan_and_shows_its_depth(self):
        shot = Phantom(
            size=(300, 240), probe="curved", needle=True, difficulty=Difficulty(depth_mm=50)
        ).frame_at(5)
        pixels = shot.frame.pixels
        outside = pixels == 0
        assert outside[:, 0].mean() > 0.6
        assert not any(mask[:60, :20].any() for mask in shot.truth.values())
        middle = np.flatnonzero(pixels[:, 150] > 0)
        assert (middle[-1] - middle[0]) * shot.frame.mm_per_px == pytest.approx(50, abs=1)


class TestAddress:
    def test_all_that_can_be_asked_for(self):
        phantom, frames = parse_uri(
            "phantom:femoral?seed=3&frames=7&needle&probe=curved&size=200x160&depth=50&gain=-3"
        )
        shot = phantom.frame_at(0)
        knobs = Difficulty(depth_mm=50, gain_db=-3)
        same = Phantom(
            "femoral", seed=3, size=(200, 160), probe="curved", needle=True, difficulty=knobs
        ).frame_at(0)
        assert frames == 7
        assert shot.needle is not None
        assert np.array_equal(shot.frame.pixels, same.frame.pixels)

    def test_little_is_enough(self):
        phantom, frames = parse_uri("phantom:?size=64x64")
        assert (phantom.block, phantom.seed, frames) == ("axillary", 0, 120)

    @pytest.mark.parametrize(
        ("uri", "error", "hint"),
        [
            ("phantom:axillary?sead=3", SourceError, "known are seed"),
            ("phantom:axillary?seed=x", SourceError, "whole number"),
            ("phantom:axillary?seed=1&seed=2", SourceError, "twice"),
            ("phantom:axillary?frames=0", SourceError, "from 1 up"),
            ("phantom:axillary?size=512", SourceError, "WIDTHxHEIGHT"),
            ("phantom:axillary?gain=loud", SourceError, "not a number"),
            ("phantom:axillary?needle=maybe", SourceError, "neither"),
            ("ghost:axillary", SourceError, "phantom:BLOCK"),
            ("phantom:axillary?gain=90", DataError, "-20 to 20"),
            ("phantom:axillary?gain=nan", DataError, "-20 to 20"),
            ("phantom:axillary?size=9x9", DataError, "64 to 2048"),
            ("phantom:axillary?probe=phased", DataError, "linear, curved"),
            ("phantom:axillary?seed=-1", SourceError, "from 0 up"),
            ("phantom:elbow", DataError, "axillary, femoral"),
            ("phantom:rectus-sheath", DataError, "without a phantom"),
        ],
    )
    def test_a_wrong_address_says_what_is_wrong(self, uri, error, hint):
        with pytest.raises(error, match=hint):
            parse_uri(uri)

    def test_a_seed_below_zero_is_refused(self):
        with pytest.raises(DataError, match="from 0 up"):
            Phantom(seed=-1)

    def test_every_phantom_is_a_block_of_the_syllabus(self):
        assert set(blocks()) <= set(anatomy.default().blocks)
