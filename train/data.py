"""Samples in memory at working resolution, drawn by card so that small sets aren't drowned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import albumentations as A  # noqa: N812 - the library's own convention
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, WeightedRandomSampler

from nerveseg.data import samples, splits
from nerveseg.data.cards import Card
from nerveseg.errors import DataError
from nerveseg.types import Sample
from nerveseg.video.crop import find_region
from nerveseg.vision.preprocess import ModelSpec, fit_image, fit_mask

__all__ = ["Item", "PreparedSet", "prepare", "sampler", "split_samples"]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A sample cropped and fitted: ``picture`` uint8 ``(h, w)``, ``masks`` uint8 ``(h, w, C)``.

    ``masks`` hold coverage, 0..255; ``known`` is float32 ``(C,)``, 1 where labelled at all.
    """

    name: str
    card: str
    picture: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    known: npt.NDArray[np.float32]


class PreparedSet(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Items with augmentation, as ``(1, h, w)`` normalised, ``(C, h, w)`` in 0..1, ``(C,)``."""

    def __init__(self, items: Sequence[Item], transform: A.Compose, spec: ModelSpec) -> None:
        self.items = items
        self._transform = transform
        self._spec = spec

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        item = self.items[index]
        out = self._transform(image=item.picture, mask=item.masks)
        picture = torch.from_numpy(np.ascontiguousarray(out["image"])).float() / 255.0
        picture = (picture - self._spec.mean) / self._spec.std
        masks = torch.from_numpy(np.ascontiguousarray(out["mask"])).permute(2, 0, 1).float()
        return picture[None], masks / 255.0, torch.from_numpy(item.known)


def split_samples(card: Card, split: str, *, root: Path | None = None) -> Iterator[Sample]:
    """The samples of a card that lie in ``split``; ``all`` takes every one, split or not.

    ``root`` holds the publishers' folders of several sets side by side, as ``$NERVESEG_DATA``
    does.
    """
    sides = {} if split == "all" else splits.load(card)
    for sample in samples(card, None if root is None else root / card.folder):
        if split == "all" or sides.get(sample.name) == split:
            yield sample


def prepare(labelled: Iterator[Sample], spec: ModelSpec) -> Iterator[Item]:
    """Crop each sample to its image region and fit it to ``spec.input_hw``."""
    for sample in labelled:
        region = find_region(sample.image).slices
        picture = fit_image(sample.image[region], spec)
        masks = np.zeros((*picture.shape, len(spec.classes)), np.uint8)
        for channel, name in enumerate(spec.classes):
            if name in sample.masks:
                masks[..., channel] = np.rint(255 * fit_mask(sample.masks[name][region], spec))
        known = np.array([name in sample.known for name in spec.classes], np.float32)
        if known.any():
            yield Item(sample.name, sample.card, picture, masks, known)


def sampler(
    items: Sequence[Item], mix: dict[str, float], draws: int, *, seed: int
) -> WeightedRandomSampler:
    """Draw ``draws`` items an epoch, each card in its share of ``mix``."""
    counts = {card: sum(item.card == card for item in items) for card in mix}
    empty = [card for card, count in counts.items() if count == 0]
    if empty:
        raise DataError(f"no training samples in {empty}; run `nerveseg data check` on each")
    weights = [mix[item.card] / counts[item.card] for item in items]
    generator = torch.Generator().manual_seed(seed)
    return WeightedRandomSampler(weights, draws, replacement=True, generator=generator)
