"""``nerveseg predict``: segment a picture, a folder or a clip and keep the results."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nerveseg.cli.exits import FAILED, Stopped
from nerveseg.cli.options import Backend, Crop, Every, Model, Threads
from nerveseg.cli.progress import progress_bar
from nerveseg.errors import NervesegError

if TYPE_CHECKING:
    from nerveseg.predict import Wanted
    from nerveseg.types import FrameResult
    from nerveseg.video.clip import Clip
    from nerveseg.vision.segment import Segmenter

__all__ = ["predict"]


class Palette(StrEnum):
    """Colours of the overlay."""

    STANDARD = "standard"
    SAFE = "safe"


@dataclass(slots=True)
class _Tally:
    """What a run has done so far."""

    frames: int = 0
    spent_ms: float = 0.0
    found: dict[str, int] = field(default_factory=dict)
    tip: dict[str, int] = field(default_factory=dict)

    def add(self, result: FrameResult, classes: tuple[str, ...]) -> None:
        self.frames += 1
        self.spent_ms += sum(result.timings_ms.values())
        for name in classes:
            seen = result.structures[name].area_px > 0
            self.found[name] = self.found.get(name, 0) + seen
        status = result.needle_state.status
        if status != "lost":
            self.tip[status] = self.tip.get(status, 0) + 1

    def text(self, out: Path) -> str:
        each = f", {self.spent_ms / self.frames:.1f} ms a frame" if self.frames else ""
        counts = [f"{name} in {count}" for name, count in self.found.items()]
        counts += [f"needle tip {status} in {count}" for status, count in self.tip.items()]
        seen = ", ".join(counts)
        return f"{_frames(self.frames)} in {out}{each}" + (f"; {seen}" if seen else "")


def predict(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A picture (PNG, JPEG, TIFF, BMP), a folder of pictures, a video (MP4, AVI, MOV, "
            "MKV, WebM), DICOM, MHA, or phantom:axillary?seed=3&frames=120.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the results; made if missing.", show_default=False)
    ],
    masks: Annotated[
        bool, typer.Option("--masks", help="Write masks/<frame>_<class>.png (0 and 255).")
    ] = False,
    video: Annotated[
        bool,
        typer.Option(
            "--video", help="For a clip: one overlay video in place of a picture per frame."
        ),
    ] = False,
    overlays: Annotated[
        bool, typer.Option("--overlays/--no-overlays", help="Write overlay pictures.")
    ] = True,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Classes to keep as areas, such as nerve,vessel; all but the needle by default.",
            show_default=False,
        ),
    ] = None,
    opacity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Opacity of the fill; outlines stay opaque.")
    ] = 0.25,
    palette: Annotated[
        Palette, typer.Option(help="safe: colours that the colour-blind can tell apart.")
    ] = Palette.STANDARD,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Hatch where the model is torn.")
    ] = False,
    needle: Annotated[
        bool, typer.Option("--needle/--no-needle", help="Draw the needle and its tip's state.")
    ] = True,
    guidance: Annotated[
        bool,
        typer.Option(
            "--guidance/--no-guidance",
            help="Draw warnings and, of a needle that is drawn, the path ahead and distances.",
        ),
    ] = True,
    planes: Annotated[
        bool,
        typer.Option("--planes/--no-planes", help="Draw fascia as lines rather than as areas."),
    ] = True,
    legend: Annotated[bool, typer.Option("--legend/--no-legend", help="Draw the legend.")] = True,
    crop: Crop = True,
    every: Every = 1,
    model: Model = None,
    threads: Threads = 2,
    backend: Backend = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run's results in the folder.")
    ] = False,
) -> None:
    """Segment INPUT: overlays, masks and results.jsonl into a folder.

    results.jsonl: one line per frame, with classes, planes, needle and warnings.

    overlays/<stem>.png: the overlay of a picture; for a clip,
    overlays/<stem>_<index>.jpg for every frame, or one overlays/<stem>.mp4.

    Frames that can't be decoded are skipped, counted and reported.
    """
    # Imported on demand, so that --help and the other verbs don't wait for them.
    from nerveseg.predict import Wanted
    from nerveseg.video import sources
    from nerveseg.vision.overlay import OverlayStyle
    from nerveseg.vision.segment import Segmenter

    with sources.open(source, stride=every) as clip:
        segmenter = Segmenter.load(model, threads=threads, backend=backend)
        style = OverlayStyle(
            classes=segmenter.spec.areas if classes is None else _names(classes),
            opacity=opacity,
            palette=palette.value,
            uncertainty=uncertainty,
            legend=legend,
            needle=needle,
            guidance=guidance,
            planes=planes,
            note=True,
        )
        wanted = Wanted(
            style=style, overlays=overlays, video=video, masks=masks, overwrite=overwrite
        )
        _run(clip, segmenter, out, wanted, crop=crop)


def _run(clip: Clip, segmenter: Segmenter, out: Path, wanted: Wanted, *, crop: bool) -> None:
    from nerveseg.predict import predict as predict_clip

    tally = _Tally()
    try:
        results = predict_clip(clip, segmenter, out, wanted, crop=crop)
        with closing(results), progress_bar(clip.name, _total(clip), unit="frames") as advance:
            for result in results:
                tally.add(result, wanted.style.classes)
                advance(1)
    except KeyboardInterrupt:
        raise Stopped(f"finished and kept: {tally.text(out)}") from None
    except NervesegError:
        if tally.frames:
            typer.echo(f"nerveseg: finished and kept: {tally.text(out)}", err=True)
        raise
    typer.echo(tally.text(out))
    _report_blindness(segmenter)
    _report_broken(clip)


def _report_blindness(segmenter: Segmenter) -> None:
    """A needle that nobody looked for is not one that is lost."""
    if not segmenter.spec.sees_needles:
        typer.echo(f"the model {segmenter.spec.model_id} doesn't look for needles")


def _report_broken(clip: Clip) -> None:
    """Tell what was skipped; in a folder of pictures each is a failure of its own."""
    if clip.broken_frames == 0:
        return
    in_folder = clip.stills
    for problem in clip.problems:
        typer.echo(f"nerveseg: skipped: {problem}", err=True)
    what = "picture" if in_folder else "frame"
    count = clip.broken_frames
    typer.echo(f"nerveseg: {count} broken {what}{'s' * (count != 1)} skipped", err=True)
    if in_folder:
        raise typer.Exit(FAILED)


def _names(text: str) -> tuple[str, ...]:
    names = (name.strip() for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _total(clip: Clip) -> int | None:
    return None if clip.frame_count is None else -(-clip.frame_count // clip.stride)


def _frames(count: int) -> str:
    return f"{count:,} frame{'s' * (count != 1)}"
