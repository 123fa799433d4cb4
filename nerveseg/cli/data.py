"""``nerveseg data``: the public datasets, their downloads, checks and splits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nerveseg.cli.exits import FAILED
from nerveseg.cli.progress import byte_bar
from nerveseg.errors import DataError, StoreError

if TYPE_CHECKING:
    from nerveseg.data.cards import Card
    from nerveseg.data.checking import Report
    from nerveseg.data.splits import Split

__all__ = ["datasets"]

datasets = typer.Typer(help="Public datasets: list, check, fetch, split.", no_args_is_help=True)

_MOST_SHOWN = 10

_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A name from `data list`, or a .toml card.", show_default=False
    ),
]
_Root = Annotated[
    Path | None,
    typer.Option(help="Folder with the data, if not where fetch puts it.", show_default=False),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@datasets.command("list")
def list_(as_json: _AsJson = False) -> None:
    """List the datasets: whether they are here, what they label, their licence."""
    from nerveseg.data import cards

    known = [cards.load(name) for name in cards.names()]
    if as_json:
        typer.echo(json.dumps([_card_facts(card) for card in known], indent=2))
        return
    rows = [("NAME", "HERE", "USE", "LABELS", "LICENCE")]
    rows += [
        (card.name, _here(card), card.use, ", ".join(sorted(card.known)), card.licence)
        for card in known
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        typer.echo("  ".join([*cells, row[4]]))


@datasets.command()
def check(name: _Name, root: _Root = None, as_json: _AsJson = False) -> None:
    """Read every sample of a dataset once and report counts and faults; exit code 2 on faults."""
    from nerveseg.data import cards
    from nerveseg.data import check as look_over

    card = cards.load(name)
    report = look_over(card, root)
    typer.echo(_report_json(report) if as_json else "\n".join(_report_lines(card, report)))
    if not report.ok:
        raise typer.Exit(FAILED)


@datasets.command()
def fetch(
    name: _Name,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A folder or archive on disk in place of the download.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder to put it in; datasets/data/NAME by default.", show_default=False
        ),
    ] = None,
) -> None:
    """Download a dataset from its publisher, verify it and unpack it; resumes if stopped."""
    from nerveseg.data.fetch import fetch as bring

    with byte_bar(Path(name).stem) as progress:
        fetched = bring(name, to, source=source, progress=progress)
    if fetched.note:
        typer.echo(f"nerveseg: {fetched.note}", err=True)
    if not fetched.already:
        verified = ", hash verified" if fetched.verified else ""
        typer.echo(f"{name} is in {fetched.path}{verified}")


@datasets.command()
def split(
    name: _Name,
    root: _Root = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shares.")] = 0,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1.0,
            max=1.0,
            help="Correlation from which frames look alike; the card's by default.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a stored split that differs.")
    ] = False,
) -> None:
    """Split a dataset by clusters of look-alike frames, or prove that the stored split repeats."""
    from nerveseg.data import cards, splits

    card = cards.load(name)
    made = splits.make(card, root, seed=seed, threshold=threshold)
    for part, (clusters, samples) in made.counts().items():
        typer.echo(f"{part:<6} {samples:>6,} samples in {clusters:,} clusters")
    if splits.exists(card) and not overwrite:
        _compare(made, splits.load(card), splits.path_of(card))
        return
    try:
        typer.echo(f"stored in {splits.save(made, splits.path_of(card))}")
    except OSError as error:
        raise StoreError(f"can't write {splits.path_of(card)}: {error.strerror}") from error


def _compare(made: Split, stored: Split, path: Path) -> None:
    moved = sum(made.get(name) != stored.get(name) for name in {*made, *stored})
    if moved:
        raise DataError(
            f"{moved:,} samples are elsewhere in the stored split {path}; "
            "pass --overwrite to replace it"
        )
    typer.echo(f"the same as the stored split {path}")


def _here(card: Card) -> str:
    from nerveseg.data import cards

    if not card.has_files:
        return "made"
    try:
        cards.data_root(card)
    except DataError:
        return "no"
    return "yes"


def _card_facts(card: Card) -> dict[str, object]:
    return {
        "name": card.name,
        "title": card.title,
        "here": _here(card),
        "use": card.use,
        "classes": sorted(card.known),
        "licence": card.licence,
        "publisher": card.publisher,
        "homepage": card.homepage,
    }


def _report_json(report: Report) -> str:
    sizes = {f"{width}x{height}": count for (height, width), count in report.sizes.items()}
    return json.dumps(asdict(report) | {"sizes": sizes, "ok": report.ok}, indent=2)


def _report_lines(card: Card, report: Report) -> Iterator[str]:
    yield f"{report.card}: {report.samples:,} samples in {report.groups:,} groups"
    sizes = [f"{width}x{height} ({n:,})" for (height, width), n in report.sizes.items()]
    yield f"sizes: {_first(sizes)}"
    for name, each in report.classes.items():
        present = each.known - each.empty
        share = f", {each.pixel_share:.1%} of the picture where it is" if present else ""
        yield f"{name}: labelled in {each.known:,}, there in {present:,}{share}"
    for quirk in card.quirks:
        yield f"note: {quirk}"
    for title, names in (
        ("broken", report.broken),
        ("the same pixels", [" = ".join(group) for group in report.duplicates]),
        ("not in the split", report.unsplit),
        ("in the split but not here", report.vanished),
    ):
        if names:
            yield f"{title}: {len(names):,}: {_first(names)}"
    yield "all well" if report.ok else "faults were found"


def _first(items: list[str] | tuple[str, ...]) -> str:
    more = f", … and {len(items) - _MOST_SHOWN:,} more" if len(items) > _MOST_SHOWN else ""
    return ", ".join(items[:_MOST_SHOWN]) + more
