"""Options that more than one verb takes, so that each says the same of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["Backend", "Crop", "Every", "Model", "Threads"]

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
