"""One contract that every kind of source keeps; then what is special about videos."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nerveseg.errors import SourceError
from nerveseg.video import sinks, sources
from tests import video_files as files
from tests.video_files import HEIGHT, KINDS, PATCH, WIDTH, Kind, read_all, textured


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request) -> Kind:
    return request.param


def test_gives_every_frame_in_order(kind, tmp_path):
    frames = read_all(kind.make(tmp_path))
    assert [frame.index for frame in frames] == list(range(kind.frames))
    if kind.name == "phantom":
        assert len({frame.pixels.tobytes() for frame in frames}) == kind.frames
        return
    shown = [float(frame.pixels[PATCH].mean()) for frame in frames]
    assert shown == pytest.approx([files.level(i) for i in range(kind.frames)], abs=kind.tolerance)


def test_times_rise_and_are_the_containers(kind, tmp_path):
    times = [frame.time_s for frame in read_all(kind.make(tmp_path))]
    assert all(later > earlier for earlier, later in pairwise(times))
    if kind.times is not None:
        assert times == pytest.approx(kind.times, abs=1e-6)


def test_tells_size_and_length_beforehand(kind, tmp_path):
    with sources.open(kind.make(tmp_path)) as clip:
        first = next(clip)
        assert clip.frame_count == kind.frames
        assert first.pixels.dtype == np.uint8
        expected = None if kind.name == "folder" else first.pixels.shape[::-1]
        assert clip.size_wh == expected
        assert first.pixels.shape == ((96, 96) if kind.name == "phantom" else (HEIGHT, WIDTH))


def test_ends_and_stays_ended(kind, tmp_path):
    with sources.open(kind.make(tmp_path)) as clip:
        assert len(list(clip)) == kind.frames
        assert list(clip) == []
        assert clip.broken_frames == 0
        assert clip.problems == []


def test_a_closed_clip_says_so(kind, tmp_path):
    clip = sources.open(kind.make(tmp_path))
    next(clip)
    clip.close()
    clip.close()
    with pytest.raises(SourceError, match="closed; open it again"):
        next(clip)


def test_reopened_it_gives_the_same(kind, tmp_path):
    uri = kind.make(tmp_path)
    for one, other in zip(read_all(uri), read_all(uri), strict=True):
        assert (one.index, one.time_s) == (other.index, other.time_s)
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("stride", [2, 5, 100])
def test_a_stride_gives_some_of_the_same_frames(kind, stride, tmp_path):
    uri = kind.make(tmp_path)
    expected = read_all(uri)[::stride]
    for one, other in zip(read_all(uri, stride=stride), expected, strict=True):
        assert (one.index, one.time_s) == (other.index, other.time_s)
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_stride_of_zero_is_refused(kind, tmp_path):
    with pytest.raises(SourceError, match="stride"):
        sources.open(kind.make(tmp_path), stride=0)


def test_frame_names_are_the_stem_or_the_stem_and_a_number(kind, tmp_path):
    with sources.open(kind.make(tmp_path)) as clip:
        names = [clip.frame_name(frame.index) for frame in clip]
        assert len(set(names)) == len(names)
        expected = {"folder": "shot0", "phantom": "phantom_axillary_000000"}
        single = clip.name if kind.frames == 1 else f"{clip.name}_000000"
        assert names[0] == expected.get(kind.name, single)
        assert Path(clip.frame_file(0)).suffix or kind.name == "phantom"


CUT_SHORT = [k for k in KINDS if k.name not in ("folder", "phantom", "mhd")]


@pytest.mark.parametrize("kind", CUT_SHORT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_cut_short_it_gives_what_it_holds_then_says_so(kind, share, tmp_path, capfd):
    path = Path(kind.make(tmp_path))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    capfd.readouterr()
    frames = []
    with pytest.raises(SourceError) as caught, sources.open(path) as clip:
        frames.extend(iter(clip.__next__, None))
    assert len(frames) < kind.frames
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    for frame in frames:
        assert frame.pixels[PATCH].mean() == pytest.approx(files.level(frame.index), abs=9)
    if frames:
        assert "midway" in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b"\0" * 400, b"hello, this is text\n" * 40])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.mp4", "a.avi", "a.dcm", "a.mha", "a.xyz"])
def test_what_is_no_picture_is_one_line(name, content, tmp_path, capfd):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match="a\\.") as caught:
        read_all(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["missing.png", "missing.mp4", "no/such/folder", "bad\0name"])
def test_a_missing_file_is_one_line(name, tmp_path):
    with pytest.raises(SourceError, match="can't read"):
        sources.open(tmp_path / name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from([k for k in KINDS if k.name not in ("folder", "phantom", "mhd")]),
    damage=st.lists(
        st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=12)), min_size=1, max_size=4
    ),
)
def test_damage_anywhere_raises_nothing_but_source_errors(kind, damage, tmp_path_factory):
    path = Path(kind.make(tmp_path_factory.mktemp("damaged")))
    content = bytearray(path.read_bytes())
    for place, rubbish in damage:
        at = int(place * len(content))
        content[at : at + len(rubbish)] = rubbish
    path.write_bytes(content)
    with suppress(SourceError):
        read_all(path)


# --- videos ---


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at, length = len(content) // 2, len(content) // 12
    content[at : at + length] = np.random.default_rng(0).bytes(length)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "fourcc"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mov", "mp4v"), ("a.mkv", "MJPG")]
)
def test_broken_frames_inside_are_skipped_and_counted(name, fourcc, tmp_path, capfd):
    path = files.write_video(tmp_path / name, fourcc, frames=60, make=textured)
    damage_middle(path)
    with sources.open(path) as clip:
        frames = list(clip)
    assert clip.frame_count == 60
    assert 0 < clip.broken_frames < 15
    assert len(frames) + clip.broken_frames == 60
    # The very last picture came through, so the rest of the clip did.
    last = cv2.cvtColor(textured(59), cv2.COLOR_BGR2GRAY)
    assert np.abs(frames[-1].pixels.astype(int) - last).mean() < 20
    assert clip.problems
    assert capfd.readouterr().err == ""


def test_frames_after_broken_ones_keep_their_place_and_time(tmp_path):
    path = files.write_video(tmp_path / "a.mp4", "mp4v", frames=60, make=textured)
    damage_middle(path)
    last = read_all(path)[-1]
    assert last.index == 59
    assert last.time_s == pytest.approx(59 / 25)


def test_an_unknown_codec_is_named(tmp_path, capfd):
    path = files.write_video(tmp_path / "a.avi", "MJPG")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZZZ"))
    with pytest.raises(SourceError, match=r"codec \(ZZZZ\).*ffmpeg -i a.avi"):
        read_all(path)
    assert capfd.readouterr().err == ""


def test_frames_that_all_fail_to_decode_are_told_from_a_file_that_fails_to_open(tmp_path, capfd):
    path = files.write_video(tmp_path / "a.avi", "MJPG")
    content = path.read_bytes()
    first, last = content.index(b"\xff\xd8\xff"), content.index(b"idx1")
    path.write_bytes(content[:first] + bytes(last - first) + content[last:])
    with (
        sources.open(path) as clip,
        pytest.raises(SourceError, match="not one frame can be decoded"),
    ):
        next(clip)
    assert capfd.readouterr().err == ""


def test_a_recording_that_never_got_its_index_cannot_be_opened(tmp_path):
    path = files.write_video(tmp_path / "a.mp4", "mp4v", frames=60, make=textured)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(SourceError, match="can't be opened: its index is missing"):
        sources.open(path)


def test_a_playlist_dressed_up_as_a_clip_is_never_given_to_ffmpeg(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(SourceError, match="is no video"):
        sources.open(path)


def test_uneven_times_come_from_the_container(tmp_path):
    pytest.importorskip("av")
    path = tmp_path / "uneven.mp4"
    times = [0.0, 0.04, 0.12, 0.16, 0.5, 0.54]
    with sinks.VideoWriter(path, fps=25, size_wh=(320, 240)) as writer:
        for index, time_s in enumerate(times):
            writer.write(textured(index), time_s=time_s)
    frames = read_all(path)
    assert [frame.time_s for frame in frames] == pytest.approx(times, abs=1e-3)


# --- real recordings ---


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "frames", "shape", "mm_per_px"),
    [
        ("device-frames/clarius-ocular-short.mp4", 50, (960, 1280), None),
        ("device-frames/clarius-ocular-image.png", 1, (960, 1280), None),
        ("device-frames/interson-image.jpg", 1, (870, 1357), None),
        ("device-frames/interson-phantom.png", 1, (912, 1469), None),
        ("device-frames/sonoque_anechoic-3mm-3mm.dcm", 1, (1455, 2083), 0.0291),
        ("device-frames/BoneUltrasound_L14.igs.mha", 21, (616, 820), None),
        ("gastrocnemius-clips/p6_isokinetic500_01_push_01.mp4", 59, (624, 1148), None),
    ],
)
def test_recordings_of_real_scanners(name, frames, shape, mm_per_px, data_root, capfd):
    with sources.open(data_root / name) as clip:
        read = list(clip)
        assert clip.frame_count == len(read) == frames
        assert clip.broken_frames == 0
        assert clip.mm_per_px == (pytest.approx(mm_per_px) if mm_per_px else None)
    assert all(frame.pixels.shape == shape and frame.pixels.std() > 10 for frame in read)
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(read))
    assert capfd.readouterr().err == ""


@pytest.mark.realdata
def test_a_plus_recording_agrees_with_simpleitk(data_root):
    path = data_root / "device-frames/BoneUltrasound_L14.igs.mha"
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    frames = read_all(path)
    np.testing.assert_array_equal(np.stack([frame.pixels for frame in frames]), expected)
    assert frames[1].time_s == pytest.approx(232.628014 - 232.542071)
