"""``nerveseg needle``: what an insertion measures, from the picture alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nerveseg.cli.exits import Stopped
from nerveseg.cli.options import Backend, Crop, Every, Model, Threads
from nerveseg.cli.progress import progress_bar
from nerveseg.errors import ModelError, SourceError

if TYPE_CHECKING:
    from nerveseg.practice import InsertionMetrics, NeedleSample
    from nerveseg.video.clip import Clip
    from nerveseg.vision.segment import Segmenter

__all__ = ["needle"]

_NOTE = "For education on phantoms and recordings only, not for clinical use."
_COLUMNS = 60
_MARKS = {"not yet": " ", "seen": "#", "predicted": "-", "lost": "."}
_UNKNOWN = "not measured"


def needle(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CLIP",
            help="A video (MP4, AVI, MOV, MKV, WebM), DICOM, MHA, or "
            "phantom:axillary?needle&seed=3&frames=250.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    every: Every = 1,
    crop: Crop = True,
    model: Model = None,
    threads: Threads = 2,
    backend: Backend = "auto",
) -> None:
    """Measure a needle's insertion: time, way, how much of it was in sight, what it came near.

    The needle is followed through CLIP by its picture alone. Lengths are in mm
    where the clip tells its scale, else in pixels. What can't be measured is
    told as such (null in JSON).
    """
    # Imported on demand, so that --help and the other verbs don't wait for them.
    from nerveseg.practice import measure
    from nerveseg.video import sources
    from nerveseg.vision.segment import Segmenter

    with sources.open(source, stride=every) as clip:
        _check_clip(clip)
        segmenter = Segmenter.load(model, threads=threads, backend=backend)
        _check_model(segmenter)
        samples = _samples(clip, segmenter, crop=crop)
        found = measure(samples, clocked=clip.fps is not None)
        if as_json:
            facts = _facts(clip, segmenter, found, samples)
            typer.echo(json.dumps(facts, indent=2, allow_nan=False))
        else:
            typer.echo("\n".join(_lines(clip, segmenter, found, samples)))
        if clip.broken_frames:
            typer.echo(f"nerveseg: {clip.broken_frames} broken frames skipped", err=True)


def _check_clip(clip: Clip) -> None:
    if clip.stills or clip.frame_count == 1:
        raise SourceError(
            f"{clip.file} is no clip, so there is no insertion to measure in it; "
            "give a video, a DICOM or MHA clip, or a phantom"
        )
    if clip.live:
        raise SourceError(
            f"{clip.file} has no end, so there is no insertion to measure in it; record it first"
        )
    if clip.size_wh is None:
        raise SourceError(
            f"{clip.file} changes its size midway, so there is no one path to measure in it; "
            "give one of its picture files by itself"
        )


def _check_model(segmenter: Segmenter) -> None:
    if not segmenter.spec.sees_needles:
        raise ModelError(
            f"the model {segmenter.spec.model_id} doesn't look for needles; choose one that does"
        )


def _samples(clip: Clip, segmenter: Segmenter, *, crop: bool) -> list[NeedleSample]:
    from nerveseg import pipeline
    from nerveseg.practice import sample_of

    samples: list[NeedleSample] = []
    total = None if clip.frame_count is None else -(-clip.frame_count // clip.stride)
    try:
        with progress_bar(clip.name, total, unit="frames") as advance:
            for result in pipeline.run(clip, segmenter, crop=crop):
                samples.append(sample_of(result))
                advance(1)
    except KeyboardInterrupt:
        raise Stopped(f"{len(samples):,} frames were read, nothing is measured") from None
    return samples


def _facts(
    clip: Clip, segmenter: Segmenter, found: InsertionMetrics, samples: Sequence[NeedleSample]
) -> dict[str, Any]:
    measures = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(found).items()
    }
    return {
        "clip": clip.file,
        "model_id": segmenter.spec.model_id,
        "note": _NOTE,
        **measures,
        "timeline": list(_stretches(samples)) if clip.fps is not None else [],
    }


def _stretches(samples: Sequence[NeedleSample]) -> Iterator[dict[str, Any]]:
    """What is known of the tip, from when on; the last stretch ends with the clip."""
    from nerveseg.practice import tip_statuses

    pairs = zip(tip_statuses(samples), samples, strict=True)
    for status, stretch in groupby(pairs, key=lambda pair: pair[0]):
        yield {"from_s": round(next(stretch)[1].time_s, 4), "tip": status}


def _lines(
    clip: Clip, segmenter: Segmenter, found: InsertionMetrics, samples: Sequence[NeedleSample]
) -> Iterator[str]:
    from nerveseg.practice import tip_statuses

    length = "no clock" if found.clip_s is None else f"{found.clip_s:.1f} s"
    yield f"{clip.file}: {found.frames:,} frames, {length}"
    statuses = tip_statuses(samples)
    yield f"[{_bar(statuses)}]"
    yield f"tip: {_shares(statuses)}"
    yield ""
    for name, value in _rows(found):
        yield f"{name:<20} {value}"
    yield ""
    yield f"{'model':<20} {segmenter.spec.model_id}"
    yield _NOTE


def _bar(statuses: Sequence[str]) -> str:
    """One mark per stretch of frames: what most of them are."""
    columns = min(_COLUMNS, len(statuses))
    edges = [round(column * len(statuses) / columns) for column in range(columns + 1)]
    parts = (statuses[start:end] for start, end in pairwise(edges))
    return "".join(_MARKS[Counter(part).most_common(1)[0][0]] for part in parts)


def _shares(statuses: Sequence[str]) -> str:
    """How much of the clip each mark of the bar stands for."""
    count, frames = Counter(statuses), max(len(statuses), 1)
    return ", ".join(
        f"{mark.strip() or '(blank)'} {status} {count[status] / frames:.0%}"
        for status, mark in _MARKS.items()
    )


def _rows(found: InsertionMetrics) -> Iterator[tuple[str, str]]:
    def length(value: float | None) -> str:
        return _UNKNOWN if value is None else f"{value:.1f} {found.unit}"

    yield "elapsed time", _number(found.elapsed_s, "{:.1f} s")
    yield "tip in sight", _number(found.tip_visible_share, "{:.0%} of the time")
    yield "path of the tip", length(found.path_length)
    straight = _tail(found.straight_way_in, f", {{:.1f}} {found.unit} as the crow flies")
    yield "way in", length(found.way_in) + straight
    yield "path inefficiency", _number(found.path_inefficiency_pct, "{:.1f} %")
    in_sight = _tail(found.advance_visible_share, ", {:.0%} of it with the tip in sight")
    yield "advance", length(found.advance) + in_sight
    yield "redirections", _number(found.redirections, "{}")
    yield "withdrawals", _number(found.withdrawals, "{}")
    yield "nearest nerve", length(found.nearest_nerve)
    yield "nearest vessel", length(found.nearest_vessel)
    yield "smoothness (SPARC)", _number(found.smoothness, "{:.2f}")


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else form.format(value)


def _tail(value: float | None, form: str) -> str:
    """What is added to another figure; nothing where it isn't known."""
    return "" if value is None else form.format(value)
