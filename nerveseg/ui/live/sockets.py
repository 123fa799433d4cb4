"""A page's WebSocket: the newest goes out, one message at a time; what the page says comes in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from nerveseg.errors import SourceError
from nerveseg.ui.live.hub import Hub, Kind, Viewer
from nerveseg.ui.live.orders import number

__all__ = ["ENDED", "TAKEN", "UNKNOWN", "Attendance", "refuse"]

UNKNOWN, TAKEN, ENDED = 4404, 4409, 4410
"""Why a socket was closed: there is no such session; another tab took it; it has ended."""

_MAX_SAID = 200
_LEAST_BETWEEN_POINTS_S = 0.1
_GONE = (WebSocketDisconnect, RuntimeError, OSError)


class Attendance:
    """One page at one hub, until either goes.

    A message goes out only when the page has said ``ack`` to the one before: a slow page is sent
    less, and never what is old. The page may say ``{"point": [x, y]}``; ``on_picture`` gets what
    it sends in bytes.
    """

    def __init__(
        self,
        socket: WebSocket,
        hub: Hub,
        kind: Kind,
        *,
        on_picture: Callable[[bytes], None] | None = None,
    ) -> None:
        self._socket, self._hub, self._kind = socket, hub, kind
        self._on_picture = on_picture
        self._news, self._free = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._pointed_s = 0.0
        self._sending = asyncio.Lock()
        self._viewer: Viewer | None = None
        self._taken = False

    async def run(self) -> None:
        """Serve the page; returns when it is gone or sent away."""
        self._viewer = viewer = self._hub.join(self._kind, self._wake)
        sender = asyncio.create_task(self._send(viewer))
        try:
            await self._listen()
        finally:
            viewer.leave()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def replace(self) -> None:
        """Send the page away: another has taken its place. From any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._part)

    def _part(self) -> None:
        self._taken = True
        self._news.set()
        self._free.set()

    def _wake(self) -> None:
        # A loop that is being closed needs no news.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken)

    def _woken(self) -> None:
        self._news.set()
        if self._viewer is not None and self._viewer.over:
            self._free.set()  # a page that says nothing is told all the same

    async def _send(self, viewer: Viewer) -> None:
        with contextlib.suppress(*_GONE):
            while True:
                await self._news.wait()
                self._news.clear()
                message = viewer.take()
                if message is not None:
                    self._free.clear()
                    async with self._sending:
                        await self._socket.send_bytes(message)
                if viewer.over or self._taken:
                    await refuse(self._socket, *self._farewell(viewer))
                    return
                if message is not None:
                    await self._free.wait()

    def _farewell(self, viewer: Viewer) -> tuple[int, str]:
        if self._taken:
            return TAKEN, "this live session goes on in another tab"
        if viewer.dismissed:
            return ENDED, "this code is no longer good; ask for the new one"
        return ENDED, "this live session has ended"

    async def _listen(self) -> None:
        with contextlib.suppress(*_GONE):
            while (message := await self._socket.receive())["type"] != "websocket.disconnect":
                if (said := message.get("text")) is not None:
                    self._hear(said)
                elif self._on_picture is not None and message.get("bytes"):
                    await self._look(message["bytes"])

    def _hear(self, said: str) -> None:
        if said == "ack":
            self._free.set()
        elif len(said) <= _MAX_SAID:
            with contextlib.suppress(ValueError, SourceError, RecursionError):
                self._point(json.loads(said))

    def _point(self, said: Any) -> None:
        point = said.get("point") if isinstance(said, dict) else None
        now_s = time.monotonic()
        if not isinstance(point, list) or len(point) != 2:
            return
        x, y = number(point[0]), number(point[1])
        if now_s - self._pointed_s >= _LEAST_BETWEEN_POINTS_S:
            self._pointed_s = now_s
            self._hub.point(x, y, by="watcher" if self._kind == "watcher" else "trainee")

    async def _look(self, message: bytes) -> None:
        """Take a picture, and ask for the next one."""
        if self._on_picture is None:
            return
        try:
            self._on_picture(message)
            answer = "next"
        except SourceError as error:
            answer = json.dumps({"problem": str(error)})
        async with self._sending:
            await self._socket.send_text(answer)


async def refuse(socket: WebSocket, code: int, words: str) -> None:
    """Close a socket with a reason that the page can tell."""
    if socket.application_state is WebSocketState.CONNECTING:
        await socket.accept()
    if socket.application_state is WebSocketState.CONNECTED:
        await socket.close(code, words[:120])
