"""A headless browser on the live page, and what the reader script saw there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from selenium import webdriver

from tests.browser import FLAGS
from tests.live_bench.timecode import BLOCKS, NUMBER_BITS, ROWS, TICK_BITS, TICK_S

__all__ = ["APP", "PLAIN", "Seen", "browser", "install", "look", "tree"]

_FLAGS = (
    *FLAGS,
    # Windows beside each other are all looked at.
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--enable-precise-memory-info",
)
_READER = (Path(__file__).parent / "reader.js").read_text("utf-8")

APP = {"picture": '.nv-live [data-part="screen"]', "over": '.nv-live [data-part="over"]'}
PLAIN = {"picture": "#picture img"}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was painted over ``seconds``: arrays with one entry per frame that was seen.

    ``delay_ms`` is from capture to the animation frame in which it was on the page; ``age`` how
    many frames older the overlay above it was (-1: none yet, or no such thing).
    """

    seconds: float
    numbers: Sequence[int]
    delay_ms: Sequence[float]
    age: Sequence[int]
    overlays: int
    animation_frames: int
    garbled: int

    def figures(self) -> dict[str, float]:
        """The figures of the table."""
        known = [age for age in self.age if age >= 0]
        told = {
            "shown_fps": len(self.numbers) / self.seconds,
            "overlays_fps": self.overlays / self.seconds,
            "delay_median_ms": _percentile(self.delay_ms, 50),
            "delay_p95_ms": _percentile(self.delay_ms, 95),
            "delay_max_ms": _percentile(self.delay_ms, 100),
            "animation_fps": self.animation_frames / self.seconds,
            "garbled": float(self.garbled),
        }
        if known:
            told |= {
                "age_median_frames": _percentile(known, 50),
                "age_p95_frames": _percentile(known, 95),
                "age_max_frames": float(max(known)),
                "age_over_3_share": float(np.mean(np.array(known) > 3)),
            }
        return {name: round(value, 3) for name, value in told.items()}


@contextlib.contextmanager
def browser(
    *flags: str, width: int = 1280, height: int = 900, script: str = ""
) -> Iterator[webdriver.Chrome]:
    """A fresh Chromium; ``script`` runs in each page before the page's own."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if binary is None or driver_path is None:
        raise SystemExit("bench-live needs chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            *_FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
        try:
            if script:
                command = "Page.addScriptToEvaluateOnNewDocument"
                driver.execute_cdp_cmd(command, {"source": script})
            yield driver
        finally:
            driver.quit()


def install(driver: webdriver.Chrome, parts: Mapping[str, str], size_wh: tuple[int, int]) -> None:
    """Begin to read the window that is open, once its picture shows."""
    width, height = size_wh
    given = {**parts, "width": width, "height": height, "blocks": BLOCKS, "rows": ROWS}
    driver.execute_script(_READER, given)
    deadline = time.monotonic() + 60
    while not driver.execute_script("return window.nvBench.samples.length"):
        if time.monotonic() > deadline:
            words = driver.execute_script("return document.body.innerText.slice(0, 400)")
            raise RuntimeError(f"no time code was ever seen on {driver.current_url}: {words!r}")
        time.sleep(0.2)


def begin(driver: webdriver.Chrome) -> float:
    """Forget what was seen; the page's clock, in milliseconds."""
    started: float = driver.execute_script(
        "Object.assign(window.nvBench, {samples: [], frames: 0, garbled: 0});"
        "return performance.timeOrigin + performance.now();"
    )
    return started


def look(driver: webdriver.Chrome, started: float) -> Seen:
    """What was seen since `begin`."""
    told: dict[str, Any] = driver.execute_script(
        "return {...window.nvBench, now: performance.timeOrigin + performance.now()};"
    )
    samples = np.array(told["samples"], float).reshape(-1, 5)
    moments, numbers, ticks, frames, overlays = samples.T
    cycle = 2**TICK_BITS
    late = (moments / 1e3 / TICK_S - ticks) % cycle
    delay_ms = np.where(late > cycle / 2, late - cycle, late) * TICK_S * 1e3
    age = np.where(overlays >= 0, frames - overlays, -1)
    return Seen(
        (told["now"] - started) / 1e3,
        np.unwrap(numbers, period=2**NUMBER_BITS).astype(int).tolist(),
        delay_ms.tolist(),
        age.astype(int).tolist(),
        len(set(overlays[overlays >= 0].tolist())),
        told["frames"],
        told["garbled"],
    )


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    return [process, *process.children(recursive=True)]


def _percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")
