"""Rows of the table: what was measured, what it has to be, and whether it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Bar", "Row", "table", "write"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to be: at ``least``, or at ``most``."""

    figure: str
    least: float | None = None
    most: float | None = None

    def met(self, figures: Mapping[str, Any]) -> bool:
        value = float(figures[self.figure])
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def __str__(self) -> str:
        sign, limit = ("≥", self.least) if self.least is not None else ("≤", self.most)
        return f"{self.figure} {sign} {limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured; without bars it stands there to be compared with."""

    what: str
    figures: Mapping[str, Any]
    bars: Sequence[Bar] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return all(bar.met(self.figures) for bar in self.bars) if self.bars else None


def table(rows: Iterable[Row]) -> str:
    """All rows as text."""
    return "\n".join(line for row in rows for line in _lines(row))


def write(path: Path, machine: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """All rows as JSON."""
    told = [{**asdict(row), "bars": [str(bar) for bar in row.bars], "met": row.met} for row in rows]
    path.write_text(json.dumps({"machine": machine, "rows": told}, indent=1, default=str), "utf-8")


def _lines(row: Row) -> Iterable[str]:
    word = {True: "met", False: "NOT MET", None: "to compare"}[row.met]
    yield f"{row.what}: {word}"
    barred = {bar.figure for bar in row.bars}
    for bar in row.bars:
        sign = "met" if bar.met(row.figures) else "NOT MET"
        yield f"    {bar!s:<34} {_shown(row.figures[bar.figure]):>10}  {sign}"
    rest = [f"{name} {_shown(row.figures[name])}" for name in row.figures if name not in barred]
    if rest:
        yield f"    {', '.join(rest)}"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
