"""``nerveseg live``: scan with a probe, or play a recording as if it were one."""

from __future__ import annotations

from typing import Annotated

import typer

from nerveseg.cli.options import Browser, IgtlOut, Log, Port, Share

__all__ = ["live"]

_AT_HAND = ("phantom", "file", "dicom", "mha")
"""Schemes whose sources are there or not: it can be told before the app starts."""


def live(
    source: Annotated[
        str,
        typer.Argument(
            help="uvc:0, igtl://HOST:18944, rtsp://…, http://…, phantom:axillary?needle, or a "
            "recording; `nerveseg devices` lists what is there."
        ),
    ],
    block: Annotated[
        str | None,
        typer.Option(help="Block whose structures are watched for, such as axillary."),
    ] = None,
    port: Port = 7860,
    browser: Browser = True,
    share: Share = None,
    igtl_out: IgtlOut = None,
    log: Log = None,
) -> None:
    """Open the app at one source at once: overlay, needle and distances live. Ctrl-C ends it."""
    from nerveseg import ui
    from nerveseg.address import Address, shown_uri
    from nerveseg.cli.logfile import logging_to
    from nerveseg.video import sources

    uri = sources.live_uri(source)
    address = Address.parse(uri)
    if address is not None and address.scheme in _AT_HAND:
        sources.open(uri).close()  # says what is wrong here rather than on the page
    if block is None and address is not None and address.scheme == "phantom":
        block = address.place or None
    with logging_to(log):
        ui.serve(
            port=port,
            open_browser=browser,
            live=uri,
            block=block,
            share_host=share,
            igtl_port=igtl_out,
            on_ready=lambda page: typer.echo(
                f"nerveseg: {shown_uri(source)} is live at {page} (Ctrl-C ends it)"
            ),
        )
