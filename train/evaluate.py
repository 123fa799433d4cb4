"""Measure a model, checkpoint or ONNX file alike, on labelled samples.

The harness sees a `train.predictors.Predictor` and nothing else: its probabilities are measured
for calibration, its masks, which are what a user is shown, for all the rest.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeAlias

from rich.progress import track

from nerveseg import __version__
from nerveseg.data import cards
from nerveseg.data.cards import Card
from nerveseg.errors import DataError, ModelError
from nerveseg.types import Sample
from nerveseg.video.crop import find_region
from train.data import split_samples
from train.needle_scores import NeedleMeter
from train.plane_scores import PlaneMeter
from train.predictors import Prediction, Predictor, from_file
from train.report import Provenance, show, write
from train.scores import Report, Scored, WorstCase, score, summarise, truth_of
from train.sections import Section, section_lines

__all__ = ["METERS", "Maker", "Meter", "evaluate", "evaluate_cli"]


class Meter(Protocol):
    """Measures one thing on samples as they come, and sums it up at the end."""

    class_name: str
    """The class that must be asked for."""

    def measure(self, sample: Sample, answer: Prediction) -> None:
        """Take in one sample, with what the model answered; pass over one that tells nothing."""

    def section(self, *, draws: int, seed: int) -> Section | None:
        """All of it, with intervals from ``draws`` redraws; ``None`` if nothing was measured."""


Maker: TypeAlias = Callable[[Predictor, int], Meter]
"""Makes a meter for a model, which keeps so many of the worst pictures."""

METERS: tuple[Maker, ...] = (
    lambda _, worst: PlaneMeter(worst),
    lambda predictor, worst: NeedleMeter(predictor.spec, worst),
)
"""What is measured beside masks."""


def evaluate(
    predictor: Predictor,
    samples: Iterable[Sample],
    *,
    classes: Sequence[str],
    worst: int = 6,
    draws: int = 2000,
    seed: int = 0,
) -> Report:
    """Measure ``classes`` on every sample in which they are known, and what `METERS` add.

    A class outside a sample's ``known`` is unknown, not absent, and isn't counted there; a class
    that the model doesn't name is left out. ``worst`` pictures are kept for each set and class.
    Intervals come from ``draws`` bootstrap draws of whole groups, repeatable by ``seed``.
    Raises `ModelError` when the model names none of ``classes`` and `DataError` when no sample
    has a known one.
    """
    wanted = _named_classes(predictor, classes)
    scored: list[Scored] = []
    album = _Album(worst)
    made = (make(predictor, worst) for make in METERS)
    meters = [meter for meter in made if meter.class_name in wanted]
    for sample in samples:
        known = wanted & sample.known
        scored.extend(_score_sample(predictor, sample, known, album, meters))
    sections = tuple(
        section
        for meter in meters
        if (section := meter.section(draws=draws, seed=seed)) is not None
    )
    if not scored and not sections:
        raise DataError(
            f"no sample has a known class among {sorted(wanted)}; choose another set or split"
        )
    return Report(
        model_id=predictor.model_id,
        thresholds={name: predictor.thresholds[name] for name in sorted(wanted)},
        cells=summarise(scored, draws=draws, seed=seed),
        rows=tuple(case.row for case in scored),
        worst=album.cases(),
        sections=sections,
    )


def evaluate_cli(argv: Sequence[str]) -> int:
    """``python -m train evaluate MODEL --data A,B [--split test] [--out DIR]``; 0 when written."""
    options = _parser().parse_args(argv)
    chosen = [cards.load(name) for name in options.data]
    predictor = _load(options.model)
    report = evaluate(
        predictor,
        _chosen_samples(chosen, options),
        classes=options.classes or sorted(predictor.thresholds),
        worst=options.worst,
        seed=options.seed,
    )
    provenance = Provenance(
        split=options.split,
        data={card.name: card.quirks for card in chosen},
        command=shlex.join(["python", "-m", "train", "evaluate", *argv]),
        date=options.date or datetime.now(tz=UTC).date().isoformat(),
        nerveseg_version=__version__,
        seed=options.seed,
    )
    folder = options.out or Path("runs", "evaluation", report.model_id)
    write(report, folder, provenance=provenance)
    for cell in report.cells:
        dice = show(cell.measures["dice"])
        sys.stdout.write(f"{cell.card} {cell.class_name}: Dice {dice}\n")
    for section in report.sections:
        sys.stdout.writelines(f"{line}\n" for line in section_lines(section))
    sys.stdout.write(f"report: {folder / 'report.md'}\n")
    return 0


class _Album:
    """The pictures with the lowest Dice of each set and class; pictures without one are out."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._cells: defaultdict[tuple[str, str], list[WorstCase]] = defaultdict(list)

    def offer(self, case: WorstCase) -> None:
        if math.isnan(case.row.dice):
            return
        cell = self._cells[case.row.card, case.row.class_name]
        insort(cell, case, key=lambda kept: kept.row.dice)
        del cell[self._size :]

    def cases(self) -> tuple[WorstCase, ...]:
        return tuple(case for key in sorted(self._cells) for case in self._cells[key])


def _named_classes(predictor: Predictor, classes: Sequence[str]) -> frozenset[str]:
    wanted = frozenset(classes) & frozenset(predictor.thresholds)
    if not wanted:
        raise ModelError(
            f"{predictor.model_id} names {sorted(predictor.thresholds)}, none of the classes "
            f"asked for, {sorted(classes)}; choose among its own"
        )
    return wanted


def _score_sample(
    predictor: Predictor,
    sample: Sample,
    classes: frozenset[str],
    album: _Album,
    meters: Sequence[Meter],
) -> Iterator[Scored]:
    if not classes and not meters:
        return
    answer = predictor.predict(sample.image)
    for meter in meters:
        meter.measure(sample, answer)
    region = find_region(sample.image)
    for name in sorted(classes):
        _check_answer(predictor, answer, name, sample)
        mask = answer.masks[name]
        scored = score(sample, name, answer.probabilities[name], mask, region=region)
        album.offer(WorstCase(scored.row, sample.image, truth_of(sample, name), mask))
        yield scored


def _check_answer(predictor: Predictor, answer: Prediction, name: str, sample: Sample) -> None:
    for maps in (answer.masks, answer.probabilities):
        got = maps[name].shape if name in maps else "nothing"
        if got != sample.image.shape:
            raise ModelError(
                f"{predictor.model_id} answers {got} for {name!r} on {sample.name}, expected "
                f"{sample.image.shape}; a predictor maps its answer back to the picture's pixels"
            )


def _load(model: Path) -> Predictor:
    if not model.is_file():
        raise ModelError(f"there is no model {model}; pass an .onnx file or a .ckpt checkpoint")
    return from_file(model)


def _chosen_samples(chosen: Sequence[Card], options: argparse.Namespace) -> Iterator[Sample]:
    for card in chosen:
        side = split_samples(card, options.split, root=options.root)
        yield from track(islice(side, options.limit), description=f"{card.name} ({options.split})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train evaluate",
        description="Measure a checkpoint or an ONNX file; writes JSON, Markdown, CSV, pictures.",
    )
    add = parser.add_argument
    add("model", type=Path, help=".onnx file or .ckpt checkpoint")
    add("--data", type=_names, required=True, help="cards, by name or path, comma-separated")
    add("--out", type=Path, help="folder for the report; default: runs/evaluation/MODEL_ID")
    add("--split", default="test", choices=["train", "val", "test", "all"])
    add("--root", type=Path, help="folder that holds the sets' folders; default: see NERVESEG_DATA")
    add("--classes", type=_names, help="comma-separated; default: all that the model names")
    add("--limit", type=_natural, help="at most this many pictures of each set")
    add("--worst", type=_natural, default=6, help="worst pictures kept per set and class")
    add("--seed", type=_natural, default=0, help="of the bootstrap")
    add("--date", help="written into the report; default: today")
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("expected names separated by commas")
    return names


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)
