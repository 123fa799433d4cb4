"""Scenes without end for training, and a fixed set of them for validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from nerveseg.errors import DataError
from nerveseg.vision.preprocess import ModelSpec
from train import augment
from train.data import Item
from train.needles.render import DrawnNeedle
from train.needles.scenes import Scene, make_scene, mirrored

__all__ = ["DRAWN", "GEL", "PHANTOM_NEEDLE", "Grounds", "NumberedDraws", "SceneSet", "targets"]

GEL = "gel"
"""The ground that is drawn, in the place of a card's name."""

PHANTOM_NEEDLE = "phantom-needle"
"""Scenes that come with the phantom's own needle, in the place of a card's name."""

DRAWN = (GEL, PHANTOM_NEEDLE)
"""Names in a mix that are no cards."""

_TIP_SIGMA = 3.0

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Grounds:
    """Pictures without needles by card, scenes that are ready, and each kind's share.

    Raises `DataError` for a card that has a share but no pictures.
    """

    items: Mapping[str, Sequence[Item]]
    mix: Mapping[str, float]
    ready: Sequence[Scene] = ()

    def __post_init__(self) -> None:
        there = {GEL, *(card for card, items in self.items.items() if items)}
        if self.ready:
            there.add(PHANTOM_NEEDLE)
        empty = sorted(set(self.mix) - there)
        if empty:
            raise DataError(f"no pictures in {empty}; run `nerveseg data check` on each")

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.uint8] | Scene | None:
        """A picture, a scene that is ready, or ``None`` for gel."""
        shares = np.array(list(self.mix.values()))
        card = list(self.mix)[int(rng.choice(len(shares), p=shares / shares.sum()))]
        if card == GEL:
            return None
        if card == PHANTOM_NEEDLE:
            return self.ready[int(rng.integers(len(self.ready)))]
        return self.items[card][int(rng.integers(len(self.items[card])))].picture


class SceneSet(Dataset[Batch]):
    """The scene of each number, always the same: ``(1, s, s)``, ``(2, s/2, s/2)``, same.

    The first is the normalised picture, the second shaft and tip in 0..1 at the network's own
    resolution, the third 1 where the answer is judged.
    """

    def __init__(self, grounds: Grounds, spec: ModelSpec, *, seed: int, strength: float) -> None:
        self._grounds = grounds
        self._spec = spec
        self._seed = seed
        self._side = spec.input_hw[0]
        self._geometry = augment.geometry(spec.input_hw, strength=strength)
        self._looks = augment.looks()

    def scene(self, number: int) -> Scene:
        """The scene itself, as a picture with its truth."""
        rng = np.random.default_rng((self._seed, number))
        ground = self._grounds.draw(rng)
        for transform in (self._geometry, self._looks):
            transform.set_random_seed(int(rng.integers(2**31)))
        if isinstance(ground, Scene):
            scene = mirrored(ground) if rng.random() < 0.5 else ground
        else:
            moved = None if ground is None else self._geometry(image=ground)["image"]
            scene = make_scene(moved, rng, side=self._side)
        picture = np.ascontiguousarray(self._looks(image=scene.picture)["image"])
        return Scene(picture, scene.needle)

    def __getitem__(self, number: int) -> Batch:
        scene = self.scene(number)
        tensor = torch.from_numpy(scene.picture).float() / 255.0
        tensor = (tensor - self._spec.mean) / self._spec.std
        wanted, judged = targets(scene.needle, self._side)
        return tensor[None], torch.from_numpy(wanted), torch.from_numpy(judged)


def targets(
    needle: DrawnNeedle | None, side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What the network should answer and where it is judged, both ``(2, side/2, side/2)``.

    The tip's map is a bell of deviation `_TIP_SIGMA` pixels of the picture with its peak, 1, in
    the cell that holds the tip; a tip out of the plane has none.
    """
    half = side // 2
    wanted = np.zeros((2, half, half), np.float32)
    judged = np.ones((2, half, half), np.float32)
    if needle is None:
        return wanted, judged
    wanted[0] = needle.shaft.reshape(half, 2, half, 2).mean(axis=(1, 3))
    judged[0] = needle.judged.reshape(half, 2, half, 2).min(axis=(1, 3))
    if needle.tip_xy is not None:
        x, y = (int(value // 2) for value in needle.tip_xy)
        cells = np.arange(half)
        far = (cells[None, :] - x) ** 2 + (cells[:, None] - y) ** 2
        wanted[1] = np.exp(-far / (2 * (_TIP_SIGMA / 2) ** 2))
    return wanted, judged


class NumberedDraws(Sampler[int]):
    """Scene numbers of one epoch; the next epoch goes on from there, also after a resume."""

    def __init__(self, per_epoch: int) -> None:
        self._per_epoch = per_epoch
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._per_epoch

    def __iter__(self) -> Iterator[int]:
        start = self._epoch * self._per_epoch
        return iter(range(start, start + self._per_epoch))
