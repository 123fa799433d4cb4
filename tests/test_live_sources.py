"""One contract that every kind of live source keeps, and what is special about each.

A camera is played by `tests.mjpeg_server`: what reads it is the same code for UVC, RTSP and HTTP.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.address import Address
from nerveseg.errors import SourceError
from nerveseg.video import sources
from nerveseg.video.cameras import open_camera
from nerveseg.video.device import DeviceClock, Patience
from nerveseg.video.paced import PacedClip
from tests import video_files as files
from tests.igtl_peers import IgtlCamera
from tests.mjpeg_server import MjpegServer, jpeg_part
from tests.video_files import PATCH, level, picture

WAIT_S = 15.0
"""As long as nothing should ever take; no test waits for it to pass."""

MM_PER_PX = 0.2


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("nerveseg-")}


@contextmanager
def nothing_left():
    """Fails if threads of ours or file handles are left behind."""
    process, before = psutil.Process(), our_threads()
    handles = process.num_fds()
    yield
    until(lambda: our_threads() <= before)
    until(lambda: process.num_fds() <= handles)


def shown(frame) -> float:
    return float(frame.pixels[PATCH].mean())


def camera_at(server, *, uri="uvc:0", nodes=None, patience=None):
    """The camera ``uri``, whose capture is the stream of ``server``."""
    return open_camera(
        Address.parse(uri),
        make=lambda device: cv2.VideoCapture(
            server.url, cv2.CAP_FFMPEG, [cv2.CAP_PROP_READ_TIMEOUT_MSEC, 300]
        ),
        nodes=nodes,
        patience=patience,
    )


@dataclass(frozen=True)
class Live:
    """A kind of live source. ``serve`` gives a function that opens it, and one that stalls it."""

    name: str
    serve: Callable[[ExitStack, Path], tuple[Callable[[], sources.Clip], Callable[[], None]]]
    mm_per_px: float | None = None
    tolerance: int = 0


def _http(held, folder):
    server = held.enter_context(MjpegServer(fps=100))
    return lambda: sources.open(server.url), server.stall


def _uvc(held, folder):
    server = held.enter_context(MjpegServer(fps=100))
    (folder / "video0").touch()
    return lambda: camera_at(server, nodes=folder), server.stall


def _igtl(held, folder):
    server = held.enter_context(IgtlCamera(fps=100, mm_per_px=MM_PER_PX))
    return lambda: sources.open(server.uri), server.stall


def _played(scheme, make):
    def serve(held, folder):
        path = make(folder)
        return lambda: sources.open(f"{scheme}:{path}?loop&realtime"), lambda: None

    return serve


def _phantom(held, folder):
    uri = "phantom:axillary?seed=3&needle&size=96x96&fps=100&loop&realtime"
    return lambda: sources.open(uri), lambda: None


def _video(folder):
    return files.write_video(folder / "clip.avi", "MJPG")


def _cine(folder):
    region = files.region(MM_PER_PX / 10, MM_PER_PX / 10)
    frames = [picture(i) for i in range(files.FRAMES)]
    path = folder / "cine.dcm"
    return files.write_dicom(
        path, frames, FrameTime=10, SequenceOfUltrasoundRegions=files.regions(region)
    )


def _meta(folder):
    frames = np.stack([picture(i) for i in range(files.FRAMES)])
    times = [3.0 + 0.01 * i for i in range(files.FRAMES)]
    spacing = f"ElementSpacing = {MM_PER_PX} {MM_PER_PX} 1"
    return files.write_meta(folder / "scan.mha", frames, times=times, extra=spacing)


KINDS = (
    Live("http", _http, tolerance=6),
    Live("uvc", _uvc, tolerance=6),
    Live("igtl", _igtl, MM_PER_PX),
    Live("file", _played("file", _video), tolerance=6),
    Live("dicom", _played("dicom", _cine), MM_PER_PX),
    Live("mha", _played("mha", _meta), MM_PER_PX),
    Live("phantom", _phantom, 38.0 / 96),
)


@dataclass(frozen=True)
class Source:
    kind: Live
    open: Callable[[], sources.Clip]
    stall: Callable[[], None]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def source(request, tmp_path):
    with ExitStack() as held:
        yield Source(request.param, *request.param.serve(held, tmp_path))


class TestEveryKind:
    def test_gives_frames_in_order_whose_times_rise_strictly(self, source):
        with source.open() as clip:
            frames = list(islice(clip, 15))
        assert all(later.index > earlier.index for earlier, later in pairwise(frames))
        assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
        assert all(frame.pixels.dtype == np.uint8 and frame.pixels.ndim == 2 for frame in frames)

    def test_shows_each_picture_under_its_own_number(self, source):
        with source.open() as clip:
            frames = list(islice(clip, 15))
        if source.kind.name == "phantom":
            assert len({frame.pixels.tobytes() for frame in frames}) == len(frames)
            return
        first = round((shown(frames[0]) - 40) / 15)
        expected = [level(first + frame.index - frames[0].index) for frame in frames]
        assert [shown(f) for f in frames] == pytest.approx(expected, abs=source.kind.tolerance)

    def test_has_no_end_and_says_so(self, source):
        with source.open() as clip:
            assert clip.frame_count is None
            assert len(list(islice(clip, 2 * files.FRAMES))) == 2 * files.FRAMES

    def test_tells_its_scale_on_each_frame(self, source):
        with source.open() as clip:
            frames = list(islice(clip, 3))
            for told in [clip.mm_per_px, *(frame.mm_per_px for frame in frames)]:
                expected = source.kind.mm_per_px
                assert told == (None if expected is None else pytest.approx(expected, rel=1e-3))

    def test_closed_it_says_so_and_leaves_nothing_behind(self, source):
        with source.open() as clip:
            next(clip)
        with nothing_left():
            clip = source.open()
            next(clip)
            clip.close()
            clip.close()
            with pytest.raises(SourceError, match="closed; open it again"):
                next(clip)

    def test_closed_before_anything_was_read_it_leaves_nothing_behind(self, source):
        source.open().close()
        with nothing_left():
            source.open().close()

    def test_opens_again_after_close(self, source):
        for _ in range(3):
            with source.open() as clip:
                assert [frame.pixels.ndim for frame in islice(clip, 2)] == [2, 2]

    def test_a_close_from_elsewhere_ends_a_read(self, source):
        with source.open() as clip:
            next(clip)
        with nothing_left():
            clip = source.open()
            ended = read_in_thread(clip)
            until(lambda: ended.frames)
            source.stall()
            clip.close()
            assert ended.over.wait(WAIT_S)
        assert isinstance(ended.error, SourceError)
        assert "closed; open it again" in str(ended.error)


class read_in_thread:  # noqa: N801 - reads as what it does
    """Reads a clip to its end in another thread."""

    def __init__(self, clip):
        self.frames, self.error, self.over = [], None, threading.Event()
        self._clip = clip
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            for frame in self._clip:
                self.frames.append(frame)
        except SourceError as error:
            self.error = error
        finally:
            self.over.set()


SHORT = Patience(opening_s=WAIT_S, first_s=0.4, silence_s=0.4)


class TestCamera:
    def test_tells_what_it_was_asked_for_and_what_it_granted(self, tmp_path):
        (tmp_path / "video1").touch()
        with (
            MjpegServer() as server,
            camera_at(server, uri="uvc:1?size=1280x720&fps=60&format=YUYV", nodes=tmp_path) as clip,
        ):
            assert clip.facts["asked size"] == "1280x720"
            assert clip.facts["asked rate"] == 60
            assert clip.facts["asked format"] == "YUYV"
            assert clip.facts["size"] == f"{files.WIDTH}x{files.HEIGHT}"
            assert clip.facts["format"] == "MJPG"

    def test_is_asked_for_the_format_first_and_for_a_short_queue(self):
        asked = []
        clip = open_camera(
            Address.parse("uvc:0?format=MJPG&fps=30&size=640x480"),
            make=lambda device: Fake(asked=asked),
            nodes=None,
        )
        clip.close()
        assert asked == [
            (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
            (cv2.CAP_PROP_FRAME_WIDTH, 640),
            (cv2.CAP_PROP_FRAME_HEIGHT, 480),
            (cv2.CAP_PROP_FPS, 30),
            (cv2.CAP_PROP_BUFFERSIZE, 1),
        ]

    @pytest.mark.parametrize(
        ("uri", "device"), [("uvc:0", 0), ("uvc:", 0), ("uvc:2", 2), ("UVC:1?fps=5", 1)]
    )
    def test_is_opened_by_its_number(self, uri, device):
        opened = []

        def make(which):
            opened.append(which)
            return Fake()

        open_camera(Address.parse(uri), make=make, nodes=None).close()
        assert opened == [device]

    def test_is_opened_by_its_path(self, tmp_path):
        node = tmp_path / "video7"
        node.touch()
        opened = []

        def make(which):
            opened.append(which)
            return Fake()

        open_camera(Address.parse(f"uvc:{node}"), make=make, nodes=tmp_path).close()
        assert opened == [str(node)]

    def test_that_falls_silent_is_let_go_of_soon(self, monkeypatch):
        """OpenCV would wait for ten seconds, in which the camera can't be opened anew."""
        variable = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
        monkeypatch.delenv(variable, raising=False)
        with pytest.raises(SourceError, match="can't be opened"):
            open_camera(Address.parse("uvc:99"), nodes=None)
        assert os.environ.pop(variable) == "1"

    def test_that_is_not_there(self, tmp_path):
        with pytest.raises(SourceError, match=r"no such camera.*nerveseg devices"):
            open_camera(Address.parse("uvc:3"), nodes=tmp_path)

    def test_without_permission(self, tmp_path, monkeypatch):
        (tmp_path / "video0").touch()
        monkeypatch.setattr("os.access", lambda path, mode: False)
        with pytest.raises(SourceError, match=r"no permission.*usermod -aG video"):
            open_camera(Address.parse("uvc:0"), nodes=tmp_path)

    def test_that_another_program_has(self):
        with pytest.raises(SourceError, match="in use by another program"):
            open_camera(Address.parse("uvc:0"), make=lambda device: Fake(opens=False), nodes=None)

    def test_whose_driver_raises(self):
        def make(device):
            raise cv2.error("select() failed")

        with pytest.raises(SourceError, match="can't be opened"):
            open_camera(Address.parse("uvc:0"), make=make, nodes=None)

    def test_that_hangs_when_it_is_opened(self):
        released = threading.Event()

        def make(device):
            released.wait(WAIT_S)
            return Fake()

        with nothing_left():
            with pytest.raises(SourceError, match="doesn't answer"):
                open_camera(
                    Address.parse("uvc:0"), make=make, nodes=None, patience=Patience(opening_s=0.1)
                )
            released.set()

    def test_that_is_open_but_gives_no_picture(self):
        with (
            open_camera(
                Address.parse("uvc:0"), make=lambda device: Fake(), nodes=None, patience=SHORT
            ) as clip,
            pytest.raises(SourceError, match=r"open, but g.ve.? no picture.*another program"),
        ):
            next(clip)

    def test_whose_times_are_the_drivers_where_they_can_be_believed(self):
        shots = [(picture(i), 5000 + 40.5 * i) for i in range(4)]
        with open_camera(
            Address.parse("uvc:0"), make=lambda device: Fake(shots, pace_s=0.03), nodes=None
        ) as clip:
            frames = list(islice(clip, 4))
        assert [f.time_s for f in frames] == pytest.approx([0.0405 * f.index for f in frames])

    def test_that_raises_something_unheard_of(self):
        with (
            open_camera(
                Address.parse("uvc:0"),
                make=lambda device: Fake(error=RuntimeError("usb")),
                nodes=None,
            ) as clip,
            pytest.raises(SourceError, match="reading failed: usb"),
        ):
            next(clip)


class Fake:
    """A capture that gives ``shots``, each a picture and its time in ms, then nothing."""

    def __init__(self, shots=(), *, asked=None, opens=True, error=None, pace_s=0.0):
        self._shots, self._asked, self._opens = list(shots), asked, opens
        self._error, self._pace_s, self._time_ms = error, pace_s, 0.0

    def isOpened(self):  # noqa: N802
        return self._opens

    def read(self):
        if self._error:
            raise self._error
        if not self._shots:
            return False, None
        time.sleep(self._pace_s)
        shot, self._time_ms = self._shots.pop(0)
        return True, shot

    def get(self, property_id):
        return self._time_ms if property_id == cv2.CAP_PROP_POS_MSEC else 0.0

    def set(self, property_id, value):
        if self._asked is not None:
            self._asked.append((property_id, value))
        return True

    def release(self):
        self._opens = False


class TestStream:
    def test_promises_no_rate_that_ffmpeg_made_up(self):
        with MjpegServer() as server, sources.open(server.url) as clip:
            assert clip.fps is None
            assert clip.facts["rate"] is None

    def test_gives_the_newest_picture_to_a_slow_reader(self):
        with MjpegServer(fps=100) as server, sources.open(server.url) as clip:
            first = next(clip)
            until(lambda: server.sent > first.index + 30)
            late = next(clip)
        assert late.index >= first.index + 20

    def test_goes_on_in_another_size(self):
        sizes = [(64, 48), (96, 80)]

        def show(number):
            width, height = sizes[number // 20 % 2]
            return picture(number, width=width, height=height)

        with MjpegServer(show, fps=200) as server, sources.open(server.url) as clip:
            until(lambda: next(clip).pixels.shape == (80, 96))
            assert clip.size_wh == (96, 80)
            until(lambda: next(clip).pixels.shape == (48, 64))

    def test_turns_colour_into_grey(self):
        red = np.zeros((48, 64, 3), np.uint8)
        red[..., 2] = 255

        with (
            MjpegServer(lambda n: red if n > 5 else picture(n), fps=200) as server,
            sources.open(server.url) as clip,
        ):
            # BT.601: red is 0.299 of the brightness.
            until(lambda: abs(float(next(clip).pixels.mean()) - 76) < 3)

    def test_passes_over_rubbish_between_pictures(self):
        whole = cv2.imencode(".jpg", picture(0))[1].tobytes()
        rubbish = [b"\xff\xd8 no picture", whole[: len(whole) // 2]]

        def show(number):
            return jpeg_part(rubbish[number // 3 % 2]) if number % 3 == 1 else picture(number)

        with MjpegServer(show, fps=200) as server, sources.open(server.url) as clip:
            frames = list(islice(clip, 20))
        assert all(shown(f) == pytest.approx(level(f.index), abs=6) for f in frames)
        assert clip.broken_frames > 0
        assert "can't be decoded" in clip.problems[0]

    def test_that_hangs_up_has_lost_its_signal(self):
        with MjpegServer() as server, sources.open(server.url) as clip:
            next(clip)
            server.close()
            with pytest.raises(SourceError, match="signal lost"):
                list(clip)
            with pytest.raises(SourceError, match="signal lost"):
                next(clip)

    def test_that_falls_silent_has_lost_its_signal(self, capfd):
        with MjpegServer() as server, sources.open(server.url) as clip:
            next(clip)
            server.stall()
            with pytest.raises(SourceError, match="signal lost"):
                list(clip)
        assert capfd.readouterr() == ("", "")

    def test_comes_back_when_it_is_opened_again(self):
        with MjpegServer() as server:
            with sources.open(server.url) as clip:
                next(clip)
                server.close()
                with pytest.raises(SourceError):
                    list(clip)
            with pytest.raises(SourceError, match=r"nothing answers at 127\.0\.0\.1"):
                sources.open(server.url)
            server.start()
            with sources.open(server.url) as clip:
                assert shown(next(clip)) >= 30

    def test_that_is_no_video(self):
        with (
            MjpegServer() as server,
            pytest.raises(SourceError, match="answers, but gives no video"),
        ):
            sources.open(server.url.replace("stream", "gone"))

    @pytest.mark.parametrize("uri", ["http://", "rtsp:///path", "http://[::1/x", "http://a:99999/"])
    def test_whose_address_is_none(self, uri):
        with pytest.raises(SourceError, match=r"no host|no address"):
            sources.open(uri)

    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    @pytest.mark.parametrize("password", ["secret", "p@secret", "@@secret"])
    def test_never_tells_the_password(self, scheme, password):
        with pytest.raises(SourceError) as caught:
            sources.open(f"{scheme}://doctor:{password}@127.0.0.1:1/stream")
        assert "secret" not in str(caught.value)
        assert "doctor" not in str(caught.value)


class TestPlayed:
    """A clip's frames at 0, 0.04, 0.08 … s."""

    def test_in_real_time_no_frame_is_early_and_none_is_left_out(self, tmp_path):
        path = _video(tmp_path)
        with sources.open(f"file:{path}?realtime") as clip:
            came = [(frame.index, frame.time_s, time.monotonic()) for frame in clip]
        assert [index for index, _, _ in came] == list(range(files.FRAMES))
        first_s = came[0][2]
        assert all(at_s - first_s >= time_s - 0.005 for _, time_s, at_s in came)

    def test_a_slow_reader_gets_every_frame_late(self):
        clock = Clock()
        clip = PacedClip(lambda: sources.open(SMALL), realtime=True, clock=clock)
        seen = []
        for frame in clip:
            seen.append(frame.index)
            clock.now += 1.0
        assert seen == list(range(12))

    def test_over_and_over_the_times_go_on_rising(self, tmp_path):
        path = _video(tmp_path)
        with sources.open(f"file:{path}?loop") as clip:
            frames = list(islice(clip, 3 * files.FRAMES))
        assert [frame.index for frame in frames] == list(range(3 * files.FRAMES))
        assert [f.time_s for f in frames] == pytest.approx([0.04 * f.index for f in frames])

    def test_with_neither_it_is_what_the_path_opens(self, tmp_path):
        path = _video(tmp_path)
        for uri in (f"file:{path}", f"file://{path}", f"file:{path}?loop=no&realtime=0"):
            with sources.open(uri) as clip:
                assert clip.frame_count == files.FRAMES
                assert len(list(clip)) == files.FRAMES

    def test_in_real_time_alone_it_ends(self, tmp_path):
        with sources.open(f"mha:{_meta(tmp_path)}?realtime") as clip:
            assert clip.frame_count == files.FRAMES
            assert len(list(clip)) == files.FRAMES
            assert list(clip) == []

    def test_a_stride_holds_in_every_round(self, tmp_path):
        path = _video(tmp_path)
        with sources.open(f"file:{path}?loop", stride=5) as clip:
            assert [frame.index % 11 for frame in islice(clip, 6)] == [0, 5, 10, 0, 5, 10]

    def test_a_kind_that_is_named_must_be_it(self, tmp_path):
        for scheme in ("dicom", "mha"):
            with pytest.raises(SourceError):
                sources.open(f"{scheme}:{_video(tmp_path)}?loop")

    def test_a_damaged_file_breaks_off_and_says_so(self, tmp_path):
        path = _video(tmp_path)
        path.write_bytes(path.read_bytes()[:6000])
        with pytest.raises(SourceError, match=r"clip\.avi"), sources.open(f"file:{path}?loop") as c:
            list(c)

    def test_a_phantom_without_loop_ends(self):
        with sources.open(SMALL) as clip:
            assert (clip.frame_count, len(list(clip))) == (12, 12)

    def test_a_phantoms_rate_is_its_clock(self):
        with sources.open(SMALL + "&fps=50") as clip:
            assert [f.time_s for f in clip] == pytest.approx([i / 50 for i in range(12)])
            assert clip.fps == 50


SMALL = "phantom:axillary?size=96x96&frames=12"


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self):
        return self.now


# address                          what is wrong with it
WRONG = [
    ("ftp://host/clip.mp4", "ftp:.*known are uvc:, igtl:.*path of a file"),
    ("usb:0", "usb:.*known are"),
    ("uvc:0?zoom=2", "unknown option 'zoom'; known are size, fps, format"),
    ("uvc:0?size=big", "size='big' is not WIDTHxHEIGHT"),
    ("uvc:0?size=0x5", "size='0x5' is not WIDTHxHEIGHT"),
    ("uvc:0?size=640x480&size=1x1", "'size' is given twice"),
    ("uvc:0?fps=fast", "fps='fast' is not a number"),
    ("uvc:0?fps=0", "fps='0' is not between 1 and 240"),
    ("uvc:0?fps=nan", "fps='nan' is not between"),
    ("uvc:0?format=JPEG2000", "no format of four letters"),
    ("uvc:front", "names no camera; expected uvc:0"),
    ("uvc:-1", "names no camera"),
    ("uvc:99999999999999999999", "names no camera"),
    ("file:clip.mp4?speed=2", "unknown option 'speed'; known are loop, realtime"),
    ("file:clip.mp4?loop=perhaps", "loop='perhaps' is neither yes nor no"),
    ("file:no_such.mp4?loop", "no_such.mp4"),
    ("igtl://?device=x", "names no host"),
    ("igtl:host", "names no host; expected igtl://HOST:18944"),
    ("igtl://host:port", "is no address"),
    ("igtl://host?device=", "device='' is empty"),
    ("igtl://host?name=x", "unknown option 'name'; known are device"),
    ("phantom:axillary?fps=x", "fps='x' is not a number"),
    ("phantom:axillary?loop&sead=3", "unknown key 'sead'"),
    ("C:\\clip.mp4", "can't read C:.clip.mp4"),
]


@pytest.mark.parametrize(("uri", "told"), WRONG, ids=[uri for uri, _ in WRONG])
def test_a_wrong_address_says_what_is_known(uri, told):
    with pytest.raises(SourceError, match=told) as caught:
        sources.open(uri)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_at_all_makes_an_address_crash(text):
    address = Address.parse(text)
    if address is not None:
        assert len(address.scheme) >= 2
        assert address.uri == text
        assert text.endswith(address.query)


def test_a_name_longer_than_any_file_can_have_is_refused_in_a_line():
    with pytest.raises(SourceError, match="check the path"):
        sources.open("file:" + 300 * "a")


def test_a_file_may_be_named_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_image(tmp_path / "scan:2.png")
    with sources.open("scan:2.png") as clip:
        assert len(list(clip)) == 1


# what was given                    where it comes as from a device
LIVE = [
    ("clip.mp4", "file:clip.mp4?realtime"),
    ("C:\\clip.mp4", "file:C:\\clip.mp4?realtime"),
    ("file:clip.mp4", "file:clip.mp4?realtime"),
    ("file:clip.mp4?loop", "file:clip.mp4?loop&realtime"),
    ("mha:scan.mha?realtime", "mha:scan.mha?realtime"),
    ("file:clip.mp4?", "file:clip.mp4?realtime"),
    ("phantom:", "phantom:?loop&realtime"),
    ("PHANTOM:femoral?", "PHANTOM:femoral?loop&realtime"),
    ("phantom:axillary?seed=3", "phantom:axillary?seed=3&loop&realtime"),
    ("phantom:axillary?realtime=no&loop", "phantom:axillary?realtime=no&loop"),
    ("uvc:0", "uvc:0"),
    ("http://host/x?a=1", "http://host/x?a=1"),
]


@pytest.mark.parametrize(("given_uri", "expected"), LIVE)
def test_what_is_played_live_keeps_its_pace(given_uri, expected):
    assert sources.live_uri(given_uri) == expected


# arrival and device time, s        what comes of it
CLOCKS = {
    "the device's own": ([(9, 100), (9.05, 100.04), (9.08, 100.08)], [0, 0.04, 0.08]),
    "none": ([(9, None), (9.05, None), (9.08, None)], [0, 0.05, 0.08]),
    "one that stands still": ([(9, 0), (9.05, 0), (9.08, 0)], [0, 0.05, 0.08]),
    "one that jumps back": ([(9, 7), (9.04, 7.04), (9.08, 2), (9.12, 2.04)], [0, 0.04, 0.08, 0.12]),
    "one that runs away": ([(9, 7), (9.04, 8.0), (9.08, 9.0)], [0, 0.04, 0.08]),
    "arrival in a burst": ([(9, None), (9, None), (9, None)], [0, 1e-4, 2e-4]),
}


@pytest.mark.parametrize(("told", "expected"), CLOCKS.values(), ids=CLOCKS)
def test_the_devices_clock_is_trusted_while_it_deserves_it(told, expected):
    clock = DeviceClock()
    assert [clock.read(*each) for each in told] == pytest.approx(expected, abs=1e-9)


_TIMES = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.none() | _TIMES), min_size=2))
def test_times_rise_whatever_a_device_says(told):
    clock = DeviceClock()
    arrivals = sorted(arrived for arrived, _ in told)
    times = [clock.read(at, device) for at, (_, device) in zip(arrivals, told, strict=True)]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in pairwise(times))
