"""Options that more than one verb takes, so that each says the same of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = [
    "Backend",
    "Browser",
    "Crop",
    "Every",
    "IgtlOut",
    "Log",
    "Model",
    "Port",
    "Share",
    "Threads",
]

Every: TypeAlias = Annotated[int, typer.Option(min=1, help="Take every n-th frame of a clip.")]

Crop: TypeAlias = Annotated[
    bool,
    typer.Option("--crop/--no-crop", help="Find the image inside the scanner's chrome first."),
]

Model: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="ONNX file to use; the shipped one by default.", show_default=False),
]

Threads: TypeAlias = Annotated[int, typer.Option(min=1, help="Processor threads for the model.")]

Backend: TypeAlias = Annotated[
    str, typer.Option(help="auto (the fastest here), onnxruntime, openvino, …")
]

Port: TypeAlias = Annotated[
    int, typer.Option(min=0, max=65535, help="Port; the next free one if it is taken.")
]

Browser: TypeAlias = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
]

Share: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Let other computers look on at a live session, by a code that the page gives: the "
        "address to listen on for them, 0.0.0.0 for all of this computer's. Pictures go there "
        "unencrypted: only within a network that you trust.",
    ),
]

IgtlOut: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        min=0,
        max=65535,
        help="Send a live session's overlay and needle out over OpenIGTLink, for 3D Slicer on "
        "this computer.",
    ),
]

Log: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write to this file what happens in live sessions, and their figures every ten "
        "seconds; added to what is in it.",
        show_default=False,
    ),
]
