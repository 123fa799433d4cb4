"""The app: its routes, its fences, and what a real browser paints."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from nerveseg.errors import NervesegError, StoreError
from nerveseg.types import Box, Frame, FrameResult, GrayImage, Mask, Segmentation
from nerveseg.ui import build_app, serve
from nerveseg.ui.analyst import Analyst, Job
from nerveseg.ui.clips import ClipStore
from nerveseg.ui.payload import MAX_SIDE, overlay_json, picture_jpeg
from nerveseg.ui.recording import Limits
from nerveseg.ui.serving import _listen
from nerveseg.vision.overlay import structure_stats
from nerveseg.vision.segment import DEFAULT_MODEL
from tests.discs import FRAMES, RADIUS, SIZE, drawn_frame, fake_segmenter, nerve_centre, write_clip


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "moving disc.avi")


def client_of(limits: Limits | None = None) -> TestClient:
    app = build_app(segmenter=fake_segmenter(), limits=limits)
    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of() as client:
        yield client


def upload(client: TestClient, data: bytes, name: str) -> str:
    answer = client.post("/replay/clips", params={"name": name}, content=data)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def settled(client: TestClient, clip_id: str) -> dict[str, object]:
    for _ in range(600):
        status: dict[str, object] = client.get(f"/replay/clips/{clip_id}").json()
        if status["state"] not in ("waiting", "running"):
            return status
        time.sleep(0.05)
    raise AssertionError(f"the analysis never ended: {status}")


# --- a clip through the routes ---------------------------------------------------------------


def test_an_uploaded_clip_comes_back_frame_by_frame_with_its_outlines(
    client: TestClient, clip_file: Path
) -> None:
    clip_id = upload(client, clip_file.read_bytes(), clip_file.name)
    status = settled(client, clip_id)
    assert (status["state"], status["frames"], status["name"]) == ("done", FRAMES, clip_file.name)
    assert (status["width"], status["height"], status["mm_per_px"]) == (*SIZE, None)
    assert np.allclose(np.diff(status["times"]), 0.04, atol=0.001)
    for number in (0, 17, FRAMES - 1):
        answer = client.get(f"/replay/clips/{clip_id}/frames/{number}.jpg")
        assert answer.headers["cache-control"] == "no-store"
        pixels = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert np.abs(pixels.astype(int) - drawn_frame(number)).mean() < 6
        query = {"start": number, "count": 1}
        (overlay,) = client.get(f"/replay/clips/{clip_id}/overlays", params=query).json()
        assert overlay["index"] == number
        nerve = overlay["classes"]["nerve"]
        assert nerve["centroid"] == pytest.approx(nerve_centre(number), abs=1.5)
        around = np.array(nerve["outlines"][0]).reshape(-1, 2) - nerve_centre(number)
        assert np.hypot(*around.T) == pytest.approx(RADIUS, abs=3)


def test_only_new_times_are_sent_again(client: TestClient, clip_file: Path) -> None:
    clip_id = upload(client, clip_file.read_bytes(), "again.avi")
    settled(client, clip_id)
    status = client.get(f"/replay/clips/{clip_id}", params={"since": FRAMES - 3}).json()
    assert (len(status["times"]), status["frames"]) == (3, FRAMES)


@pytest.mark.parametrize(
    ("name", "data", "code", "words"),
    [
        ("notes.txt", b"hello", 415, "can't be opened here"),
        ("clip.mp4", b"", 400, "empty"),
        ("clip.mp4", b"x" * 5000, 413, "larger than"),
    ],
)
def test_an_upload_that_can_not_be_taken_is_refused_with_the_reason(
    name: str, data: bytes, code: int, words: str
) -> None:
    with client_of(Limits(upload_bytes=4096)) as client:
        answer = client.post("/replay/clips", params={"name": name}, content=data)
    assert (answer.status_code, words in answer.json()["detail"]) == (code, True)


@pytest.mark.parametrize("name", ["broken.mp4", "broken.png", "broken.dcm", "broken.mha"])
def test_a_file_that_is_no_clip_fails_with_its_own_name_and_no_path(
    client: TestClient, name: str
) -> None:
    status = settled(client, upload(client, b"\x00\x01 not a clip at all " * 40, name))
    assert (status["state"], status["frames"]) == ("failed", 0)
    note = str(status["note"])
    assert name in note
    assert "Traceback" not in note
    assert "nerveseg-" not in note
    assert "\n" not in note


def test_a_truncated_clip_keeps_what_was_read(client: TestClient, clip_file: Path) -> None:
    data = clip_file.read_bytes()
    status = settled(client, upload(client, data[: len(data) // 2], "half.avi"))
    assert 5 < int(str(status["frames"])) < FRAMES


def test_a_clip_longer_than_is_kept_says_so(clip_file: Path) -> None:
    with client_of(Limits(clip_frames=10)) as client:
        status = settled(client, upload(client, clip_file.read_bytes(), "long.avi"))
    assert (status["state"], status["frames"]) == ("done", 10)
    assert "first part" in str(status["note"])


def test_every_demo_opens_and_is_shared(client: TestClient) -> None:
    facts = client.get("/replay/facts").json()
    assert len(facts["demos"]) >= 3
    name = facts["demos"][0]["name"]
    first, second = (client.post(f"/replay/demos/{name}").json()["id"] for _ in range(2))
    assert first == second
    client.post(f"/replay/clips/{first}/release")
    assert client.get(f"/replay/clips/{first}").status_code == 200
    assert client.post("/replay/demos/elbow").status_code == 404


def test_released_and_unknown_clips_are_gone(client: TestClient, clip_file: Path) -> None:
    clip_id = upload(client, clip_file.read_bytes(), "gone.avi")
    settled(client, clip_id)
    assert client.get(f"/replay/clips/{clip_id}/frames/{FRAMES}.jpg").status_code == 404
    assert client.get(f"/replay/clips/{clip_id}/frames/-1.jpg").status_code == 404
    client.post(f"/replay/clips/{clip_id}/release")
    for path in (clip_id, f"{clip_id}/frames/0.jpg", f"{clip_id}/overlays?start=0&count=1"):
        answer = client.get(f"/replay/clips/{path}")
        assert (answer.status_code, "open it again" in answer.json()["detail"]) == (404, True)


def test_the_page_is_told_the_model_and_what_it_was_measured_on(client: TestClient) -> None:
    model = client.get("/replay/facts").json()["model"]
    assert (model["id"], model["backend"]) == ("fake@1", "brightness")
    (row,) = model["measured"]
    assert (row["card"], row["class"], row["value"], row["low"]) == ("discs", "nerve", 0.9, 0.8)
    assert model["classes"][0]["standard"] == "#ffd60a"
    assert model["needles"] == [
        {"card": "gel", "images": 25, "found": 0.96, "tip": 0.7, "false": None}
    ]


def test_without_a_model_the_page_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nerveseg.vision.segment.weights_dir", lambda: tmp_path)
    with TestClient(build_app(), base_url="http://127.0.0.1") as client:
        facts = client.get("/replay/facts").json()
        assert client.get("/").status_code == 200
    assert facts["model"] is None
    assert DEFAULT_MODEL in facts["problem"]
    assert "make export" in facts["problem"]
    assert "\n" not in facts["problem"]


# --- the fences ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "", "127.0.0.1.evil.org"])
def test_a_foreign_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/replay/facts", headers={"Host": host})
    assert (answer.status_code, "this computer only" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:7860"]
)
@pytest.mark.parametrize("path", ["/replay/demos/axillary", "/gradio_api/upload"])
def test_a_foreign_page_can_change_nothing(client: TestClient, origin: str, path: str) -> None:
    answer = client.post(path, headers={"Origin": origin})
    assert (answer.status_code, "Refused" in answer.text) == (403, True)


def test_the_own_page_may_post_and_nothing_foreign_is_loaded(client: TestClient) -> None:
    answer = client.post("/replay/demos/axillary", headers={"Origin": "http://127.0.0.1:7860"})
    assert answer.status_code == 200
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("name", ["server.py", "..%2fserver.py", "%2e%2e/server.py", ".hidden"])
def test_only_named_assets_are_served(client: TestClient, name: str) -> None:
    assert client.get("/replay/assets/replay.js").status_code == 200
    assert "uvicorn" not in client.get(f"/replay/assets/{name}").text


def test_serving_to_others_is_refused() -> None:
    with pytest.raises(NervesegError, match="no sign-in yet"):
        serve(host="0.0.0.0", open_browser=False)


def test_a_taken_port_is_passed_over_until_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    first = _listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    with first, _listen("127.0.0.1", port) as second:
        assert port < second.getsockname()[1] < port + 20
    monkeypatch.setattr("socket.socket.bind", _refuse)
    with pytest.raises(NervesegError, match="all taken"):
        _listen("127.0.0.1", port)


def _refuse(*_: object) -> None:
    raise OSError("taken")


def test_gradio_templates_splice_nothing_in() -> None:
    from importlib import resources

    for page in ("header.html", "replay.html"):
        text = (resources.files("nerveseg.ui") / "static" / page).read_text("utf-8")
        assert "${" not in text
        assert "{{" not in text


# --- the parts -------------------------------------------------------------------------------


def test_the_least_used_clip_makes_room_and_no_file_is_left(clip_file: Path) -> None:
    store = ClipStore(fake_segmenter(), limits=Limits(clips=2))
    root = store.new_folder().parent
    ids = []
    for number in range(2):
        folder = store.new_folder()
        ids.append(store.uploaded(_copy(clip_file, folder), f"{number}.avi"))
    store.get(ids[0])
    ids.append(store.uploaded(_copy(clip_file, store.new_folder()), "2.avi"))
    with pytest.raises(StoreError, match="no longer open"):
        store.get(ids[1])
    assert [store.get(clip_id).name for clip_id in (ids[0], ids[2])] == ["0.avi", "2.avi"]
    store.close()
    assert not root.exists()


def _copy(source: Path, folder: Path) -> Path:
    path = folder / "clip.avi"
    path.write_bytes(source.read_bytes())
    return path


@pytest.mark.logs_errors
def test_jobs_take_turns_and_a_crash_ends_only_its_own() -> None:
    seen: list[str] = []
    done, crashed = threading.Event(), threading.Event()
    gate = threading.Event()

    def steps(name: str, count: int, last: Callable[[], object]) -> Generator[None]:
        gate.wait(10)
        for _ in range(count):
            seen.append(name)
            yield
        last()

    def crash() -> None:
        raise RuntimeError("a bug")

    analyst = Analyst()
    analyst.take(Job(steps("long", 100, done.set), on_crash=gate.set))
    analyst.take(Job(steps("bad", 1, crash), on_crash=crashed.set))
    analyst.take(Job(steps("short", 5, done.set), on_crash=gate.set))
    gate.set()
    assert crashed.wait(10)
    assert done.wait(10)
    analyst.stop()
    assert seen.index("short") < len(seen) - 1 - seen[::-1].index("long")


def result_of(mask: Mask, *, probability: GrayImage | None = None) -> FrameResult:
    """A frame with one class whose probability map (0..255) is the mask's if none is given."""
    height, width = mask.shape
    drawn = mask * np.uint8(255) if probability is None else probability
    soft = drawn.astype(np.float32) / 255
    segmentation = Segmentation(
        {"nerve": soft}, Box(0, 0, width, height), (height, width), {"nerve": 0.5}, "fake@1"
    )
    frame = Frame(3, 0.12, np.zeros((height, width), np.uint8))
    stats = {"nerve": structure_stats(mask, soft)}
    return FrameResult(frame, segmentation, {"nerve": mask}, stats, {"inference": 1.234})


def painted(paths: list[list[float]], shape: tuple[int, int]) -> Mask:
    """Fill paths by the even-odd rule, as the page does."""
    picture = np.zeros(shape, np.uint8)
    rings = [np.rint(np.array(p).reshape(-1, 1, 2)).astype(np.int32) for p in paths]
    cv2.fillPoly(picture, rings, 1)
    return picture.astype(bool)


def test_the_sent_outline_keeps_the_shape_and_its_hole() -> None:
    drawn = np.zeros((200, 240), np.uint8)
    cv2.ellipse(drawn, (120, 100), (80, 50), 20, 0, 360, 255, -1)
    cv2.circle(drawn, (110, 100), 20, 0, -1)
    mask = drawn > 0
    nerve = json.loads(overlay_json(result_of(mask)))["classes"]["nerve"]
    assert len(nerve["outlines"]) == 2
    again = painted(nerve["outlines"], (200, 240))
    assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.985
    assert not again[100, 110]


def test_what_is_sure_lies_inside_what_is_possible() -> None:
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (64, 1))
    nerve = json.loads(overlay_json(result_of(ramp > 127, probability=ramp)))["classes"]["nerve"]
    sure, possible = (painted(nerve[key], (64, 256)) for key in ("sure", "possible"))
    # With a threshold of 0.5 the network is torn from 0.25 to 0.75.
    assert possible[32].argmax() == pytest.approx(64, abs=3)
    assert sure[32].argmax() == pytest.approx(191, abs=3)
    assert not (sure & ~possible).any()


def test_an_absent_class_has_nothing_to_draw() -> None:
    overlay = json.loads(overlay_json(result_of(np.zeros((64, 64), np.bool_))))
    nerve = overlay["classes"]["nerve"]
    assert (nerve["area"], nerve["centroid"], nerve["outlines"]) == (0, None, [])
    assert (overlay["index"], overlay["mm_per_px"], overlay["ms"]) == (3, None, {"inference": 1.23})
    assert overlay["size"] == [64, 64]


def test_a_huge_frame_is_sent_smaller() -> None:
    data = picture_jpeg(np.full((2000, 4000), 77, np.uint8))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (MAX_SIDE // 2, MAX_SIDE)
    assert abs(int(picture.mean()) - 77) <= 1
