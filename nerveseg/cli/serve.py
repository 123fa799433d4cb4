"""``nerveseg app``: the web app."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]


def app(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 127.0.0.1 is this computer alone.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; the next free one if it is taken.")
    ] = 7860,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Open the web app: replay a clip with its overlays. Ctrl-C ends it."""
    from nerveseg import ui

    ui.serve(
        host=host,
        port=port,
        open_browser=browser,
        on_ready=lambda address: typer.echo(f"nerveseg: the app is at {address} (Ctrl-C ends it)"),
    )
