"""Look a dataset over before anybody trains on it or measures with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nerveseg.data import splits
from nerveseg.data.cards import Card
from nerveseg.data.reading import samples_or_errors
from nerveseg.errors import DataError
from nerveseg.types import Sample

__all__ = ["ClassReport", "Report", "check"]


@dataclass(frozen=True, slots=True)
class ClassReport:
    """One class over a set: in how many samples it is known, of these how many are empty.

    ``pixel_share`` is the mean share of the picture, 0..1, over the samples that have it.
    """

    known: int
    empty: int
    pixel_share: float


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found.

    ``sizes`` counts pictures by ``(H, W)``; ``broken`` has one line per sample that can't be
    read, lacks a mask, or has one of another size; ``duplicates`` are names of samples with
    exactly the same pixels; ``unsplit`` are samples that the stored split doesn't know and
    ``vanished`` names in the split that have no sample (both empty without a split).
    """

    card: str
    samples: int
    groups: int
    sizes: Mapping[tuple[int, int], int]
    classes: Mapping[str, ClassReport]
    broken: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    unsplit: tuple[str, ...]
    vanished: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every sample could be read, and the split, if any, fits the data."""
        return self.samples > 0 and not (self.broken or self.unsplit or self.vanished)


class _Tally:
    """Counts over a stream of samples; keeps 16 bytes and a name of each."""

    def __init__(self, card: Card) -> None:
        self.groups: set[str] = set()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.names: list[str] = []
        self._classes = card.classes
        self._known: Counter[str] = Counter()
        self._empty: Counter[str] = Counter()
        self._share: dict[str, float] = dict.fromkeys(card.classes, 0.0)
        self._by_pixels: dict[bytes, list[str]] = defaultdict(list)

    def add(self, sample: Sample) -> None:
        height, width = sample.image.shape
        self.names.append(sample.name)
        self.groups.add(sample.group)
        self.sizes[height, width] += 1
        pixels = hashlib.blake2b(sample.image.tobytes(), digest_size=16).digest()
        self._by_pixels[pixels].append(sample.name)
        for name, mask in sample.masks.items():
            self._known[name] += 1
            self._empty[name] += not mask.any()
            self._share[name] += float(mask.mean())

    def classes(self) -> dict[str, ClassReport]:
        return {name: self._class(name) for name in self._classes}

    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(names) for names in self._by_pixels.values() if len(names) > 1)

    def _class(self, name: str) -> ClassReport:
        known, empty = self._known[name], self._empty[name]
        share = self._share[name] / (known - empty) if known > empty else 0.0
        return ClassReport(known=known, empty=empty, pixel_share=share)


def check(card: Card, root: Path | None = None) -> Report:
    """Read every sample of ``card`` once, one at a time, and report counts and faults.

    Raises `DataError` only where nothing can be read at all: no folder, or a wrong card.
    """
    tally, broken = _Tally(card), []
    for item in samples_or_errors(card, root):
        if isinstance(item, DataError):
            broken.append(str(item))
        else:
            tally.add(item)
    split = set(splits.load(card)) if splits.exists(card) else None
    found = set(tally.names)
    return Report(
        card=card.name,
        samples=len(tally.names),
        groups=len(tally.groups),
        sizes=dict(tally.sizes.most_common()),
        classes=tally.classes(),
        broken=tuple(broken),
        duplicates=tally.duplicates(),
        unsplit=() if split is None else tuple(sorted(found - split)),
        vanished=() if split is None else tuple(sorted(split - found)),
    )
