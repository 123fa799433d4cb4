"""Looking on: a bare page by a code, view only, for an educator on this or another computer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from nerveseg.ui.live.desk import Desk
from nerveseg.ui.live.seat import CODE_LETTERS, Seat
from nerveseg.ui.live.sockets import UNKNOWN, Attendance, refuse

__all__ = ["Gate", "router"]

_TRIES = 5
_LOCKED_S = 60.0
_DELAY_S = 0.5
_ADDRESSES_KEPT = 1000
_MAX_CODE = 40
_MAX_WATCHERS = 20
_NO_SUCH = "no live view has this code, or it has ended; ask for a new one"
_FULL = f"{_MAX_WATCHERS} are looking on already, the most at once"
_LOCKED = "too many wrong codes came from this computer; wait a minute, then try again"


class Gate:
    """Lets a computer try few codes: after five wrong ones in a row it has to wait a minute.

    ``clock`` gives seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def is_open(self, address: str) -> bool:
        """Whether this computer may try a code now."""
        with self._lock:
            count, last_s = self._wrong.get(address, (0, 0.0))
            if count >= _TRIES and self._clock() - last_s >= _LOCKED_S:
                del self._wrong[address]
                return True
            return count < _TRIES

    def note(self, address: str, *, right: bool) -> None:
        """It tried one."""
        with self._lock:
            count, _ = self._wrong.pop(address, (0, 0.0))
            if not right:
                self._wrong[address] = (count + 1, self._clock())
            while len(self._wrong) > _ADDRESSES_KEPT:
                self._wrong.popitem(last=False)


def router(
    desk: Desk,
    *,
    facts: Callable[[], dict[str, Any]],
    page: Callable[[], str],
    asset: Callable[[str], Response],
    gate: Gate | None = None,
) -> APIRouter:
    """The routes under ``/watch``: a page, what it needs, and its WebSocket; nothing else.

    ``facts`` are the looks of what is drawn, ``page`` is the page's HTML, ``asset`` a file of it.
    """
    routes, door = APIRouter(prefix="/watch"), _Door(desk, gate or Gate())
    routes.add_api_route("/assets/{name}", asset, response_model=None)

    @routes.get("", response_model=None)
    def enter(code: Annotated[str, Query(max_length=_MAX_CODE)] = "") -> Response:
        typed = _plain(code)
        if typed:
            return RedirectResponse(f"/watch/{typed}", 303)
        return HTMLResponse(page())

    @routes.get("/{_code}", response_model=None)
    def look(_code: str) -> Response:
        # The page itself asks for what is behind the code: a wrong one counts once, not twice.
        return HTMLResponse(page())

    @routes.get("/{code}/facts")
    async def looks(code: str, request: Request) -> dict[str, Any]:
        seat, problem = await door.open(code, request)
        if seat is None:
            raise HTTPException(404, problem)
        return facts()

    @routes.websocket("/{code}/view")
    async def view(socket: WebSocket, code: str) -> None:
        seat, problem = await door.open(code, socket)
        if seat is None:
            await refuse(socket, UNKNOWN, problem)
            return
        if seat.hub.watching >= _MAX_WATCHERS:
            await refuse(socket, UNKNOWN, _FULL)
            return
        await socket.accept()
        await Attendance(socket, seat.hub, "watcher").run()

    return routes


class _Door:
    """Opens to a right code, slowly to a wrong one, and after a few of those not at all."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        self._desk, self._gate = desk, gate

    async def open(self, code: str, asker: HTTPConnection) -> tuple[Seat | None, str]:
        """The session behind a code, or ``None`` and the reason."""
        address = asker.client.host if asker.client else ""
        if not self._gate.is_open(address):
            return None, _LOCKED
        seat = self._desk.watched(_plain(code)[:_MAX_CODE])
        self._gate.note(address, right=seat is not None)
        if seat is None:
            await asyncio.sleep(_DELAY_S)
        return seat, _NO_SUCH


def _plain(code: str) -> str:
    """A code as it is kept, however it was typed."""
    return "".join(letter for letter in code.upper() if letter in CODE_LETTERS)
