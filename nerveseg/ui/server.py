"""Put the app together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from importlib import resources
from typing import Any, TypeAlias

import gradio as gr
import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Response

from nerveseg import anatomy
from nerveseg.errors import ModelError
from nerveseg.ui.clips import ClipStore
from nerveseg.ui.facts import demos, live_sources, page_facts, watch_facts
from nerveseg.ui.guard import AddressGuard, LoopbackGuard
from nerveseg.ui.live.camera import MAX_MESSAGE
from nerveseg.ui.live.desk import Desk, live_segmenter
from nerveseg.ui.live.routes import router as live_router
from nerveseg.ui.live.watching import router as watch_router
from nerveseg.ui.recording import Limits
from nerveseg.ui.replay import open_demo, router
from nerveseg.vision.segment import Segmenter

__all__ = ["build_app", "server_config", "watch_app"]

_STATIC = resources.files("nerveseg.ui") / "static"
_ASSETS = {
    "replay.css": "text/css",
    "live.css": "text/css",
    **{
        f"{name}.js": "text/javascript"
        for name in (
            *("replay", "clip", "player", "stage", "timeline", "panel", "needle", "planes"),
            *(
                "drawing",
                "view",
                "guides",
                "places",
                "recordings",
                "keys",
                "saying",
                "tabs",
                "mounting",
            ),
            *("live", "livestage", "livepanel", "readout", "feed", "tools", "camera", "chooser"),
            *("steering", "orders", "watch"),
        )
    },
}
_HEAD = (
    '<link rel="stylesheet" href="/replay/assets/replay.css">'
    '<link rel="stylesheet" href="/replay/assets/live.css">'
    '<meta name="color-scheme" content="dark">'
)
_NO_MODEL = "Install nerveseg again, or make the file with `make train` and `make export`."
_MOUNT = "import('/replay/assets/%s.js').then((page) => page.mount(element));"
_RESUME = "import('/replay/assets/tabs.js').then((tabs) => tabs.resume());"
_SHARED = ("overlay.html", "model.html")
_TABS = ("replay", "live")


def build_app(
    *,
    segmenter: Segmenter | None = None,
    limits: Limits | None = None,
    live: str | None = None,
    block: str | None = None,
    desk: Desk | None = None,
    watch_at: str | None = None,
) -> FastAPI:
    """The app, ready for an ASGI server; the shipped model unless ``segmenter`` is given.

    ``live`` is the address of a source at which the page opens at once, ``block`` the name of
    the block that it is for; ``desk`` runs the live sessions, with a model of its own;
    ``watch_at`` is where its `watch_app` is served, if it is. Without a usable model the page
    opens all the same, and says what is missing. Raises `NervesegError` for an unknown block.
    """
    if block is not None:
        anatomy.default().block(block)
    limits, problem = limits or Limits(), None
    given = segmenter
    desk = desk or Desk(lambda: given or live_segmenter())
    if segmenter is None:
        try:
            segmenter = Segmenter.load()
        except ModelError as error:
            problem = f"{error}. {_NO_MODEL}"
    wanted = None if live is None else {"uri": live, "block": block}
    facts = page_facts(segmenter, problem, limits, live=wanted, watch_at=watch_at)
    store = None if segmenter is None else ClipStore(segmenter, limits=limits)
    app = FastAPI(
        title="nerveseg",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # What nobody asked for mustn't take the processor from what is live.
        lifespan=_life(store, desk, demo=live is None),
    )
    app.include_router(_assets())
    app.include_router(router(store, facts, desk.recordings))
    app.include_router(live_router(desk, live_sources))
    app.include_router(_watch_router(desk))
    app.add_middleware(LoopbackGuard)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        _page(first="replay" if live is None else "live"),
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


def watch_app(desk: Desk) -> FastAPI:
    """What other computers may reach: the page that looks on by a code, and nothing else."""
    app = FastAPI(title="nerveseg", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_watch_router(desk))
    app.add_middleware(AddressGuard)
    return app


def _watch_router(desk: Desk) -> APIRouter:
    return watch_router(
        desk,
        facts=lambda: watch_facts(desk.segmenter),
        page=lambda: _text("watch.html"),
        asset=_asset,
    )


_Life: TypeAlias = Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]


def _life(store: ClipStore | None, desk: Desk, *, demo: bool) -> _Life:
    """Start on the first demo before a browser asks for it; leave no files behind."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        with contextlib.ExitStack() as held:
            held.callback(desk.close)
            if store is not None:
                held.enter_context(contextlib.closing(store))
                if demo:
                    open_demo(store, next(iter(demos())))
            yield

    return lifespan


def _assets() -> APIRouter:
    routes = APIRouter()
    routes.add_api_route("/replay/assets/{name}", _asset, response_model=None)
    return routes


def _asset(name: str) -> Response:
    if name not in _ASSETS:
        raise HTTPException(404, f"there is no asset {name!r}")
    headers = {"Cache-Control": "no-cache"}
    return Response((_STATIC / name).read_bytes(), media_type=_ASSETS[name], headers=headers)


def _page(*, first: str) -> gr.Blocks:
    """The tabs. Their templates hold no `${}`: Gradio would put text in as raw HTML."""
    page: gr.Blocks = gr.Blocks(title="nerveseg", analytics_enabled=False, fill_width=True)
    with page:
        gr.HTML(html_template=_text("header.html"), js_on_load=_RESUME, apply_default_css=False)
        with gr.Tabs(selected=first):
            for name in _TABS:
                with gr.Tab(name.capitalize(), id=name):
                    gr.HTML(
                        html_template=_tab(name),
                        js_on_load=_MOUNT % name,
                        apply_default_css=False,
                    )
    page.queue(api_open=False)
    return page


def _tab(name: str) -> str:
    """A tab's template, with the parts of the panel that the tabs have in common."""
    template = _text(f"{name}.html")
    for part in _SHARED:
        template = template.replace(f"<!-- {part} -->\n", _text(part))
    return template


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


def server_config(app: FastAPI, **more: Any) -> uvicorn.Config:
    """How the app is served: pictures are compressed already, and a page sends little."""
    return uvicorn.Config(
        app,
        log_level="warning",
        # An open page holds a connection for as long as it lives: Ctrl-C mustn't wait for that.
        timeout_graceful_shutdown=2,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=2 * MAX_MESSAGE,
        **more,
    )
