"""OpenIGTLink in and out, against pyigtl's own server and client, and against bad peers."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import islice

import numpy as np
import psutil
import pyigtl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg import anatomy
from nerveseg.address import Address
from nerveseg.errors import SourceError, StoreError
from nerveseg.live.outlet import Outlet
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from nerveseg.types import Box, Frame, FrameResult, Needle, NeedleState, Segmentation
from nerveseg.video import igtl, sources
from nerveseg.video.device import Patience
from nerveseg.video.igtl import IgtlFeed
from nerveseg.video.igtl_out import IgtlServer
from nerveseg.video.igtl_results import label_map, label_values, needle_matrix
from tests.igtl_peers import IgtlCamera, RawPeer
from tests.video_files import picture

WAIT_S = 15.0
SHORT = Patience(first_s=0.5, silence_s=0.5)


def until(condition: Callable[[], object]):
    deadline = time.monotonic() + WAIT_S
    while not (met := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
    return met


def first_of(content, **header):
    """The first frame that is made of one IMAGE with these pixels."""
    message = pyigtl.ImageMessage(content, device_name="Probe", **header)
    with RawPeer(message.pack(), then="silence") as peer, sources.open(peer.uri) as clip:
        return next(clip)


class TestPictures:
    def test_grey_stays_as_it_is(self):
        np.testing.assert_array_equal(first_of(picture(3)[np.newaxis]).pixels, picture(3))

    def test_colour_is_red_first(self):
        colour = np.zeros((1, 48, 64, 3), np.uint8)
        colour[..., 0] = 255
        # BT.601: red is 0.299 of the brightness, blue 0.114.
        assert set(first_of(colour).pixels.ravel()) == {76}

    def test_what_is_not_8_bits_wide_is_scaled_by_the_first_picture(self):
        ramp = np.linspace(0, 4000, 48 * 64).reshape(48, 64).astype(np.uint16)
        messages = [
            pyigtl.ImageMessage(each[np.newaxis], device_name="Probe") for each in (ramp, ramp // 2)
        ]
        content = b"".join(message.pack() for message in messages)
        with RawPeer(content, then="silence") as peer, sources.open(peer.uri) as clip:
            last = until(lambda: (frame := next(clip)).index == 1 and frame)
        assert last.pixels.max() == pytest.approx(128, abs=1)

    # spacing across and down, mm    scale
    @pytest.mark.parametrize(
        ("spacing", "expected"),
        [
            ((0.2, 0.2), 0.2),
            ((0.2, 0.2005), 0.20025),
            ((0.2, 0.3), None),
            ((1.0, 1.0), None),
            ((0.0, 0.0), None),
            ((5000.0, 5000.0), None),
            ((float("nan"), 0.2), None),
            ((float("inf"), float("inf")), None),
        ],
    )
    def test_the_scale_is_the_spacing_where_there_is_one(self, spacing, expected):
        matrix = np.diag([*spacing, 1.0, 1.0])
        frame = first_of(picture(0)[np.newaxis], ijk_to_world_matrix=matrix)
        assert frame.mm_per_px == (None if expected is None else pytest.approx(expected, rel=1e-5))

    def test_the_scale_of_a_tilted_picture_is_the_length_of_its_steps(self):
        turn = np.array([[0.6, -0.8, 0, 9], [0.8, 0.6, 0, 9], [0, 0, 1, 9], [0, 0, 0, 1.0]])
        frame = first_of(
            picture(0)[np.newaxis], ijk_to_world_matrix=turn @ np.diag([0.3, 0.3, 1, 1])
        )
        assert frame.mm_per_px == pytest.approx(0.3, rel=1e-5)

    def test_the_scale_of_a_tracked_picture_holds_still_while_the_probe_turns(self):
        """PLUS sends the probe's pose as the matrix: each part of a recording has one scale."""

        def sent(angle, step):
            turn = np.eye(4)
            turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            matrix = turn @ np.diag([step, step, 1, 1])
            return pyigtl.ImageMessage(picture(0)[np.newaxis], matrix, device_name="Probe")

        poses = [(angle / 7, 0.123 if angle < 40 else 0.2) for angle in range(80)]
        content = [sent(*pose) for pose in poses]
        feed = IgtlFeed("127.0.0.1", 0, messages=igtl.igtl_messages())
        scales = []
        for message in content:
            packed = message.pack()
            header = igtl.igtl_messages().MessageBase.parse_header(packed[:58])
            scales.append(feed._shot(header, packed[58:]).mm_per_px)
        assert len(set(scales)) == 2
        assert (scales[0], scales[-1]) == pytest.approx((0.123, 0.2), rel=1e-5)

    def test_times_are_the_senders(self):
        content = b"".join(
            pyigtl.ImageMessage(
                picture(i)[np.newaxis], timestamp=1000 + 0.031 * i, device_name="Probe"
            ).pack()
            for i in range(4)
        )
        with RawPeer(content, then="silence") as peer, sources.open(peer.uri) as clip:
            last = until(lambda: (frame := next(clip)).index == 3 and frame)
        assert last.time_s == pytest.approx(0.093, abs=1e-4)


class TestDevices:
    def content(self):
        return b"".join(
            [
                pyigtl.TransformMessage(device_name="ProbeToTracker").pack(),
                pyigtl.ImageMessage(picture(1)[np.newaxis], device_name="Probe").pack(),
                pyigtl.ImageMessage(picture(2)[np.newaxis], device_name="Labels").pack(),
                pyigtl.StringMessage("hello", device_name="Probe").pack(),
                unknown_message(),
                pyigtl.ImageMessage(picture(3)[np.newaxis], device_name="Probe").pack(),
            ]
        )

    @pytest.mark.parametrize(
        ("query", "last"), [("", 3), ("?device=Probe", 3), ("?device=Labels", 2)]
    )
    def test_one_device_alone_is_shown(self, query, last):
        with (
            RawPeer(self.content(), then="silence") as peer,
            igtl.open_igtl(Address.parse(peer.uri + query), patience=SHORT) as clip,
        ):
            np.testing.assert_array_equal(last_frame(clip).pixels, picture(last))

    def test_a_device_that_is_not_there_is_told_from_those_that_are(self):
        with RawPeer(self.content(), then="silence") as peer:
            address = Address.parse(f"{peer.uri}?device=Nobody")
            with (
                igtl.open_igtl(address, patience=SHORT) as clip,
                pytest.raises(SourceError, match=r"IMAGE 'Nobody'.*IMAGE 'Probe'.*TRANSFORM"),
            ):
                next(clip)

    def test_the_port_may_be_left_out(self):
        with pytest.raises(SourceError, match=r"igtl://127\.0\.0\.2:18944: nothing answers"):
            sources.open("igtl://127.0.0.2")


def last_frame(clip):
    """The newest frame, after which the peer is silent."""
    frame = None
    while True:
        try:
            frame = next(clip)
        except SourceError:
            return frame


def unknown_message():
    """A message of a type that pyigtl doesn't know."""
    body = bytes(10)
    header = struct.pack("> H 12s 20s II Q Q", 1, b"QTDATA", b"Tracker", 0, 0, len(body), 0)
    return header + body


IMAGE = pyigtl.ImageMessage(picture(0)[np.newaxis], device_name="Probe").pack()


def damaged(at: int, value: bytes) -> bytes:
    """The message with other bytes at ``at`` of its body."""
    start = 58 + at
    return IMAGE[:start] + value + IMAGE[start + len(value) :]


# what the peer sends, what it does then, what is told of it
BAD = {
    "hangs up": (b"", "close", "closed the connection"),
    "says nothing": (b"", "silence", "nothing came"),
    "speaks HTTP": (b"HTTP/1.1 400 Bad Request\r\n" * 9, "close", "doesn't speak OpenIGTLink"),
    "speaks rubbish": (bytes(range(256)), "silence", "doesn't speak OpenIGTLink"),
    "sends zeros": (bytes(4000), "silence", "doesn't speak OpenIGTLink"),
    "goes in a header": (IMAGE[:30], "close", "went away in mid-message"),
    "stops in a header": (IMAGE[:30], "silence", "in mid-message, after 30 of 58"),
    "goes in a body": (IMAGE[:2000], "close", "went away in mid-message"),
    "stops in a body": (IMAGE[:2000], "silence", "in mid-message, after 1,942 of"),
    "claims a body without end": (
        IMAGE[:42] + struct.pack("> Q", 2**63) + IMAGE[50:],
        "silence",
        "doesn't speak OpenIGTLink",
    ),
    "claims another size": (damaged(6, struct.pack("> H", 65)), "silence", "contradicts itself"),
    "claims an unknown type": (damaged(3, b"\x63"), "silence", "contradicts itself"),
    "sends a volume": (
        pyigtl.ImageMessage(np.zeros((3, 48, 64), np.uint8), device_name="Probe").pack(),
        "silence",
        "a volume of 3 slices",
    ),
    "sends a dot": (
        pyigtl.ImageMessage(np.zeros((1, 2, 2), np.uint8), device_name="Probe").pack(),
        "silence",
        "too small to show anything",
    ),
}


@pytest.mark.parametrize(("content", "then", "told"), BAD.values(), ids=BAD)
def test_a_bad_peer_is_told_in_a_line(content, then, told, capfd):
    with RawPeer(content, then=then) as peer:
        address = Address.parse(peer.uri)
        # A message that stops needs longer to be told from one that is slow.
        patience = Patience() if "mid-message" in told else SHORT
        with (
            igtl.open_igtl(address, patience=patience) as clip,
            pytest.raises(SourceError, match=told) as caught,
        ):
            next(clip)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@given(st.binary(min_size=58, max_size=58), st.binary(max_size=200))
def test_no_bytes_at_all_make_the_reader_crash(header, body):
    ours = igtl.igtl_messages()
    wire = igtl.Wire(FakeSocket(header + body), "igtl://peer", ours)

    def read_on():
        while True:
            read = wire.header()
            wire.body(read["body_size"], keep=True)

    with pytest.raises(SourceError, match=r"doesn't speak|mid-message|closed"):
        read_on()


class FakeSocket:
    """Gives ``content`` in pieces of seven bytes, then hangs up."""

    def __init__(self, content):
        self._content = content

    def settimeout(self, seconds):
        pass

    def recv_into(self, space):
        piece, self._content = self._content[:7][: len(space)], self._content[7:]
        space[: len(piece)] = piece
        return len(piece)


def test_a_server_that_dies_has_closed_the_connection():
    with IgtlCamera() as camera, sources.open(camera.uri) as clip:
        next(clip)
        camera.close_connections()
        with pytest.raises(SourceError, match=r"closed the connection|mid-message"):
            list(clip)
        with pytest.raises(SourceError, match=r"closed the connection|mid-message"):
            next(clip)


def test_a_server_that_falls_silent_is_missed():
    with (
        IgtlCamera() as camera,
        igtl.open_igtl(Address.parse(camera.uri), patience=SHORT) as clip,
    ):
        next(clip)
        camera.stall()
        with pytest.raises(SourceError, match="signal lost: no picture"):
            list(clip)


def test_without_pyigtl_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyigtl.messages", None)
    with pytest.raises(SourceError, match=r"pip install 'nerveseg\[igtl\]'"):
        sources.open("igtl://127.0.0.1")
    with pytest.raises(SourceError, match=r"pip install 'nerveseg\[igtl\]'"):
        IgtlServer(port=0)


# --- out ------------------------------------------------------------------------------------

ENTRY, TIP = (10.0, 5.0), (40.0, 45.0)


def result(number=0, *, mm_per_px=0.2, status="seen", masks=None):
    frame = Frame(number, 0.04 * number, picture(number), mm_per_px)
    needle = Needle(ENTRY, TIP, 0.9, 0.9, (ENTRY, TIP), 1.0)
    state = NeedleState("lost") if status == "lost" else NeedleState(status, needle, 0.0)
    nothing = Segmentation({}, Box(0, 0, 64, 48), (48, 64), {}, "test")
    return FrameResult(frame, nothing, masks or {}, {}, needle_state=state)


def mask(rows, columns):
    area = np.zeros((48, 64), np.bool_)
    area[rows, columns] = True
    return area


class TestLabels:
    def test_values_are_the_places_of_the_classes(self):
        documented = {"nerve": 1, "vessel": 2, "artery": 3, "vein": 4, "fascia": 5, "muscle": 6}
        documented |= {"bone": 7, "pleura": 8, "needle": 9}
        assert label_values() == documented
        assert list(label_values()) == list(anatomy.default().classes)

    def test_a_part_lies_over_its_whole_and_low_values_over_high_ones(self):
        left, all_of_it = mask(slice(0, 10), slice(0, 10)), mask(slice(0, 10), slice(0, 30))
        middle = mask(slice(0, 10), slice(10, 20))
        labels = label_map(
            result(masks={"fascia": all_of_it, "vessel": left | middle, "artery": left})
        )
        assert labels.dtype == np.uint8
        assert labels.shape == (48, 64)
        assert [int(labels[5, x]) for x in (5, 15, 25, 35)] == [3, 2, 5, 0]

    def test_a_class_that_nobody_knows_is_left_out(self):
        assert not label_map(result(masks={"lymph": mask(slice(0, 9), slice(0, 9))})).any()


class TestNeedle:
    """From (10, 5) to (40, 45): 30 across, 40 down, so 50 px long; its direction is (0.6, 0.8)."""

    def test_its_axes_are_the_shaft_and_the_picture(self):
        matrix = needle_matrix(result().needle_state.needle, 0.2)
        expected = [[0.6, -0.8, 0, 8.0], [0.8, 0.6, 0, 9.0], [0, 0, 1, 0], [0, 0, 0, 1]]
        np.testing.assert_allclose(matrix, expected, atol=1e-6)

    @given(st.tuples(*[st.floats(-500, 500)] * 4), st.floats(0.01, 1))
    def test_it_is_always_a_right_handed_frame(self, points, mm_per_px):
        entry, tip = points[:2], points[2:]
        if np.hypot(tip[0] - entry[0], tip[1] - entry[1]) < 1e-3:
            return
        matrix = needle_matrix(Needle(entry, tip, 1, 1, (entry, tip), 1), mm_per_px)
        turn = matrix[:3, :3].astype(float)
        np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-4)
        assert np.linalg.det(turn) == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(matrix[:2, 3], np.multiply(tip, mm_per_px), rtol=1e-4, atol=1e-4)


@pytest.fixture
def server():
    serving = IgtlServer(port=0)
    yield serving
    serving.close()


@contextmanager
def client_of(server):
    """pyigtl's own client, connected."""
    before = server.clients
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", server.port)
    until(lambda: server.clients > before)
    assert client.wait_for_message("NervesegLabels", timeout=WAIT_S) is not None
    try:
        yield client
    finally:
        client.stop()


def wait(client, name):
    message = client.wait_for_message(name, timeout=WAIT_S)
    assert message is not None, f"no {name}"
    return message


class TestServer:
    def test_sends_overlay_and_needle_in_mm(self, server):
        nerve = mask(slice(10, 20), slice(30, 40))
        with client_of(server) as client:
            server.send(result(masks={"nerve": nerve}), captured_at=1234.5)
            overlay = wait(client, "NervesegOverlay")
            needle = wait(client, "NervesegNeedle")
            tip = wait(client, "NervesegTip")
        np.testing.assert_array_equal(overlay.image, nerve[np.newaxis].astype(np.uint8))
        spacing = np.linalg.norm(overlay.ijk_to_world_matrix[:3, :3], axis=0)
        np.testing.assert_allclose(spacing, [0.2, 0.2, 1.0], rtol=1e-6)
        np.testing.assert_allclose(overlay.ijk_to_world_matrix[:3, 3], 0, atol=1e-5)
        assert overlay.world_coordinate_system == "ras"
        np.testing.assert_allclose(needle.matrix[:2, 3], np.multiply(TIP, 0.2), rtol=1e-6)
        assert tip.string == "seen"
        assert overlay.timestamp == pytest.approx(1234.5)

    def test_names_pixels_where_the_scale_is_unknown(self, server):
        with client_of(server) as client:
            server.send(result(mm_per_px=None), captured_at=1.0)
            assert wait(client, "NervesegOverlay_px").image.shape == (1, 48, 64)
            np.testing.assert_allclose(wait(client, "NervesegNeedle_px").matrix[:2, 3], TIP)
            until(lambda: "NervesegTip" in client.incoming_messages)
            assert not {"NervesegOverlay", "NervesegNeedle"} & set(client.incoming_messages)

    def test_sends_no_needle_while_its_tip_is_lost(self, server):
        with client_of(server) as client:
            server.send(result(status="lost"), captured_at=1.0)
            # The overlay comes after all that could come before it.
            wait(client, "NervesegOverlay")
            assert wait(client, "NervesegTip").string == "lost"
            assert "NervesegNeedle" not in client.incoming_messages

    def test_a_tip_that_is_not_renewed_is_told_to_be_lost(self, server):
        with client_of(server) as client:
            server.send(result(), captured_at=1.0)
            assert wait(client, "NervesegTip").string == "seen"
            assert wait(client, "NervesegTip").string == "lost"

    def test_tells_what_the_labels_mean(self, server):
        client = pyigtl.OpenIGTLinkClient("127.0.0.1", server.port)
        try:
            assert wait(client, "NervesegLabels").string.startswith("1 nerve, 2 vessel, 3 artery")
        finally:
            client.stop()

    def test_every_client_gets_it(self, server):
        with client_of(server) as one, client_of(server) as other:
            server.send(result(), captured_at=1.0)
            for client in (one, other):
                wait(client, "NervesegOverlay")

    def test_who_comes_late_gets_only_what_is_new(self, server):
        server.send(result(1), captured_at=1.0)
        with client_of(server) as client:
            server.send(result(2), captured_at=2.0)
            assert wait(client, "NervesegOverlay").timestamp == pytest.approx(2.0)
            assert "NervesegOverlay" not in client.incoming_messages

    def test_a_client_that_takes_nothing_holds_up_nobody(self, server):
        big = FrameResult(
            Frame(0, 0.0, np.zeros((1500, 2000), np.uint8)),
            Segmentation({}, Box(0, 0, 2000, 1500), (1500, 2000), {}, "test"),
            {},
            {},
        )
        lazy = socket.create_connection(("127.0.0.1", server.port))
        with lazy, client_of(server) as client:
            for number in range(20):
                server.send(big, captured_at=float(number + 1))
                wait(client, "NervesegOverlay_px")
        until(lambda: server.clients == 0)

    def test_who_hangs_up_is_forgotten_and_may_come_back(self, server):
        for _ in range(2):
            with client_of(server) as client:
                server.send(result(), captured_at=1.0)
                wait(client, "NervesegOverlay")
            until(lambda: server.clients == 0)

    def test_a_port_that_is_taken_says_so(self, server):
        with pytest.raises(StoreError, match=f"{server.port}.*choose another port"):
            IgtlServer(port=server.port)

    @pytest.mark.parametrize("port", [-1, 70000])
    def test_a_port_that_is_none_says_so(self, port):
        with pytest.raises(StoreError, match="choose another port"):
            IgtlServer(port=port)

    def test_can_be_made_and_closed_in_any_thread_and_leaves_nothing(self):
        IgtlServer(port=0).close()
        handles, threads = psutil.Process().num_fds(), threading.active_count()
        done = threading.Event()

        def use():
            serving = IgtlServer(port=0)
            with client_of(serving):
                serving.send(result(), captured_at=1.0)
                serving.close()
                serving.close()
            done.set()

        threading.Thread(target=use).start()
        assert done.wait(WAIT_S)
        until(lambda: threading.active_count() <= threads)
        until(lambda: psutil.Process().num_fds() <= handles)

    def test_slicer_may_talk_back(self, server):
        with client_of(server) as client:
            client.send_message(pyigtl.StringMessage("GET_CAPABIL" * 50, device_name="x"))
            server.send(result(), captured_at=1.0)
            wait(client, "NervesegOverlay")


def test_the_outlet_sends_what_a_session_finds(server):
    outlet = Outlet(server)
    with client_of(server) as client:
        shot = LiveFrame(result(7).frame, captured_at=77.0)
        outlet.on_capture(shot)
        outlet.on_frame(shot)
        outlet.on_status(LiveStatus("live"))
        outlet.on_result(LiveResult(shot, result(7), ready_at=77.1))
        assert wait(client, "NervesegOverlay").timestamp == pytest.approx(77.0)
    outlet.close()
    assert server.clients == 0


def test_what_goes_out_comes_in_again_as_a_source(server):
    nerve = mask(slice(10, 20), slice(30, 40))
    uri = f"igtl://127.0.0.1:{server.port}?device=NervesegOverlay"
    with sources.open(uri) as clip:
        until(lambda: server.clients)
        stop = threading.Event()

        def send():
            number = 0
            while not stop.wait(0.02):
                number += 1
                server.send(result(number, masks={"nerve": nerve}), captured_at=time.time())

        thread = threading.Thread(target=send)
        thread.start()
        frames = list(islice(clip, 5))
        stop.set()
        thread.join()
    assert [frame.mm_per_px for frame in frames] == pytest.approx([0.2] * 5, rel=1e-5)
    np.testing.assert_array_equal(frames[-1].pixels, nerve.astype(np.uint8))
