"""One reader per way in which publishers lay out their files.

A reader takes a card and the folder of its data and yields, one at a time, a `Sample` or the
`DataError` that says why a picture is none: who reads decides whether to stop or to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from nerveseg.data.cards import Card
from nerveseg.data.layouts import kaggle, mask_files, outlined, regional_us, synthetic
from nerveseg.errors import DataError
from nerveseg.types import Sample

__all__ = ["READERS", "Reader", "reader_of"]

Reader: TypeAlias = Callable[[Card, Path], Iterator[Sample | DataError]]

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "mask-files": mask_files.read,
        "labelme": outlined.read_labelme,
        "coco": outlined.read_coco,
        "kaggle-nerve": kaggle.read,
        "regional-us": regional_us.read,
        "phantom": synthetic.read,
    }
)


def reader_of(card: Card) -> Reader:
    """The reader for ``card.kind``; `DataError` lists the kinds there are."""
    try:
        return READERS[card.kind]
    except KeyError:
        raise DataError(
            f"{card.path}: layout.kind is {card.kind!r}, expected one of {', '.join(READERS)}"
        ) from None
