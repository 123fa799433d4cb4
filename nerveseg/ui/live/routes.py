"""The routes of the Live tab: start a session, steer it, look at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket

from nerveseg.errors import NervesegError, StoreError
from nerveseg.ui.live.camera import CameraFeed
from nerveseg.ui.live.desk import Desk
from nerveseg.ui.live.orders import block_of, uri_of
from nerveseg.ui.live.seat import Seat
from nerveseg.ui.live.sockets import UNKNOWN, Attendance, refuse

__all__ = ["router"]

_MAX_BODY = 4096


def router(desk: Desk, sources: Callable[[], list[dict[str, str]]]) -> APIRouter:
    """All routes under ``/live``; ``sources`` lists what can be chosen."""
    routes = APIRouter(prefix="/live")

    @routes.get("/sources")
    def choices() -> list[dict[str, str]]:
        return sources()

    _add_starting(routes, desk)
    _add_steering(routes, desk)
    _add_looking(routes, desk)
    return routes


def _add_starting(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/sessions")
    async def start(request: Request) -> dict[str, str]:
        asked = await _body(request)
        seat = await run_in_threadpool(_start, desk, asked)
        return {"id": seat.id, "token": seat.token, "uri": seat.session.uri}


def _start(desk: Desk, asked: dict[str, Any]) -> Seat:
    try:
        return desk.start(uri_of(asked.get("uri")), block=block_of(asked.get("block")))
    except StoreError as error:
        raise HTTPException(409, str(error)) from error
    except NervesegError as error:
        raise HTTPException(422, str(error)) from error


def _add_steering(routes: APIRouter, desk: Desk) -> None:
    acts: dict[str, Callable[[Seat, dict[str, Any]], object]] = {
        "freeze": lambda seat, _: seat.freeze(on=True),
        "unfreeze": lambda seat, _: seat.freeze(on=False),
        "settings": lambda seat, asked: seat.change(asked),
        "block": lambda seat, asked: seat.watch_for(asked.get("block")),
        "record": lambda seat, asked: seat.record(on=asked.get("on") is True),
        "snapshot": lambda seat, _: seat.snapshot(),
        "share": lambda seat, asked: seat.share(on=asked.get("on") is not False),
        "stop": lambda seat, _: desk.stop(seat),
    }

    @routes.post("/sessions/{seat_id}/{act}")
    async def steer(
        seat_id: str, act: str, request: Request, x_token: Annotated[str, Header()] = ""
    ) -> dict[str, object]:
        try:
            seat = desk.steered(seat_id, x_token)
        except StoreError as error:
            raise HTTPException(404, str(error)) from error
        if act not in acts:
            raise HTTPException(404, f"there is no {act!r}; there are {', '.join(acts)}")
        asked = await _body(request)
        try:
            return {"done": await run_in_threadpool(acts[act], seat, asked)}
        except NervesegError as error:
            raise HTTPException(422, str(error)) from error


def _add_looking(routes: APIRouter, desk: Desk) -> None:
    @routes.websocket("/sessions/{seat_id}/view")
    async def view(socket: WebSocket, seat_id: str, token: Annotated[str, Query()] = "") -> None:
        try:
            seat = desk.steered(seat_id, token)
        except StoreError as error:
            await refuse(socket, UNKNOWN, str(error))
            return
        await socket.accept()
        attendance = Attendance(socket, seat.hub, "trainee")
        seat.steer(attendance.replace)
        try:
            await attendance.run()
        finally:
            seat.let_go(attendance.replace)

    @routes.websocket("/camera")
    async def camera(socket: WebSocket, block: Annotated[str, Query()] = "") -> None:
        feed = CameraFeed()
        try:
            seat = await run_in_threadpool(_start_camera, desk, feed, block)
        except NervesegError as error:
            await refuse(socket, UNKNOWN, str(error))
            return
        try:
            await socket.accept()
            await socket.send_text(json.dumps({"id": seat.id, "token": seat.token}))
            attendance = Attendance(socket, seat.hub, "camera", on_picture=feed.put)
            seat.steer(attendance.replace)
            await attendance.run()
        finally:
            # In a thread of its own, since nothing can be waited for in a task that is cancelled.
            stop = threading.Thread(
                target=desk.stop, args=[seat], name="nerveseg-live-stop", daemon=True
            )
            stop.start()


def _start_camera(desk: Desk, feed: CameraFeed, block: str) -> Seat:
    return desk.camera(feed, block=block_of(block))


async def _body(request: Request) -> dict[str, Any]:
    """A small JSON object; none at all is an empty one."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_BODY:
            raise HTTPException(413, f"at most {_MAX_BODY} bytes are read here")
    try:
        asked = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise HTTPException(422, "expected one JSON object")
    return asked
