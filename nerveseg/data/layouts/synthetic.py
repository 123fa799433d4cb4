"""The phantom as a dataset: made on the spot, the same for everybody, exact in every class.

``[layout]`` has ``blocks``, ``probes``, ``seeds`` (how many, from 0) and ``frames`` (per clip).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from nerveseg import phantom
from nerveseg.data.cards import Card
from nerveseg.data.layouts.building import option_number, option_texts
from nerveseg.errors import DataError
from nerveseg.types import Sample

__all__ = ["read"]

_APART = 40
"""Frames between two samples of a clip: neighbours hardly differ."""


def read(card: Card, _root: Path) -> Iterator[Sample | DataError]:
    """Every block by every probe and seed; ``group`` is the clip."""
    blocks, probes = option_texts(card, "blocks"), option_texts(card, "probes", default=("linear",))
    seeds, frames = (
        option_number(card, "seeds", default=1),
        option_number(card, "frames", default=1),
    )
    if unknown := card.known - set(phantom.TRUTH_CLASSES):
        raise DataError(f"{card.path}: a phantom has no truth for {', '.join(sorted(unknown))}")
    for seed, block, probe in product(range(seeds), blocks, probes):
        made = phantom.Phantom(block, seed=seed, probe=probe, needle="needle" in card.known)
        for number in range(frames):
            shot = made.frame_at(number * _APART)
            yield Sample(
                name=f"{block}-{probe}-{seed}_{number * _APART:06d}",
                image=shot.frame.pixels,
                masks={name: shot.truth[name] for name in card.classes},
                known=card.known,
                group=f"{block} {probe} {seed}",
                card=card.name,
                mm_per_px=shot.frame.mm_per_px,
            )
