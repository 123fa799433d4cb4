"""Split a set by clusters of look-alike frames, so that near-twins never face each other.

No public set here names its subjects, so frames are compared: a frame's image region is shrunk
to 32x32, its slow brightness changes are removed, and two frames are as alike as the highest
normalised cross-correlation over shifts of up to 2 cells (a probe that slid a little still
shows the same patient). Frames above a threshold are linked, linked frames form a cluster
(single linkage), and a whole cluster goes to one part. The thresholds stand in the card; the
outcome is committed, and it is the file, not the algorithm, that decides.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg import resources
from nerveseg.data import cards
from nerveseg.data.cards import Card
from nerveseg.data.layouts import reader_of
from nerveseg.errors import DataError, StoreError
from nerveseg.types import GrayImage, Sample
from nerveseg.video.crop import textured_box

__all__ = ["ALGORITHM", "Cluster", "Part", "Split", "exists", "load", "make", "path_of", "save"]

Part: TypeAlias = Literal["train", "val", "test"]

ALGORITHM = "shifted-ncc-single-linkage/1"
"""Raised when a change of the code below would change a split."""

_SHARES: Mapping[Part, float] = {"train": 0.7, "val": 0.1, "test": 0.2}
_SIDE = 32
_SHIFT = 2


@dataclass(frozen=True, slots=True)
class Cluster:
    """Names of frames that look alike, and the part that all of them belong to."""

    part: Part
    names: tuple[str, ...]


class Split(Mapping[str, Part]):
    """Sample name to part, with how it was made: seed, thresholds, algorithm version."""

    def __init__(
        self,
        card: str,
        clusters: Sequence[Cluster],
        *,
        seed: int,
        threshold: float,
        neighbour_threshold: float,
        reach: int,
        algorithm: str = ALGORITHM,
    ) -> None:
        self.card = card
        self.clusters = tuple(clusters)
        self.seed = seed
        self.threshold = threshold
        self.neighbour_threshold = neighbour_threshold
        self.reach = reach
        self.algorithm = algorithm
        self._parts = {name: each.part for each in self.clusters for name in each.names}

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def clusters_by_name(self) -> dict[str, int]:
        """Sample name to the number of its cluster."""
        return {name: i for i, each in enumerate(self.clusters) for name in each.names}

    def counts(self) -> dict[Part, tuple[int, int]]:
        """Part to its number of clusters and of samples."""
        return {
            part: (
                sum(each.part == part for each in self.clusters),
                sum(len(each.names) for each in self.clusters if each.part == part),
            )
            for part in _SHARES
        }


def make(
    card: Card, root: Path | None = None, *, seed: int = 0, threshold: float | None = None
) -> Split:
    """Cluster the card's frames and share the clusters out, about 70/10/20.

    ``threshold`` overrides the card's; where the card's layout names a subject in each file
    name, frames of one subject are linked as well. Holds one 32x32 descriptor per frame, and
    takes time quadratic in their number. Raises `DataError` at a broken sample.
    """
    rule = card.split
    level = rule.threshold if threshold is None else threshold
    names, groups, descriptors = _describe(_raising(card, root))
    if not names:
        raise DataError(f"{card.name} has no samples to split; check {cards.data_root(card, root)}")
    alike = _similarity(descriptors)
    linked = alike >= level
    linked |= (alike >= rule.neighbour_threshold) & _near_in_number(names, rule.reach)
    linked |= _same(groups)
    clusters = [tuple(names[i] for i in members) for members in _components(linked)]
    return Split(
        card.name,
        _share_out(clusters, seed=seed),
        seed=seed,
        threshold=level,
        neighbour_threshold=rule.neighbour_threshold,
        reach=rule.reach,
    )


def path_of(card: Card | str) -> Path:
    """File of the committed split: ``datasets/splits/<name>.json``, or beside your own card."""
    if isinstance(card, Card) and card.path.parent != resources.datasets_dir():
        return card.path.with_name(f"{card.name}.split.json")
    name = card if isinstance(card, str) else card.name
    return resources.datasets_dir() / "splits" / f"{name}.json"


def exists(card: Card | str) -> bool:
    """Whether a split is stored for this card."""
    return path_of(card).is_file()


def load(card: Card | str) -> Split:
    """The stored split of a card (or of a card's name); `DataError` if missing or malformed."""
    path = path_of(card)
    name = card if isinstance(card, str) else card.name
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{name} has no split at {path}; make one with `nerveseg data split {name}`"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"split {path} can't be read: {error}") from error
    try:
        return _from_table(table)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"split {path} is malformed ({error}); make it anew") from error


def save(split: Split, path: Path | None = None) -> Path:
    """Write ``split`` (default: where `load` looks), one line per cluster; returns the path."""
    target = path_of(split.card) if path is None else path
    options = f"--seed {split.seed} --threshold {split.threshold}"
    head = {
        "card": split.card,
        "command": f"nerveseg data split {split.card} {options}",
        "algorithm": split.algorithm,
        "seed": split.seed,
        "threshold": split.threshold,
        "neighbour_threshold": split.neighbour_threshold,
        "reach": split.reach,
    }
    lines = [
        json.dumps({"part": each.part, "names": list(each.names)}, ensure_ascii=False)
        for each in split.clusters
    ]
    opening = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    text = opening + ',\n "clusters": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    partial = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise StoreError(f"split {target} can't be written: {error}") from error
    return target


def _from_table(table: dict[str, object]) -> Split:
    clusters = []
    for entry in cast("list[dict[str, object]]", table["clusters"]):
        part, names = entry["part"], cast("list[str]", entry["names"])
        if part not in _SHARES:
            raise ValueError(f"part {part!r}")
        clusters.append(Cluster(cast("Part", part), tuple(names)))
    return Split(
        str(table["card"]),
        clusters,
        seed=int(cast("int", table["seed"])),
        threshold=float(cast("float", table["threshold"])),
        neighbour_threshold=float(cast("float", table["neighbour_threshold"])),
        reach=int(cast("int", table["reach"])),
        algorithm=str(table["algorithm"]),
    )


def _raising(card: Card, root: Path | None) -> Iterator[Sample]:
    for item in reader_of(card)(card, cards.data_root(card, root)):
        if isinstance(item, DataError):
            raise item
        yield item


def _describe(
    found: Iterable[Sample],
) -> tuple[list[str], list[str], npt.NDArray[np.float32]]:
    names, groups, descriptors = [], [], []
    for sample in found:
        names.append(sample.name)
        groups.append(sample.group)
        descriptors.append(_descriptor(sample.image))
    return names, groups, np.asarray(descriptors, dtype=np.float32)


def _descriptor(image: GrayImage) -> npt.NDArray[np.float32]:
    """The image region at 32x32 without its slow changes, which all frames of a depth share."""
    region = image[textured_box(image).slices].astype(np.float32)
    small = cv2.resize(region, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small - cv2.GaussianBlur(small, (0, 0), 4.0), dtype=np.float32)


def _similarity(descriptors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Highest correlation of each pair's windows over all shifts: ``float32`` ``(N, N)``."""
    side = _SIDE - 2 * _SHIFT
    centres = _unit(descriptors[:, _SHIFT : _SHIFT + side, _SHIFT : _SHIFT + side])
    best = np.full((len(descriptors),) * 2, -1.0, dtype=np.float32)
    for top in range(2 * _SHIFT + 1):
        for left in range(2 * _SHIFT + 1):
            window = _unit(descriptors[:, top : top + side, left : left + side])
            np.maximum(best, window @ centres.T, out=best)
    return np.maximum(best, best.T)


def _unit(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    flat = windows.reshape(len(windows), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-6), dtype=np.float32)


def _near_in_number(names: Sequence[str], reach: int) -> npt.NDArray[np.bool_]:
    """Which pairs carry numbers at most ``reach`` apart after the same beginning."""
    found = [re.search(r"(\d+)\D*$", name) for name in names]
    numbers = np.array([int(m.group(1)) % 2**53 if m else 0 for m in found], dtype=np.int64)
    starts = [
        name[: m.start()] if m else f"\0{i}"
        for i, (name, m) in enumerate(zip(names, found, strict=True))
    ]
    close = np.abs(numbers[:, None] - numbers[None, :]) <= reach
    return np.asarray(close & _same(starts), dtype=np.bool_)


def _same(labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    return np.asarray(codes[:, None] == codes[None, :], dtype=np.bool_)


def _components(linked: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Connected components of a symmetric adjacency matrix, each ascending, by first member."""
    unseen = np.ones(len(linked), dtype=np.bool_)
    components = []
    for start in range(len(linked)):
        if not unseen[start]:
            continue
        members = np.zeros(len(linked), dtype=np.bool_)
        members[start] = True
        frontier = members
        while frontier.any():
            frontier = linked[frontier].any(axis=0) & ~members
            members |= frontier
        unseen &= ~members
        components.append([int(i) for i in np.flatnonzero(members)])
    return components


def _share_out(clusters: Sequence[tuple[str, ...]], *, seed: int) -> list[Cluster]:
    """Give each cluster to the part that lacks most of its share, in an order set by ``seed``.

    A cluster larger than half of the test part would be most of what is measured: such ones
    come first, and fill training as far as they fit.
    """
    total = sum(map(len, clusters))
    filled: dict[Part, int] = dict.fromkeys(_SHARES, 0)
    parts: dict[tuple[str, ...], Part] = {}
    largest = 0.5 * _SHARES["test"] * total
    by_chance = sorted(clusters, key=lambda names: _chance(names[0], seed))
    for names in sorted(by_chance, key=lambda names: len(names) <= largest):
        fits = filled["train"] + len(names) <= _SHARES["train"] * total
        part = "train" if len(names) > largest and fits else _neediest(filled, total)
        filled[part] += len(names)
        parts[names] = part
    return [Cluster(parts[names], names) for names in clusters]


def _neediest(filled: Mapping[Part, int], total: int) -> Part:
    return min(_SHARES, key=lambda part: filled[part] / (_SHARES[part] * total))


def _chance(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
