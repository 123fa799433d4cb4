"""What is kept of one live session: its recordings and snapshots."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from nerveseg.address import shown_uri
from nerveseg.errors import StoreError
from nerveseg.live import snapshot
from nerveseg.live.keeping import Recordings
from nerveseg.live.recorder import Recorder
from nerveseg.live.session import LiveSession
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveResult

__all__ = ["Keeper"]


class Keeper:
    """Records a session into ``recordings``, one recording at a time."""

    def __init__(self, session: LiveSession, recordings: Recordings) -> None:
        self._session, self._recordings = session, recordings
        self._lock = threading.Lock()
        self._recorder: Recorder | None = None

    def start(self) -> Path:
        """Begin a recording; the folder that it lies in. `StoreError` if one runs already."""
        with self._lock:
            if self._recorder is not None and self._recorder.recording:
                raise StoreError("a recording runs already; end it first")
            self._let_go()
            self._recorder = recorder = Recorder(
                self._recordings.new(self._name),
                source=self._session.uri,
                settings=self._session.settings,
                block=self._session.block,
            )
            self._session.add_listener(recorder)
            self._session.add_notices(recorder.notices)
            return recorder.folder

    def stop(self) -> Path:
        """End the recording; the folder that it lies in. `StoreError` if there is none."""
        with self._lock:
            folder = self._let_go()
        if folder is None:
            raise StoreError("nothing is recorded now")
        return folder

    def change(self, settings: DeviceSettings) -> None:
        """The device's settings are others now."""
        recorder = self._recorder
        if recorder is not None:
            recorder.change(settings)

    def snapshot(self, result: LiveResult) -> Path:
        """Keep one frame with its outlines; the folder that it lies in."""
        return snapshot.save(
            self._recordings.new(f"{self._name} snapshot"),
            result,
            source=self._session.uri,
            settings=self._session.settings,
            device=dict(self._session.status.source),
            block=self._session.block,
        )

    def close(self) -> None:
        """End what runs."""
        with self._lock:
            self._let_go()

    def told(self) -> dict[str, Any] | None:
        """What a page is told of a recording that runs."""
        recorder = self._recorder
        if recorder is None or not recorder.recording:
            return None
        seconds = round(recorder.seconds, 1)
        return {"seconds": seconds, "frames": recorder.frames, "dropped": recorder.dropped}

    def _let_go(self) -> Path | None:
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return None
        self._session.remove_listener(recorder)
        recorder.close()
        self._session.remove_notices(recorder.notices)
        return recorder.folder

    @property
    def _name(self) -> str:
        return self._session.block or shown_uri(self._session.uri).partition("?")[0]
