"""The live routes with sessions that run, and who may look and steer."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from nerveseg.errors import NervesegError, SourceError, StoreError
from nerveseg.live.keeping import Recordings
from nerveseg.live.settings import SettingsStore
from nerveseg.types import Box
from nerveseg.ui import build_app, serve
from nerveseg.ui.live.camera import MAX_MESSAGE, CameraFeed
from nerveseg.ui.live.desk import Desk, LiveLimits
from nerveseg.ui.live.routes import router as live_router
from nerveseg.ui.live.seat import CODE_LETTERS
from nerveseg.ui.live.watching import Gate
from nerveseg.ui.server import watch_app
from tests.discs import SIZE, fake_segmenter
from tests.live_discs import Opener
from tests.live_news import opened

HERE = "http://127.0.0.1:7860"
DISCS = "discs:one"


# --- the routes ------------------------------------------------------------------------------


class Room:
    """A desk, and a client that speaks to it: in the whole app, or to the live routes alone."""

    def __init__(
        self, folder: Path, *, sessions: int = 4, away_s: float = 10.0, whole: bool = False
    ) -> None:
        self.opener = Opener()
        self.store = SettingsStore(folder / "devices.json")
        self.recordings = Recordings(folder / "recordings")
        self.desk = Desk(
            fake_segmenter,
            opener=self.opener,
            store=self.store,
            recordings=self.recordings,
            limits=LiveLimits(sessions, away_s),
        )
        if whole:
            app = build_app(segmenter=fake_segmenter(), desk=self.desk)
        else:
            app = FastAPI()
            app.include_router(live_router(self.desk, list))
        self.client = TestClient(app, base_url=HERE)

    def start(self, uri: str = DISCS, block: str = "") -> dict[str, str]:
        answer = self.client.post("/live/sessions", json={"uri": uri, "block": block})
        assert answer.status_code == 200, answer.text
        started: dict[str, str] = answer.json()
        return started

    def act(self, seat: dict[str, str], name: str, **body: object) -> Any:
        headers = {"X-Token": seat["token"]}
        return self.client.post(f"/live/sessions/{seat['id']}/{name}", json=body, headers=headers)

    def view(self, seat: dict[str, str]) -> Any:
        path = f"/live/sessions/{seat['id']}/view?token={seat['token']}"
        return self.client.websocket_connect(path, headers={"Host": "127.0.0.1:7860"})


@pytest.fixture(scope="module")
def opened_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("room"), whole=True)
    with room.client:
        yield room


@pytest.fixture
def room(opened_room: Room) -> Iterator[Room]:
    yield opened_room
    opened_room.opener.gone.clear()
    for seat in opened_room.desk.seats:
        opened_room.desk.stop(seat)
    assert holds(lambda: live_threads() == []), live_threads()


def live_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("nerveseg-live")]


def hear(socket: Any, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first header that is wanted, as a page that says ``ack`` gets it."""
    for _ in range(400):
        header, _ = opened(socket.receive_bytes())
        socket.send_text("ack")
        if wanted(header):
            return header
    raise AssertionError("what was waited for never came")


def holds(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_session_is_started_looked_at_frozen_and_stopped(room: Room) -> None:
    seat = room.start(block="axillary")
    with room.view(seat) as socket:
        assert hear(socket, lambda header: header["frame"] is not None)["frame"]["width"] == SIZE[0]
        overlay = hear(socket, lambda header: header["overlay"] is not None)["overlay"]
        assert {target["class"] for target in overlay["targets"]} == {"vessel", "fascia", "nerve"}
        assert room.act(seat, "freeze").status_code == 200
        status = hear(socket, lambda header: (header["status"] or {}).get("frozen"))["status"]
        assert (status["block"], status["uri"]) == ("axillary", DISCS)
        assert room.act(seat, "unfreeze").status_code == 200
        assert room.act(seat, "stop").status_code == 200
        with pytest.raises(WebSocketDisconnect) as ended:
            hear(socket, lambda _: False)
    assert (ended.value.code, ended.value.reason) == (4410, "this live session has ended")
    assert room.act(seat, "freeze").status_code == 404


def test_a_page_that_says_nothing_is_sent_one_message_and_no_more(room: Room) -> None:
    seat = room.start()
    with room.view(seat) as lazy, room.view(room.start("discs:two")) as keen:
        opened(lazy.receive_bytes())
        numbers = [hear(keen, lambda header: header["frame"])["frame"]["number"] for _ in range(10)]
        assert numbers == sorted(set(numbers))
        lazy.send_text("ack")
        late = opened(lazy.receive_bytes())[0]["frame"]
        assert late is not None
        assert late["number"] >= 5  # the newest, not the next


def test_a_device_is_live_in_one_tab_alone(room: Room) -> None:
    room.start("discs:one?size=big")
    answer = room.client.post("/live/sessions", json={"uri": "discs:one"})
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "discs:one is live in another tab of this app: go on there, or stop it there first"
    )


def test_a_page_that_was_closed_and_opened_again_need_not_wait(room: Room) -> None:
    before = room.start()
    with room.view(before) as socket:
        hear(socket, lambda header: header["frame"] is not None)
    assert holds(lambda: room.desk.seats[0].left)
    with room.view(room.start()) as socket:
        hear(socket, lambda header: header["frame"] is not None)
    assert room.act(before, "freeze").status_code == 404


def test_a_page_that_comes_back_in_time_keeps_its_source(room: Room) -> None:
    seat = room.start()
    for _ in range(2):
        with room.view(seat) as socket:
            hear(socket, lambda header: header["frame"] is not None)
            assert not room.desk.seats[0].left
            answer = room.client.post("/live/sessions", json={"uri": DISCS})
            assert answer.status_code == 409
        assert holds(lambda: room.desk.seats[0].left)


def test_a_source_that_failed_may_be_tried_again(room: Room) -> None:
    room.opener.gone.set()
    seat = room.start()
    with room.view(seat) as socket:
        status = hear(socket, lambda one: (one["status"] or {}).get("state") == "failed")["status"]
        assert "discs:one is unplugged; plug it in again" in status["notices"][0]["text"]
    room.opener.gone.clear()
    with room.view(room.start()) as socket:
        hear(socket, lambda header: header["frame"] is not None)


@pytest.mark.parametrize(
    ("uri", "played"),
    [
        ("phantom:axillary?needle", "phantom:axillary?needle&loop&realtime"),
        ("clip.mp4", "file:clip.mp4?realtime"),
        (DISCS, DISCS),
    ],
)
def test_what_was_recorded_is_played_at_its_own_pace(room: Room, uri: str, played: str) -> None:
    assert room.start(uri)["uri"] == played


def test_a_name_too_long_for_a_file_is_told_as_such(room: Room) -> None:
    with room.view(room.start("clip:" + "x" * 400)) as socket:
        status = hear(socket, lambda one: (one["status"] or {}).get("notices"))["status"]
        assert "xxx" in status["notices"][0]["text"] or "name" in status["notices"][0]["text"]


def test_more_sources_than_can_be_run_are_refused(tmp_path: Path) -> None:
    room = Room(tmp_path, sessions=1)
    room.start("discs:one")
    answer = room.client.post("/live/sessions", json={"uri": "discs:two"})
    assert (answer.status_code, "the most at once" in answer.json()["detail"]) == (409, True)
    room.desk.close()


def test_only_the_token_steers_and_the_newest_page_has_the_wheel(room: Room) -> None:
    seat = room.start()
    wrong = {**seat, "token": "x" * 32}
    assert room.act(wrong, "stop").status_code == 404
    with room.view(wrong) as socket, pytest.raises(WebSocketDisconnect) as refused:
        socket.receive_bytes()
    assert refused.value.code == 4404
    with room.view(seat) as first:
        hear(first, lambda header: header["frame"] is not None)
        with room.view(seat) as second:
            with pytest.raises(WebSocketDisconnect) as taken:
                hear(first, lambda _: False)
            assert taken.value.code == 4409
            hear(second, lambda header: header["frame"] is not None)


def test_a_session_without_its_page_ends(tmp_path: Path) -> None:
    room = Room(tmp_path, away_s=0.05)
    room.start()
    assert holds(lambda: room.desk.seats == ())


def test_settings_are_kept_for_the_device(room: Room) -> None:
    seat = room.start()
    with room.view(seat) as socket:
        hear(socket, lambda header: header["frame"] is not None)
        assert room.act(seat, "settings", mirrored=True, crop=[10, 10, 200, 200]).status_code == 200
        told = hear(socket, lambda one: (one["status"] or {}).get("mirrored"))["status"]
        assert told["crop"] == [10, 10, 200, 200]
    kept = room.store.load("discs:one")
    assert (kept.mirrored, kept.crop) == (True, Box(10, 10, 200, 200))


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("settings", b'{"crop": [1, 2]}', "expected 4 numbers"),
        ("settings", b"[1, 2]", "one JSON object"),
        ("settings", b"[" * 3000, "one JSON object"),
        ("settings", b"\xff\xfe", "one JSON object"),
        ("block", b'{"block": "elbow"}', "there is no such block"),
        ("record", b'{"on": false}', "nothing is recorded"),
        ("dance", b"{}", "there is no 'dance'"),
        ("settings", b"{" + b" " * 5000 + b"}", "at most 4096 bytes"),
    ],
)
def test_a_bad_order_is_answered_in_one_plain_line(
    room: Room, name: str, body: bytes, words: str
) -> None:
    seat = room.start()
    assert holds(lambda: room.desk.seats[0].hub.shown is not None)
    path, headers = f"/live/sessions/{seat['id']}/{name}", {"X-Token": seat["token"]}
    answer = room.client.post(path, content=body, headers=headers)
    assert answer.status_code in (404, 413, 422)
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_what_is_recorded_is_kept_and_told(room: Room) -> None:
    pytest.importorskip("av")
    seat = room.start(block="axillary")
    with room.view(seat) as socket:
        hear(socket, lambda header: header["overlay"] is not None)
        folder = Path(room.act(seat, "record", on=True).json()["done"])
        assert room.act(seat, "record", on=True).status_code == 422
        hear(socket, lambda one: ((one["status"] or {}).get("recording") or {}).get("frames"))
        assert room.act(seat, "record", on=False).json()["done"] == str(folder)
        kept = Path(room.act(seat, "snapshot").json()["done"])
    assert (folder / "picture.mkv").is_file()
    assert (kept / "picture.png").is_file()


def test_a_foreign_page_can_neither_start_nor_look(room: Room) -> None:
    headers = {"Origin": "https://evil.example"}
    answer = room.client.post("/live/sessions", json={"uri": DISCS}, headers=headers)
    assert answer.status_code == 403
    seat = room.start()
    path = f"/live/sessions/{seat['id']}/view?token={seat['token']}"
    with pytest.raises(WebSocketDisconnect):
        room.client.websocket_connect(path, headers=headers).__enter__()


def test_the_choice_of_sources_has_phantoms_that_open(room: Room) -> None:
    choices = room.client.get("/live/sources").json()
    phantoms = [one for one in choices if one["group"] == "Phantom"]
    assert {one["block"] for one in phantoms} >= {"axillary", "femoral"}
    with room.opener(phantoms[0]["uri"]) as clip:
        assert next(clip).pixels.ndim == 2


# --- the browser's own camera ----------------------------------------------------------------


def camera_message(stamp: float, *, side: int = 64) -> bytes:
    _, jpeg = cv2.imencode(".jpg", np.full((side, side), 90, np.uint8))
    return struct.pack("<d", stamp) + jpeg.tobytes()


def test_a_camera_in_the_browser_is_a_source_and_ends_with_its_socket(room: Room) -> None:
    with room.client.websocket_connect(
        "/live/camera?block=axillary", headers={"Host": "127.0.0.1:7860"}
    ) as socket:
        seat = socket.receive_json()
        stamps, stamp = set(), 0.0
        while not stamps and stamp < 20_000:
            socket.send_bytes(camera_message(stamp := stamp + 50.0))
            message = socket.receive()
            while message.get("text") != "next":
                header, picture = opened(message["bytes"])
                socket.send_text("ack")
                assert picture is None
                if header["overlay"]:
                    stamps.add(header["overlay"]["stamp"])
                message = socket.receive()
        assert stamps
        assert all(given % 50 == 0 for given in stamps)
        assert room.act(seat, "settings", mirrored=True).status_code == 200
    assert holds(lambda: room.desk.seats == ())


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"short",
        struct.pack("<d", 1.0) + b"no picture at all",
        struct.pack("<d", float("nan")) + camera_message(0)[8:],
        camera_message(0)[:60],
        camera_message(0, side=8),
        camera_message(0, side=2000),
        bytes(MAX_MESSAGE + 1),
    ],
)
def test_what_is_no_picture_from_a_camera_is_refused(message: bytes) -> None:
    with pytest.raises(SourceError):
        CameraFeed().put(message)


def test_a_camera_that_shows_a_room_is_told_by_its_colour() -> None:
    shares = []
    for color in ((90, 90, 90), (20, 40, 200)):
        feed = CameraFeed()
        _, jpeg = cv2.imencode(".jpg", np.full((64, 64, 3), color, np.uint8))
        feed.put(struct.pack("<d", 1.0) + jpeg.tobytes())
        with feed.open() as clip:
            pixels = next(clip).pixels
            shares.append(clip.coloured)
        assert pixels.shape == (64, 64)
    assert shares == [0.0, 1.0]


def test_a_read_of_a_camera_that_is_closed_ends() -> None:
    clip = CameraFeed().open()
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(SourceError):
            next(clip)
        ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    clip.close()
    assert ended.wait(10)


# --- looking on ------------------------------------------------------------------------------


def shared(room: Room) -> tuple[dict[str, str], str]:
    seat = room.start()
    return seat, str(room.act(seat, "share").json()["done"])


def test_a_code_lets_look_on_and_point_but_not_steer(room: Room) -> None:
    seat, code = shared(room)
    assert len(code) == 8
    assert set(code) <= set(CODE_LETTERS)
    others = TestClient(watch_app(room.desk), base_url="http://192.168.1.20:7870")
    page = others.get(f"/watch/{code.lower()}")
    assert (page.status_code, "Education only" in page.text) == (200, True)
    assert others.get(f"/watch/{code}/facts").json()["classes"][0]["name"] == "nerve"
    path = f"/watch/{code}/view"
    with (
        room.view(seat) as own,
        room.client.websocket_connect(path, headers={"Host": "127.0.0.1:7860"}) as socket,
    ):
        hear(socket, lambda header: header["frame"] is not None)
        for said in ('{"point": [1e999, 2]}', '{"point": ["a", 2]}', "{", "[]", '"x"', "9" * 300):
            socket.send_text(said)
        socket.send_text('{"point": [40, 30]}')
        pointer = hear(own, lambda header: header["pointer"] is not None)["pointer"]
        assert pointer == {"x": 40.0, "y": 30.0, "by": "watcher"}
        assert hear(own, lambda one: (one["status"] or {}).get("watching") == 1)
        room.act(seat, "share", on=False)
        with pytest.raises(WebSocketDisconnect) as ended:
            hear(socket, lambda _: False)
    assert (ended.value.code, "code is no longer good" in ended.value.reason) == (4410, True)
    assert room.client.get(f"/watch/{code}/facts").status_code == 404


def test_a_viewer_that_says_nothing_leaves_when_the_code_ends(room: Room) -> None:
    seat, code = shared(room)
    path, host = f"/watch/{code}/view", {"Host": "127.0.0.1:7860"}
    hub = room.desk.seats[0].hub
    with room.client.websocket_connect(path, headers=host) as silent:
        silent.receive_bytes()
        assert hub.watching == 1
        room.act(seat, "share", on=False)
        while (message := silent.receive())["type"] != "websocket.close":
            assert message["type"] == "websocket.send"
    assert holds(lambda: hub.watching == 0)


def test_no_more_than_twenty_look_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nerveseg.ui.live.watching._MAX_WATCHERS", 1)
    _, code = shared(room)
    path, host = f"/watch/{code}/view", {"Host": "127.0.0.1:7860"}
    with room.client.websocket_connect(path, headers=host) as first:
        first.receive_bytes()
        with room.client.websocket_connect(path, headers=host) as second:
            with pytest.raises(WebSocketDisconnect) as refused:
                second.receive_bytes()
            assert "the most at once" in refused.value.reason


def test_other_computers_reach_the_page_that_looks_on_and_nothing_else(room: Room) -> None:
    _, code = shared(room)
    others = TestClient(watch_app(room.desk), base_url="http://192.168.1.20:7870")
    for path in (
        "/",
        "/replay/facts",
        "/live/sources",
        "/gradio_api/info",
        "/docs",
        "/openapi.json",
    ):
        assert others.get(path).status_code == 404, path
    assert others.post("/live/sessions", json={"uri": DISCS}).status_code == 404
    assert others.get("/watch/assets/watch.js").status_code == 200
    assert others.get("/watch/assets/..%2fserver.py").status_code == 404
    assert others.get(f"/watch/{code}", headers={"Host": "evil.example"}).status_code == 403
    policy = others.get(f"/watch/{code}").headers["content-security-policy"]
    assert "unsafe" not in policy


def test_wrong_codes_are_answered_slowly_and_soon_not_at_all(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nerveseg.ui.live.watching._DELAY_S", 0.0)
    _, code = shared(room)
    others = TestClient(watch_app(room.desk), base_url="http://192.168.1.20:7870")
    for _ in range(5):
        answer = others.get("/watch/WRNGWRNG/facts")
        assert (answer.status_code, "no live view" in answer.json()["detail"]) == (404, True)
    answer = others.get(f"/watch/{code}/facts")
    assert (answer.status_code, "too many wrong codes" in answer.json()["detail"]) == (404, True)
    with (
        pytest.raises(WebSocketDisconnect),
        others.websocket_connect(
            f"/watch/{code}/view", headers={"Host": "192.168.1.20:7870"}
        ) as socket,
    ):
        socket.receive_bytes()


def test_a_mistyped_code_counts_once_not_for_the_page_too(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nerveseg.ui.live.watching._DELAY_S", 0.0)
    _, code = shared(room)
    others = TestClient(watch_app(room.desk), base_url="http://192.168.1.20:7870")
    for wrong in ("AAAAAAAA", "BBBBBBBB", "CCCCCCCC", "DDDDDDDD"):
        assert "Education only" in others.get(f"/watch/{wrong}").text
        assert others.get(f"/watch/{wrong}/facts").status_code == 404
    assert others.get(f"/watch/{code}/facts").status_code == 200


def test_a_gate_opens_again_after_a_minute_and_forgets_a_right_code() -> None:
    now = [0.0]
    gate = Gate(clock=lambda: now[0])
    for _ in range(4):
        gate.note("a", right=False)
    gate.note("a", right=True)
    for _ in range(5):
        assert gate.is_open("a")
        gate.note("a", right=False)
    assert (gate.is_open("a"), gate.is_open("b")) == (False, True)
    now[0] = 59.0
    assert not gate.is_open("a")
    now[0] = 61.0
    assert gate.is_open("a")


def test_an_address_that_this_computer_has_not_is_refused_when_sharing() -> None:
    with pytest.raises(NervesegError, match="no address of this computer"):
        serve(port=0, open_browser=False, share_host="203.0.113.7")


def test_a_desk_is_closed_with_all_that_runs(tmp_path: Path) -> None:
    desk = Desk(
        fake_segmenter,
        opener=Opener(),
        store=SettingsStore(tmp_path / "devices.json"),
        recordings=Recordings(tmp_path / "recordings"),
    )
    seat = desk.start(DISCS)
    assert holds(lambda: seat.hub.shown is not None)
    desk.close()
    assert desk.seats == ()
    with pytest.raises(StoreError, match="has ended"):
        desk.steered(seat.id, seat.token)
    assert holds(lambda: live_threads() == []), live_threads()
