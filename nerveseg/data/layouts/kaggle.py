"""Kaggle's ultrasound-nerve-segmentation: ``train/{subject}_{frame}.tif`` and its mask.

The mask is ``{subject}_{frame}_mask.tif``, or a row of ``train_masks.csv`` where that file is
missing: ``subject,img,pixels`` with pairs "start length", counted from 1 down the columns. The
unlabelled ``test/`` pictures are left alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from nerveseg.data.cards import Card
from nerveseg.data.layouts.building import attempt, build, option_text
from nerveseg.data.pictures import MaskPicture, list_pictures, read_gray
from nerveseg.errors import DataError
from nerveseg.types import Mask, Sample

__all__ = ["read"]

_MASK = "_mask"
_BRIGHT = 128


def read(card: Card, root: Path) -> Iterator[Sample | DataError]:
    """The labelled pictures, in the order of subject and frame; ``group`` is the subject."""
    structure = _only_class(card)
    runs = _runs(root / "train_masks.csv")
    for image in list_pictures(root / option_text(card, "images", default="train")):
        if not image.stem.endswith(_MASK):
            yield attempt(partial(_sample, card, image, structure, runs))


def _sample(card: Card, image: Path, structure: str, runs: Mapping[str, str]) -> Sample:
    subject, separator, _ = image.stem.partition("_")
    if not separator:
        raise DataError(f"{image} is not named subject_frame.tif, as Kaggle names its pictures")
    pixels = read_gray(image)
    mask = _mask(image, pixels.shape, runs)
    return build(
        card, image, pixels, {structure: mask}, name=image.name, group=f"subject {subject}"
    )


def _mask(image: Path, shape: tuple[int, ...], runs: Mapping[str, str]) -> Mask:
    path = image.with_name(f"{image.stem}{_MASK}{image.suffix}")
    if path.is_file():
        return MaskPicture(path).at_least(_BRIGHT)
    if image.stem in runs:
        return _decode(runs[image.stem], (shape[0], shape[1]), image)
    raise DataError(f"{image} has no mask: neither {path.name} nor a row in train_masks.csv")


def _decode(text: str, shape: tuple[int, int], image: Path) -> Mask:
    flat = np.zeros(shape[0] * shape[1], dtype=np.bool_)
    try:
        values = [int(each) for each in text.split()]
        pairs = list(zip(values[::2], values[1::2], strict=True))
    except ValueError as error:
        raise DataError(f"{image}: its row in train_masks.csv is no list of pairs") from error
    for start, length in pairs:
        if start < 1 or length < 0 or start - 1 + length > flat.size:
            raise DataError(f"{image}: train_masks.csv marks pixels outside of the picture")
        flat[start - 1 : start - 1 + length] = True
    return np.ascontiguousarray(flat.reshape(shape, order="F"))


def _runs(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {f"{row['subject']}_{row['img']}": row["pixels"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(f"{path} can't be read as subject,img,pixels: {error}") from error


def _only_class(card: Card) -> str:
    if len(card.classes) != 1:
        raise DataError(f"{card.path}: this layout labels one class, the card names more")
    return next(iter(card.classes))
