"""One running session, its hub, and who may steer it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from nerveseg.address import Address, shown_uri
from nerveseg.errors import SourceError, StoreError
from nerveseg.live.session import LiveSession
from nerveseg.live.settings import DeviceSettings, SettingsStore
from nerveseg.types import Box
from nerveseg.ui.live.hub import Hub
from nerveseg.ui.live.keeper import Keeper
from nerveseg.ui.live.orders import Seen, block_of, settings_of

__all__ = ["CODE_LETTERS", "Seat", "device_of", "kept_for"]

CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""What a code is made of: nothing that is taken for something else when it is read out."""

_CODE_LENGTH = 8

_WHOLE = frozenset({"rtsp", "rtsps", "http", "https"})
"""Schemes whose options tell which camera it is."""


class Seat:
    """A session with its hub. Whoever has the ``token`` steers it; ``code`` lets look on.

    Only one session may have the ``device``; its settings are in ``store`` under ``kept``.
    When the steering page has been gone for ``away_s`` seconds, ``on_left`` is called; ``left``
    tells that it is gone.
    """

    def __init__(
        self,
        session: LiveSession,
        *,
        device: str,
        kept: str,
        store: SettingsStore,
        keeper: Keeper,
        away_s: float,
        on_left: Callable[[Seat], object],
        stamp_of: Callable[[int], float | None] = lambda _: None,
    ) -> None:
        self.id = secrets.token_urlsafe(12)
        self.token = secrets.token_urlsafe(24)
        self.code: str | None = None
        self.device, self._kept = device, kept
        self.session = session
        self.hub = Hub(facts=self._facts, stamp_of=stamp_of)
        self._store = store
        self._keeper = keeper
        self._absence = _Absence(away_s, lambda: on_left(self))
        self._steering: Callable[[], object] | None = None
        self.left = False

    def start(self) -> None:
        """Begin; nobody steers yet."""
        self.session.add_listener(self.hub)
        self.session.start()
        self._absence.begin()

    def steer(self, replaced: Callable[[], object]) -> None:
        """A page takes the wheel; the one that had it hears of it by its ``replaced``."""
        self._absence.end()
        self.left = False
        before, self._steering = self._steering, replaced
        if before is not None:
            before()

    def let_go(self, replaced: Callable[[], object]) -> None:
        """The page that called `steer` with this is gone."""
        if self._steering == replaced:  # a bound method is made anew each time it is named
            self._steering = None
            self.left = True
            self._absence.begin()

    def freeze(self, *, on: bool) -> None:
        """Stand still, or go on."""
        if not on:
            self.session.unfreeze()
        elif self.session.freeze() is None:
            raise SourceError("there is no picture yet that could stand still")

    def change(self, raw: Mapping[str, Any]) -> None:
        """Change the device's settings, and keep them for the next time."""
        settings = settings_of(raw, self.session.settings, self._seen())
        self.session.change(settings)
        self._keeper.change(settings)
        self._store.save(self._kept, settings)

    def watch_for(self, raw: object) -> None:
        """Watch for another block's structures."""
        self.session.watch_for(block_of(raw))
        self.hub.refresh()

    def share(self, *, on: bool) -> str | None:
        """A new code to look on by, or none any more: who looked on by the last one must leave."""
        letters = (secrets.choice(CODE_LETTERS) for _ in range(_CODE_LENGTH))
        self.code = "".join(letters) if on else None
        self.hub.dismiss()
        self.hub.refresh()
        return self.code

    def record(self, *, on: bool) -> str:
        """Begin or end a recording; the folder that it lies in."""
        folder = self._keeper.start() if on else self._keeper.stop()
        self.hub.refresh()
        return str(folder)

    def snapshot(self) -> str:
        """Keep the frozen (or the newest) frame; the folder or file that it lies in."""
        result = self.session.latest
        if result is None:
            raise StoreError("there is nothing to keep yet; wait for the first overlay")
        return str(self._keeper.snapshot(result))

    def close(self) -> None:
        """End the session, and tell all who look at it."""
        self._absence.close()
        self.session.close()
        self._keeper.close()
        self.session.remove_listener(self.hub)
        self.hub.close()

    def _seen(self) -> Seen | None:
        shown = self.hub.shown
        if shown is None:
            return None
        height, width = shown.frame.pixels.shape
        result, region = self.session.latest, Box(0, 0, width, height)
        if result is not None and result.shot.frame.pixels.shape == (height, width):
            region = result.result.segmentation.region
        return Seen((height, width), region)

    def _facts(self) -> dict[str, Any]:
        settings, shown = self.session.settings, self.hub.shown
        return {
            "uri": self.session.uri,
            "block": self.session.block,
            "crop": _told(settings),
            "mirrored": settings.mirrored,
            "mm_per_px": settings.mm_per_px or (None if shown is None else shown.frame.mm_per_px),
            "scale_from": settings.scale_from,
            "code": self.code,
            "recording": self._keeper.told(),
        }


def device_of(uri: str) -> str:
    """What only one session may have: a name without options."""
    address = Address.parse(uri)
    if address is None or address.scheme in _WHOLE:
        return shown_uri(uri)
    place = address.place
    if address.scheme == "uvc":
        place = place.removeprefix("/dev/video")
    return f"{address.scheme}:{place}"


def kept_for(uri: str) -> str:
    """What settings are kept for: a device at the size that is asked of it.

    A crop and a scale are in pixels: at another size they would be wrong.
    """
    address, device = Address.parse(uri), device_of(uri)
    size = "" if address is None else address.split(("size",))[0].query
    return f"{device}?{size}" if size and "?" not in device else device


def _told(settings: DeviceSettings) -> str | list[int]:
    crop = settings.crop
    return crop if isinstance(crop, str) else [crop.left, crop.top, crop.right, crop.bottom]


class _Absence:
    """Calls ``act`` after it has gone on for some seconds."""

    def __init__(self, seconds: float, act: Callable[[], object]) -> None:
        self._seconds, self._act = seconds, act
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._over = False

    def begin(self) -> None:
        with self._lock:
            self._stop()
            if self._over:
                return
            self._timer = threading.Timer(self._seconds, self._act)
            self._timer.name, self._timer.daemon = "nerveseg-live-absence", True
            self._timer.start()

    def end(self) -> None:
        with self._lock:
            self._stop()

    def close(self) -> None:
        """End it, and let none begin any more."""
        with self._lock:
            self._over = True
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
