"""Rows that need a browser: what is shown, how late, and how old the overlay is."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from selenium import webdriver

from tests.live_bench import page
from tests.live_bench.machine import Load
from tests.live_bench.report import Bar, Row
from tests.live_bench.server import Served, serving
from tests.live_bench.timecode import phantom_pictures

__all__ = ["camera", "plain", "showing", "viewers", "viewers_here"]

VGA, HD = (640, 480), (1280, 720)

_SETTLE_S = 8.0
"""The app looks at its demo clip first; rates settle."""

_BARS = {
    VGA: (
        Bar("shown_fps", least=29),
        Bar("analysed_fps", least=20),
        Bar("delay_p95_ms", most=50),
        Bar("age_max_frames", most=3),
    ),
    HD: (Bar("shown_fps", least=28), Bar("delay_p95_ms", most=80)),
}


def showing(size_wh: tuple[int, int], seconds: float, *more: str) -> Row:
    """The app on one page."""
    with serving("app", _uri(size_wh), *more) as served, page.browser() as driver:
        _open(driver, served, page.APP, size_wh)
        figures = _measure(driver, served, seconds)
    return Row(f"{_name(size_wh)} at 30 fps, everything on", figures, _BARS[size_wh])


def plain(size_wh: tuple[int, int], seconds: float) -> Row:
    """The plainest alternative, in the same run."""
    with serving("plain", _uri(size_wh)) as served, page.browser() as driver:
        _open(driver, served, page.PLAIN, size_wh)
        figures = _measure(driver, served, seconds)
    return Row(f"{_name(size_wh)} at 30 fps, a Gradio image fed by a generator", figures)


def viewers(size_wh: tuple[int, int], seconds: float) -> Row:
    """The app with two more viewers on other computers, whose part is to take and to decode.

    Measured without them, with them, and without them again.
    """
    with serving("app", _uri(size_wh)) as served, page.browser() as driver:
        _open(driver, served, page.APP, size_wh)
        before = _measure(driver, served, seconds)
        url = f"{served.address.replace('http', 'ws')}watch/{served.ask('share')['code']}/view"
        command = [sys.executable, "-m", "tests.live_bench.viewer", url, str(seconds)]
        others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        with_them = _measure(driver, served, seconds)
        seen = [json.loads(other.communicate(timeout=60)[0]) for other in others]
        after = _measure(driver, served, seconds)
    return _shared("two more viewers on other computers", size_wh, with_them, seen, [before, after])


def viewers_here(size_wh: tuple[int, int], seconds: float) -> Row:
    """The app with two more viewers, each in a browser of its own on this very computer."""
    with serving("app", _uri(size_wh)) as served, page.browser() as driver:
        _open(driver, served, page.APP, size_wh)
        before = _measure(driver, served, seconds)
        code = served.ask("share")["code"]
        with page.browser() as one, page.browser() as other:
            for viewer in (one, other):
                viewer.get(f"{served.address}watch/{code}")
                page.install(viewer, page.APP, size_wh)
            began = [page.begin(viewer) for viewer in (one, other)]
            with_them = _measure(driver, served, seconds)
            looks = zip((one, other), began, strict=True)
            seen = [page.look(viewer, at).figures() for viewer, at in looks]
    row = _shared("two more browsers on this computer", size_wh, with_them, seen, [before])
    # Three browsers that paint without a graphics card take all of two cores by themselves.
    return replace(row, bars=())


def _shared(
    what: str,
    size_wh: tuple[int, int],
    figures: dict[str, Any],
    seen: list[dict[str, float]],
    alone: list[dict[str, Any]],
) -> Row:
    """The worst page's figures as shares of those of one page alone."""
    pages = [figures, *seen]
    usual = {
        name: sum(one[name] for one in alone) / len(alone)
        for name in ("shown_fps", "overlays_fps", "delay_p95_ms")
    }
    shares = {
        "shown_fps_least_share": min(one["shown_fps"] for one in pages) / usual["shown_fps"],
        "overlays_fps_least_share": min(p["overlays_fps"] for p in pages) / usual["overlays_fps"],
        "delay_p95_worst_share": max(p["delay_p95_ms"] for p in pages) / usual["delay_p95_ms"],
    }
    bars = (
        Bar("shown_fps_least_share", least=0.9),
        Bar("overlays_fps_least_share", least=0.9),
        Bar("delay_p95_worst_share", most=1.1),
    )
    more = {"alone": alone, "viewers": seen}
    return Row(f"{_name(size_wh)}, {what}", figures | _rounded(shares), bars, more)


def camera(seconds: float) -> Row:
    """The browser's own camera: from a picture that it takes to the overlay painted over it."""
    with tempfile.TemporaryDirectory() as folder, serving("app", "") as served:
        film = _write_y4m(Path(folder) / "phantom.y4m")
        flags = (
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={film}",
        )
        with page.browser(*flags, script=_TRIPS) as driver:
            driver.get(served.address)
            _until(driver, _TO_LIVE)
            _until(driver, "return document.querySelector('.nv-live option[value=camera]')")
            driver.execute_script(_START_CAMERA)
            _until(driver, "return window.nvTrips.painted.length > 5")
            time.sleep(_SETTLE_S)
            driver.execute_script("Object.assign(window.nvTrips, {painted: [], films: 0})")
            load, began = _load(driver, served), time.monotonic()
            time.sleep(seconds)
            told = driver.execute_script("return window.nvTrips")
            spent, used = time.monotonic() - began, load.figures()
    trips = np.array(told["painted"], float)
    figures = {
        "trip_p95_ms": float(np.percentile(trips, 95)),
        "overlays_fps": len(trips) / spent,
        "trip_median_ms": float(np.median(trips)),
        "trip_max_ms": float(trips.max()),
        "films_fps": told["films"] / spent,
        **used,
    }
    bars = (Bar("trip_p95_ms", most=120), Bar("overlays_fps", least=15))
    return Row("browser camera, overlay round trip", _rounded(figures), bars)


@contextlib.contextmanager
def watched(size_wh: tuple[int, int]) -> Iterator[tuple[Served, webdriver.Chrome]]:
    """The app with a page on it that is read, for as long as the block takes."""
    with serving("app", _uri(size_wh)) as served, page.browser() as driver:
        _open(driver, served, page.APP, size_wh)
        yield served, driver


def _open(
    driver: webdriver.Chrome, served: Served, parts: dict[str, str], size_wh: tuple[int, int]
) -> None:
    driver.get(served.address)
    page.install(driver, parts, size_wh)
    time.sleep(_SETTLE_S)


def _measure(driver: webdriver.Chrome, served: Served, seconds: float) -> dict[str, Any]:
    before, load = served.ask(), _load(driver, served)
    began, at = page.begin(driver), time.monotonic()
    time.sleep(seconds)
    seen, spent, after = page.look(driver, began), time.monotonic() - at, served.ask()
    figures: dict[str, Any] = {**seen.figures(), **load.figures()}
    if after.get("sessions"):
        one, other = before["sessions"][0], after["sessions"][0]
        for name in ("delivered", "analysed"):
            figures[f"{name}_fps"] = (other[name] - one[name]) / spent
        figures["result_age_ms"] = other["age_ms"]
        figures["stages_ms"] = _rounded(other["stage_ms"])
    return _rounded(figures)


def _load(driver: webdriver.Chrome, served: Served) -> Load:
    browser = psutil.Process(driver.service.process.pid)
    return Load({"server": page.tree(served.seen), "browser": page.tree(browser)})


def _uri(size_wh: tuple[int, int]) -> str:
    return f"timecode:{size_wh[0]}x{size_wh[1]}@30"


def _name(size_wh: tuple[int, int]) -> str:
    return "x".join(map(str, size_wh))


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def _until(driver: webdriver.Chrome, script: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not driver.execute_script(script):
        if time.monotonic() > deadline:
            raise RuntimeError(f"this never came true on the page: {script}")
        time.sleep(0.2)


def _write_y4m(path: Path) -> Path:
    """Two seconds of a phantom as Chromium's fake camera plays them, again and again."""
    pictures = phantom_pictures(VGA, 30.0)[:60]
    colour = bytes([128]) * (VGA[0] * VGA[1] // 2)
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F30:1 Ip A1:1 C420\n" % VGA)
        for pixels in pictures:
            file.write(b"FRAME\n" + pixels.tobytes() + colour)
    return path


_TO_LIVE = """
const tabs = [...document.querySelectorAll('button[role="tab"]')];
const live = tabs.find((tab) => tab.textContent.trim() === "Live");
live?.click();
return live !== undefined;
"""

_START_CAMERA = """
const source = document.querySelector('.nv-live [data-part="source"]');
source.value = "camera";
source.dispatchEvent(new Event("change", { bubbles: true }));
document.querySelector('.nv-live [data-part="start"]').click();
"""

_TRIPS = """
// From the stamp that the page sends with a picture to the animation frame in which the overlay
// of that picture is on the page.
const trips = (window.nvTrips = { painted: [], films: 0 });
const stamps = new Map();
const decoder = new TextDecoder();
const Plain = window.WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return;
      const length = new DataView(data).getUint32(0, true);
      const { overlay } = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
      if (overlay && overlay.stamp !== null) stamps.set(overlay.number, overlay.stamp);
    });
  }
};
let last = -1;
let film = "";
function look() {
  requestAnimationFrame(look);
  const over = document.querySelector('.nv-live [data-part="over"]');
  const number = Number(over?.dataset.overlay ?? -1);
  const shown = document.querySelector('.nv-live [data-part="screen"]')?.dataset.frame;
  if (shown !== film) trips.films += 1;
  film = shown;
  if (number === last || !stamps.has(number)) return;
  last = number;
  trips.painted.push(performance.now() - stamps.get(number));
  stamps.clear();
}
requestAnimationFrame(look);
"""
