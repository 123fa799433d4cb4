"""Put an evaluation on disk: JSON for programs, Markdown for readers, CSV to recompute from.

Each file appears whole or not at all; pictures of the worst cases come first, so that the
report never names one that isn't there.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2

from nerveseg.errors import DataError, StoreError
from train.picture import draw_case
from train.scores import Cell, Report, Row, WorstCase
from train.sections import Section, figures_json, picture_names, section_json, section_markdown
from train.tables import interval_json, show, table

__all__ = [
    "Provenance",
    "read_model_id",
    "read_rows",
    "show",
    "table",
    "write",
    "write_text",
]

_JSON, _MARKDOWN, _ROWS = "report.json", "report.md", "per_image.csv"


_NOTES = """\
Means over pictures, with 95 % intervals from redrawing whole groups of look-alike pictures; none
is given for a single group. A class is measured only where the set labels it. Pictures on which
truth and prediction are both empty are left out of Dice, IoU and the distances, and counted
under *both empty*; with one of the two empty Dice is 0 and the distances are undefined. HD95 is
the larger directed 95th percentile, ASSD the mean over both surfaces; lengths are in mm only
where the scale of every picture is known, else in pixels (px) of the original picture. A
structure is found when it pairs with a predicted one at an IoU of 0.1 or more; crumbs below 0.03
% of the image region count on neither side. ECE pools all pixels of that region in 15 bins. Sets
draw their outlines differently, so figures of two sets don't compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a report came about: what was asked for, when (``YYYY-MM-DD``), and with what.

    ``data`` maps each set's card to what a reader of its figures has to know of it.
    """

    split: str
    data: Mapping[str, tuple[str, ...]]
    command: str
    date: str
    nerveseg_version: str
    seed: int


def write(report: Report, folder: Path, *, provenance: Provenance) -> None:
    """Write ``report.json``, ``report.md``, ``per_image.csv`` and ``worst/*.png`` to ``folder``.

    Each section's rows go to a CSV file of its own, such as ``planes.csv``.
    Raises `StoreError` when the folder can't be made or written.
    """
    pictures = [_picture_name(place, case) for place, case in enumerate(report.worst, start=1)]
    for case, name in zip(report.worst, pictures, strict=True):
        _write_bytes(folder / name, cv2.imencode(".png", draw_case(case))[1].tobytes())
    for section in report.sections:
        _write_section(section, folder)
    write_text(folder / _ROWS, _csv(report.rows))
    content = _as_json(report, provenance, pictures)
    write_text(folder / _JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")
    write_text(folder / _MARKDOWN, _markdown(report, provenance, pictures))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all, making the folder; raise `StoreError` if it fails."""
    _write_bytes(path, text.encode("utf-8"))


def read_rows(folder: Path) -> tuple[Row, ...]:
    """The rows of a report's ``per_image.csv``; raise `DataError` if it isn't one."""
    path = folder / _ROWS
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = {f.name for f in fields(Row)} - set(reader.fieldnames or ())
            if missing:
                raise KeyError(f"no column {', '.join(sorted(missing))}")
            return tuple(_row(entry) for entry in reader)
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"can't read {path} ({error!r}); pass the folder that an evaluation wrote"
        ) from error


def read_model_id(folder: Path) -> str:
    """The model that a report's ``report.json`` is about; raise `DataError` if it isn't one."""
    path = folder / _JSON
    try:
        return str(json.loads(path.read_text("utf-8"))["model"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"can't read {path} ({error!r}); pass the folder that an evaluation wrote"
        ) from error


def _write_bytes(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"can't write {path}: {error.strerror or error}; choose a folder with room and "
            "permission"
        ) from error


def _picture_name(place: int, case: WorstCase) -> str:
    """A name without anything of the sample's own name, which may hold a path."""
    return f"worst/{_slug(case.row.card)}_{_slug(case.row.class_name)}_{place:02d}.png"


def _write_section(section: Section, folder: Path) -> None:
    for picture, name in zip(section.pictures, picture_names(section), strict=True):
        _write_bytes(folder / name, cv2.imencode(".png", picture.pixels)[1].tobytes())
    if section.rows:
        write_text(folder / f"{section.key}.csv", _csv(section.rows))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text)


def _csv(rows: Sequence[Any]) -> str:
    """A line for each of ``rows``, which are dataclasses of one kind."""
    buffer = io.StringIO(newline="")
    names = [f.name for f in fields(rows[0] if rows else Row)]
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell_text(value) for key, value in asdict(row).items()} for row in rows)
    return buffer.getvalue()


def _cell_text(value: Any) -> Any:
    """Empty for what is undefined or unknown; a float keeps every digit."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _row(entry: dict[str, str]) -> Row:
    values = {f.name: _READERS[str(f.type)](entry[f.name]) for f in fields(Row)}
    return Row(**values)


def _float(text: str) -> float:
    return float(text) if text else math.nan


_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": _float,
    "float | None": lambda text: float(text) if text else None,
}


def _as_json(report: Report, provenance: Provenance, pictures: Sequence[str]) -> dict[str, Any]:
    return {
        "model": report.model_id,
        **asdict(provenance),
        "thresholds": dict(report.thresholds),
        "summary": _summary(report, provenance),
        "results": [_cell_json(cell) for cell in report.cells],
        "sections": {section.key: section_json(section) for section in report.sections},
        "worst": [
            {
                "card": case.row.card,
                "class": case.row.class_name,
                "name": case.row.name,
                "dice": case.row.dice,
                "picture": picture,
            }
            for case, picture in zip(report.worst, pictures, strict=True)
        ],
    }


def _summary(report: Report, provenance: Provenance) -> dict[str, Any]:
    """The few figures that fit beside a model: Dice and HD95 of areas, and of each section."""
    sets: dict[str, dict[str, Any]] = {}
    for cell in report.cells:
        sets.setdefault(cell.card, {})[cell.class_name] = {
            "images": cell.n_images,
            "dice": interval_json(cell.measures["dice"]),
            "hd95": interval_json(cell.measures["hd95"]) | {"unit": cell.unit},
        }
    sections = {
        section.key: {figures.card: figures_json(figures) for figures in section.sets}
        for section in report.sections
    }
    return {
        "split": provenance.split,
        "date": provenance.date,
        "sets": sets,
        "sections": sections,
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "card": cell.card,
        "class": cell.class_name,
        "unit": cell.unit,
        "n_images": cell.n_images,
        "n_groups": cell.n_groups,
        "n_both_empty": cell.n_both_empty,
        "n_missed_images": cell.n_missed_images,
        "n_false_images": cell.n_false_images,
        **asdict(cell.structures),
        "measures": {name: interval_json(value) for name, value in cell.measures.items()},
    }


def _markdown(report: Report, provenance: Provenance, pictures: Sequence[str]) -> str:
    parts = [
        _heading(report, provenance),
        _agreement_table(report.cells),
        _structure_table(report.cells),
        _NOTES,
        *(section_markdown(section) for section in report.sections),
        _sets(provenance),
        _gallery(report.worst, pictures),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(report: Report, provenance: Provenance) -> str:
    thresholds = ", ".join(f"{name} {value:g}" for name, value in report.thresholds.items())
    lines = [
        f"# Evaluation of {report.model_id}",
        "",
        f"- Split: {provenance.split}, of {', '.join(provenance.data)}",
        f"- Thresholds: {thresholds}",
        f"- Date: {provenance.date}; nerveseg {provenance.nerveseg_version}",
        f"- Command: `{provenance.command}`",
    ]
    return "\n".join(lines)


def _agreement_table(cells: Sequence[Cell]) -> str:
    head = ["Set", "Class", "Images (groups)", "Dice", "IoU", "HD95", "ASSD", "Centroid", "ECE"]
    return table(head, [_agreement_row(cell) for cell in cells])


def _agreement_row(cell: Cell) -> list[str]:
    lengths = ("hd95", "assd", "centroid_error")
    return [
        cell.card,
        cell.class_name,
        f"{cell.n_images} ({cell.n_groups})",
        show(cell.measures["dice"]),
        show(cell.measures["iou"]),
        *(show(cell.measures[name], digits=1, unit=cell.unit) for name in lengths),
        show(cell.measures["ece"], digits=4),
    ]


def _structure_table(cells: Sequence[Cell]) -> str:
    head = ["Set", "Class", "Found", "Missed", "False", "Found rate", "False per image"]
    head += ["Both empty", "Images missed", "Images false"]
    return table(head, [_structure_row(cell) for cell in cells])


def _structure_row(cell: Cell) -> list[str]:
    counts = cell.structures
    images = (cell.n_both_empty, cell.n_missed_images, cell.n_false_images)
    return [
        cell.card,
        cell.class_name,
        *(str(count) for count in (counts.found, counts.missed, counts.false)),
        show(cell.measures["found_rate"]),
        show(cell.measures["false_per_image"]),
        *(str(count) for count in images),
    ]


def _sets(provenance: Provenance) -> str:
    if not any(provenance.data.values()):
        return ""
    lines = ["## The sets", ""]
    for card, quirks in provenance.data.items():
        lines.append(f"- {card}: {' '.join(quirks)}")
    return "\n".join(lines)


def _gallery(worst: Sequence[WorstCase], pictures: Sequence[str]) -> str:
    if not worst:
        return ""
    lines = ["## Worst cases", "", "The truth is solid, the prediction dashed.", ""]
    for case, picture in zip(worst, pictures, strict=True):
        row = case.row
        lines.append(f"- {row.card}, {row.class_name}, {row.name}: Dice {row.dice:.3f}")
        lines.append(f"  ![{row.class_name} on {row.name}]({picture})")
    return "\n".join(lines)
