"""Rows about what lasts: half an hour, sources that vanish or lie, and a process that is killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from nerveseg.live.session import Event, LiveSession
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from nerveseg.ui.live.hub import Hub
from nerveseg.video import sources
from nerveseg.vision.segment import Segmenter
from tests.faults import FaultySource, longest_freeze, unreported
from tests.live_bench import page
from tests.live_bench.report import Bar, Row
from tests.live_bench.showing import VGA, watched
from tests.live_bench.timecode import phantom_pictures
from tests.recording_kill import kill_once

__all__ = ["faults", "kills", "minutes", "vanishing"]

_SAMPLE_S = 10.0


def minutes(count: float) -> Row:
    """A live run with a page on it: does memory grow, do threads or handles leak?"""
    samples: list[dict[str, float]] = []
    with watched(VGA) as (served, driver):
        began, deadline = page.begin(driver), time.monotonic() + 60 * count
        shown: list[float] = []
        while time.monotonic() < deadline:
            time.sleep(_SAMPLE_S)
            shown.append(page.look(driver, began).figures()["shown_fps"])
            began = page.begin(driver)
            samples.append(
                {
                    "rss_mb": served.seen.memory_info().rss / 2**20,
                    "threads": served.seen.num_threads(),
                    "handles": served.seen.num_fds(),
                    "page_mb": driver.execute_script(
                        "return (performance.memory?.usedJSHeapSize ?? 0) / 2 ** 20"
                    ),
                }
            )
    return _memory_row(samples, shown, count)


def _memory_row(samples: list[dict[str, float]], shown: list[float], count: float) -> Row:
    # The first minute is left out; half a minute after it is compared with the last half.
    a_minute, few = round(60 / _SAMPLE_S), 3
    early = samples[a_minute : a_minute + few] or samples[:few]
    late = samples[-few:]
    change = {
        name: median(one[name] for one in late) - median(one[name] for one in early)
        for name in samples[0]
    }
    figures = {
        "rss_growth_share": round(change["rss_mb"] / median(one["rss_mb"] for one in early), 4),
        "threads_more": change["threads"],
        "handles_more": change["handles"],
        "rss_mb": round(late[-1]["rss_mb"], 1),
        "threads": late[-1]["threads"],
        "handles": late[-1]["handles"],
        "page_mb_more": round(change["page_mb"], 1),
        "shown_fps_median": median(shown),
        "shown_fps_least": min(shown),
    }
    bars = (
        Bar("rss_growth_share", most=0.05),
        Bar("threads_more", most=0),
        Bar("handles_more", most=0),
    )
    return Row(f"{count:g} minutes of live run", figures, bars, {"samples": samples})


class _Shown:
    """When frames came, and how many results."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.results = 0

    def on_capture(self, shot: LiveFrame) -> None:
        pass

    def on_frame(self, shot: LiveFrame) -> None:
        self.moments.append(time.time())

    def on_result(self, result: LiveResult) -> None:
        self.results += 1

    def on_status(self, status: LiveStatus) -> None:
        pass


@contextlib.contextmanager
def _running(uri: str, opener: Callable[[str], Any]) -> Iterator[tuple[LiveSession, _Shown]]:
    shown = _Shown()
    session = LiveSession(uri, Segmenter.load(), opener=opener)
    session.add_listener(shown)
    session.add_listener(Hub())
    session.start()
    try:
        yield session, shown
    finally:
        session.close()


def vanishing(times: int) -> Row:
    """An HTTP camera in its own process, killed and started again at random moments."""
    rng = np.random.default_rng(4)
    back: list[float] = []
    with contextlib.ExitStack() as cameras:
        camera, port, _ = _start_camera(0)
        cameras.callback(lambda: camera.kill())
        uri = f"http://127.0.0.1:{port}/stream.mjpg"
        with _running(uri, sources.open) as (session, shown):
            _until(lambda: shown.results > 5)
            for _ in range(times):
                time.sleep(float(rng.uniform(0.3, 2.0)))
                camera.kill()
                camera.wait()
                time.sleep(float(rng.uniform(0.0, 4.0)))
                camera, _, returned = _start_camera(port)
                _until(partial(_newer, shown, returned))
                back.append(next(m for m in shown.moments if m > returned) - returned)
            state = session.status.state
    figures = {
        "back_max_s": round(max(back), 3),
        "back_median_s": round(median(back), 3),
        "times": len(back),
        "state_at_end": state,
    }
    return Row(
        f"source vanishes and returns {times} times",
        figures,
        (Bar("back_max_s", most=2.0),),
        {"back_s": back},
    )


def _newer(shown: _Shown, moment: float) -> bool:
    return shown.moments[-1] > moment


def _start_camera(port: int) -> tuple[subprocess.Popen[str], int, float]:
    command = [sys.executable, "-m", "tests.live_bench.camera", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    words = process.stdout.readline().split()
    return process, int(words[1]), time.time()


def faults(count: int, *, seed: int = 1) -> Row:
    """Random faults in the source: is each told, and does the picture go on?"""
    pictures = phantom_pictures((320, 240), 30.0)
    source = FaultySource(seed=seed, rate=1.0, most=count, pictures=pictures)
    events: dict[Event, None] = {}
    with _running("faulty:", source) as (session, shown):
        while not source.done:
            time.sleep(0.5)
            events.update(dict.fromkeys(session.events))
        last, before = time.time(), shown.results
        with contextlib.suppress(TimeoutError):
            _until(lambda: shown.results > before and shown.moments[-1] > last, 20)
        time.sleep(3)
        events.update(dict.fromkeys(session.events))
        alive = shown.results > before and session.status.state == "live"
        end = time.time()
    silent = unreported(source.faults, list(events))
    left = [t.name for t in threading.enumerate() if t.name.startswith("nerveseg-live")]
    figures = {
        "crashed": int(not alive) + len(left),
        "freeze_max_s": round(longest_freeze(source.faults, shown.moments, end), 3),
        "unreported": len(silent),
        "faults": len(source.faults),
        "openings": source.openings,
        "frames_shown": len(shown.moments),
        "results": shown.results,
    }
    bars = (Bar("crashed", most=0), Bar("freeze_max_s", most=2.0), Bar("unreported", most=0))
    kinds = dict(Counter(fault.kind for fault in silent))
    return Row(f"{count} random faults in the source", figures, bars, {"unreported": kinds})


def kills(times: int) -> Row:
    """A process that records is killed: does the file open, and how much is lost?"""
    rng = np.random.default_rng(2)
    lost: list[float] = []
    failed: list[str] = []
    for number in range(times):
        with tempfile.TemporaryDirectory() as folder:
            try:
                killed = kill_once(Path(folder) / str(number), after_s=float(rng.uniform(1.2, 4.0)))
            except AssertionError as error:
                failed.append(str(error))
                continue
            lost.append(killed.lost_s)
            if not killed.read:
                failed.append(killed.told)
    figures = {
        "failed": len(failed),
        "lost_max_s": round(max(lost), 3),
        "lost_median_s": round(median(lost), 3),
        "times": times,
    }
    bars = (Bar("failed", most=0), Bar("lost_max_s", most=1.0))
    return Row(f"kill -9 while recording, {times} times", figures, bars, {"failed": failed})


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
