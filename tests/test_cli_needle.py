"""``nerveseg needle``: what it prints, and how it fails."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from nerveseg.types import FrameResult, Guidance, Needle, NeedleState, Segmentation
from nerveseg.vision.needle.observe import FEATURES
from tests import tiny
from tests.commands import assert_fails, picture, runner, write, write_clip
from tests.recordings import record_growing

SPEC = replace(
    tiny.SPEC,
    classes=("nerve", "needle"),
    thresholds={"nerve": 0.5, "needle": 0.5},
    heatmaps=("needle tip",),
    confidence={"shaft": (0.0,) * (1 + len(FEATURES)), "tip": (0.0,) * (1 + len(FEATURES))},
)
CLIP = "phantom:axillary?needle&seed=3&frames=8&size=128x128"
ALONG = np.array([0.8, 0.6])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """One whose answers mean nothing: the tests say what was seen."""
    return tiny.write(tmp_path_factory.mktemp("model") / "tiny.onnx", SPEC)


@pytest.fixture
def run(capsys, model):
    return runner(capsys, model=model)


def told(letter, depth):
    """What is known of a needle ``depth`` pixels long: n(ot yet), s(een), p(redicted), l(ost)."""
    if letter in "nl":
        return NeedleState("lost", age_s=None if letter == "n" else 1.0), None
    tip = tuple(ALONG * depth)
    needle = Needle((0.0, 0.0), tip, 0.9, 0.9, ((0.0, 0.0), tip), 1.0)
    guidance = Guidance((tip, (90.0, 90.0)), {"nerve": 60.0 - depth}, (), 36.9, 1.0)
    return NeedleState("seen" if letter == "s" else "predicted", needle, 0.0), guidance


@pytest.fixture
def story(monkeypatch):
    """Let the pipeline see a needle that goes in by 5 pixels a frame, as the letters say."""

    def begin(letters, *, mm_per_px=0.2):
        def shown(frames, segmenter, *, crop=True):
            for frame, (index, letter) in zip(frames, enumerate(letters), strict=False):
                state, guidance = told(letter, 10.0 + 5 * index)
                nothing = Segmentation({}, tiny_region(frame), frame.pixels.shape, {}, "tiny@1")
                yield FrameResult(
                    replace(frame, mm_per_px=mm_per_px), nothing, {}, {},
                    needle_state=state, guidance=guidance,
                )  # fmt: skip

        monkeypatch.setattr("nerveseg.pipeline.run", shown)

    return begin


def tiny_region(frame):
    from nerveseg.types import Box

    height, width = frame.pixels.shape
    return Box(0, 0, width, height)


def test_the_measures_as_json(run, story):
    story("nssspsss")
    result = run("needle", CLIP, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["clip"] == CLIP
    assert found["model_id"] == "tiny@1"
    assert "education" in found["note"]
    assert "not for clinical use" in found["note"]
    counts = [found[f"{key}_frames"] for key in ("not_yet", "seen", "predicted", "lost")]
    assert (found["frames"], counts) == (8, [1, 6, 1, 0])
    assert found["unit"] == "mm"
    # 25 frames a second: seen from frame 1 to frame 7, but for frame 4
    assert found["elapsed_s"] == pytest.approx(6 / 25)
    assert found["tip_visible_share"] == pytest.approx(5 / 6, abs=1e-4)
    # 5 px or 1 mm a frame, straight on
    assert found["path_length"] == pytest.approx(6.0, abs=0.01)
    assert found["path_inefficiency_pct"] == pytest.approx(0.0, abs=0.01)
    assert found["nearest_nerve"] == pytest.approx(0.2 * (60 - 45))
    assert found["nearest_vessel"] is None
    assert found["timeline"] == [
        {"from_s": 0.0, "tip": "not yet"},
        {"from_s": 0.04, "tip": "seen"},
        {"from_s": 0.16, "tip": "predicted"},
        {"from_s": 0.2, "tip": "seen"},
    ]


def test_the_measures_to_read(run, story):
    story("nssspsll")
    result = run("needle", CLIP)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == f"{CLIP}: 8 frames, 0.3 s"
    assert lines[1] == "[ ###-#..]"
    assert lines[2] == "tip: (blank) not yet 12%, # seen 50%, - predicted 12%, . lost 25%"
    rows = {line[:20].strip(): line[21:] for line in lines[3:] if line}
    assert rows["path of the tip"] == "4.0 mm"
    assert rows["way in"] == "4.0 mm, 4.0 mm as the crow flies"
    assert rows["nearest nerve"] == "5.0 mm"
    assert rows["nearest vessel"] == "not measured"
    assert rows["redirections"] == "0"
    assert rows["model"] == "tiny@1"
    assert lines[-1] == "For education on phantoms and recordings only, not for clinical use."


def test_without_a_scale_it_is_pixels_and_says_so(run, story):
    story("ssssssss", mm_per_px=None)
    found = json.loads(run("needle", CLIP, "--json").out)
    assert found["unit"] == "px"
    assert found["path_length"] == pytest.approx(35.0, abs=0.01)
    story("ssssssss", mm_per_px=None)
    told_px = run("needle", CLIP).out
    assert "35.0 px" in told_px
    assert " mm" not in told_px


def test_a_clip_without_a_needle_measures_nothing(run, story):
    story("n" * 8)
    found = json.loads(run("needle", CLIP, "--json").out)
    assert found["timeline"] == [{"from_s": 0.0, "tip": "not yet"}]
    for name in ("elapsed_s", "path_length", "advance", "redirections", "smoothness"):
        assert found[name] is None
    story("n" * 8)
    text = run("needle", CLIP).out
    assert "[        ]" in text
    assert "tip: (blank) not yet 100%, # seen 0%, - predicted 0%, . lost 0%" in text
    rows = [line[21:] for line in text.splitlines() if "not measured" in line]
    assert rows == ["not measured"] * 11
    assert "nan" not in text.lower()


def test_a_needle_that_does_not_move_has_no_share_of_an_advance(run, story, monkeypatch):
    monkeypatch.setattr("tests.test_cli_needle.ALONG", ALONG * 0)
    story("s" * 8)
    text = run("needle", CLIP).out
    assert f"{'advance':<20} 0.0 mm\n" in text
    assert f"{'tip in sight':<20} 100% of the time\n" in text


def test_a_long_clip_has_a_short_bar(run, story):
    story("s" * 150 + "l" * 150)
    bar = run("needle", CLIP.replace("frames=8", "frames=300")).out.splitlines()[1]
    assert bar == f"[{'#' * 30}{'.' * 30}]"


def test_a_clip_without_a_clock_tells_no_time(run, story, tmp_path):
    frames = np.stack([picture(side=64, at=4 + i) for i in range(6)])
    path = tmp_path / "a.mha"
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 64 64 6\nElementType = MET_UCHAR\n"
        "ElementDataFile = LOCAL\n"
    )
    path.write_bytes(header.encode() + frames.tobytes())
    story("ssssss")
    found = json.loads(run("needle", path, "--json").out)
    assert (found["clip_s"], found["elapsed_s"], found["smoothness"]) == (None, None, None)
    assert found["timeline"] == []
    assert found["path_length"] > 0
    story("ssssss")
    result = run("needle", path)
    assert result.out.startswith("a.mha: 6 frames, no clock\n")


def test_every_nth_frame(run, story):
    story("s" * 8)
    found = json.loads(run("needle", CLIP, "--json", "--every", "3").out)
    assert found["frames"] == 3


def test_the_whole_way_from_a_clip_to_its_measures(run, tmp_path):
    """With the real pipeline: what such a model sees means nothing, but all of it fits together."""
    result = run("needle", write_clip(tmp_path / "a.avi"), "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["frames"] == 6
    counts = [found[f"{key}_frames"] for key in ("not_yet", "seen", "predicted", "lost")]
    assert sum(counts) == 6
    assert all(math.isfinite(v) for v in found.values() if isinstance(v, float))


def test_ctrl_c_says_that_nothing_is_measured(run, story, monkeypatch):
    def stopped(frames, segmenter, *, crop=True):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("nerveseg.pipeline.run", stopped)
    result = run("needle", CLIP, "--json")
    assert (result.code, result.out) == (130, "")
    assert result.err == "nerveseg: stopped; 0 frames were read, nothing is measured\n"


class TestBadInput:
    def test_a_missing_file(self, run, tmp_path):
        assert_fails(run("needle", tmp_path / "gone.mp4", "--json"), "gone.mp4")

    def test_a_file_that_is_no_video(self, run, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"hello " * 99)
        assert_fails(run("needle", tmp_path / "a.mp4"), "a.mp4")

    def test_a_picture_and_a_folder_are_no_clips(self, run, tmp_path):
        still = write(tmp_path / "arm.png", picture())
        assert_fails(run("needle", still), "arm.png", "no clip")
        assert_fails(run("needle", tmp_path), "no clip")

    def test_what_has_no_end_or_no_one_size(self, run, tmp_path):
        assert_fails(run("needle", "phantom:axillary?loop"), "has no end", "record it")
        assert_fails(run("needle", record_growing(tmp_path / "grown")), "changes its size")

    def test_a_model_that_knows_no_needles(self, capsys, tmp_path):
        run = runner(capsys, model=tiny.write(tmp_path / "plain.onnx"))
        assert_fails(run("needle", CLIP), "tiny@1", "doesn't look for needles")

    def test_a_wrong_line(self, run):
        assert_fails(run("needle"), "CLIP")
        assert_fails(run("needle", CLIP, "--every", "0"), "--every")
