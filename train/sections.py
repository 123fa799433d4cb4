"""What is measured beside masks (planes, needles), in one shape that every report can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from train.bootstrap import Interval
from train.tables import interval_json, show, table

__all__ = [
    "Figure",
    "Picture",
    "Section",
    "SetFigures",
    "by_card",
    "figures_json",
    "picture_names",
    "section_json",
    "section_lines",
    "section_markdown",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval; ``unit`` and ``digits`` are how it is shown."""

    interval: Interval
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True, slots=True)
class SetFigures:
    """One set's counts and figures by name, in the order of the report's columns."""

    card: str
    n_images: int
    n_groups: int
    counts: Mapping[str, int]
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A case to look at: ``uint8`` BGR ``(H, W, 3)``."""

    caption: str
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A part of a report.

    ``key`` names it in JSON and in file names, ``notes`` says how its figures are defined,
    ``rows`` (dataclasses of one kind, one per picture) go into ``KEY.csv``; ``pictures`` are the
    worst cases, the worst first.
    """

    key: str
    title: str
    notes: str
    sets: tuple[SetFigures, ...]
    rows: tuple[Any, ...] = ()
    pictures: tuple[Picture, ...] = ()


class _OfACard(Protocol):
    """A row that knows which set it belongs to."""

    @property
    def card(self) -> str: ...


_Row = TypeVar("_Row", bound=_OfACard)


def by_card(
    rows: Sequence[_Row], summarise: Callable[[list[_Row]], SetFigures]
) -> tuple[SetFigures, ...]:
    """``summarise`` for the rows of each card, in the cards' order."""
    ordered = sorted(rows, key=attrgetter("card"))
    return tuple(summarise(list(each)) for _, each in groupby(ordered, key=attrgetter("card")))


def picture_names(section: Section) -> list[str]:
    """Where a report puts the section's pictures, below its folder."""
    places = range(1, len(section.pictures) + 1)
    return [f"worst/{section.key}_{place:02d}.png" for place in places]


def section_json(section: Section) -> dict[str, Any]:
    """The section for programs; what is undefined is null."""
    return {
        "notes": section.notes,
        "sets": [_set_json(figures) for figures in section.sets],
        "worst": [
            {"caption": picture.caption, "picture": name}
            for picture, name in zip(section.pictures, picture_names(section), strict=True)
        ],
    }


def _set_json(figures: SetFigures) -> dict[str, Any]:
    return {
        "card": figures.card,
        "n_images": figures.n_images,
        "n_groups": figures.n_groups,
        **figures.counts,
        "measures": {
            name: interval_json(figure.interval) | {"unit": figure.unit}
            for name, figure in figures.figures.items()
        },
    }


def figures_json(figures: SetFigures) -> dict[str, Any]:
    """One set's figures for the few words that travel with a model."""
    measures = {
        name: interval_json(figure.interval) | ({"unit": figure.unit} if figure.unit else {})
        for name, figure in figures.figures.items()
    }
    return {"images": figures.n_images, **measures}


def section_markdown(section: Section) -> str:
    """The section for readers, under a heading of its own."""
    first = section.sets[0]
    head = ["Set", "Images (groups)", *map(_words, first.counts), *map(_words, first.figures)]
    body = [
        [
            figures.card,
            f"{figures.n_images} ({figures.n_groups})",
            *(str(count) for count in figures.counts.values()),
            *(_shown(figure) for figure in figures.figures.values()),
        ]
        for figures in section.sets
    ]
    parts = [f"## {section.title}", table(head, body), section.notes]
    for picture, name in zip(section.pictures, picture_names(section), strict=True):
        parts.append(f"- {picture.caption}\n  ![{picture.caption}]({name})")
    return "\n\n".join(parts)


def section_lines(section: Section) -> list[str]:
    """One line per set with all its figures, for a terminal."""
    return [
        f"{figures.card} {section.key}: "
        + ", ".join(f"{_words(name)} {_shown(it)}" for name, it in figures.figures.items())
        for figures in section.sets
    ]


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(figure: Figure) -> str:
    return show(figure.interval, digits=figure.digits, unit=figure.unit)
