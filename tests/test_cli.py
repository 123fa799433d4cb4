"""The command line: what it leaves on disk, what it says, and how it fails."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import typer

import nerveseg
from nerveseg.cli import app, main
from nerveseg.errors import SourceError
from nerveseg.resources import weights_dir
from nerveseg.vision.segment import DEFAULT_MODEL
from tests import tiny

CLASSES = ("nerve", "vessel", "fascia")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Nerve where it is brighter than 128, vessel below 64, fascia above 223."""
    return tiny.write(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def run(model, capsys):
    """Run one command line; gives its exit code, stdout and stderr."""

    def call(*words, use_model=True):
        extra = ["--model", model, "--backend", "onnxruntime"] if use_model else []
        code = main([str(word) for word in (*words, *extra)])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return call


@pytest.fixture
def predict(run, tmp_path):
    """``nerveseg predict`` into a folder of the test's own."""

    def call(source, *words, out=None):
        return run("predict", source, "--out", out or tmp_path / "out", *words)

    return call


def picture(*, side=200, at=60):
    """Mid-grey with a bright square of 40 by 40 pixels."""
    pixels = np.full((side, side), 100, np.uint8)
    pixels[at : at + 40, at : at + 40] = 200
    return pixels


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def write_clip(path, count=6, *, side=200):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (side, side))
    for index in range(count):
        writer.write(cv2.cvtColor(picture(side=side, at=20 + 5 * index), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def lines_of(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_fails(result, *words):
    """One clear line on stderr that holds all of ``words``, nothing on stdout, exit code 2."""
    assert result.code == 2
    told = result.err.strip().splitlines()
    assert len(told) == 1, result.err
    assert told[0].startswith("nerveseg: ")
    for word in words:
        assert word in told[0]
    assert result.out == ""


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
        assert set(line["timings_ms"]) == {
            "crop", "preprocess", "inference", "postprocess", "overlay",
        }  # fmt: skip
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


def png_header(width, height):
    """The beginning of a PNG that claims this size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + chunk + end


class TestBadInput:
    def test_a_missing_file(self, predict, tmp_path):
        assert_fails(predict(tmp_path / "gone.png"), "gone.png", "No such file")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", ["a.png", "a.mp4", "a.dcm", "a.mha", "a.xyz"])
    @pytest.mark.parametrize("content", [b"", b"hello, I am a text file\n" * 40])
    def test_a_file_that_is_not_what_its_name_says(self, predict, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        assert_fails(predict(tmp_path / name), name)

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
    def test_a_truncated_picture(self, predict, tmp_path, name):
        rng = np.random.default_rng(0)
        path = write(tmp_path / name, rng.integers(0, 255, (200, 200), np.uint8))
        path.write_bytes(path.read_bytes()[:5000])
        assert_fails(predict(path), name)

    def test_a_truncated_mp4(self, run, predict, tmp_path):
        run("phantom", tmp_path / "a.mp4", "--frames", "5", "--size", "128x128", use_model=False)
        content = (tmp_path / "a.mp4").read_bytes()
        (tmp_path / "a.mp4").write_bytes(content[: len(content) // 3])
        assert_fails(predict(tmp_path / "a.mp4"), "a.mp4")

    def test_a_codec_that_nobody_knows(self, predict, tmp_path):
        path = write_clip(tmp_path / "a.avi")
        path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZZZ"))
        assert_fails(predict(path), "a.avi", "ZZZZ")

    @pytest.mark.parametrize("size", [(1, 1), (10_000, 10_000)])
    def test_a_picture_beyond_all_sizes(self, predict, tmp_path, size):
        path = tmp_path / "a.png"
        path.write_bytes(png_header(*size))
        assert_fails(predict(path), "a.png", f"{size[0]}x{size[1]}")

    @pytest.mark.parametrize("uri", ["phantom:elbow", "phantom:axillary?frames=x", "phantom:?a=1"])
    def test_a_wrong_phantom(self, predict, uri):
        assert predict(uri).code == 2

    def test_a_class_that_the_model_does_not_know(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        assert_fails(predict(source, "--classes", "nerve,bone"), "bone", "nerve, vessel, fascia")

    def test_a_video_of_a_picture(self, predict, tmp_path):
        source = write(tmp_path / "arm.png", picture())
        assert_fails(predict(source, "--video"), "no clip")


class TestBadModel:
    def call(self, run, tmp_path, model, *words):
        source = write(tmp_path / "arm.png", picture())
        out = tmp_path / "out"
        words = (*words, "--model", model)
        return run("predict", source, "--out", out, *words, use_model=False)

    def test_a_missing_one(self, run, tmp_path):
        assert_fails(self.call(run, tmp_path, tmp_path / "gone.onnx"), "gone.onnx")

    @pytest.mark.parametrize("content", [b"", b"no network at all"])
    def test_one_that_is_no_onnx(self, run, tmp_path, content):
        (tmp_path / "a.onnx").write_bytes(content)
        assert_fails(self.call(run, tmp_path, tmp_path / "a.onnx"), "a.onnx")

    def test_one_without_a_spec(self, run, tmp_path):
        path = tiny.write(tmp_path / "a.onnx", spec=None)
        assert_fails(self.call(run, tmp_path, path), "a.onnx", "spec")

    def test_one_that_answers_otherwise_than_promised(self, run, tmp_path):
        path = tiny.write(tmp_path / "a.onnx", channels=2)
        assert_fails(self.call(run, tmp_path, path), "a.onnx")

    def test_a_backend_that_is_not_there(self, run, tmp_path, model):
        result = self.call(run, tmp_path, model, "--backend", "abacus")
        assert_fails(result, "abacus", "onnxruntime")


class TestCommandLine:
    @pytest.mark.parametrize(
        "words",
        [
            ["predict"],
            ["predict", "a.png"],
            ["predict", "a.png", "--out", "o", "--opacity", "2"],
            ["predict", "a.png", "--out", "o", "--palette", "pretty"],
            ["predict", "a.png", "--out", "o", "--threads", "0"],
            ["predict", "a.png", "--out", "o", "--nonsense"],
            ["nonsense"],
            ["data", "check", "nonsense"],
            ["data", "fetch", "usgra-seg", "--to", "/proc/nope/x", "--from", "/nowhere"],
            ["model", "show", "--model", "nowhere.onnx"],
            ["app", "--host", "0.0.0.0", "--no-browser"],
        ],
        ids=" ".join,
    )
    def test_a_wrong_line_is_answered_in_one_line(self, run, words):
        assert_fails(run(*words, use_model=False))

    def test_a_bug_is_told_in_one_line_that_names_debug(self, predict, monkeypatch):
        def broken(*args, **kwargs):
            raise RuntimeError("first\nsecond")

        monkeypatch.setattr("nerveseg.video.sources.open", broken)
        assert_fails(predict("a.png"), "RuntimeError", "first second", "--debug")

    def test_debug_shows_the_trace_wherever_it_stands(self, run, monkeypatch):
        def broken(*args, **kwargs):
            raise SourceError("no such thing")

        monkeypatch.setattr("nerveseg.video.sources.open", broken)
        line = ["predict", "a.png", "--out", "o"]
        for words in (["--debug", *line], [*line, "--debug"]):
            result = run(*words, use_model=False)
            assert result.code == 2
            assert "Traceback" in result.err
            assert "nerveseg: no such thing" in result.err

    def test_ctrl_c_before_anything_is_done(self, predict, monkeypatch):
        def stopped(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("nerveseg.video.sources.open", stopped)
        result = predict("a.png")
        assert result.code == 130
        assert result.err.splitlines() == ["nerveseg: stopped"]

    def test_version(self, run):
        result = run("--version", use_model=False)
        assert result.out.strip() == f"nerveseg {nerveseg.__version__}"
        assert result.code == 0

    def test_every_command_and_option_says_what_it_is_for(self):
        command = typer.main.get_command(app)
        seen = []

        def walk(command, path):
            assert command.help, path
            for parameter in command.params:
                assert parameter.help or parameter.name == "help", (path, parameter.name)
                seen.append((path, parameter.name))
            for name, child in getattr(command, "commands", {}).items():
                walk(child, f"{path} {name}")

        walk(command, "nerveseg")
        paths = {path for path, _ in seen}
        verbs = ("predict", "app", "phantom", "bench", "model show", "data list", "data check")
        assert {f"nerveseg {verb}" for verb in (*verbs, "data fetch", "data split")} <= paths

    def test_help_opens_for_every_command(self, run):
        for words in (["predict"], ["app"], ["phantom"], ["bench"], ["model", "show"], ["data"]):
            result = run(*words, "--help", use_model=False)
            assert result.code == 0
            assert "Usage" in result.out


class TestOtherVerbs:
    def test_phantom_writes_a_clip_and_its_truth(self, run, tmp_path):
        clip, truth = tmp_path / "clips/p.mp4", tmp_path / "truth"
        words = ["--frames", "4", "--size", "128x96", "--seed", "2", "--truth", truth, "--needle"]
        result = run("phantom", clip, *words, "--set", "depth=40", use_model=False)
        assert result.code == 0, result.err
        capture = cv2.VideoCapture(str(clip))
        shapes = []
        while (answer := capture.read())[0]:
            shapes.append(answer[1].shape)
        assert shapes == [(96, 128, 3)] * 4
        assert len(names_in(truth)) == 4 * 8
        mask = cv2.imread(str(truth / "p_000003_nerve.png"), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) == {0, 255}

    @pytest.mark.parametrize(
        "words",
        [["--block", "elbow"], ["--size", "big"], ["--set", "depth"], ["--set", "seed=3"],
         ["--set", "depth=900"], ["--probe", "round"]],
        ids=" ".join,
    )  # fmt: skip
    def test_phantom_refuses_what_makes_no_sense(self, run, tmp_path, words):
        assert_fails(run("phantom", tmp_path / "p.mp4", *words, use_model=False))
        assert not (tmp_path / "p.mp4").exists()

    def test_phantom_replaces_a_clip_only_when_told(self, run, tmp_path):
        clip = tmp_path / "p.mp4"
        clip.write_text("mine")
        words = ["phantom", clip, "--frames", "2", "--size", "96x96"]
        assert_fails(run(*words, use_model=False), "--overwrite")
        assert clip.read_text() == "mine"
        assert run(*words, "--overwrite", use_model=False).code == 0
        assert clip.stat().st_size > 1000

    def test_phantom_wants_an_mp4(self, run, tmp_path):
        assert_fails(run("phantom", tmp_path / "p.gif", use_model=False), ".mp4")

    def test_model_show_tells_what_a_model_is(self, run, model):
        result = run("model", "show", "--model", model, use_model=False)
        assert result.code == 0
        for word in ("tiny@1", "nerve, vessel, fascia", "96 by 64", "education only"):
            assert word in result.out.replace(" (from 0.50)", "")

    def test_model_show_as_json_is_the_spec(self, run, model):
        result = run("model", "show", "--json", "--model", model, use_model=False)
        assert tiny.SPEC.from_json(result.out) == tiny.SPEC

    def test_data_list_names_every_card(self, run):
        text, raw = (run("data", "list", *w, use_model=False) for w in ([], ["--json"]))
        entries = json.loads(raw.out)
        assert {"usgra-seg", "femoral-nerve-block", "dl-track"} <= {e["name"] for e in entries}
        for entry in entries:
            assert entry["licence"]
            assert entry["name"] in text.out

    def test_app_serves_where_it_is_told(self, run, monkeypatch):
        calls = []
        fake = SimpleNamespace(serve=lambda **options: calls.append(options))
        monkeypatch.setattr(nerveseg, "ui", fake, raising=False)
        assert run("app", "--port", "7999", "--no-browser", use_model=False).code == 0
        assert (calls[0]["host"], calls[0]["port"]) == ("127.0.0.1", 7999)
        assert calls[0]["open_browser"] is False

    @pytest.mark.parametrize("as_json", [True, False])
    def test_bench_prints_its_report(self, run, monkeypatch, as_json):
        timing = {"median_ms": 1.5, "p95_ms": 2.5, "frames": 3}
        stages = {
            "size_wh": (640, 480), "threads": 2, "backend": "onnxruntime",
            "stages": {"whole": timing},
        }  # fmt: skip
        report = {
            "machine": {"processor": "an abacus"}, "model": "m.onnx", "stages": [stages],
            "cold_start_s": 1.0, "peak_memory_mb": 100.0,
        }  # fmt: skip
        monkeypatch.setattr("nerveseg.bench.bench", lambda **options: report)
        result = run("bench", *(["--json"] if as_json else []), use_model=False)
        assert result.code == 0
        if as_json:
            assert json.loads(result.out)["stages"][0]["stages"]["whole"] == timing
        else:
            assert "640x480" in result.out
            assert "1.50 / 2.50" in result.out


class TestAsAProcess:
    def start(self, *words):
        command = [sys.executable, "-m", "nerveseg", *(str(word) for word in words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_ctrl_c_leaves_what_is_done_readable(self, tmp_path, model):
        out = tmp_path / "out"
        words = ["--out", out, "--model", model, "--backend", "onnxruntime", "--masks", "--video"]
        source = "phantom:axillary?frames=100000&size=128x128"
        process = self.start("predict", source, *words)
        results, deadline = out / "results.jsonl", time.monotonic() + 60
        while not (results.exists() and results.read_bytes().count(b"\n") > 3):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert stdout == ""
        assert len(stderr.strip().splitlines()) == 1, stderr
        lines = lines_of(out)
        assert f"{len(lines):,} frames" in stderr
        for line in lines:
            for name in line["masks"].values():
                assert (out / name).stat().st_size
        video = cv2.VideoCapture(str(out / "overlays/phantom_axillary.mp4"))
        assert video.read()[0]

    def test_one_picture_waits_for_nothing_it_does_not_need(self, tmp_path, model):
        source = write(tmp_path / "arm.png", picture())
        code = (
            "import sys; from nerveseg.cli import main\n"
            f"code = main(['predict', {str(source)!r}, '--out', {str(tmp_path / 'out')!r},"
            f" '--model', {str(model)!r}, '--backend', 'onnxruntime'])\n"
            "heavy = ('gradio', 'fastapi', 'pydicom', 'openvino', 'av', 'torch', 'httpx',"
            " 'rich.progress', 'nerveseg.ui', 'nerveseg.data', 'nerveseg.bench')\n"
            "print([name for name in heavy if name in sys.modules]); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.skipif(
        not (weights_dir() / DEFAULT_MODEL).is_file(), reason="the shipped model is not built yet"
    )
    def test_the_shipped_model_finds_something_on_a_phantom(self, tmp_path):
        process = self.start("predict", "phantom:axillary?frames=5", "--out", tmp_path / "out")
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        found = {
            name
            for line in lines_of(tmp_path / "out")
            for name, stats in line["classes"].items()
            if stats["area_px"]
        }
        assert {"nerve", "vessel"} <= found
