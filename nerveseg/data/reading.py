"""From a card and a folder to samples, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nerveseg.data import cards, splits
from nerveseg.data.cards import Card
from nerveseg.data.layouts import reader_of
from nerveseg.errors import DataError
from nerveseg.types import Sample

__all__ = ["samples", "samples_or_errors"]


def samples(card: Card, root: Path | None = None) -> Iterator[Sample]:
    """The card's samples in file order, one in memory at a time.

    ``root`` is the folder of the data (see `cards.data_root` for the default). A sample's
    ``group`` is its cluster in the committed split where there is one, else its subject by the
    card's pattern. Raises `DataError` naming the file at the first sample that is broken;
    `nerveseg data check` goes on and lists them all.
    """
    for item in samples_or_errors(card, root):
        if isinstance(item, DataError):
            raise item
        yield item


def samples_or_errors(card: Card, root: Path | None = None) -> Iterator[Sample | DataError]:
    """As `samples`, but a broken one is yielded as its `DataError` and reading goes on."""
    clusters = splits.load(card).clusters_by_name() if splits.exists(card) else {}
    for item in reader_of(card)(card, cards.data_root(card, root)):
        if isinstance(item, Sample) and item.name in clusters:
            yield replace(item, group=f"cluster {clusters[item.name]}")
        else:
            yield item
