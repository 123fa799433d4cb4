"""A real headless Chromium and a real server, for tests that look at what is painted."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import uvicorn
from fastapi import FastAPI
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from nerveseg.ui.server import server_config

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Picture = npt.NDArray[np.uint8]


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The address of ``app``, served on a free port of this computer."""
    server = uvicorn.Server(server_config(app, port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@contextlib.contextmanager
def chromium(
    profile: Path, *flags: str, width: int = 1280, height: int = 800
) -> Iterator[webdriver.Chrome]:
    """A fresh browser, with more ``flags``; skips the test, with a reason, where there is none."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if binary is None or driver_path is None:
        pytest.skip("needs chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """A tab as a user has it: parts to press, keys, and what is on the screen."""

    root = ""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def part(self, name: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, f'{self.root} [data-part="{name}"]')

    def switch(self, class_name: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, f'{self.root} [data-class="{class_name}"]')

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def release_focus(self) -> None:
        """Give the keys back to the page, as a click beside the controls does."""
        self.driver.execute_script("document.activeElement.blur()")

    def until(self, condition: object, seconds: float = 60) -> None:
        """Wait until ``condition()`` holds; fail if it never does."""
        assert callable(condition)
        WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: condition())

    def set_switch(self, switch: WebElement, *, on: bool) -> None:
        if switch.is_selected() != on:
            switch.click()

    def set_slider(self, name: str, value: int) -> None:
        script = """
          arguments[0].value = arguments[1];
          arguments[0].dispatchEvent(new Event("input", { bubbles: true }));
        """
        self.driver.execute_script(script, self.part(name), value)

    @property
    def painted_frame(self) -> int:
        return int(self.part("screen").get_attribute("data-frame") or -1)

    def cut(self, painted: Picture) -> Picture:
        """A screenshot of the stage, red, green, blue, cut to the clip's own picture."""
        canvas = self.part("screen")
        left = int(canvas.get_attribute("data-left") or 0)
        top = int(canvas.get_attribute("data-top") or 0)
        rows, columns = painted.shape[:2]
        return np.asarray(painted[top : rows - top, left : columns - left], np.uint8)

    def screenshot(self, name: str) -> Picture:
        """A part as it is on the screen, red, green, blue."""
        part = self.part(name)
        # What a click further down scrolled out of sight would be cut off.
        self.driver.execute_script('arguments[0].scrollIntoView({ block: "center" })', part)
        data = np.frombuffer(part.screenshot_as_png, np.uint8)
        painted = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(painted, cv2.COLOR_BGR2RGB), np.uint8)

    @property
    def scale(self) -> float:
        """Screen pixels a pixel of the clip."""
        return float(self.part("screen").get_attribute("data-scale") or 1)

    def complaints(self) -> list[str]:
        """What the browser's console holds against the page."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


class ReplayPage(Page):
    """The Replay tab."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        super().__init__(driver)
        driver.get(address)
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, "[data-frame]"))

    def open_file(self, path: Path) -> None:
        self.part("file").send_keys(str(path))

    def open_clip(self, path: Path, frames: int) -> None:
        """Open a clip, wait until all is analysed, and stand still on its first frame."""
        self.open_file(path)
        self.until(lambda: path.name in self.part("facts").text)
        self.until(lambda: f"/ {frames} " in self.where and "analysing" not in self.facts)
        self.stand_on_first()

    def stand_on_first(self) -> None:
        if self.part("play").get_attribute("aria-label") == "Pause":
            self.part("play").click()
        self.release_focus()
        self.press(Keys.HOME)
        self.until(lambda: self.painted_frame == 0)

    def go_to(self, number: int) -> None:
        """Stand still on a frame, by way of the slider."""
        self.set_slider("scrub", number)
        self.until(lambda: self.painted_frame == number)

    @property
    def where(self) -> str:
        return self.part("where").text

    @property
    def facts(self) -> str:
        return self.part("facts").text

    def picture(self) -> Picture:
        """What is on the stage now, red, green, blue, cut to the clip's own picture."""
        return self.cut(self.screenshot("screen"))


class LivePage(Page):
    """The Live tab, or the page that looks on."""

    root = ".nv-live"

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        super().__init__(driver)
        self.open(address)

    def open(self, address: str) -> None:
        self.driver.get(address)
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, '[data-part="screen"]'))
        self.go_to_tab("Live")
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, f"{self.root}"))

    def go_to_tab(self, name: str) -> None:
        for tab in self.driver.find_elements(By.CSS_SELECTOR, "button[role=tab]"):
            if tab.text.strip() == name:
                tab.click()

    def until(self, condition: object, seconds: float = 60) -> None:
        """As for any page; a failure tells what the page says."""
        try:
            super().until(condition, seconds)
        except TimeoutException as error:
            error.msg = self.driver.execute_script("return document.body.innerText")
            raise

    def replay(self, name: str) -> WebElement:
        """A part of the Replay tab, which is on the same page."""
        return self.driver.find_element(
            By.CSS_SELECTOR, f'.nv-replay:not(.nv-live) [data-part="{name}"]'
        )

    def choose(self, option: str) -> None:
        """Choose an option of the tab's lists by its value."""
        self.driver.find_element(
            By.CSS_SELECTOR, f'{self.root} [data-part] option[value="{option}"]'
        ).click()

    def start(self, uri: str) -> None:
        """Type a source's address and start it."""
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, 'option[value="address"]'))
        self.choose("address")
        self.part("address").clear()
        self.part("address").send_keys(uri)
        self.part("start").click()

    @property
    def overlaid_frame(self) -> int:
        """The number of the frame that the overlay on the stage was computed from."""
        return int(self.part("over").get_attribute("data-overlay") or -1)

    @property
    def runs(self) -> bool:
        """Whether picture and overlay are there."""
        return self.painted_frame >= 0 and self.overlaid_frame >= 0

    @property
    def is_frozen(self) -> bool:
        """Whether the picture stands, with the overlay of that very frame."""
        stands = self.part("freeze").get_attribute("aria-pressed") == "true"
        return stands and self.painted_frame == self.overlaid_frame

    def picture(self) -> Picture:
        """What is on the stage now, red, green, blue, cut to the source's own picture.

        Without what is said of it, such as that this computer is too slow.
        """
        show = "document.querySelector('.nv-live .nv-bottom').style.visibility = arguments[0]"
        self.driver.execute_script(show, "hidden")
        painted = self.screenshot("stage")
        self.driver.execute_script(show, "")
        return self.cut(painted[1:-1, 1:-1])  # its border lies inside

    def click_at(self, x: float, y: float) -> None:
        """Click on a point of the picture, given in the source's pixels."""
        self.drag((x, y), (x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press on one point of the picture, in the source's pixels, and let go on another."""
        canvas = self.part("screen")
        self.driver.execute_script('arguments[0].scrollIntoView({ block: "center" })', canvas)
        left, top = (float(canvas.get_attribute(f"data-{side}") or 0) for side in ("left", "top"))
        box = canvas.rect
        scale = self.scale

        def offset(point: tuple[float, float]) -> tuple[int, int]:
            across = left + (point[0] + 0.5) * scale - box["width"] / 2
            down = top + (point[1] + 0.5) * scale - box["height"] / 2
            return round(across), round(down)

        actions = ActionChains(self.driver)
        actions.move_to_element_with_offset(canvas, *offset(start)).click_and_hold()
        actions.move_to_element_with_offset(canvas, *offset(end)).release().perform()


def near(picture: Picture, color: tuple[int, int, int], *, within: int = 40) -> Picture:
    """Where ``picture`` has about this colour, bool ``(H, W)``."""
    far = np.abs(picture.astype(np.int16) - np.array(color, np.int16)).max(axis=2)
    return np.asarray(far <= within)
