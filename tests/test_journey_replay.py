"""The Replay tab in a real browser, judged by the pixels on its screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from nerveseg import anatomy
from nerveseg.resources import weights_dir
from nerveseg.ui import build_app
from nerveseg.vision.segment import DEFAULT_MODEL
from tests.browser import Picture, ReplayPage, chromium, near, serving
from tests.discs import FRAMES, RADIUS, fake_segmenter, nerve_centre, write_clip

pytestmark = pytest.mark.browser

COLORS = {name: kind.color for name, kind in anatomy.default().classes.items()}
SAFE_COLORS = {name: kind.safe_color for name, kind in anatomy.default().classes.items()}


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "moving disc.avi")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplayPage]:
    profile = tmp_path_factory.mktemp("profile")
    with serving(build_app(segmenter=fake_segmenter())) as address, chromium(profile) as driver:
        yield ReplayPage(driver, address)


@pytest.fixture
def page(opened: ReplayPage, clip_file: Path) -> ReplayPage:
    """The made-up clip on its first frame: all classes, as areas without names and fill."""
    if clip_file.name not in opened.facts:
        opened.open_clip(clip_file, FRAMES)
    for class_name in ("nerve", "vessel", "fascia"):
        opened.set_switch(opened.switch(class_name), on=True)
    for name in ("names", "safe", "uncertainty", "planes"):
        opened.set_switch(opened.part(name), on=False)
    opened.set_slider("opacity", 0)
    opened.stand_on_first()
    return opened


def amount(page: ReplayPage, class_name: str) -> int:
    return int(near(page.picture(), COLORS[class_name]).sum())


def centre(mask: np.ndarray) -> np.ndarray:
    """Middle of a ring or disc, x and y, from its extent: gaps in a line don't move it."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


def white_disc(picture: Picture) -> np.ndarray:
    return np.asarray(cv2.erode(near(picture, (235, 235, 235)).view(np.uint8), np.ones((5, 5))))


def test_the_demo_is_moving_when_the_page_opens(opened: ReplayPage) -> None:
    before = opened.picture()
    opened.until(lambda: np.abs(opened.picture().astype(int) - before).mean() > 0.5)
    assert "synthetic demo" in opened.facts
    assert "mm per pixel" in opened.facts
    body = opened.driver.find_element("tag name", "body").text
    assert "Education only — not for clinical use" in body
    assert "fake@1" in body
    assert opened.complaints() == []


def test_a_model_that_looks_for_no_needles_says_so_and_nothing_else_of_them(
    page: ReplayPage,
) -> None:
    assert page.part("no-needles").text == "This model doesn't look for needles."
    for name in ("needle", "guidance", "tip", "needle-forms", "timeline"):
        assert not page.part(name).is_displayed(), name


def test_contours_are_painted_where_the_structures_are(page: ReplayPage) -> None:
    picture = page.picture()
    nerve = near(picture, COLORS["nerve"])
    assert centre(nerve) / page.scale == pytest.approx(nerve_centre(0), abs=1.5)
    radius = np.ptp(np.nonzero(nerve)[1]) / 2 / page.scale
    assert radius == pytest.approx(RADIUS, abs=2.5)
    vessel = near(picture, COLORS["vessel"])
    assert centre(vessel) / page.scale == pytest.approx((60, 170), abs=2)
    fascia = near(picture, COLORS["fascia"])
    assert centre(fascia) / page.scale == pytest.approx((160, 207), abs=3)
    assert "scale unknown: pixels" in page.facts


@pytest.mark.parametrize("class_name", ["nerve", "vessel", "fascia"])
def test_a_switch_takes_its_class_off_and_no_other(page: ReplayPage, class_name: str) -> None:
    before = {name: amount(page, name) for name in ("nerve", "vessel", "fascia")}
    assert min(before.values()) > 100
    page.switch(class_name).click()
    for name, pixels in before.items():
        assert amount(page, name) == (0 if name == class_name else pixels)
    page.switch(class_name).click()
    assert amount(page, class_name) == before[class_name]


def test_h_hides_every_overlay_until_it_is_pressed_again(page: ReplayPage) -> None:
    before = page.picture()
    page.press("h")
    hidden = page.picture()
    for color in COLORS.values():
        if max(color) - min(color) > 60:
            assert not near(hidden, color).any()
    assert np.ptp(hidden[60:].astype(int), axis=2).max() <= 2, "colour is left on a grey clip"
    page.press(Keys.ARROW_RIGHT, "h")
    page.until(lambda: page.painted_frame == 1)
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.painted_frame == 0)
    assert np.array_equal(page.picture(), before)


def test_keys_step_jump_and_play(page: ReplayPage) -> None:
    for key, expected in [
        (Keys.ARROW_RIGHT, 1),
        (Keys.ARROW_RIGHT, 2),
        (Keys.ARROW_LEFT, 1),
        (Keys.END, FRAMES - 1),
        (Keys.ARROW_RIGHT, FRAMES - 1),
        (Keys.HOME, 0),
    ]:
        page.press(key)
        page.until(lambda at=expected: page.painted_frame == at)
        found = centre(white_disc(page.picture())) / page.scale
        assert found == pytest.approx(nerve_centre(expected), abs=1.5)
        assert f"Frame {expected + 1} / {FRAMES}" in page.where
    page.press(" ")
    page.until(lambda: page.painted_frame > 5)
    page.press(" ")
    stood = page.painted_frame
    assert page.part("play").get_attribute("aria-label") == "Play"
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.painted_frame == min(stood + 1, FRAMES - 1))


def test_buttons_and_the_slider_move_through_the_clip(page: ReplayPage) -> None:
    page.part("forward").click()
    page.until(lambda: page.painted_frame == 1)
    page.part("back").click()
    page.until(lambda: page.painted_frame == 0)
    page.part("scrub").click()
    page.until(lambda: page.painted_frame in range(FRAMES // 2 - 1, FRAMES // 2 + 1))
    found = centre(white_disc(page.picture())) / page.scale
    assert found == pytest.approx(nerve_centre(page.painted_frame), abs=1.5)


def test_the_overlay_is_in_step_while_the_clip_plays(page: ReplayPage) -> None:
    """Picture and contour are read off the same screenshots; a frame late would be 9 px off."""
    page.press(" ")
    seen: dict[tuple[float, ...], float] = {}
    for _ in range(100):
        if len(seen) >= 20:
            break
        picture = page.picture()
        disc, contour = white_disc(picture) > 0, near(picture, COLORS["nerve"])
        middle = centre(disc) / page.scale
        seen[tuple(np.round(middle))] = float(np.abs(centre(contour) / page.scale - middle).max())
    assert len(seen) >= 20, "the clip hardly moved"
    assert max(seen.values()) < 1.5


def test_the_fill_follows_the_opacity(page: ReplayPage) -> None:
    x, y = (round(value * page.scale) for value in nerve_centre(0))
    blues = []
    for percent in (0, 50, 100):
        page.set_slider("opacity", percent)
        blues.append(int(page.picture()[y, x, 2]))
    assert blues[0] == pytest.approx(235, abs=8)
    assert blues[1] == pytest.approx((235 + COLORS["nerve"][2]) / 2, abs=8)
    assert blues[2] == pytest.approx(COLORS["nerve"][2], abs=8)


def test_the_safe_palette_replaces_every_colour(page: ReplayPage) -> None:
    page.part("safe").click()
    picture = page.picture()
    for name in ("nerve", "vessel", "fascia"):
        assert near(picture, SAFE_COLORS[name], within=25).sum() > 100
        assert not near(picture, COLORS[name], within=25).any()


def test_the_uncertainty_view_hatches_both_sides_of_the_outline(page: ReplayPage) -> None:
    x, y = nerve_centre(0)

    def drawn() -> tuple[int, int]:
        """Yellow pixels well inside and well outside of the outline."""
        rows, columns = np.nonzero(near(page.picture(), COLORS["nerve"], within=60))
        away = np.hypot(columns / page.scale - x, rows / page.scale - y)
        return int((away < RADIUS - 2.2).sum()), int((away > RADIUS + 0.8).sum())

    assert drawn() == (0, 0)
    page.part("uncertainty").click()
    assert min(drawn()) > 20


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("broken.mp4", b"not a clip at all " * 50, "broken.mp4"),
        ("empty.avi", b"", "empty"),
        ("notes.txt", b"hello", "can't be opened here"),
        ("<img src=x onerror=document.title='got'>.txt", b"hello", "<img"),
    ],
)
def test_a_bad_file_is_named_and_the_clip_on_the_stage_stays(
    page: ReplayPage, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    page.open_file(path)
    page.until(lambda: words in page.part("notice-text").text)
    assert "Traceback" not in page.part("notice").text
    assert page.driver.title == "nerveseg"
    assert amount(page, "nerve") > 100
    page.part("notice-close").click()
    assert not page.part("notice").is_displayed()


def test_a_still_image_is_shown_with_its_overlay(page: ReplayPage, tmp_path: Path) -> None:
    picture = np.full((240, 320), 90, np.uint8)
    cv2.circle(picture, (100, 120), 40, 235, -1, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "still.png"), picture)
    page.open_file(tmp_path / "still.png")
    page.until(lambda: "still.png" in page.facts and "1 / 1" in page.where)
    page.until(lambda: amount(page, "vessel") == 0 and amount(page, "nerve") > 100)
    nerve = near(page.picture(), COLORS["nerve"])
    assert centre(nerve) / page.scale == pytest.approx((100, 120), abs=1.5)
    assert not page.part("play").is_enabled()


def test_another_demo_can_be_chosen(page: ReplayPage) -> None:
    page.part("demo").send_keys("Demo: Fem")
    page.until(lambda: "Femoral (synthetic demo)" in page.facts)


def test_every_control_has_a_name_and_a_size_for_a_finger(page: ReplayPage) -> None:
    script = """
      return [...document.querySelectorAll(".nv-replay button, .nv-replay select")]
        .filter((element) => element.offsetParent)
        .map((element) => [element.getAttribute("aria-label") || element.textContent.trim(),
                           element.offsetHeight]);
    """
    controls = page.driver.execute_script(script)
    assert len(controls) >= 6
    assert all(name and height >= 40 for name, height in controls), controls


def test_a_phone_shows_all_without_scrolling_sideways(page: ReplayPage) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        width = "return document.documentElement.scrollWidth"
        page.until(lambda: page.driver.execute_script(width) <= 390)
        assert amount(page, "nerve") > 100
        bottom = page.part("play").rect["y"] + page.part("play").rect["height"]
        assert bottom < 844
    finally:
        desk = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", desk)


def test_the_shipped_model_draws_on_the_demo(tmp_path: Path) -> None:
    if not (weights_dir() / DEFAULT_MODEL).is_file():
        pytest.skip(f"needs the shipped model, {DEFAULT_MODEL} in weights/")
    with serving(build_app()) as address, chromium(tmp_path) as driver:
        page = ReplayPage(driver, address)
        page.until(lambda: max(amount(page, name) for name in ("nerve", "vessel")) > 100)
        first = page.painted_frame
        page.until(lambda: page.painted_frame not in (first, -1))
        assert page.complaints() == []
