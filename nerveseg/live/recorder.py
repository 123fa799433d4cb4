"""Record a live session: the raw picture, the results, and what happened meanwhile.

::

    recorder = Recorder(Recordings().new("axillary"), source=session.uri)
    session.add_listener(recorder)
    session.add_notices(recorder.notices)
    ...
    session.remove_listener(recorder)
    recorder.close()

The capture is never made to wait: what the disk can't take in time is dropped, counted and told.
Nothing outside of the ultrasound image is stored (a patient's name, say): frames are held back
until a result tells where the image is, and are black around it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from nerveseg.errors import StoreError
from nerveseg.live.backlog import Backlog, HeldBack
from nerveseg.live.keeping import ENOUGH_BYTES, LEAST_BYTES, free_bytes
from nerveseg.live.reel import Reel, about_entries
from nerveseg.live.region import KnownRegion
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.syncing import Syncing
from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus, Notice
from nerveseg.video.lossless import check_lossless
from nerveseg.video.recorded import ABOUT

__all__ = ["Recorder"]

_logger = logging.getLogger(__name__)

_BACKLOG_BYTES = 64 * 2**20
"""Two seconds of 1280x720 at 30 frames a second, seven of 640x480."""

_STATUS_BYTES = 1000
_TEND_EVERY_S = 1.0
_SAVE_EVERY_S = 2.0
_TAKE_S = 0.25
_CLOSE_S = 60.0
_HELD_BACK_S = 2.0
_BEHIND_S = 1.0
_Item: TypeAlias = LiveFrame | LiveResult | LiveStatus | DeviceSettings


class Recorder:
    """A `Listener` that records into ``folder``, made by `Recordings.new`, until it is closed.

    ``source`` is the address of what is recorded, ``settings`` those of its device: with
    ``crop="off"`` the whole picture is kept, and ``recording.json`` says so. ``block`` is the
    block that is scanned for. At most ``backlog_bytes`` wait to be written. ``free`` tells how
    many bytes are free where ``folder`` lies. Raises `StoreError` where PyAV is missing, the
    folder can't be written, or too little room is left on the disk. Later trouble ends the
    recording, not the session, and is one of the `notices`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: str,
        settings: DeviceSettings | None = None,
        block: str | None = None,
        backlog_bytes: int = _BACKLOG_BYTES,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        settings = settings or DeviceSettings()
        about = about_entries(
            kind="recording",
            source=source,
            settings=settings,
            block=block,
            started_at=time.time(),
        )
        self.folder = folder
        self._free = free
        self._free_bytes = 0
        self._reel = self._begin(about)
        self._region = KnownRegion(settings.crop)
        self._backlog: Backlog[_Item] = Backlog(backlog_bytes)
        self._held_back = HeldBack(backlog_bytes // 2)
        self._lock = threading.Lock()
        self._dropped = 0
        self._newest_s = self._reached_s = math.inf
        self._told: dict[str, str] = {}
        self._ended: Notice | None = None
        self._tended_s = self._saved_s = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="nerveseg-recorder", daemon=True)
        self._thread.start()

    def _begin(self, about: Mapping[str, Any]) -> Reel:
        try:
            check_lossless()
            self._free_bytes = self._room()
            if self._free_bytes < LEAST_BYTES:
                raise StoreError(
                    f"can't record into {self.folder}: {_little_room(self._free_bytes)}"
                )
            return Reel(self.folder, about)
        except StoreError:
            with suppress(OSError):
                self.folder.rmdir()  # if it is empty: nothing came of it
            raise

    # What the session tells; each call is quick.

    def on_capture(self, shot: LiveFrame) -> None:
        """Keep a frame, or count it as dropped."""
        self._newest_s = shot.frame.time_s
        self._offer(shot, shot.frame.pixels.nbytes)

    def on_frame(self, shot: LiveFrame) -> None:
        """Shown or not makes no difference to a recording."""

    def on_result(self, result: LiveResult) -> None:
        """Keep what was found on a frame."""
        masks = sum(mask.nbytes for mask in result.result.masks.values())
        self._offer(result, result.shot.frame.pixels.nbytes + masks)

    def on_status(self, status: LiveStatus) -> None:
        """Keep which notices came and went."""
        self._offer(status, _STATUS_BYTES)

    def change(self, settings: DeviceSettings) -> None:
        """Go on with other settings of the device."""
        self._offer(settings, _STATUS_BYTES)

    def close(self) -> None:
        """Write what still waits, and finish the files; once more does no harm."""
        self._backlog.close()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    # What may be asked of it at any time, from any thread.

    @property
    def recording(self) -> bool:
        """False once it is closed, or ended by itself."""
        return self._thread.is_alive() and self._ended is None

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._reel.frames

    @property
    def seconds(self) -> float:
        """Length of what is written so far."""
        return self._reel.seconds

    @property
    def dropped(self) -> int:
        """Frames that could not be written in time."""
        return self._dropped

    def notices(self) -> tuple[Notice, ...]:
        """What is wrong with the recording now, the gravest first."""
        if self._ended is not None:
            return (self._ended,)
        found = []
        if self._held_back.seconds > _HELD_BACK_S:
            found.append(_HOLDING_BACK)
        if self._free_bytes < ENOUGH_BYTES:
            found.append(_filling(self._free_bytes))
        if self._dropped:
            found.append(_dropping(self._dropped))
        if self._newest_s - self._reached_s > _BEHIND_S:
            found.append(_lagging(self._newest_s - self._reached_s))
        return tuple(found)

    def _offer(self, item: _Item, size: int) -> None:
        if self._ended is not None or self._backlog.put(item, size):
            return
        if isinstance(item, LiveFrame) and not self._backlog.closed:
            with self._lock:
                self._dropped += 1

    # The writing thread

    def _work(self) -> None:
        syncing = Syncing(self.folder)
        try:
            self._record()
        finally:
            syncing.close()

    def _record(self) -> None:
        try:
            while not self._backlog.done:
                item = self._backlog.take(_TAKE_S)
                if item is not None:
                    self._handle(item)
                self._tend()
            self._count()
            self._reel.finish()
        except StoreError as error:
            self._end(str(error))
        except Exception as error:
            # A bug here mustn't cost what is recorded, nor go unseen.
            _logger.exception("recording failed")
            self._end(f"a fault of this program, {type(error).__name__}")

    def _end(self, reason: str) -> None:
        """End by itself: finish what can be, and say so."""
        self._backlog.discard()
        try:
            self._count()
            self._reel.finish(ended=reason)
        except StoreError:
            self._reel.abandon(reason)
        _logger.warning("the recording in %s ended: %s", self.folder, reason)
        self._ended = Notice(
            "recording ended",
            f"The recording ended by itself: {reason}",
            "what was recorded is kept; see to it and record anew",
        )

    def _handle(self, item: _Item) -> None:
        if isinstance(item, LiveFrame):
            self._write(item)
        elif isinstance(item, LiveResult):
            self._region.learn(item)
            self._write_held_back()
            self._reel.add_result(item)
        elif isinstance(item, LiveStatus):
            self._note_changes(item)
        else:
            self._region.change(item.crop)
            self._reel.change(item)

    def _write(self, shot: LiveFrame) -> None:
        self._reached_s = shot.frame.time_s
        self._held_back.add(shot)
        self._write_held_back()

    def _write_held_back(self) -> None:
        """Write what was held back, as far as it is known where the image is in it."""
        while (shot := self._held_back.oldest) is not None:
            region = self._region.of(shot)
            if region is not None:
                self._reel.fps = self._reel.fps or self._held_back.rate
                self._reel.write(shot, region)
                self._held_back.release()
            elif self._region.never(shot):
                self._held_back.give_up()
            else:
                return

    def _note_changes(self, status: LiveStatus) -> None:
        # A source that vanished tells nothing of itself; what it told before stays true.
        self._reel.device = status.source or self._reel.device
        self._reel.fps = status.promised_fps or self._reel.fps
        now = {notice.key: notice.text for notice in status.notices} | {"state": status.state}
        for key, text in now.items():
            # A notice that only tells other figures than before is no news.
            if key not in self._told or (key == "state" and self._told[key] != text):
                self._reel.add_event(key, text, at=time.time())
        for key in self._told.keys() - now.keys():
            self._reel.add_event(key, "over", at=time.time())
        self._told = now

    def _count(self) -> None:
        """Have the files tell what they lack."""
        if self._backlog.done:
            self._held_back.give_up_all()
        self._reel.left_out = self._held_back.left_out
        with self._lock:
            dropped, before, self._reel.dropped = self._dropped, self._reel.dropped, self._dropped
        if dropped > before:
            text = f"{dropped - before} frames were dropped"
            self._reel.add_event("frames dropped", text, at=time.time())

    def _tend(self) -> None:
        """Look after disk and files about once a second."""
        now_s = time.monotonic()
        if now_s - self._tended_s < _TEND_EVERY_S:
            return
        self._tended_s = now_s
        self._free_bytes = self._room()
        if self._free_bytes < LEAST_BYTES:
            raise StoreError(_little_room(self._free_bytes))
        if not (self.folder / ABOUT).is_file():
            raise StoreError(f"its folder {self.folder} has vanished")
        self._count()
        if now_s - self._saved_s >= _SAVE_EVERY_S:
            self._saved_s = now_s
            self._reel.save_about()

    def _room(self) -> int:
        try:
            return self._free(self.folder)
        except OSError as error:
            raise StoreError(f"can't write into {self.folder}: {error.strerror}") from error


_HOLDING_BACK = Notice(
    "recording waits",
    "Nothing is recorded: no ultrasound image is found in the picture",
    "put the probe on the phantom, or say by hand where the image is",
)


def _little_room(free: int) -> str:
    return (
        f"only {free / 1e6:.0f} MB are free on the disk, {LEAST_BYTES / 1e6:.0f} MB are needed; "
        "free some space"
    )


def _filling(free: int) -> Notice:
    return Notice(
        "disk filling",
        f"Only {free / 1e9:.1f} GB are free for the recording",
        f"free some space; the recording ends at {LEAST_BYTES / 1e9:.1f} GB",
    )


def _dropping(dropped: int) -> Notice:
    return Notice(
        "frames dropped",
        f"The recording lacks {dropped} frames: the disk or the processor was too slow",
        "close other programs, or choose a smaller picture",
    )


def _lagging(behind_s: float) -> Notice:
    return Notice(
        "recording behind",
        f"The recording is {behind_s:.0f} s behind: the disk or the processor is busy",
        "close other programs; what waits to be written is lost if this one is stopped",
    )
