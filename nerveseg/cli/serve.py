"""``nerveseg app``: the web app."""

from __future__ import annotations

from typing import Annotated

import typer

from nerveseg.cli.options import Browser, IgtlOut, Log, Port, Share

__all__ = ["app"]


def app(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 127.0.0.1 is this computer alone.")
    ] = "127.0.0.1",
    port: Port = 7860,
    browser: Browser = True,
    share: Share = None,
    igtl_out: IgtlOut = None,
    log: Log = None,
) -> None:
    """Open the web app: replay a clip, or scan live, with overlays. Ctrl-C ends it."""
    from nerveseg import ui
    from nerveseg.cli.logfile import logging_to

    with logging_to(log):
        ui.serve(
            host=host,
            port=port,
            open_browser=browser,
            share_host=share,
            igtl_port=igtl_out,
            on_ready=lambda address: typer.echo(
                f"nerveseg: the app is at {address} (Ctrl-C ends it)"
            ),
        )
