"""A live source that does everything a driver can do wrong, at random moments, and keeps a list.

::

    source = FaultySource(seed=3, rate=0.2)
    session = LiveSession("faulty:", segmenter, opener=source)
    ...
    source.faults  # what it did, when, and when it would have given pictures again

Beside each fault stands what a session has to say about it: `REPORTS`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import SourceError
from nerveseg.types import Frame
from nerveseg.video.clip import Clip

Picture = npt.NDArray[np.uint8]

REPORTS: Mapping[str, frozenset[str]] = {
    # What a driver hands over
    "short read": frozenset({"source"}),
    "skipped": frozenset({"source"}),
    "nothing": frozenset({"source"}),
    "wrong shape": frozenset({"source"}),
    "wrong type": frozenset({"source"}),
    "size": frozenset({"size"}),
    # What the picture shows
    "noise": frozenset({"noise"}),
    "black": frozenset({"black"}),
    "blank": frozenset({"blank"}),
    "stuck": frozenset({"frozen"}),
    # When it comes
    "stall": frozenset({"source", "no picture"}),
    "time back": frozenset({"time"}),
    "time still": frozenset({"time"}),
    "time nan": frozenset({"time"}),
    # Whether it comes at all
    "source error": frozenset({"source"}),
    "os error": frozenset({"source"}),
    "runtime error": frozenset({"source"}),
    "cv2 error": frozenset({"source"}),
    "memory error": frozenset({"source"}),
    "early end": frozenset({"source"}),
    "vanish": frozenset({"source"}),
}
"""Keys of `nerveseg.live.session.Event`, one of which has to be told for a fault of each kind."""

KINDS = tuple(REPORTS)

_ERRORS: Mapping[str, Callable[[], Exception]] = {
    "source error": lambda: SourceError("the grabber says no"),
    "os error": lambda: OSError(19, "No such device"),
    "runtime error": lambda: RuntimeError("the driver lost its mind"),
    "cv2 error": lambda: cv2.error("(-215:Assertion failed) !_src.empty()"),
    "memory error": lambda: MemoryError("a buffer of 4 GB"),
}
_PICTURES: Mapping[str, Callable[[Picture, int], Picture]] = {
    "noise": lambda pixels, seed: _noise(pixels.shape, seed),
    "black": lambda pixels, seed: np.zeros_like(pixels),
    "blank": lambda pixels, seed: np.full_like(pixels, 110),
}
_SIZES = ((16, 16), (31, 640), (320, 240), (639, 479), (1280, 720))


@dataclass(slots=True)
class Fault:
    """One fault: its kind, when it began, and when pictures could come again (`time.time`).

    ``over`` is ``None`` while it lasts.
    """

    kind: str
    began: float
    over: float | None = None

    def end(self) -> None:
        if self.over is None:
            self.over = time.time()


@dataclass(kw_only=True)
class FaultySource:
    """Opens clips that share one list of faults; call it as `sources.open` is called.

    With the chance ``rate`` a frame is preceded by a fault, of one of ``kinds``, but never before
    ``rest`` good frames, nor after ``most`` faults. What lasts, lasts ``lasting_s`` (pictures
    that show nothing) or up to ``longest_s`` (a stall, or being away). ``pictures`` are shown in
    turn at ``fps``.
    """

    seed: int
    rate: float = 0.2
    pictures: Sequence[Picture] = ()
    fps: float = 30.0
    most: int | None = None
    rest: int = 8
    lasting_s: float = 1.5
    longest_s: float = 5.0
    kinds: tuple[str, ...] = KINDS
    faults: list[Fault] = field(default_factory=list)
    openings: int = 0
    away_until: float = 0.0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.pictures = self.pictures or [gradient(n) for n in range(30)]
        self.number = itertools.count()
        # Every kind comes about as often as any other, whatever the dice say.
        self._next: list[str] = []

    def __call__(self, uri: str) -> Clip:
        self.openings += 1
        if time.time() < self.away_until:
            raise SourceError("no such device: it was unplugged")
        return FaultyClip(self)

    @property
    def done(self) -> bool:
        """Whether all faults have been made, and are over."""
        return len(self.faults) == self.most and all(f.over is not None for f in self.faults)

    def draw(self) -> Fault | None:
        """The next fault, if it is time for one."""
        if len(self.faults) == self.most or self.rng.random() >= self.rate:
            return None
        if not self._next:
            self._next = [str(kind) for kind in self.rng.permutation(self.kinds)]
        fault = Fault(self._next.pop(), time.time())
        self.faults.append(fault)
        return fault


class FaultyClip(Clip):
    """One opening of a `FaultySource`."""

    def __init__(self, source: FaultySource) -> None:
        height, width = source.pictures[0].shape
        super().__init__("faulty", file="faulty:", fps=source.fps, size_wh=(width, height))
        self._source = source
        self._due_s = time.monotonic()
        self._index = 0

    def _frames(self) -> Iterator[Frame]:
        good = 0
        while self._pause():
            fault = self._source.draw() if good >= self._source.rest else None
            if fault is None:
                good += 1
                yield self._good()
                continue
            good = 0
            try:
                yield from self._faulty(fault)
            finally:
                fault.end()
            if fault.kind == "early end":
                return

    def _faulty(self, fault: Fault) -> Iterator[Frame]:
        kind = fault.kind
        if kind in _ERRORS:
            raise _ERRORS[kind]()
        if kind in _PICTURES:
            yield from self._lasting(lambda pixels: _PICTURES[kind](pixels, self._index))
        elif kind == "stuck":
            stuck = self._picture()
            yield from self._lasting(lambda _: stuck)
        elif kind in _HANDED:
            yield from _HANDED[kind](self, fault)

    def _lasting(self, spoil: Callable[[Picture], Picture]) -> Iterator[Frame]:
        until = time.monotonic() + self._source.lasting_s
        while time.monotonic() < until and self._pause():
            yield self._good(spoil(self._picture()))

    def _short_read(self, fault: Fault) -> Iterator[Frame]:
        height, width = self._picture().shape
        data = self._picture().tobytes()[: int(self._source.rng.integers(height * width))]
        yield self._good(np.frombuffer(data, np.uint8).reshape(height, width))

    def _skipped(self, fault: Fault) -> Iterator[Frame]:
        self._broken(f"frame {self._index} was cut short and can't be decoded")
        yield from ()

    def _nothing(self, fault: Fault) -> Iterator[Any]:
        yield None

    def _wrong_shape(self, fault: Fault) -> Iterator[Any]:
        yield self._unchecked(np.dstack([self._picture()] * 3))

    def _wrong_type(self, fault: Fault) -> Iterator[Any]:
        yield self._unchecked(self._picture().astype(np.float32) / 255)

    def _size(self, fault: Fault) -> Iterator[Frame]:
        others = [size for size in _SIZES if size != self.size_wh]
        width, height = others[int(self._source.rng.integers(len(others)))]
        for _ in range(5):
            yield self._good(np.asarray(cv2.resize(self._picture(), (width, height)), np.uint8))
            if not self._pause():
                return

    def _stall(self, fault: Fault) -> Iterator[Frame]:
        least = min(1.0, self._source.longest_s)
        self._closing.wait(float(self._source.rng.uniform(least, self._source.longest_s)))
        self._due_s = time.monotonic()
        yield from ()

    def _time_back(self, fault: Fault) -> Iterator[Frame]:
        yield self._good(time_s=self._now_s() - float(self._source.rng.uniform(0.1, 1e4)))

    def _time_still(self, fault: Fault) -> Iterator[Frame]:
        now_s = self._now_s()
        yield self._good(time_s=now_s)
        yield self._good(time_s=now_s)

    def _time_nan(self, fault: Fault) -> Iterator[Frame]:
        wrong = (math.nan, math.inf, -math.inf)
        yield self._good(time_s=wrong[int(self._source.rng.integers(3))])

    def _vanish(self, fault: Fault) -> Iterator[Frame]:
        away_s = float(self._source.rng.uniform(0.1, self._source.longest_s))
        self._source.away_until = fault.over = time.time() + away_s
        raise SourceError("the device was unplugged")
        yield

    def _pause(self) -> bool:
        """Wait for the next frame's turn; False once the clip is closed."""
        self._due_s = max(self._due_s + 1 / self._source.fps, time.monotonic() - 0.1)
        return not self._closing.wait(max(0.0, self._due_s - time.monotonic()))

    def _picture(self) -> Picture:
        return self._source.pictures[next(self._source.number) % len(self._source.pictures)]

    def _good(self, pixels: Picture | None = None, *, time_s: float | None = None) -> Frame:
        index, self._index = self._index, self._index + 1
        if pixels is None:
            pixels = self._picture()
        return Frame(index, self._now_s() if time_s is None else time_s, pixels)

    def _unchecked(self, pixels: Any) -> Any:
        """What looks like a frame, of a driver that checks nothing."""
        return SimpleNamespace(
            index=self._index, time_s=self._now_s(), pixels=pixels, mm_per_px=None
        )

    def _now_s(self) -> float:
        return time.monotonic()


_HANDED: Mapping[str, Callable[[FaultyClip, Fault], Iterator[Any]]] = {
    "short read": FaultyClip._short_read,
    "skipped": FaultyClip._skipped,
    "nothing": FaultyClip._nothing,
    "wrong shape": FaultyClip._wrong_shape,
    "wrong type": FaultyClip._wrong_type,
    "size": FaultyClip._size,
    "stall": FaultyClip._stall,
    "time back": FaultyClip._time_back,
    "time still": FaultyClip._time_still,
    "time nan": FaultyClip._time_nan,
    "vanish": FaultyClip._vanish,
}


def faulty_opener(seed: int, rate: float = 0.2, **options: Any) -> FaultySource:
    """What to give to a session as its ``opener``; its ``faults`` tell what it did."""
    return FaultySource(seed=seed, rate=rate, **options)


def unreported(
    faults: Sequence[Fault], events: Sequence[Any], *, within_s: float = 3.0
) -> list[Fault]:
    """Faults of which no event tells, from their beginning until ``within_s`` after their end.

    ``events`` have ``at`` and ``key``; each speaks for one fault only.
    """
    left = list(events)
    silent = []
    for fault in faults:
        last = (fault.over if fault.over is not None else math.inf) + within_s
        told = next(
            (e for e in left if e.key in REPORTS[fault.kind] and fault.began <= e.at <= last), None
        )
        if told is None:
            silent.append(fault)
        else:
            left.remove(told)
    return silent


def longest_freeze(faults: Sequence[Fault], shown: Sequence[float], until: float) -> float:
    """Longest time, in seconds, without a frame shown in which the source could have given one.

    ``shown`` are the moments at which frames were shown, ``until`` the end. The time from a
    fault's beginning to its end is the source's own.
    """
    moments = [*sorted(shown), until]
    away = sorted((f.began, f.over if f.over is not None else until) for f in faults)
    longest = 0.0
    for before, after in itertools.pairwise(moments):
        inside = sum(max(0.0, min(after, end) - max(before, begin)) for begin, end in away)
        longest = max(longest, after - before - inside)
    return longest


def gradient(number: int, *, size: tuple[int, int] = (160, 120)) -> Picture:
    """A textured picture that differs from the one before it."""
    width, height = size
    rng = np.random.default_rng(7)
    grain = cv2.GaussianBlur(rng.normal(90, 60, (height, width + 60)).astype(np.float32), (0, 0), 2)
    grain = (grain - grain.mean()) * 4 + 100
    return np.asarray(grain[:, number % 60 : number % 60 + width].clip(0, 255), np.uint8)


def _noise(shape: tuple[int, ...], seed: int) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
