"""Put the app together and serve it on this computer."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import webbrowser
from collections.abc import AsyncGenerator, Callable
from importlib import resources
from typing import TypeAlias

import gradio as gr
import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Response

from nerveseg.errors import ModelError, NervesegError
from nerveseg.ui.clips import ClipStore
from nerveseg.ui.facts import demos, page_facts
from nerveseg.ui.guard import LOOPBACK, LoopbackGuard
from nerveseg.ui.recording import Limits
from nerveseg.ui.replay import open_demo, router
from nerveseg.vision.segment import Segmenter

__all__ = ["build_app", "serve"]

_STATIC = resources.files("nerveseg.ui") / "static"
_ASSETS = {
    "replay.css": "text/css",
    "replay.js": "text/javascript",
    "clip.js": "text/javascript",
    "player.js": "text/javascript",
    "stage.js": "text/javascript",
    "guides.js": "text/javascript",
    "places.js": "text/javascript",
    "timeline.js": "text/javascript",
    "panel.js": "text/javascript",
    "needle.js": "text/javascript",
    "planes.js": "text/javascript",
}
_HEAD = (
    '<link rel="stylesheet" href="/replay/assets/replay.css">'
    '<meta name="color-scheme" content="dark">'
)
_NO_MODEL = "Install nerveseg again, or make the file with `make train` and `make export`."
_MOUNT = "import('/replay/assets/replay.js').then((replay) => replay.mount(element));"


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    open_browser: bool = True,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve the app with the shipped model until Ctrl-C.

    Takes the next free port when ``port`` is taken (0: any), and tells ``on_ready`` the page's
    address. Raises `NervesegError` for a ``host`` that others could reach: there is no sign-in
    yet.
    """
    if host not in LOOPBACK:
        raise NervesegError(
            f"can't serve on {host!r}: there is no sign-in yet, so the app answers on this "
            "computer only; use 127.0.0.1"
        )
    listener = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
    app = build_app()
    if on_ready is not None:
        on_ready(address)
    if open_browser:
        # The socket listens already: a browser that is early waits instead of failing.
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
    # An open page holds a connection for as long as it lives: Ctrl-C mustn't wait for that.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def build_app(*, segmenter: Segmenter | None = None, limits: Limits | None = None) -> FastAPI:
    """The app, ready for an ASGI server; the shipped model unless ``segmenter`` is given.

    Without a usable model the page opens all the same, and says what is missing.
    """
    limits, problem = limits or Limits(), None
    if segmenter is None:
        try:
            segmenter = Segmenter.load()
        except ModelError as error:
            problem = f"{error}. {_NO_MODEL}"
    store = None if segmenter is None else ClipStore(segmenter, limits=limits)
    app = FastAPI(
        title="nerveseg", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_life(store)
    )
    app.include_router(_assets())
    app.include_router(router(store, page_facts(segmenter, problem, limits)))
    app.add_middleware(LoopbackGuard)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        _page(),
        path="/",
        server_name="127.0.0.1",
        footer_links=[],
        run_history=False,
        max_file_size=1,
        ssr_mode=False,
        show_error=False,
        theme=_theme(),
        head=_HEAD,
    )
    return mounted


_Life: TypeAlias = Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]


def _life(store: ClipStore | None) -> _Life:
    """Start on the first demo before a browser asks for it; leave no files behind."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if store is None:
            yield
            return
        with contextlib.closing(store):
            open_demo(store, next(iter(demos())))
            yield

    return lifespan


def _assets() -> APIRouter:
    routes = APIRouter()

    @routes.get("/replay/assets/{name}")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise HTTPException(404, f"there is no asset {name!r}")
        headers = {"Cache-Control": "no-cache"}
        return Response((_STATIC / name).read_bytes(), media_type=_ASSETS[name], headers=headers)

    return routes


def _page() -> gr.Blocks:
    """One tab so far. The templates hold no `${}`: Gradio would put text in as raw HTML."""
    page: gr.Blocks = gr.Blocks(title="nerveseg", analytics_enabled=False, fill_width=True)
    with page:
        gr.HTML(html_template=_text("header.html"), js_on_load=None, apply_default_css=False)
        with gr.Tabs(), gr.Tab("Replay"):
            gr.HTML(html_template=_text("replay.html"), js_on_load=_MOUNT, apply_default_css=False)
    page.queue(api_open=False)
    return page


def _text(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")


def _theme() -> gr.themes.Base:
    """Dark whatever the browser prefers, and with the computer's own fonts: nothing is fetched."""
    colors = {
        "body_background_fill": "#0d1117",
        "background_fill_primary": "#0d1117",
        "background_fill_secondary": "#151b23",
        "body_text_color": "#e6edf3",
        "body_text_color_subdued": "#9aa7b4",
        "block_background_fill": "#0d1117",
        "border_color_primary": "#2a323c",
    }
    theme = gr.themes.Base(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(
        color_accent="#5cc8ff",
        **colors,
        **{f"{name}_dark": color for name, color in colors.items()},
    )


def _listen(host: str, port: int) -> socket.socket:
    """A socket on ``port``, or on the first free one of the twenty after it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in [port] if port == 0 else range(port, min(port + 20, 65_536)):
        listener = socket.socket(family)
        if os.name == "posix":  # elsewhere it would take a port that another app listens on
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind((host, candidate))
            listener.listen(128)
            return listener
        listener.close()
    raise NervesegError(f"ports {port} to {port + 19} on {host} are all taken; pass another port")
