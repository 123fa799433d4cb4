"""Who may talk to the app: a page of the app itself, in a browser on this computer.

There is no sign-in yet, so a stranger's web page, or a name that a stranger's server points at
this computer, must not reach a user's clips.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "LoopbackGuard"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names under which a computer knows itself."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = (
    # Nothing from elsewhere is loaded, and nothing is sent elsewhere. Gradio needs both "unsafe".
    (
        b"content-security-policy",
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
        b"frame-ancestors 'none'; form-action 'self'; base-uri 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class LoopbackGuard:
    """ASGI middleware: refuse what comes under a foreign name or from a foreign page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a good request on with the headers that fence the page in."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = _problem(scope)
        if problem is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": problem[:120]})
        else:
            await PlainTextResponse(problem + "\n", status_code=403)(scope, receive, send)


def _problem(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(f"//{host}") not in LOOPBACK:
        return f"This app answers on this computer only, not as {host!r}; use http://127.0.0.1"
    asks_only = scope["type"] == "http" and scope["method"] in _SAFE
    if origin is None or asks_only or origin == f"http://{host}":
        return None
    return f"Refused: this request comes from {origin!r}, not from the app's own page"


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def fenced(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return fenced
