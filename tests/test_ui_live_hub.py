"""The hub behind the live pages, and how what a page asks for is read: without a session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.errors import NervesegError, SourceError
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveStatus, Moved, Notice
from nerveseg.live.watch import NOTICES
from nerveseg.types import Box, GrayImage
from nerveseg.ui.live.hub import Hub
from nerveseg.ui.live.orders import Seen, block_of, settings_of, uri_of
from nerveseg.ui.live.seat import device_of, kept_for
from tests.live_news import opened, result, shot


def test_a_viewer_gets_the_newest_of_each_and_nothing_twice() -> None:
    hub, woken = Hub(), []
    viewer = hub.join("trainee", lambda: woken.append(1))
    hub.on_status(LiveStatus("live", delivered=3))
    for number in range(3):
        hub.on_frame(shot(number, moved=Moved(0, (1, 0, 0, 1, 2.5, 0))))
    hub.on_result(result(shot(1)))
    assert len(woken) >= 5
    header, picture = opened(viewer.take())
    assert header["frame"]["number"] == 2
    assert header["frame"]["moved"] == {"number": 0, "affine": [1, 0, 0, 1, 2.5, 0]}
    assert header["frame"]["captured_at"] == 1_002_000.0
    assert (header["overlay"]["number"], header["overlay"]["captured_at"]) == (1, 1_001_000.0)
    assert header["overlay"]["targets"][0]["seen_s"] == 2.0
    assert header["status"]["delivered"] == 3
    assert picture is not None
    assert abs(int(picture.mean()) - 52) <= 1
    assert viewer.take() is None


def test_an_overlay_does_not_wait_for_a_picture() -> None:
    hub = Hub()
    viewer = hub.join("trainee", lambda: None)
    hub.on_frame(shot(0))
    viewer.take()
    hub.on_result(result(shot(0)))
    header, picture = opened(viewer.take())
    assert (header["frame"], header["overlay"]["number"], picture) == (None, 0, None)


def test_each_picture_is_encoded_once_for_any_number_of_viewers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[int] = []

    def count(pixels: GrayImage, **_: object) -> bytes:
        encoded.append(1)
        return b"jpeg"

    monkeypatch.setattr("nerveseg.ui.live.hub.picture_jpeg", count)
    hub = Hub()
    viewers = [hub.join("trainee", lambda: None) for _ in range(20)]
    hub.on_frame(shot(0))
    assert all(viewer.take() is not None for viewer in viewers)
    assert len(encoded) == 1


def test_nobody_is_woken_after_leaving_and_nothing_is_left_behind() -> None:
    hub, woken = Hub(), []
    viewer = hub.join("watcher", lambda: woken.append(1))
    assert hub.watching == 1
    viewer.leave()
    before = len(woken)
    hub.on_frame(shot(0))
    assert (hub.watching, len(woken)) == (0, before + 0)


NAME = np.s_[2:10, 4:40]


def with_name(*, speckle: bool = True) -> GrayImage:
    """A picture with a name above its image, which is speckle or nothing."""
    rng = np.random.default_rng(3)
    pixels = np.zeros((240, 320), np.uint8)
    if speckle:
        pixels[40:220, 30:290] = rng.integers(40, 200, (180, 260))
    cv2.putText(pixels, "DOE JANE", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    return pixels


@pytest.mark.parametrize("crop", ["auto", "off"])
def test_who_looks_on_never_gets_what_stands_around_the_image(crop: str) -> None:
    hub = Hub()
    watcher, trainee = (hub.join(kind, lambda: None) for kind in ("watcher", "trainee"))
    frame = shot(0, pixels=with_name())
    hub.on_frame(frame)
    message = watcher.take()
    assert message is None or opened(message)[1] is None  # where the image is isn't known yet
    hub.on_result(result(frame, region=Box(30, 40, 290, 220) if crop == "auto" else None))
    theirs, own = opened(watcher.take())[1], opened(trainee.take())[1]
    assert theirs is not None
    assert own is not None
    assert theirs[:30].max() < 16
    assert theirs[100:160, 100:200].mean() > 80
    assert own[:20].max() > 200


def test_who_looks_on_gets_no_picture_of_a_screen_with_a_name_and_no_image() -> None:
    hub = Hub()
    watcher = hub.join("watcher", lambda: None)
    for number in range(3):
        frame = shot(number, pixels=with_name(speckle=False))
        hub.on_frame(frame)
        hub.on_result(result(frame))
    assert opened(watcher.take())[1] is None


def test_who_looks_on_is_told_no_addresses_of_the_trainee() -> None:
    secret = "rtsp://user:secret@host/stream"
    hub = Hub(facts=lambda: {"uri": secret, "code": "ABCDEFGH", "mirrored": True})
    watcher = hub.join("watcher", lambda: None)
    trouble = Notice("no picture", f"No new picture: {secret}", "check the cable")
    failed = Notice("failed", f"{secret} can't be opened", "choose another")
    status = LiveStatus("lost", notices=(trouble, failed), source={"path": secret})
    hub.on_status(status)
    message = watcher.take()
    assert message is not None
    assert b"secret" not in message
    assert b"ABCDEFGH" not in message
    told = opened(message)[0]["status"]
    assert (told["state"], told["mirrored"], told["watching"]) == ("lost", True, 1)
    assert [notice["key"] for notice in told["notices"]] == ["no picture"]


def test_who_looks_on_is_told_whose_computer_is_slow() -> None:
    hub = Hub()
    watcher = hub.join("watcher", lambda: None)
    hub.on_status(LiveStatus("live", notices=(NOTICES["slow analysis"],)))
    told = opened(watcher.take())[0]["status"]["notices"][0]["text"]
    assert told.startswith("The trainee's computer")


def test_a_page_with_its_own_camera_gets_a_picture_only_while_it_is_frozen() -> None:
    hub = Hub(stamp_of=lambda number: 7.5 if number == 0 else None)
    page = hub.join("camera", lambda: None)
    hub.on_frame(shot(0))
    hub.on_result(result(shot(0)))
    header, picture = opened(page.take())
    assert (header["overlay"]["stamp"], picture) == (7.5, None)
    hub.on_status(LiveStatus("live", frozen=True))
    header, picture = opened(page.take())
    assert header["frame"]["number"] == 0
    assert picture is not None


@pytest.mark.parametrize(
    ("x", "y", "shown"),
    [(3, 4, True), (63, 47, True), (64, 4, False), (-1, 4, False), (3, float("nan"), False)],
)
def test_a_marker_lies_on_the_picture(x: float, y: float, shown: bool) -> None:
    hub = Hub()
    viewer = hub.join("trainee", lambda: None)
    hub.on_frame(shot(0))
    viewer.take()
    hub.point(x, y, by="watcher")
    message = viewer.take()
    assert (message is not None) == shown
    if message is not None:
        assert opened(message)[0]["pointer"] == {"x": x, "y": y, "by": "watcher"}


# --- what a page asks for --------------------------------------------------------------------

SEEN = Seen((240, 320), Box(20, 40, 300, 240))

GOOD = [
    ({"crop": "off"}, replace(DeviceSettings(), crop="off")),
    # Drawn from the lower right, and beyond the picture's edge.
    ({"crop": [400, 300, 100.4, 50]}, replace(DeviceSettings(), crop=Box(100, 50, 320, 240))),
    ({"mirrored": True}, replace(DeviceSettings(), mirrored=True)),
    # The image region is 200 pixels high.
    (
        {"scale": {"depth_mm": 50}},
        replace(DeviceSettings(), mm_per_px=0.25, scale_from="a depth of 50 mm"),
    ),
    # 3, 4, 5: the points are 50 pixels apart.
    (
        {"scale": {"points": [[10, 10], [40, 50]], "distance_mm": 10}},
        replace(DeviceSettings(), mm_per_px=0.2, scale_from="two marks 10 mm apart"),
    ),
]


@pytest.mark.parametrize(("raw", "expected"), GOOD)
def test_settings_are_read(raw: dict[str, Any], expected: DeviceSettings) -> None:
    assert settings_of(raw, DeviceSettings(), SEEN) == expected


def test_a_scale_is_taken_back() -> None:
    before = DeviceSettings(mm_per_px=0.2, scale_from="a depth of 50 mm", mirrored=True)
    assert settings_of({"scale": None}, before, SEEN) == DeviceSettings(mirrored=True)


BAD = [
    {},
    {"gain": 3},
    {"crop": "inside"},
    {"crop": [1, 2, 3]},
    {"crop": [1, 2, 3, float("nan")]},
    {"crop": [10, 10, 12, 200]},
    {"crop": [[], {}, None, "x"]},
    {"mirrored": "yes"},
    {"scale": 3},
    {"scale": {"depth_mm": -4}},
    {"scale": {"depth_mm": True}},
    {"scale": {"points": [[1, 2], [1, 2]], "distance_mm": 10}},
    {"scale": {"points": [[1, 2]], "distance_mm": 10}},
    {"scale": {"points": [[1, 2], [3, float("inf")]], "distance_mm": 10}},
]


@pytest.mark.parametrize("raw", BAD)
def test_settings_that_make_no_sense_are_refused_in_one_line(raw: dict[str, Any]) -> None:
    with pytest.raises(SourceError) as caught:
        settings_of(raw, DeviceSettings(), SEEN)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["crop", "mirrored", "scale", "x"]), JSON), st.booleans())
def test_no_order_makes_anything_but_settings_or_a_plain_error(
    raw: dict[str, Any], seen: bool
) -> None:
    try:
        settings = settings_of(raw, DeviceSettings(), SEEN if seen else None)
    except NervesegError:
        return
    assert isinstance(settings, DeviceSettings)


@pytest.mark.parametrize("raw", [None, 3, "", "  ", "x" * 501, "uvc:0\nuvc:1"])
def test_a_source_is_named_by_one_line(raw: object) -> None:
    with pytest.raises(SourceError, match="one line"):
        uri_of(raw)


def test_a_block_is_one_of_the_syllabus_or_none() -> None:
    assert (block_of("axillary"), block_of(""), block_of(None)) == ("axillary", None, None)
    with pytest.raises(SourceError, match="there are"):
        block_of(["axillary"])


@pytest.mark.parametrize(
    ("uri", "device", "kept"),
    [
        # A crop and a scale are in pixels of one size.
        ("uvc:0?fps=30&size=1280x720", "uvc:0", "uvc:0?size=1280x720"),
        ("uvc:/dev/video0", "uvc:0", "uvc:0"),
        ("phantom:axillary?needle", "phantom:axillary", "phantom:axillary"),
        ("rtsp://me:secret@host/a?size=2", "rtsp://host/a?size=2", "rtsp://host/a?size=2"),
        ("clips/one.mp4", "clips/one.mp4", "clips/one.mp4"),
    ],
)
def test_a_device_is_known_by_its_name_without_options_and_passwords(
    uri: str, device: str, kept: str
) -> None:
    assert (device_of(uri), kept_for(uri)) == (device, kept)
