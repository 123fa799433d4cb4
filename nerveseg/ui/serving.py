"""Serve the app on this computer, and the page for lookers-on to others if that is asked for."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import webbrowser
from collections.abc import Callable, Generator

import uvicorn
from fastapi import FastAPI

from nerveseg.errors import NervesegError
from nerveseg.live.outlet import Outlet
from nerveseg.ui.guard import LOOPBACK
from nerveseg.ui.live.desk import Desk, live_segmenter
from nerveseg.ui.server import build_app, server_config, watch_app
from nerveseg.video.igtl_out import IgtlServer

__all__ = ["serve"]


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    open_browser: bool = True,
    on_ready: Callable[[str], object] | None = None,
    live: str | None = None,
    block: str | None = None,
    share_host: str | None = None,
    share_port: int = 7870,
    igtl_port: int | None = None,
) -> None:
    """Serve the app with the shipped model until Ctrl-C; ``live`` and ``block`` as in `build_app`.

    Takes the next free port when ``port`` is taken (0: any), and tells ``on_ready`` the page's
    address. With ``share_host`` (``0.0.0.0``: all of this computer's addresses) other computers
    may look on at a live session by its code, at ``share_port`` or the next free one; nothing
    else is served there. With ``igtl_port`` results go out over OpenIGTLink, on this computer.
    Raises `NervesegError` for a ``host`` that others could reach: there is no sign-in yet.
    """
    if host not in LOOPBACK:
        raise NervesegError(
            f"can't serve on {host!r}: there is no sign-in yet, so the app answers on this "
            "computer only; use 127.0.0.1"
        )
    with contextlib.ExitStack() as held:
        listener = held.enter_context(_listen(host, port))
        outlets = [] if igtl_port is None else [Outlet(IgtlServer(port=igtl_port))]
        for outlet in outlets:
            held.callback(outlet.close)
        desk, watch_at = Desk(live_segmenter, listeners=outlets), None
        if share_host is not None:
            others = held.enter_context(_listen(share_host, share_port))
            watch_at = _address(_reachable(share_host), others)
            held.enter_context(_serving(watch_app(desk), others))
        app = build_app(live=live, block=block, desk=desk, watch_at=watch_at)
        address = _address(host, listener)
        if on_ready is not None:
            on_ready(f"{address}/")
        if open_browser:
            # The socket listens already: a browser that is early waits instead of failing.
            threading.Thread(target=webbrowser.open, args=[f"{address}/"], daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(server_config(app)).run(sockets=[listener])


@contextlib.contextmanager
def _serving(app: FastAPI, listener: socket.socket) -> Generator[None]:
    """Serve beside the app, in a thread of its own."""
    # What a stranger claims to be must not count, so that wrong codes are held against it.
    server = uvicorn.Server(server_config(app, proxy_headers=False))
    thread = threading.Thread(
        target=server.run, args=[[listener]], name="nerveseg-watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _reachable(host: str) -> str:
    """The number by which others reach this computer, where it listens on all that it has."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - only compared
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which way it would go
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _listen(host: str, port: int) -> socket.socket:
    """A socket on ``port``, or on the first free one of the twenty after it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in [port] if port == 0 else range(port, min(port + 20, 65_536)):
        listener = socket.socket(family)
        if os.name == "posix":  # elsewhere it would take a port that another app listens on
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise NervesegError(
                    f"{host!r} is no address of this computer; use one that it has, or 0.0.0.0"
                ) from error
        else:
            return listener
    raise NervesegError(f"ports {port} to {port + 19} on {host} are all taken; pass another port")
