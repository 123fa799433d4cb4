"""Pictures in one folder, masks of the same stem beside them or in another folder.

``[layout]`` has ``images`` (list of folders) and optionally ``group`` (pattern for the subject in
a file name). Each ``[classes.NAME]`` has ``folder`` (relative to the images' folder, default
``.``), ``suffix`` (added to the stem) and either ``value`` (exact value or palette index, or a
list of them) or ``threshold`` (at least this bright, default 100).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nerveseg.data.cards import Card, Options
from nerveseg.data.layouts.building import attempt, build, group_of, option_texts
from nerveseg.data.pictures import MaskPicture, find_by_stem, list_pictures, read_gray
from nerveseg.errors import DataError
from nerveseg.types import Mask, Sample

__all__ = ["read"]


@dataclass(frozen=True, slots=True)
class _MaskRule:
    """Where one class's mask lies and which of its values mean the class."""

    folder: str
    suffix: str
    values: tuple[int, ...]
    threshold: int

    def path_for(self, image: Path) -> Path:
        folder = image.parent / self.folder
        path = find_by_stem(folder, image.stem + self.suffix)
        if path is None:
            raise DataError(f"{image} has no mask: {folder / (image.stem + self.suffix)}.* missing")
        return path

    def select(self, picture: MaskPicture) -> Mask:
        if self.values:
            return picture.equal_to(*self.values)
        return picture.at_least(self.threshold)


def read(card: Card, root: Path) -> Iterator[Sample | DataError]:
    """The card's samples in file order, each read when asked for; or why one can't be had."""
    rules = {name: _rule(card, name) for name in card.classes}
    folders = option_texts(card, "images")
    for folder in folders:
        for image in list_pictures(root / folder):
            if _is_mask(image, rules):
                continue
            name = image.name if len(folders) == 1 else image.relative_to(root).as_posix()
            yield attempt(partial(_sample, card, image, name, rules))


def _sample(card: Card, image: Path, name: str, rules: dict[str, _MaskRule]) -> Sample:
    pictures: dict[Path, MaskPicture] = {}
    masks: dict[str, Mask] = {}
    for structure, rule in rules.items():
        path = rule.path_for(image)
        if path not in pictures:
            pictures[path] = MaskPicture(path)
        masks[structure] = rule.select(pictures[path])
    return build(card, image, read_gray(image), masks, name=name, group=group_of(card, name))


def _is_mask(path: Path, rules: dict[str, _MaskRule]) -> bool:
    """Masks may lie among the pictures, told apart by their suffix alone."""
    beside = (rule.suffix for rule in rules.values() if rule.folder in ("", "."))
    return any(suffix and path.stem.endswith(suffix) for suffix in beside)


def _rule(card: Card, structure: str) -> _MaskRule:
    options = card.classes[structure]
    folder, suffix = options.get("folder", "."), options.get("suffix", "")
    values, threshold = _values(options), options.get("threshold", 100)
    if not isinstance(folder, str) or not isinstance(suffix, str):
        raise DataError(f"{card.path}: classes.{structure} needs texts for folder and suffix")
    if not all(isinstance(each, int) for each in (*values, threshold)):
        raise DataError(f"{card.path}: classes.{structure} needs whole numbers as value, threshold")
    if folder in ("", ".") and not suffix:
        raise DataError(f"{card.path}: classes.{structure} needs a folder or a suffix")
    return _MaskRule(folder=folder, suffix=suffix, values=values, threshold=threshold)


def _values(options: Options) -> tuple[int, ...]:
    value = options.get("value", [])
    return tuple(value) if isinstance(value, list) else (value,)
