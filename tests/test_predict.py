"""Predicting into a folder: what is left on disk, frame by frame, whatever happens."""

from __future__ import annotations

import json
import os
import resource

import cv2
import numpy as np
import pytest

from nerveseg import pipeline
from tests import tiny
from tests.commands import (
    CLASSES,
    assert_fails,
    lines_of,
    names_in,
    picture,
    predictor,
    write,
    write_clip,
)
from tests.recordings import record_growing


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Nerve where it is brighter than 128, vessel below 64, fascia above 223."""
    return tiny.write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def predict(capsys, model, tmp_path):
    return predictor(capsys, model, tmp_path / "out")


class TestPredictAPicture:
    def test_leaves_an_overlay_masks_and_a_line(self, predict, tmp_path):
        result = predict(write(tmp_path / "arm.png", picture()), "--masks", "--no-crop")
        assert result.code == 0
        assert "1 frame" in result.out
        out = tmp_path / "out"
        assert names_in(out / "overlays") == ["arm.png"]
        assert names_in(out / "masks") == [f"arm_{name}.png" for name in sorted(CLASSES)]
        (line,) = lines_of(out)
        assert (line["file"], line["index"], line["time_s"], line["mm_per_px"]) == (
            "arm.png", 0, 0.0, None,
        )  # fmt: skip
        assert line["region"] == [0, 0, 200, 200]
        assert line["model_id"] == "tiny@1"
        assert tuple(line["timings_ms"]) == (*pipeline.STAGES, "overlay")
        for name in line["masks"].values():
            assert (out / name).is_file()
        assert (out / line["overlay"]).is_file()

    def test_masks_are_0_and_255_in_the_picture_s_own_pixels(self, predict, tmp_path):
        predict(write(tmp_path / "arm.png", picture()), "--masks", "--no-crop")
        mask = cv2.imread(str(tmp_path / "out/masks/arm_nerve.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (200, 200)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}
        assert mask[80, 80] == 255
        truth = picture() > 150
        assert ((mask > 0) ^ truth).mean() < 0.02

    def test_measures_each_class(self, predict, tmp_path):
        predict(write(tmp_path / "arm.png", picture()), "--masks", "--no-crop")
        (line,) = lines_of(tmp_path / "out")
        assert set(line["classes"]) == set(CLASSES)
        nerve, fascia = line["classes"]["nerve"], line["classes"]["fascia"]
        mask = cv2.imread(str(tmp_path / "out/masks/arm_nerve.png"), cv2.IMREAD_UNCHANGED) > 0
        assert nerve["area_px"] == mask.sum()
        assert nerve["area_mm2"] is None
        assert nerve["centroid"] == pytest.approx([79.5, 79.5], abs=2)
        assert 0.5 < nerve["mean_confidence"] <= 1
        filled = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(filled, [np.array(c, np.int32) for c in nerve["contours"]], 1)
        np.testing.assert_array_equal(filled > 0, mask)
        assert fascia == {
            "area_px": 0, "area_mm2": None, "centroid": None, "mean_confidence": None,
            "contours": [],
        }  # fmt: skip

    def test_areas_are_in_square_millimetres_where_the_scale_is_known(self, predict, tmp_path):
        predict("phantom:femoral?frames=1&size=128x128")
        (line,) = lines_of(tmp_path / "out")
        for stats in line["classes"].values():
            expected = stats["area_px"] * line["mm_per_px"] ** 2
            assert stats["area_mm2"] == pytest.approx(expected, abs=1e-3)

    def test_keeps_only_the_classes_asked_for(self, predict, tmp_path):
        predict(write(tmp_path / "arm.png", picture()), "--masks", "--classes", "vessel, nerve")
        assert names_in(tmp_path / "out/masks") == ["arm_nerve.png", "arm_vessel.png"]
        (line,) = lines_of(tmp_path / "out")
        assert set(line["classes"]) == {"nerve", "vessel"}

    def test_the_overlay_is_the_picture_with_something_on_it(self, predict, tmp_path):
        predict(
            write(tmp_path / "arm.png", picture()), "--no-legend", "--opacity", "1", "--no-crop"
        )
        drawn = cv2.imread(str(tmp_path / "out/overlays/arm.png"))
        assert drawn.shape == (200, 200, 3)
        assert drawn[80, 80] == pytest.approx([10, 214, 255], abs=2), "nerve yellow"
        assert drawn[10, 150] == pytest.approx([100, 100, 100])

    @pytest.mark.parametrize(
        "words", [["--uncertainty"], ["--palette", "safe"], ["--opacity", "0"]]
    )
    def test_looks_can_be_chosen(self, predict, tmp_path, words):
        source = write(tmp_path / "arm.png", picture())
        predict(source, out=tmp_path / "plain")
        predict(source, *words, out=tmp_path / "other")
        plain, other = (
            cv2.imread(str(tmp_path / d / "overlays/arm.png")) for d in ("plain", "other")
        )
        assert (plain != other).any()

    @pytest.mark.parametrize(
        ("name", "array"),
        [
            ("deep.png", picture().astype(np.uint16) * 257),
            ("colour.jpg", cv2.cvtColor(picture(), cv2.COLOR_GRAY2BGR)),
            ("clear.png", cv2.cvtColor(picture(), cv2.COLOR_GRAY2BGRA)),
            ("plain.tif", picture()),
            ("plain.bmp", picture()),
        ],
    )
    def test_any_kind_of_picture(self, predict, tmp_path, name, array):
        assert predict(write(tmp_path / name, array), "--masks", "--no-crop").code == 0
        mask = cv2.imread(str(tmp_path / f"out/masks/{name[:-4]}_nerve.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (200, 200)
        assert mask[80, 80] == 255

    def test_no_overlays_no_folder_for_them(self, predict, tmp_path):
        predict(write(tmp_path / "arm.png", picture()), "--no-overlays")
        assert names_in(tmp_path / "out") == ["results.jsonl"]


class TestPredictAClip:
    def test_names_frames_by_stem_and_index(self, predict, tmp_path):
        result = predict(write_clip(tmp_path / "sweep.avi"), "--masks")
        assert result.code == 0
        frames = [f"sweep_{index:06d}" for index in range(6)]
        assert names_in(tmp_path / "out/overlays") == [f"{frame}.jpg" for frame in frames]
        masks = sorted(f"{frame}_{name}.png" for frame in frames for name in CLASSES)
        assert names_in(tmp_path / "out/masks") == masks
        lines = lines_of(tmp_path / "out")
        assert [line["index"] for line in lines] == list(range(6))
        assert [line["time_s"] for line in lines] == pytest.approx([i / 10 for i in range(6)])
        assert {line["file"] for line in lines} == {"sweep.avi"}

    def test_follows_the_structure_from_frame_to_frame(self, predict, tmp_path):
        predict(write_clip(tmp_path / "sweep.avi"), "--no-crop")
        across = [line["classes"]["nerve"]["centroid"][0] for line in lines_of(tmp_path / "out")]
        assert across == pytest.approx([39.5 + 5 * index for index in range(6)], abs=1.5)

    def test_a_video_replaces_the_pictures(self, predict, tmp_path):
        predict(write_clip(tmp_path / "sweep.avi"), "--video", "--no-legend")
        assert names_in(tmp_path / "out/overlays") == ["sweep.mp4"]
        capture = cv2.VideoCapture(str(tmp_path / "out/overlays/sweep.mp4"))
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10, abs=0.1)
        drawn = []
        while (answer := capture.read())[0]:
            drawn.append(answer[1])
        assert len(drawn) == 6
        assert drawn[0].shape == (200, 200, 3)
        assert np.ptp(drawn[3][55, 55].astype(int)) > 20, "coloured inside the structure"

    def test_a_recording_whose_size_changes_is_one_clip_all_the_same(self, predict, tmp_path):
        recording = record_growing(tmp_path / "grown")
        assert predict(recording).code == 0
        lines = lines_of(tmp_path / "out")
        followed = [line["steadiness"] is not None for line in lines]
        assert followed == [False, True, True] * 2
        assert names_in(tmp_path / "out/overlays")[0] == "grown_000000.jpg"

    def test_a_recording_whose_size_changes_makes_no_one_video(self, predict, tmp_path):
        recording = record_growing(tmp_path / "grown")
        assert_fails(predict(recording, "--video"), "grown", "no one size")

    def test_every_nth_frame(self, predict, tmp_path):
        predict(write_clip(tmp_path / "sweep.avi"), "--every", "2")
        assert [line["index"] for line in lines_of(tmp_path / "out")] == [0, 2, 4]

    def test_a_phantom_needs_no_file(self, predict, tmp_path):
        result = predict("phantom:axillary?seed=3&frames=2&size=128x128")
        assert result.code == 0
        names = names_in(tmp_path / "out/overlays")
        assert names == ["phantom_axillary_000000.jpg", "phantom_axillary_000001.jpg"]

    def test_broken_frames_are_skipped_counted_and_told(self, predict, tmp_path):
        path = write_clip(tmp_path / "sweep.avi")
        content = bytearray(path.read_bytes())
        second = content.index(b"\xff\xd8", content.index(b"\xff\xd8") + 2)
        third = content.index(b"\xff\xd8", second + 2)
        content[second : third - 8] = bytes(third - 8 - second)
        path.write_bytes(content)
        result = predict(path)
        assert result.code == 0
        assert "1 broken frame skipped" in result.err
        assert [line["index"] for line in lines_of(tmp_path / "out")] == [0, 2, 3, 4, 5]

    def test_a_clip_that_is_cut_short_keeps_what_was_read(self, predict, tmp_path):
        path = write_clip(tmp_path / "sweep.avi", 20)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        result = predict(path)
        assert result.code == 2
        assert "cut short" in result.err
        lines = lines_of(tmp_path / "out")
        assert 3 <= len(lines) < 20
        assert f"{len(lines)} frames" in result.err


class TestPredictAFolder:
    def test_every_picture_by_its_own_name(self, predict, tmp_path):
        for name in ("f10.png", "f2.png"):
            write(tmp_path / "in" / name, picture())
        assert predict(tmp_path / "in").code == 0
        assert [line["file"] for line in lines_of(tmp_path / "out")] == ["f2.png", "f10.png"]
        assert names_in(tmp_path / "out/overlays") == ["f10.png", "f2.png"]

    def test_a_bad_picture_does_not_stop_the_others(self, predict, tmp_path):
        write(tmp_path / "in/a.png", picture())
        (tmp_path / "in/b.png").write_bytes(b"not a picture")
        write(tmp_path / "in/c.png", picture())
        result = predict(tmp_path / "in")
        assert result.code == 2
        assert "b.png" in result.err
        assert "1 broken picture skipped" in result.err
        assert [line["file"] for line in lines_of(tmp_path / "out")] == ["a.png", "c.png"]

    def test_pictures_of_one_stem_do_not_overwrite_each_other(self, predict, tmp_path):
        write(tmp_path / "in/a.png", picture(at=20))
        write(tmp_path / "in/a.jpg", picture(at=120))
        assert predict(tmp_path / "in", "--masks", "--no-crop").code == 0
        lines = lines_of(tmp_path / "out")
        assert len({line["masks"]["nerve"] for line in lines}) == 2
        assert len({line["overlay"] for line in lines}) == 2
        for line in lines:
            mask = cv2.imread(str(tmp_path / "out" / line["masks"]["nerve"]), 0)
            at = 20 if line["file"] == "a.png" else 120
            assert mask[at + 20, at + 20] == 255
            assert not mask[160 - at, 160 - at]

    def test_each_picture_has_an_image_region_of_its_own(self, predict, tmp_path):
        rng = np.random.default_rng(0)
        for name, left in (("a.png", 40), ("b.png", 300)):
            pixels = np.zeros((480, 640), np.uint8)
            pixels[60:420, left : left + 280] = rng.integers(40, 200, (360, 280), np.uint8)
            write(tmp_path / "in" / name, pixels)
        predict(tmp_path / "in")
        lefts = [line["region"][0] for line in lines_of(tmp_path / "out")]
        assert lefts == pytest.approx([40, 300], abs=12)

    def test_a_folder_of_nothing(self, predict, tmp_path):
        (tmp_path / "in").mkdir()
        assert_fails(predict(tmp_path / "in"), "no pictures")


class TestOutputFolder:
    def test_results_are_not_mixed_with_earlier_ones(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        predict(source)
        before = (tmp_path / "out/results.jsonl").read_bytes()
        assert_fails(predict(source), "already holds results", "--overwrite")
        assert (tmp_path / "out/results.jsonl").read_bytes() == before

    def test_overwrite_removes_the_earlier_files_and_no_others(self, predict, tmp_path):
        predict(write(tmp_path / "arm.png", picture()), "--masks")
        mine = write(tmp_path / "out/masks/mine.png", picture())
        predict(write(tmp_path / "leg.png", picture()), "--masks", "--overwrite")
        assert names_in(tmp_path / "out/overlays") == ["leg.png"]
        assert {name[:3] for name in names_in(tmp_path / "out/masks")} == {"leg", "min"}
        assert mine.is_file()
        assert [line["file"] for line in lines_of(tmp_path / "out")] == ["leg.png"]

    @pytest.mark.parametrize("name", ["../precious.txt", "masks/../../precious.txt", "masks/.."])
    def test_overwrite_never_reaches_beyond_the_folder(self, predict, tmp_path, name):
        precious = tmp_path / "precious.txt"
        precious.write_text("mine")
        out = tmp_path / "out"
        (out / "masks").mkdir(parents=True)
        line = {"overlay": name, "masks": {"nerve": str(precious)}}
        (out / "results.jsonl").write_text(json.dumps(line) + "\nno json\n[1]\n")
        predict(write(tmp_path / "arm.png", picture()), "--overwrite")
        assert precious.read_text() == "mine"
        assert len(lines_of(out)) == 1

    def test_a_folder_of_masks_from_elsewhere_is_not_added_to(self, predict, tmp_path):
        write(tmp_path / "out/masks/mine.png", picture())
        assert_fails(predict(write(tmp_path / "arm.png", picture())), "already holds", "masks")

    def test_a_file_in_the_folder_s_place(self, predict, tmp_path):
        (tmp_path / "out").write_text("")
        assert_fails(predict(write(tmp_path / "arm.png", picture())), "can't write into", "out")

    def test_a_folder_that_can_not_be_made(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        assert_fails(predict(source, out="/proc/nerveseg/out"), "can't write into")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        (tmp_path / "out").mkdir(mode=0o500)
        assert_fails(predict(source), "can't write")

    @pytest.mark.parametrize("words", [["--no-overlays"], ["--masks"]])
    def test_a_full_disk_keeps_what_was_finished_readable(self, predict, tmp_path, words):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, limits[1]))
        try:
            result = predict("phantom:axillary?frames=60&size=96x96", *words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert result.code == 2
        assert "can't write" in result.err
        lines = lines_of(tmp_path / "out")
        assert len(lines) < 60
        for line in lines:
            for name in line.get("masks", {}).values():
                assert cv2.imread(str(tmp_path / "out" / name)) is not None
