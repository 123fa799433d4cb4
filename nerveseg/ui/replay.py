"""The routes of the Replay tab: open a clip, follow its analysis, fetch frames and overlays."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path, PurePath
from secrets import token_hex
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from nerveseg.errors import StoreError
from nerveseg.live.keeping import RecordingFacts, Recordings
from nerveseg.ui.clips import ClipStore
from nerveseg.ui.facts import SUFFIXES, demos
from nerveseg.ui.recording import MAX_NAME

__all__ = ["MAX_OVERLAYS", "MAX_RECORDINGS", "open_demo", "router"]

MAX_OVERLAYS = 64
"""How many overlays one request may ask for."""

MAX_RECORDINGS = 200
"""How many recordings the page lists, the newest first."""

_NOT_KEPT = {"Cache-Control": "no-store"}  # pictures of patients don't belong in a disk cache

P = ParamSpec("P")
T = TypeVar("T")


def router(
    store: ClipStore | None, facts: dict[str, Any], recordings: Recordings | None = None
) -> APIRouter:
    """All routes under ``/replay``; without a store (no model) clips can't be opened.

    ``recordings`` are those of the user who runs the app, unless others are given.
    """
    routes = APIRouter(prefix="/replay")

    @routes.get("/facts")
    def tell_facts() -> dict[str, Any]:
        return facts

    if store is not None:
        _add_opening(routes, store)
        _add_recordings(routes, store, recordings or Recordings())
        _add_reading(routes, store)
        _add_naming(routes, store)
    return routes


def open_demo(store: ClipStore, block: str) -> str:
    """The id of the demo clip of ``block``; `StoreError` if there is none."""
    if block not in demos():
        raise StoreError(f"there is no demo {block!r}; there are {', '.join(demos())}")
    label, uri = demos()[block]
    return store.demo(uri, f"{label} (synthetic demo)")


def _add_opening(routes: APIRouter, store: ClipStore) -> None:
    @routes.post("/demos/{block}")
    @_missing_is_404
    def demo(block: str) -> dict[str, str]:
        return {"id": open_demo(store, block)}

    @routes.post("/clips")
    async def upload(
        request: Request, name: Annotated[str, Query(max_length=300)]
    ) -> dict[str, str]:
        file_name = token_hex(8) + _suffix(name)
        path = (await run_in_threadpool(store.new_folder)) / file_name
        try:
            await _receive(request, path, store.limits.upload_bytes)
        except BaseException:  # a viewer who leaves midway cancels this
            store.discard(path.parent)
            raise
        return {"id": await run_in_threadpool(store.uploaded, path, PurePath(name).name)}

    @routes.post("/clips/{clip_id}/release")
    def release(clip_id: str) -> None:
        # A page that is being closed can only send a beacon, and a beacon is always a POST.
        store.release(clip_id)


def _add_recordings(routes: APIRouter, store: ClipStore, recordings: Recordings) -> None:
    @routes.get("/recordings")
    def recorded() -> list[dict[str, Any]]:
        return [_entry(facts) for facts in recordings.list()[:MAX_RECORDINGS]]

    @routes.post("/recordings/{name}")
    @_missing_is_404
    def open_recording(name: str) -> dict[str, str]:
        return {"id": store.recorded(recordings.find(name))}


def _entry(facts: RecordingFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "kind": facts.kind,
        "seconds": round(facts.seconds, 1),
        "frames": facts.frames,
        "note": facts.note,
    }


def _add_reading(routes: APIRouter, store: ClipStore) -> None:
    @routes.get("/clips/{clip_id}")
    @_missing_is_404
    def status(clip_id: str, since: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        return store.get(clip_id).status(since=since)

    @routes.get("/clips/{clip_id}/frames/{number}.jpg")
    @_missing_is_404
    def frame(clip_id: str, number: int) -> Response:
        data = store.get(clip_id).picture(number)
        return Response(data, media_type="image/jpeg", headers=_NOT_KEPT)

    @routes.get("/clips/{clip_id}/overlays")
    @_missing_is_404
    def overlays(
        clip_id: str,
        start: Annotated[int, Query(ge=0)],
        count: Annotated[int, Query(ge=1, le=MAX_OVERLAYS)],
    ) -> Response:
        data = store.get(clip_id).overlays(start, count)
        return Response(data, media_type="application/json", headers=_NOT_KEPT)


def _add_naming(routes: APIRouter, store: ClipStore) -> None:
    @routes.post("/clips/{clip_id}/planes/{key}")
    @_missing_is_404
    def name_plane(
        clip_id: str, key: int, name: Annotated[str, Query(max_length=4 * MAX_NAME)]
    ) -> dict[str, dict[int, str]]:
        recording = store.get(clip_id)
        try:
            return {"names": recording.name_plane(key, name)}
        except StoreError as error:
            raise HTTPException(422, str(error)) from error


def _missing_is_404(route: Callable[P, T]) -> Callable[P, T]:
    """The page shows the detail of an error as a notice: give it the error's own line."""

    @wraps(route)
    def answered(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return route(*args, **kwargs)
        except StoreError as error:
            raise HTTPException(404, str(error)) from error

    return answered


def _suffix(name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise HTTPException(
            415, f"{PurePath(name).name!r} can't be opened here; these can: {', '.join(SUFFIXES)}"
        )
    return suffix


async def _receive(request: Request, path: Path, limit: int) -> None:
    """Write the request's body to ``path``, and not one byte more than allowed."""
    too_big = HTTPException(413, f"this file is larger than {limit // 2**20} MB, the most allowed")
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_big
    received = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise too_big
            await run_in_threadpool(file.write, chunk)
    if received == 0:
        raise HTTPException(400, "this file is empty; choose a clip or an image")
