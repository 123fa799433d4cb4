"""One live source, from capture to result: the newest frame wins, nothing queues.

::

    session = LiveSession("uvc:0", Segmenter.load())
    session.add_listener(hub)
    session.start()
    ...
    session.close()

Capture and analysis each run at their own pace in their own thread; who shows frames runs at a
third. Frames that come while another is analysed are shown, and passed over by the analysis.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from nerveseg import anatomy, pipeline
from nerveseg.address import shown_uri
from nerveseg.errors import NervesegError
from nerveseg.live.capture import Capture, Patience
from nerveseg.live.clock import SessionClock
from nerveseg.live.counts import Counts
from nerveseg.live.journal import Event, Journal
from nerveseg.live.motion import Motion
from nerveseg.live.newest import Handed, Newest
from nerveseg.live.settings import Crop, DeviceSettings
from nerveseg.live.targets import TargetWatch
from nerveseg.live.values import Listener, LiveFrame, LiveResult, LiveStatus, Moved, Notice
from nerveseg.live.watch import NOTICES, PictureWatch, pace_notices
from nerveseg.types import Box, Frame, FrameResult, GrayImage
from nerveseg.video import sources
from nerveseg.video.clip import Clip
from nerveseg.vision.segment import Segmenter

__all__ = ["Event", "LiveSession"]

_logger = logging.getLogger(__name__)

_PULSE_S = 0.1
_STATUS_EVERY_S = 0.5
_FAILED_PAUSE_S = 0.5


class LiveSession:
    """Runs one source until it is closed.

    ``settings`` are the device's; ``block`` the name of the block whose structures are watched
    for; ``opener`` opens the source, again each time that it vanished. Raises `NervesegError` for
    a block that the syllabus doesn't have.
    """

    def __init__(
        self,
        uri: str,
        segmenter: Segmenter,
        *,
        settings: DeviceSettings | None = None,
        block: str | None = None,
        opener: Callable[[str], Clip] = sources.open,
        patience: Patience | None = None,
    ) -> None:
        self.uri = uri
        self._journal = Journal(shown_uri(uri))
        self._segmenter = segmenter
        self._settings = settings or DeviceSettings()
        self._block = None if block is None else anatomy.default().block(block)
        self._targets = self._new_targets()
        self._listeners: tuple[Listener, ...] = ()
        self._suppliers: tuple[Callable[[], Iterable[Notice]], ...] = ()
        self._began_s = time.monotonic()
        self._clock = SessionClock()
        self._opening = 0
        self._size: tuple[int, ...] | None = None
        self._pictures = PictureWatch()
        self._motion = Motion()
        self._waiting = Newest()
        self._counts = Counts()
        self._lock = threading.RLock()
        self._frozen: LiveFrame | None = None
        self._shown: LiveFrame | None = None
        self._own_scale: float | None = None
        self._latest: LiveResult | None = None
        self._trouble: Notice | None = None
        self._closed = threading.Event()
        self._capture = Capture(
            lambda: opener(uri),
            self._take,
            on_problem=lambda problem: self._journal.note("source", problem),
            patience=patience,
        )
        self._threads = [
            threading.Thread(target=work, name=f"nerveseg-live-{name}", daemon=True)
            for name, work in (("analysis", self._analyse), ("pulse", self._pulse))
        ]

    def start(self) -> None:
        """Open the source and begin; returns at once."""
        self._capture.start()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Let go of the source and end all threads; once more does no harm."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._waiting.close()
        self._capture.close()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(10)
        self._tell_status()

    def add_listener(self, listener: Listener) -> None:
        """Have ``listener`` hear of all from now on, and of how it goes at once."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
        _call(listener, lambda one: one.on_status(self.status))

    def remove_listener(self, listener: Listener) -> None:
        """Have it hear nothing more."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

    def add_notices(self, supplier: Callable[[], Iterable[Notice]]) -> None:
        """Have the notices of somebody else, a recorder say, told with the session's own."""
        with self._lock:
            self._suppliers = (*self._suppliers, supplier)

    def remove_notices(self, supplier: Callable[[], Iterable[Notice]]) -> None:
        """Have them told no more."""
        with self._lock:
            # Bound methods are made anew each time that they are named: equal, not identical.
            self._suppliers = tuple(one for one in self._suppliers if one != supplier)

    @property
    def settings(self) -> DeviceSettings:
        """The device's settings now."""
        return self._settings

    def change(self, settings: DeviceSettings) -> None:
        """Go on with other settings; another crop or scale analyses the newest frame anew."""
        with self._lock:
            before, self._settings = self._settings, settings
            again = (before.crop, before.mm_per_px) != (settings.crop, settings.mm_per_px)
            if again and self._shown is not None:
                self._latest, self._shown = None, self._rescaled(self._shown)
                self._frozen = self._frozen and self._shown
            newest = self._shown
        if again:
            self._waiting.restart()
            if newest is not None:
                self._waiting.put(newest)
        self._tell_status()

    @property
    def block(self) -> str | None:
        """The block whose structures are watched for."""
        return None if self._block is None else self._block.name

    def watch_for(self, block: str | None) -> None:
        """Watch for the structures of another block; `NervesegError` if there is no such."""
        found = None if block is None else anatomy.default().block(block)
        with self._lock:
            self._block = found
            self._targets = self._new_targets()

    @property
    def frozen(self) -> LiveFrame | None:
        """The frame at which the picture stands, if it does."""
        return self._frozen

    @property
    def latest(self) -> LiveResult | None:
        """The newest result; while frozen, that of the frozen frame once it is there."""
        return self._latest

    def freeze(self) -> LiveFrame | None:
        """Stand still at the newest frame, and have it analysed itself; ``None`` without one."""
        with self._lock:
            self._frozen = shot = self._frozen or self._shown
            latest = self._latest
        if shot is None:
            return None
        if latest is not None and latest.shot is shot:
            self._tell(lambda listener: listener.on_result(latest))
        else:
            self._waiting.put(shot)
        self._tell_status()
        return shot

    def unfreeze(self) -> None:
        """Go on with what the source shows now."""
        with self._lock:
            self._frozen = None
        self._counts.settle_anew()
        self._tell_status()

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far, the oldest first, as far as it is kept."""
        return self._journal.events

    @property
    def status(self) -> LiveStatus:
        """How it goes now."""
        capture, now_s = self._capture, time.monotonic()
        status = LiveStatus(
            capture.state,
            promised_fps=capture.promised_fps,
            source=capture.facts,
            frozen=self._frozen is not None,
        )
        status = self._counts.told_in(status, now_s)
        return replace(status, notices=tuple(self._notices(status)))

    def _notices(self, status: LiveStatus) -> Iterator[Notice]:
        problem = self._capture.problem
        if status.state == "failed":
            yield Notice("failed", problem or "the source can't be opened", "choose another source")
        elif status.state == "lost":
            words = NOTICES["no picture"]
            yield Notice(words.key, f"{words.text}: {problem}", words.advice)
        elif status.state == "live":
            yield from self._pictures.notices
            if self._counts.settled(time.monotonic()):
                yield from pace_notices(status)
        if self._trouble is not None:
            yield self._trouble
        for supplier in self._suppliers:
            with suppress(Exception):
                yield from supplier()

    # The capture's thread

    def _take(self, frame: Frame, opening: int) -> None:
        captured_at, arrived_s = time.time(), time.monotonic() - self._began_s
        if opening != self._opening:
            self._opening = opening
            self._begin_anew()
        faults = self._clock.faults
        time_s = self._clock.read(frame.time_s, arrived_s)
        if self._clock.faults != faults:
            self._journal.note("time", f"the source gave the time {frame.time_s} out of turn")
        self._note_size(frame.pixels)
        number = self._counts.delivered
        shot = LiveFrame(
            Frame(number, time_s, frame.pixels, self._settings.mm_per_px or frame.mm_per_px),
            captured_at,
            opening,
            self._moved(number, frame.pixels),
        )
        self._look_at(shot)
        self._tell(lambda listener: listener.on_capture(shot))
        with self._lock:
            if self._frozen is not None:
                return
            self._shown, self._own_scale = shot, frame.mm_per_px
        self._counts.passed_over += self._waiting.put(shot)
        self._tell(lambda listener: listener.on_frame(shot))

    def _begin_anew(self) -> None:
        """The source came back: it may show something else, elsewhere in the picture."""
        self._clock.reopen()
        self._counts.settle_anew()
        with self._lock:
            self._targets = self._new_targets()
        self._waiting.restart()

    def _note_size(self, pixels: GrayImage) -> None:
        before, self._size = self._size, pixels.shape[::-1]
        if before not in (None, self._size):
            was, now = ("x".join(map(str, size)) for size in (before or (), self._size))
            self._journal.note("size", f"the picture is {now} pixels now, it was {was}")

    def _moved(self, number: int, pixels: GrayImage) -> Moved | None:
        """Where what the latest result was found on has gone since."""
        self._motion.update(number, pixels)
        latest = self._latest
        affine = None if latest is None else self._motion.since(latest.shot.number)
        return None if latest is None or affine is None else Moved(latest.shot.number, affine)

    def _look_at(self, shot: LiveFrame) -> None:
        latest = self._latest
        region = None
        if latest is not None and latest.result.frame.pixels.shape == shot.frame.pixels.shape:
            region = latest.result.segmentation.region
        now_s = time.monotonic()
        coloured = self._capture.coloured
        self._pictures.update(shot.frame.pixels, region, now_s, coloured=coloured)
        self._counts.came(now_s, distinct=self._pictures.distinct)

    # The analysis's thread

    def _analyse(self) -> None:
        while not self._closed.is_set():
            self._waiting.begin()
            try:
                shots = Handed(self._waiting)
                crop = self._settings.crop
                for result in pipeline.run(shots, self._segmenter, crop=_crop(crop)):
                    self._found(shots.last, result, crop)
            except Exception as error:  # noqa: BLE001 - no picture may end the session
                self._fail(error)
                self._closed.wait(_FAILED_PAUSE_S)

    def _fail(self, error: Exception) -> None:
        words = str(error) if isinstance(error, NervesegError) else type(error).__name__
        advice = "it is tried again; with --log FILE the file tells more"
        trouble = Notice("analysis failed", f"The analysis failed: {words}", advice)
        if trouble != self._trouble:  # once, however often it is tried
            unexpected = not isinstance(error, NervesegError)
            _logger.error("analysing a live frame failed: %s", words, exc_info=unexpected)
        self._trouble = trouble

    def _found(self, shot: LiveFrame, result: FrameResult, crop: Crop) -> None:
        with self._lock:
            targets = () if self._targets is None else self._targets.update(result)
            found = LiveResult(shot, result, time.time(), targets)
            # What was found inside another crop may show what this one is to hide.
            overtaken = crop != self._settings.crop or shot is not (self._frozen or shot)
            if not overtaken:
                self._latest = found
        self._trouble = None
        self._counts.analysed_one(time.monotonic(), found)
        if not overtaken:
            self._tell(lambda listener: listener.on_result(found))

    # The pulse's thread

    def _pulse(self) -> None:
        due_s = 0.0
        while not self._closed.wait(_PULSE_S):
            status, now_s = self.status, time.monotonic()
            if now_s >= due_s or self._journal.is_news(status):
                due_s = now_s + _STATUS_EVERY_S
                self._tell_status(status)

    def _tell_status(self, status: LiveStatus | None = None) -> None:
        status = status or self.status
        self._journal.follow(status)
        self._tell(lambda listener: listener.on_status(status))

    def _tell(self, call: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            _call(listener, call)

    def _new_targets(self) -> TargetWatch | None:
        if self._block is None:
            return None
        return TargetWatch(self._block, self._segmenter.spec.areas)

    def _rescaled(self, shot: LiveFrame) -> LiveFrame:
        scale = self._settings.mm_per_px or self._own_scale
        return replace(shot, frame=replace(shot.frame, mm_per_px=scale))


def _crop(crop: Crop) -> bool | Box:
    return crop if isinstance(crop, Box) else crop == "auto"


def _call(listener: Listener, call: Callable[[Listener], None]) -> None:
    try:
        call(listener)
    except Exception:
        _logger.exception("a %s that listens to a session failed", type(listener).__name__)
