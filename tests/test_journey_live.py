"""The Live tab in a real browser, judged by the pixels on its screen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from nerveseg import anatomy
from nerveseg.live.keeping import Recordings
from nerveseg.live.settings import SettingsStore
from nerveseg.resources import weights_dir
from nerveseg.types import Box
from nerveseg.ui import build_app
from nerveseg.ui.live.desk import Desk, LiveLimits
from nerveseg.video.devices import Device
from nerveseg.vision.segment import DEFAULT_MODEL, Segmenter
from tests.browser import LivePage, Picture, chromium, near, serving
from tests.discs import FRAMES, SIZE, fake_segmenter, nerve_centre
from tests.live_discs import Opener

pytestmark = pytest.mark.browser

COLORS = {name: kind.color for name, kind in anatomy.default().classes.items()}
DISCS = "discs:one"


@dataclass
class Room:
    """The app with its source, and a browser that looks at it."""

    page: LivePage
    address: str
    opener: Opener
    desk: Desk
    recordings: Recordings


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder, opener = tmp_path_factory.mktemp("live"), Opener()
    recordings = Recordings(folder / "recordings")
    desk = Desk(
        fake_segmenter,
        opener=opener,
        store=SettingsStore(folder / "devices.json"),
        recordings=recordings,
    )
    app = build_app(segmenter=fake_segmenter(), desk=desk)
    with serving(app) as address, chromium(folder / "profile", *CAMERA_FLAGS) as driver:
        yield Room(LivePage(driver, address), address, opener, desk, recordings)


CAMERA_FLAGS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture
def page(room: Room) -> LivePage:
    """The discs, live: all classes, as areas without names and fill."""
    page = room.page
    if page.part("start").text != "Stop":
        page.start(DISCS)
        page.until(lambda: page.runs)
    for name in ("names", "safe", "uncertainty", "planes"):
        page.set_switch(page.part(name), on=False)
    page.set_slider("opacity", 0)
    return page


@pytest.fixture
def frozen(page: LivePage) -> Iterator[LivePage]:
    page.release_focus()
    page.press("f")
    page.until(lambda: page.is_frozen)
    yield page
    page.part("freeze").click()
    page.until(lambda: page.part("freeze").get_attribute("aria-pressed") == "false")


def amount(picture: Picture, class_name: str) -> int:
    return int(near(picture, COLORS[class_name]).sum())


def centre(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


def white_disc(picture: Picture) -> np.ndarray:
    return np.asarray(cv2.erode(near(picture, (235, 235, 235)).view(np.uint8), np.ones((5, 5))))


@contextlib.contextmanager
def in_a_new_tab(driver: webdriver.Chrome) -> Iterator[str]:
    """Within, a new tab is looked at; the handle of the one that was left comes back."""
    before: str = driver.current_window_handle
    driver.switch_to.new_window("tab")
    new: str = driver.current_window_handle
    try:
        yield before
    finally:
        driver.switch_to.window(new)
        driver.close()
        driver.switch_to.window(before)


def stop(page: LivePage) -> None:
    if page.part("start").text == "Stop":
        page.part("start").click()
    page.until(lambda: page.part("start").text == "Start" and page.part("start").is_enabled())


def test_picture_and_overlay_move_and_the_figures_are_told(page: LivePage) -> None:
    first, overlaid = page.painted_frame, page.overlaid_frame
    page.until(lambda: page.painted_frame > first + 5 and page.overlaid_frame > overlaid + 2)
    assert amount(page.picture(), "nerve") > 100
    page.until(lambda: "ms old" in page.part("age").text and "frame" in page.part("age").text)
    rates = page.part("rates").text
    assert all(word in rates for word in ("delivered", "shown", "analysed"))
    assert "25 a second promised" in page.part("source-facts").text
    assert "0.2000 mm per pixel, by the source" in page.part("scale-words").text
    body = page.driver.find_element("tag name", "body").text
    assert "Education only — not for clinical use" in body
    assert page.complaints() == []


def test_freeze_stands_still_at_a_frame_with_its_own_overlay(frozen: LivePage) -> None:
    number = frozen.painted_frame
    picture = frozen.picture()
    expected = nerve_centre(number % FRAMES)
    assert centre(white_disc(picture)) / frozen.scale == pytest.approx(expected, abs=1.5)
    outline = near(picture, COLORS["nerve"])
    assert centre(outline) / frozen.scale == pytest.approx(expected, abs=1.5)
    assert "overlay of this very frame" in frozen.part("age").text
    assert np.array_equal(frozen.picture(), picture)
    assert (frozen.painted_frame, frozen.overlaid_frame) == (number, number)


def test_h_hides_every_overlay_and_keeps_the_answers_to_itself(frozen: LivePage) -> None:
    before = frozen.picture()
    frozen.release_focus()
    frozen.press("h")
    hidden = frozen.picture()
    assert amount(before, "nerve") > 100
    # The badges in the corner and the ruler are not of the overlay.
    for name in ("nerve", "vessel", "fascia"):
        assert amount(hidden, name) == 0
    assert frozen.part("hidden").is_displayed()
    frozen.press("h")
    assert np.array_equal(frozen.picture(), before)


def test_a_switch_and_the_opacity_act_at_once_on_a_frozen_picture(frozen: LivePage) -> None:
    frozen.switch("vessel").click()
    picture = frozen.picture()
    assert amount(picture, "vessel") == 0
    assert amount(picture, "nerve") > 100
    frozen.switch("vessel").click()
    assert amount(frozen.picture(), "vessel") > 50
    x, y = (round(value * frozen.scale) for value in nerve_centre(frozen.painted_frame % FRAMES))
    frozen.set_slider("opacity", 100)
    assert int(frozen.picture()[y, x, 2]) == pytest.approx(COLORS["nerve"][2], abs=8)


def test_mirror_turns_the_picture_but_not_the_words(frozen: LivePage) -> None:
    frozen.set_switch(frozen.part("names"), on=True)
    before = frozen.picture()
    frozen.release_focus()
    frozen.press("m")
    frozen.until(lambda: frozen.part("mirror").get_attribute("aria-pressed") == "true")
    x, y = nerve_centre(frozen.painted_frame % FRAMES)

    def turned() -> bool:
        found = centre(white_disc(frozen.picture())) / frozen.scale
        return bool(np.abs(found - (SIZE[0] - 1 - x, y)).max() < 1.5)

    frozen.until(turned)
    frozen.press("m")
    frozen.until(lambda: np.array_equal(frozen.picture(), before))


def test_a_crop_by_hand_is_analysed_and_can_be_taken_back(frozen: LivePage) -> None:
    frozen.part("crop-hand").click()
    frozen.drag((10, 130), (300, 230))  # without the nerve, which stays above
    frozen.until(lambda: "Cropped by hand: 29" in frozen.part("crop-words").text)
    frozen.until(lambda: frozen.is_frozen)
    frozen.part("crop-auto").click()
    frozen.until(lambda: "found inside the scanner's chrome" in frozen.part("crop-words").text)


def test_a_crop_may_be_drawn_mirrored_and_from_beyond_the_picture(
    frozen: LivePage, room: Room
) -> None:
    frozen.part("mirror").click()
    frozen.until(lambda: frozen.part("mirror").get_attribute("aria-pressed") == "true")
    frozen.part("crop-hand").click()
    # Mirrored, what lies left of x = 120 in the source is drawn right of 200.
    frozen.drag((SIZE[0] + 20, 20), (200, 200))
    frozen.until(lambda: "Cropped by hand" in frozen.part("crop-words").text)
    crop = room.desk.seats[0].session.settings.crop
    assert isinstance(crop, Box)
    assert crop.left == 0
    assert (crop.top, crop.right, crop.bottom) == pytest.approx((20, 120, 200), abs=1.5)
    frozen.part("crop-auto").click()
    frozen.part("mirror").click()
    frozen.until(lambda: frozen.part("mirror").get_attribute("aria-pressed") == "false")
    frozen.until(lambda: frozen.is_frozen)


def test_two_clicks_on_a_ruler_give_the_scale_and_say_where_it_came_from(page: LivePage) -> None:
    page.part("millimetres").clear()
    page.part("millimetres").send_keys("50")
    page.part("ruler").click()
    assert "50 mm apart" in page.part("toast").text
    page.click_at(50, 100)
    page.click_at(250, 100)
    page.until(lambda: "set by two marks 50 mm apart" in page.part("scale-words").text)
    scale = float(page.part("scale-words").text.split()[0])
    assert scale == pytest.approx(0.25, rel=0.02)
    page.part("scale-own").click()
    page.until(lambda: "by the source" in page.part("scale-words").text)


def test_what_is_in_view_is_told_and_one_key_takes_it_away(page: LivePage) -> None:
    page.choose("axillary")
    page.until(lambda: "in view\nfor" in page.part("targets").text)
    words = page.part("targets").text
    assert "ulnar nerve" in words
    assert not any(word in words.lower() for word in ("inject", "should", "insert", "advance"))
    page.release_focus()
    page.press("t")
    assert not page.part("targets").is_displayed()
    page.press("t")
    assert page.part("targets").is_displayed()


def opens_in_replay(page: LivePage, frames: str) -> None:
    """Press what is offered with what was kept, see it in Replay, and come back."""
    name = page.part("toast-text").text.split("/")[-1]
    page.part("toast-act").click()
    page.until(lambda: name in page.replay("facts").text and frames in page.replay("where").text)
    chosen = page.replay("demo").get_attribute("value")
    assert chosen == f"recording:{name}"
    page.go_to_tab("Live")
    page.until(lambda: page.part("screen").is_displayed())


def test_a_recording_shows_a_red_dot_and_its_time_and_opens_in_replay(
    page: LivePage, room: Room
) -> None:
    page.release_focus()
    page.press("r")
    page.until(lambda: "REC 0:01" in page.part("recording").text)
    page.part("record").click()
    page.until(lambda: "Recorded:" in page.part("toast").text)
    assert not page.part("recording").is_displayed()
    opens_in_replay(page, "Frame ")
    assert "recording" in {facts.kind for facts in room.recordings.list()}


def test_a_snapshot_opens_in_replay_as_a_still(frozen: LivePage, room: Room) -> None:
    frozen.press("s")
    frozen.until(lambda: "Kept:" in frozen.part("toast").text)
    opens_in_replay(frozen, "Frame 1 / 1 ")
    assert "snapshot" in {facts.kind for facts in room.recordings.list()}


def test_stop_ends_a_recording_and_tells_where_it_lies(page: LivePage, room: Room) -> None:
    page.release_focus()
    page.press("r")
    page.until(lambda: "REC 0:0" in page.part("recording").text)
    stop(page)
    assert "Recorded:" in page.part("toast").text
    assert room.recordings.list()[0].note is None, "it was closed"


def test_a_second_tab_is_told_where_the_source_is_live(page: LivePage, room: Room) -> None:
    with in_a_new_tab(page.driver):
        second = LivePage(page.driver, room.address)
        second.start(DISCS)
        second.until(lambda: "is live in another tab of this app" in second.part("notice").text)
        second.complaints()  # the refusal itself
    assert page.part("start").text == "Stop"


def test_a_page_that_is_reloaded_goes_on_where_it_was(page: LivePage) -> None:
    page.choose("femoral")
    page.until(lambda: "femoral nerve" in page.part("targets").text)
    number = page.painted_frame
    page.driver.refresh()
    page.until(lambda: page.driver.find_elements("css selector", ".nv-live") and page.runs)
    assert page.painted_frame > number
    assert page.part("start").is_displayed(), "the Live tab is the one that is looked at"
    assert page.part("start").text == "Stop"
    assert page.part("block").get_attribute("value") == "femoral"


def test_replay_does_not_play_out_of_sight(page: LivePage) -> None:
    page.go_to_tab("Replay")
    page.until(lambda: page.replay("play").get_attribute("aria-label") == "Pause")
    page.until(lambda: page.replay("where").text)
    where = page.replay("where").text
    page.until(lambda: page.replay("where").text != where)
    page.go_to_tab("Live")
    page.until(lambda: page.part("screen").is_displayed())
    where = page.replay("where").get_attribute("textContent")
    number = page.painted_frame
    page.until(lambda: page.painted_frame > number + 12)
    assert page.replay("where").get_attribute("textContent") == where


def test_after_the_mouse_the_keys_are_the_pictures_again(page: LivePage) -> None:
    for name in ("uncertainty", "opacity", "hide"):
        page.part(name).click()
        page.press(" ")
        page.until(lambda: page.is_frozen)
        page.press("f")
        page.until(lambda: page.part("freeze").get_attribute("aria-pressed") == "false")
    page.part("hide").click()
    page.part("uncertainty").click()
    assert not page.part("uncertainty").is_selected()


def test_a_source_that_was_plugged_in_is_in_the_list_when_it_is_opened(
    page: LivePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(page)
    page.choose("camera")
    block = page.part("block").get_attribute("value")
    probe = Device("uvc:7", "Probe <b>7</b>")
    monkeypatch.setattr("nerveseg.ui.facts.list_devices", lambda: (probe,))
    page.part("source").click()
    found = '.nv-live option[value="uvc:7"]'
    page.until(lambda: page.driver.find_elements("css selector", found))
    assert page.driver.find_element("css selector", found).text == "Probe <b>7</b> · uvc:7"
    assert page.part("source").get_attribute("value") == "camera", "what was chosen stays chosen"
    assert page.part("block").get_attribute("value") == block


def test_viewers_see_the_same_and_a_marker_shows_on_both(page: LivePage) -> None:
    page.part("share").click()
    page.until(lambda: page.part("link").text.startswith("http"))
    address = page.part("link").text
    with in_a_new_tab(page.driver) as before:
        other_tab = page.driver.current_window_handle
        other = LivePage(page.driver, address)
        other.until(lambda: other.runs)
        assert amount(other.picture(), "nerve") > 100
        assert "View only" in page.driver.find_element("tag name", "body").text
        other.click_at(200, 60)
        marker = '[data-part="pointers"] .nv-by-watcher'
        other.until(lambda: page.driver.find_elements("css selector", marker))
        page.driver.switch_to.window(before)
        page.until(lambda: page.driver.find_elements("css selector", f".nv-live {marker}"))
        shown = page.driver.find_element("css selector", f".nv-live {marker}")
        assert float(shown.get_attribute("data-x") or 0) == pytest.approx(200, abs=1)
        assert page.part("watching").text == "1 is looking on."
        page.driver.switch_to.window(other_tab)
        assert other.complaints() == []
        page.driver.switch_to.window(before)
        page.part("unshare").click()
        page.driver.switch_to.window(other_tab)
        other.until(lambda: "no longer good" in other.part("entry").text)
        assert not other.part("main").is_displayed()
        page.driver.switch_to.window(other_tab)
    page.until(lambda: page.part("watching").text == "Nobody is looking on.")


def test_a_source_that_vanishes_greys_the_picture_and_comes_back_by_itself(
    page: LivePage, room: Room
) -> None:
    room.opener.gone.set()
    try:
        page.until(lambda: "No new picture from the source" in page.part("notices").text)
        assert "nv-lost" in (page.part("stage").get_attribute("class") or "")
        page.until(lambda: page.part("stale").is_displayed())
        assert "overlay is" in page.part("stale").text
        # What was found a while ago is not to be read as now.
        assert page.part("warnings").value_of_css_property("visibility") == "hidden"
        assert float(page.part("targets").value_of_css_property("opacity")) < 0.5
    finally:
        room.opener.gone.clear()
    number = page.painted_frame
    page.until(
        lambda: (
            page.painted_frame > number
            and "nv-lost" not in str(page.part("stage").get_attribute("class"))
        )
    )
    page.until(lambda: page.part("notices").text == "")
    page.until(lambda: page.part("warnings").value_of_css_property("visibility") == "visible")


def test_stop_lets_go_and_says_how_to_go_on(page: LivePage) -> None:
    stop(page)
    assert "press Start" in page.part("empty").text
    assert not page.part("freeze").is_enabled()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("phantom:elbow", "elbow"),
        ("no such file.mp4", "no such file.mp4"),
        ("ftp://host/clip", "ftp"),
        ("<img src=x onerror=document.title='got'>", "<img"),
    ],
)
def test_a_source_that_can_not_be_opened_says_why(page: LivePage, uri: str, words: str) -> None:
    stop(page)
    page.start(uri)
    told = page.driver.find_element("css selector", ".nv-live [data-part=stage]")
    page.until(lambda: words in told.text)
    assert "Traceback" not in told.text
    assert page.driver.title == "nerveseg"


def test_a_start_that_is_asked_for_twice_is_one(page: LivePage, room: Room) -> None:
    stop(page)
    page.choose("address")
    page.part("address").clear()
    page.part("address").send_keys(DISCS, Keys.ENTER, Keys.ENTER)
    page.until(lambda: page.runs)
    assert not page.part("notice").is_displayed()
    assert len(room.desk.seats) == 1


def test_the_browsers_own_camera_is_analysed(page: LivePage) -> None:
    stop(page)
    page.complaints()  # what the tests before were refused
    page.choose("camera")
    page.part("start").click()
    page.until(lambda: page.runs)
    page.until(lambda: "round trip" in page.part("age").text)
    first = page.overlaid_frame
    page.until(lambda: page.overlaid_frame > first + 5)
    page.until(lambda: "doesn't look like ultrasound" in page.part("notices").text)
    page.release_focus()
    page.press("f")
    page.until(lambda: page.is_frozen)
    assert page.complaints() == []
    stop(page)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "navigator.mediaDevices.getUserMedia = "
            "() => Promise.reject(new DOMException('no', 'NotAllowedError'))",
            "wasn't allowed to use the camera",
        ),
        (
            "navigator.mediaDevices.getUserMedia = "
            "() => Promise.reject(new DOMException('no', 'NotFoundError'))",
            "finds no camera",
        ),
        (
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })",
            "over HTTPS or on this computer",
        ),
    ],
)
def test_a_camera_that_can_not_be_had_is_explained(page: LivePage, script: str, words: str) -> None:
    stop(page)
    page.driver.execute_script(script)
    page.choose("camera")
    page.part("start").click()
    page.until(lambda: words in page.part("notice-text").text)
    assert page.part("start").text == "Start"


def test_a_phone_shows_all_without_scrolling_sideways(page: LivePage) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        width = "return document.documentElement.scrollWidth"
        page.until(lambda: page.driver.execute_script(width) <= 390)
        bottom = page.part("freeze").rect["y"] + page.part("freeze").rect["height"]
        assert bottom < 844
    finally:
        desk = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", desk)


def test_every_control_has_a_name_and_a_size_for_a_finger(page: LivePage) -> None:
    script = """
      return [...document.querySelectorAll(".nv-live button, .nv-live select")]
        .filter((element) => element.offsetParent)
        .map((element) => [element.getAttribute("aria-label") || element.textContent.trim(),
                           element.offsetHeight]);
    """
    controls = page.driver.execute_script(script)
    assert len(controls) >= 12
    assert all(name and height >= 40 for name, height in controls), controls
    # What changes every moment isn't read out.
    for name in ("age", "rates"):
        assert page.part(name).get_attribute("aria-live") == "off"
    numbered = "return [...document.querySelectorAll('[id]')].map((element) => element.id)"
    ids = [name for name in page.driver.execute_script(numbered) if name.startswith("nv-")]
    assert len(ids) == len(set(ids)), ids


def test_the_shipped_model_draws_on_the_live_phantom(page: LivePage, tmp_path: Path) -> None:
    if not (weights_dir() / DEFAULT_MODEL).is_file():
        pytest.skip(f"needs the shipped model, {DEFAULT_MODEL} in weights/")
    stop(page)
    segmenter = Segmenter.load()
    desk = Desk(lambda: segmenter, store=SettingsStore(tmp_path / "devices.json"))
    app = build_app(segmenter=segmenter, desk=desk, live="phantom:axillary?needle&realtime&loop")
    with serving(app) as address, in_a_new_tab(page.driver):
        other = LivePage(page.driver, address)
        other.until(lambda: other.runs)
        other.until(lambda: amount(other.picture(), "nerve") > 100)
        first = other.painted_frame
        other.until(lambda: other.painted_frame > first)
        assert other.complaints() == []


def test_a_session_ends_soon_after_its_page_is_gone(
    page: LivePage, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(page)
    monkeypatch.setattr(room.desk, "_limits", LiveLimits(away_s=0.3))
    with in_a_new_tab(page.driver):
        other = LivePage(page.driver, room.address)
        other.start("discs:another")
        other.until(lambda: other.runs)
        assert len(room.desk.seats) == 1
        page.driver.get("about:blank")
        page.until(lambda: not room.desk.seats)
