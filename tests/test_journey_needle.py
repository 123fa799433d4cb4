"""Needle, warnings, timeline and named planes in a real browser, judged by the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from nerveseg import anatomy
from nerveseg.types import Point
from nerveseg.ui import build_app
from tests import insertions
from tests.browser import Picture, ReplayPage, chromium, near, serving
from tests.discs import FRAMES, write_clip
from tests.insertions import AGAIN, ENTRY, FIRST, LOST, PREDICTED, SHAFTLESS
from tests.test_ui_needle import needle_segmenter

pytestmark = pytest.mark.browser

GREEN, CYAN = (anatomy.default().classes[name].color for name in ("needle", "fascia"))
YELLOW, RED = (anatomy.default().classes[name].color for name in ("nerve", "vessel"))
AMBER = (255, 207, 112)
SEEN_AT, PREDICTED_AT = 20, PREDICTED + 2


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "insertion.avi")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, clip_file: Path) -> Iterator[ReplayPage]:
    profile = tmp_path_factory.mktemp("profile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nerveseg.ui.clips.pipeline.run", insertions.run)
        app = build_app(segmenter=needle_segmenter())
        with serving(app) as address, chromium(profile) as driver:
            page = ReplayPage(driver, address)
            page.open_clip(clip_file, FRAMES)
            yield page


@pytest.fixture
def page(opened: ReplayPage) -> ReplayPage:
    """The scripted insertion, all marks on, names and fills off."""
    for name in ("needle", "guidance", "planes"):
        opened.set_switch(opened.part(name), on=True)
    for name in ("names", "safe", "uncertainty"):
        opened.set_switch(opened.part(name), on=False)
    opened.set_slider("opacity", 0)
    return opened


def share_along(page: ReplayPage, marked: Picture, start: Point, end: Point) -> float:
    """How much of the way from ``start`` to ``end`` (pixels of the clip) is marked."""
    steps = np.linspace(0, 1, 300)[:, None]
    way = np.array(start) + steps * (np.array(end) - np.array(start))
    x, y = np.rint((way + 0.5) * page.scale - 0.5).astype(int).T
    return float(marked[y, x].mean())


def at(page: ReplayPage, marked: Picture, point: Point, reach: float) -> Picture:
    """The part of a picture within ``reach`` screen pixels of a point of the clip."""
    x, y = ((value + 0.5) * page.scale for value in point)
    rows = slice(max(0, round(y - reach)), round(y + reach))
    return np.asarray(marked[rows, max(0, round(x - reach)) : round(x + reach)])


def warned(page: ReplayPage) -> list[str]:
    """The warnings above the picture, without their symbols."""
    rows = page.driver.find_elements(By.CSS_SELECTOR, ".nv-warned span")
    return [row.text for row in rows]


def before(point: Point, start: Point, share: float) -> Point:
    return (
        start[0] + share * (point[0] - start[0]),
        start[1] + share * (point[1] - start[1]),
    )


# --- the tip, by its form --------------------------------------------------------------------


def test_a_seen_needle_is_a_whole_line_to_a_dot_in_a_ring(page: ReplayPage) -> None:
    page.go_to(SEEN_AT)
    green, tip = near(page.picture(), GREEN), insertions.tip(SEEN_AT)
    assert share_along(page, green, before(tip, ENTRY, 0.1), before(tip, ENTRY, 0.8)) > 0.95
    assert at(page, green, tip, 1.5).all(), "the dot"
    assert not at(page, green, tip, 7).all(), "the gap between dot and ring"
    assert "Tip seen" in page.part("tip").text


def test_a_predicted_one_is_dashes_to_a_hollow_ring(page: ReplayPage) -> None:
    page.go_to(PREDICTED_AT)
    green, tip = near(page.picture(), GREEN), insertions.tip(PREDICTED_AT)
    assert 0.3 < share_along(page, green, before(tip, ENTRY, 0.1), before(tip, ENTRY, 0.8)) < 0.8
    assert not at(page, green, tip, 5).any(), "hollow"
    assert at(page, green, tip, 12).any(), "the ring"
    assert "Tip predicted · last seen 0.12 s ago" in page.part("tip").text
    assert "~" in page.part("distances").text


def test_a_lost_tip_has_words_and_no_mark(page: ReplayPage) -> None:
    page.go_to(LOST + 1)
    green = near(page.picture(), GREEN)
    shaft_end = insertions.tip(20)
    assert 0.3 < share_along(page, green, ENTRY, shaft_end) < 0.8, "the shaft that shows"
    assert not at(page, green, insertions.tip(LOST), 14).any()
    assert warned(page) == ["Tip lost"]
    assert near(page.screenshot("warnings"), AMBER).sum() > 60
    page.go_to(SHAFTLESS + 1)
    assert not near(page.picture(), GREEN).any()
    assert warned(page) == ["Tip lost"]
    assert not any(letter.isalnum() for letter in page.part("distances").text)


def test_before_a_needle_is_there_nothing_is_said_to_be_lost(page: ReplayPage) -> None:
    page.go_to(FIRST - 5)
    assert not near(page.picture(), GREEN).any()
    assert not page.part("warnings").is_displayed()
    assert page.part("tip").text == "No needle seen yet"


# --- path, distances, warnings ---------------------------------------------------------------


def test_the_path_runs_on_in_dots_and_distances_are_in_pixels_without_a_scale(
    page: ReplayPage,
) -> None:
    page.go_to(SEEN_AT)
    tip = insertions.tip(SEEN_AT)
    end = (tip[0] + 150.0, tip[1] + 75.0)
    dots = share_along(page, near(page.picture(), GREEN, within=70), before(end, tip, 0.3), end)
    assert 0.08 < dots < 0.7
    words = page.part("distances").text
    assert "vessel 64 px" in words or "vessel 63 px" in words or "vessel 65 px" in words
    assert "mm" not in words + "".join(warned(page))
    told = page.part("insertion").text
    assert told == "angle to the horizontal 27°\n80 % of the shaft visible"


def test_what_the_path_meets_is_marked_and_told_in_words_with_a_symbol(page: ReplayPage) -> None:
    found = [number for number in range(FIRST, PREDICTED) if _told(page, number)]
    assert found, "on its way round, the nerve comes across the path"
    page.go_to(found[0])
    assert near(page.screenshot("warnings"), AMBER).sum() > 60
    page.until(lambda: "path ahead meets" in _spoken(page))
    assert page.part("spoken").get_attribute("aria-live") == "polite"
    before_it = near(page.picture(), YELLOW).sum()
    page.part("guidance").click()
    assert not page.part("warnings").is_displayed()
    assert near(page.picture(), YELLOW).sum() < before_it - 30, "the lozenge and the distance"


def _told(page: ReplayPage, number: int) -> bool:
    page.go_to(number)
    return any(words.startswith("Nerve on path, ") for words in warned(page))


def _spoken(page: ReplayPage) -> str:
    return page.part("spoken").get_attribute("textContent") or ""


# --- switches --------------------------------------------------------------------------------


def test_each_switch_takes_its_own_marks_off_and_no_others(page: ReplayPage) -> None:
    page.go_to(SEEN_AT)
    tip, whole = insertions.tip(SEEN_AT), page.picture()
    beyond = (tip[0] + 150.0, tip[1] + 75.0)

    def marks() -> tuple[bool, bool, bool]:
        picture = page.picture()
        green = near(picture, GREEN, within=70)
        return (
            bool(at(page, green, tip, 10).any()),
            share_along(page, green, before(beyond, tip, 0.3), beyond) > 0.08,
            share_along(page, near(picture, CYAN, within=70), (100, 42.3), (150, 43.7)) > 0.1,
        )

    assert marks() == (True, True, True)
    for key, expected in [
        ("n", (False, False, True)),  # no path from a needle that isn't there
        ("g", (True, False, True)),
        ("p", (True, True, False)),
    ]:
        page.release_focus()
        page.press(key)
        assert marks() == expected, key
        page.press(key)
    assert np.array_equal(page.picture(), whole)


def test_without_lines_the_fascia_is_an_area_again(page: ReplayPage) -> None:
    page.go_to(SEEN_AT)

    def thickness() -> int:
        cyan = near(page.picture(), CYAN, within=70)
        rows = np.flatnonzero(at(page, cyan, (160, 207), 12 * page.scale).any(axis=1))
        return int(np.ptp(rows))

    line = thickness()
    page.part("planes").click()
    assert thickness() > line + 8 * page.scale


def test_planes_without_numbers_on_the_picture_are_not_there_to_name(page: ReplayPage) -> None:
    page.go_to(SEEN_AT)
    fields = (By.CSS_SELECTOR, "[data-plane]")
    for switch in (page.part("planes"), page.switch("fascia")):
        assert len(page.driver.find_elements(*fields)) == 2
        switch.click()
        assert page.part("plane-names").text == "hidden"
        assert not page.driver.find_elements(*fields)
        switch.click()


def test_letters_belong_to_a_list_that_has_the_focus_and_not_to_a_switch(page: ReplayPage) -> None:
    page.go_to(SEEN_AT)
    for name in ("speed", "syllabus", "demo"):
        page.driver.execute_script("arguments[0].focus()", page.part(name))
        # Sent as events, since a real key would choose from the list.
        for key in "hngpu1":
            script = (
                "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', arguments[0]))"
            )
            page.driver.execute_script(script, {"key": key, "bubbles": True, "cancelable": True})
        for switch in ("needle", "guidance", "planes"):
            assert page.part(switch).is_selected(), (name, switch)
        assert page.switch("nerve").is_selected(), name
        assert page.part("hide").get_attribute("aria-pressed") == "false", name
    page.driver.execute_script("arguments[0].focus()", page.part("guidance"))
    page.press("h")
    assert page.part("hide").get_attribute("aria-pressed") == "true"
    page.press("h")


def test_h_hides_marks_words_and_figures_alike(page: ReplayPage) -> None:
    page.go_to(LOST + 1)
    page.release_focus()
    page.press("h")
    picture = page.picture()
    assert np.ptp(picture[60:].astype(int), axis=2).max() <= 2, "colour is left on a grey clip"
    assert not page.part("warnings").is_displayed()
    for name in ("tip", "distances", "insertion", "plane-names"):
        assert page.part(name).text == "hidden"
    page.press("h")
    assert page.part("warnings").is_displayed()


# --- the timeline ----------------------------------------------------------------------------


def test_the_timeline_tells_the_states_by_colour_and_by_pattern(page: ReplayPage) -> None:
    page.go_to(0)
    strip = page.screenshot("timeline")
    step = (strip.shape[1] - 20) / (FRAMES - 1)

    def part(start: int, end: int) -> Picture:
        return strip[:, round(10 + (start + 0.5) * step) : round(10 + (end - 1.5) * step)]

    seen, predicted = (near(part(*span), GREEN) for span in ((FIRST, PREDICTED), (PREDICTED, LOST)))
    middle = strip.shape[0] // 2
    assert seen[middle - 3 : middle + 4].all(), "filled"
    assert 0.2 < predicted[middle - 3 : middle + 4].mean() < 0.8, "hatched"
    lost = near(part(LOST, AGAIN), AMBER)
    assert 0.2 < lost[middle].mean() < 0.8, "beaded"
    assert not near(part(LOST, AGAIN), GREEN).any()
    never = part(1, FIRST)
    assert not near(never, GREEN).any()
    assert not near(never, AMBER).any()
    label = page.part("timeline").get_attribute("aria-label")
    assert label is not None
    assert "seen 58 %" in label
    assert "no needle yet 17 %" in label


@pytest.mark.parametrize("number", [LOST + 2, FIRST + 3])
def test_a_click_on_the_timeline_goes_there(page: ReplayPage, number: int) -> None:
    page.go_to(0)
    strip = page.part("timeline")
    width = strip.size["width"]
    x = 10 + number * (width - 20) / (FRAMES - 1) - width / 2
    ActionChains(page.driver).move_to_element_with_offset(strip, round(x), 0).click().perform()
    page.until(lambda: page.painted_frame == number)
    assert page.part("scrub").get_attribute("value") == str(number)


# --- naming planes ---------------------------------------------------------------------------


def test_a_named_plane_has_its_name_beside_it_on_every_frame(page: ReplayPage) -> None:
    page.go_to(SEEN_AT)
    page.part("names").click()

    def words() -> int:
        left = page.picture()[round(20 * page.scale) : round(60 * page.scale)]
        return int(near(left[:, : round(120 * page.scale)], CYAN).sum())

    plain = words()
    page.driver.find_element(By.CSS_SELECTOR, '[data-plane="7"]').send_keys(
        "<b>fascia h</b>", Keys.ENTER
    )
    page.until(lambda: words() > plain + 100)
    assert page.part("hide").get_attribute("aria-pressed") == "false", "h was typed, not pressed"
    assert not page.driver.find_elements(By.CSS_SELECTOR, ".nv-plane-names b")
    page.go_to(SEEN_AT + 1)
    assert words() > plain + 100
    named = page.driver.find_element(By.CSS_SELECTOR, '[data-plane="7"]')
    assert named.get_attribute("value") == "<b>fascia h</b>"
    named.clear()
    named.send_keys(Keys.ENTER)
    page.until(lambda: words() <= plain + 20)


def test_the_picture_stays_in_sight_of_every_setting(page: ReplayPage) -> None:
    for name in ("opacity", "needle", "plane-names", "model"):
        into_view = "arguments[0].scrollIntoView()"
        page.driver.execute_script(into_view, page.part(name))
        top = page.driver.execute_script(
            "return arguments[0].getBoundingClientRect().top", page.part("screen")
        )
        assert top >= 0, name


def test_the_syllabus_of_a_block_offers_its_fasciae(page: ReplayPage) -> None:
    Select(page.part("syllabus")).select_by_value("femoral")
    offered = page.driver.execute_script(
        "return [...document.querySelectorAll('[data-part=offered] option')].map((o) => o.value)"
    )
    assert set(offered) == {"fascia iliaca", "fascia lata", "border of iliacus"}


def test_a_phone_shows_words_and_timeline_without_scrolling_sideways(page: ReplayPage) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.go_to(LOST + 1)
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        page.until(
            lambda: page.driver.execute_script("return document.documentElement.scrollWidth") <= 390
        )
        rect = page.part("warnings").rect
        assert rect["x"] >= 0
        assert rect["x"] + rect["width"] <= 390
        page.until(lambda: near(page.screenshot("timeline"), GREEN).sum() > 500)
        assert page.part("play").rect["y"] + page.part("play").rect["height"] < 844
    finally:
        desk = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", desk)


def test_the_browser_has_nothing_to_complain_of(page: ReplayPage) -> None:
    assert page.complaints() == []
