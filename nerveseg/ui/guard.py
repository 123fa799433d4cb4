"""Who may talk to the app: a page of the app itself, in a browser on this computer.

There is no sign-in yet, so a stranger's web page, or a name that a stranger's server points at
this computer, must not reach a user's clips. The page that looks on by a code may be on another
computer; it is served apart, under this computer's own addresses alone.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "AddressGuard", "LoopbackGuard"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names under which a computer knows itself."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FENCE = b"frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
_POLICY = b"content-security-policy"
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class LoopbackGuard:
    """ASGI middleware: refuse what comes under a foreign name or from a foreign page."""

    # Nothing from elsewhere is loaded, and nothing is sent elsewhere. Gradio needs both "unsafe".
    policy = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; " + _FENCE

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a good request on with the headers that fence the page in."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem is None:
            await self._app(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": problem[:120]})
        else:
            await PlainTextResponse(problem + "\n", status_code=403)(scope, receive, send)

    def foreign(self, host: str) -> str | None:
        """What is wrong with a request that is addressed to ``host``, if anything."""
        if _name(f"//{host}") in LOOPBACK:
            return None
        return f"This app answers on this computer only, not as {host!r}; use http://127.0.0.1"

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        problem = self.foreign(host)
        if problem is not None:
            return problem
        asks_only = scope["type"] == "http" and scope["method"] in _SAFE
        if origin is None or asks_only or origin == f"http://{host}":
            return None
        return f"Refused: this request comes from {origin!r}, not from the app's own page"

    def _with_headers(self, send: Send) -> Send:
        fence = [*_HEADERS, (_POLICY, self.policy)]

        async def fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *fence]}
            await send(message)

        return fenced


class AddressGuard(LoopbackGuard):
    """For a page that other computers may open: by a number, or by this computer's own name.

    Any other name may be one that a stranger's server points here.
    """

    policy = b"default-src 'self'; img-src 'self' data: blob:; " + _FENCE

    def foreign(self, host: str) -> str | None:
        """What is wrong with a request that is addressed to ``host``, if anything."""
        name = _name(f"//{host}") or ""
        own = socket.gethostname().lower()
        if name in LOOPBACK or name in (own, f"{own}.local") or _is_number(name):
            return None
        return (
            f"This page doesn't answer as {host!r}; use the address that the trainee's page shows"
        )


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
