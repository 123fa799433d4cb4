"""``nerveseg phantom``: a synthetic clip with exact truth, streamed to disk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from nerveseg.cli.exits import Stopped
from nerveseg.cli.progress import progress_bar
from nerveseg.errors import SourceError, StoreError

if TYPE_CHECKING:
    from nerveseg.phantom import PhantomFrame

__all__ = ["phantom"]

_KNOBS = ("depth", "gain", "speckle", "visibility", "angle", "motion", "noise")


def phantom(
    out: Annotated[
        Path, typer.Argument(metavar="OUT.mp4", help="Clip to write.", show_default=False)
    ],
    block: Annotated[str, typer.Option(help="Nerve block to imitate.")] = "axillary",
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another patient.")] = 0,
    frames: Annotated[int, typer.Option(min=1, help="Length of the clip.")] = 250,
    fps: Annotated[float, typer.Option(min=1.0, max=120.0, help="Frames a second.")] = 25.0,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="In pixels.")] = "512x512",
    probe: Annotated[str, typer.Option(help="linear or curved.")] = "linear",
    needle: Annotated[bool, typer.Option("--needle", help="Put a needle in.")] = False,
    knob: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Difficulty: depth (mm), gain (dB), speckle, visibility, angle (degrees), "
            "motion, noise. May be given more than once.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the true masks, <stem>_<index>_<class>.png.", show_default=False
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the clip if it is there.")
    ] = False,
) -> None:
    """Write a synthetic ultrasound clip whose every structure is known exactly."""
    from nerveseg.phantom import parse_uri

    values = {"seed": seed, "frames": frames, "size": size, "probe": probe} | _knobs(knob or [])
    source, count = parse_uri(f"phantom:{block}?{urlencode(values)}{'&needle' if needle else ''}")
    _check_target(out, truth, overwrite=overwrite)
    done = 0
    try:
        with progress_bar(out.name, count, unit="frames") as advance:
            for written in _write(source.frames(count, fps), out, fps, truth):
                advance(written - done)
                done = written
    except KeyboardInterrupt:
        raise Stopped(f"{done:,} frames are kept in {out}") from None
    typer.echo(f"{done:,} frames in {out}" + (f", their true masks in {truth}" if truth else ""))


def _write(
    shots: Iterator[PhantomFrame], out: Path, fps: float, truth: Path | None
) -> Iterator[int]:
    """Write clip and masks; yields how many frames are written after each."""
    import numpy as np

    from nerveseg.video.sinks import VideoWriter

    first = next(shots)
    height, width = first.frame.pixels.shape
    with VideoWriter(out, fps=fps, size_wh=(width, height)) as writer:
        for count, shot in enumerate(chain([first], shots), start=1):
            writer.write(np.repeat(shot.frame.pixels[..., np.newaxis], 3, axis=2))
            if truth is not None:
                _write_truth(shot, truth, out.stem)
            yield count


def _write_truth(shot: PhantomFrame, folder: Path, stem: str) -> None:
    from nerveseg.video.sinks import write_png

    for name, mask in shot.truth.items():
        write_png(folder / f"{stem}_{shot.frame.index:06d}_{name}.png", mask)


def _check_target(out: Path, truth: Path | None, *, overwrite: bool) -> None:
    if out.suffix.lower() != ".mp4":
        raise StoreError(f"{out.name} has to end in .mp4: clips are written as MP4")
    if out.exists() and not overwrite:
        raise StoreError(f"{out} is there already; choose another name or pass --overwrite")
    try:
        for folder in (out.parent, truth):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"can't make {error.filename}: {error.strerror}; choose another"
        ) from error


def _knobs(pairs: list[str]) -> dict[str, str]:
    knobs = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in _KNOBS:
            raise SourceError(f"--set {pair!r} is not KEY=VALUE with a key of {', '.join(_KNOBS)}")
        knobs[key] = value
    return knobs
