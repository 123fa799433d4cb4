"""A live session with a source that does all that a driver can do wrong. `make bench-live` has a
thousand faults; here each kind comes a few times, on small pictures."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nerveseg.errors import SourceError
from nerveseg.live.capture import Patience
from nerveseg.live.session import LiveSession
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from tests.discs import fake_segmenter
from tests.faults import KINDS, REPORTS, Fault, FaultySource, longest_freeze, unreported

PATIENCE = Patience(stall_s=0.5, close_s=2.0, retry_s=(0.02, 0.1))


class Shown:
    """When frames and results came."""

    def __init__(self) -> None:
        self.frames: list[float] = []
        self.results: list[float] = []
        self.numbers: list[int] = []
        self.times: list[float] = []

    def on_capture(self, shot: LiveFrame) -> None:
        self.numbers.append(shot.number)
        self.times.append(shot.frame.time_s)

    def on_frame(self, shot: LiveFrame) -> None:
        self.frames.append(time.time())

    def on_result(self, result: LiveResult) -> None:
        self.results.append(time.time())

    def on_status(self, status: LiveStatus) -> None:
        pass


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def run_through(source: FaultySource) -> tuple[Shown, LiveSession, float]:
    """A session over all of the source's faults, and a second of good pictures after them."""
    shown = Shown()
    session = LiveSession("faulty:", fake_segmenter(), opener=source, patience=PATIENCE)
    session.add_listener(shown)
    session.start()
    try:
        until(lambda: source.done)
        last = time.time()
        until(lambda: sum(moment > last for moment in shown.frames) > 30)
        until(lambda: session.status.state == "live")
        until(lambda: shown.results and shown.results[-1] > last)
        return shown, session, time.time()
    finally:
        session.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("nerveseg-live")]


@pytest.fixture(scope="module")
def ordeal() -> tuple[FaultySource, Shown, LiveSession, float]:
    source = FaultySource(
        seed=1, rate=1.0, fps=60, most=2 * len(KINDS), longest_s=1.0, lasting_s=1.3
    )
    return (source, *run_through(source))


def test_every_kind_of_fault_is_outlived(ordeal):
    source, shown, _, _ = ordeal

    assert collections.Counter(fault.kind for fault in source.faults) == dict.fromkeys(KINDS, 2)
    assert len(shown.results) > 30


def test_the_picture_never_stands_still_for_long_while_the_source_could_give_one(ordeal):
    source, shown, _, end = ordeal

    assert longest_freeze(source.faults, shown.frames, end) < 2.0


def test_numbers_and_times_rise_whatever_the_source_says(ordeal):
    _, shown, _, _ = ordeal

    assert shown.numbers == list(range(len(shown.numbers)))
    assert all(one < other for one, other in zip(shown.times, shown.times[1:], strict=False))


def test_each_fault_is_told(ordeal):
    source, _, session, _ = ordeal

    silent = unreported(source.faults, session.events)
    assert collections.Counter(fault.kind for fault in silent) == {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "source" in REPORTS[kind]])
def test_a_source_that_fails_again_and_again_is_still_let_go_of(kind):
    source = FaultySource(seed=2, rate=1.0, rest=1, fps=200, longest_s=0.2, kinds=(kind,))
    session = LiveSession("faulty:", fake_segmenter(), opener=source, patience=PATIENCE)
    session.start()
    until(lambda: len(source.faults) > 2)
    session.close()

    assert session.status.state == "closed"
    assert not [t for t in threading.enumerate() if t.name.startswith("nerveseg-live")]


# What the tests above rest on.


def test_a_closed_clip_ends_a_stall_with_an_error():
    source = FaultySource(seed=0, rate=1.0, rest=0, kinds=("stall",), longest_s=60.0)
    clip = source("faulty:")
    said: list[Exception] = []
    reading = threading.Thread(target=lambda: said.extend(reading_on(clip)))
    reading.start()
    until(lambda: source.faults)
    clip.close()
    reading.join(5)

    assert [type(error) for error in said] == [SourceError]
    assert source.faults[0].over is not None


def reading_on(frames: Iterator[object]) -> Iterator[Exception]:
    try:
        for _ in frames:
            pass
    except SourceError as error:
        yield error


def test_the_same_seed_makes_the_same_faults():
    def kinds(seed: int) -> list[str]:
        source = FaultySource(seed=seed, rate=0.5)
        while len(source.faults) < 50:
            source.draw()
        return [fault.kind for fault in source.faults]

    assert kinds(4) == kinds(4) != kinds(5)


@pytest.mark.parametrize(
    ("faults", "shown", "expected"),
    [
        # began and over of each fault; moments at which a frame was shown; longest freeze until 10
        ([], [0, 1, 2, 9.5], 7.5),
        ([(2, 9)], [0, 1, 2, 9.5], 1.0),
        ([(3, 5), (6, 8)], [0, 1, 2, 9.5], 3.5),
        ([(2.5, None)], [0, 1, 2], 1.0),
        ([(0, 0)], [0, 10], 10.0),
    ],
)
def test_a_freeze_is_what_the_source_is_not_to_blame_for(faults, shown, expected):
    made = [Fault("stall", began, over) for began, over in faults]

    assert longest_freeze(made, shown, 10.0) == pytest.approx(expected)
