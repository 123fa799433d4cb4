"""``nerveseg devices``: what there is to scan with."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nerveseg.video.devices import Device

__all__ = ["devices"]

# Quoted for the shell, which has a meaning for "&" and "?".
_TRY = (
    ("'phantom:axillary?needle&loop&realtime'", "a synthetic nerve block, without end"),
    ("'file:clip.mp4?loop&realtime'", "a recording, as if it were live"),
    ("igtl://HOST:18944", "PLUS, 3D Slicer or FAST on another computer"),
    ("http://HOST/stream.mjpg", "a network camera; rtsp://HOST/PATH likewise"),
)


def devices(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the cameras, USB probes, grabbers and OpenIGTLink servers of this computer."""
    from nerveseg.video.devices import list_devices

    found = list_devices()
    if as_json:
        typer.echo(json.dumps([asdict(device) for device in found], indent=2, ensure_ascii=False))
    elif found:
        _show([("SOURCE", "NAME", "NOTE"), *map(_row, found)])
    else:
        typer.echo("No camera was found, and no OpenIGTLink server on this computer. To try:")
        _show(list(_TRY))


def _row(device: Device) -> tuple[str, ...]:
    return device.uri, device.name, device.note


def _show(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[-1]]).rstrip())
