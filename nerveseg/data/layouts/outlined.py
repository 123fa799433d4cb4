"""Pictures with outlines: a LabelMe JSON for each, or one COCO JSON for all.

Both take ``images`` (list of folders), optionally ``group`` (pattern for the subject in a file
name) and ``unlabelled`` (``"error"``, the default, or ``"skip"`` for pictures nobody labelled).
COCO also takes ``annotations``, its file. Each ``[classes.NAME]`` has ``labels``, the words that
mean the class in these files (default: the class's own name).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, cast

from nerveseg import labels
from nerveseg.data.cards import Card
from nerveseg.data.layouts.building import attempt, build, group_of, option_text, option_texts
from nerveseg.data.pictures import list_pictures, read_gray
from nerveseg.errors import DataError
from nerveseg.labels import LabelledImage
from nerveseg.types import Mask, Sample

__all__ = ["read_coco", "read_labelme"]


def read_labelme(card: Card, root: Path) -> Iterator[Sample | DataError]:
    """Pictures found under the ``images`` folders, each with the JSON of its stem.

    The JSON lies beside the picture or anywhere else under ``root``, as some publishers keep
    two folders. Names of samples are paths below ``root``.
    """
    words = _words(card)
    jsons = _jsons_by_stem(root)
    for folder in option_texts(card, "images", default=(".",)):
        for image in list_pictures(root / folder, recursive=True):
            found = _labels_of(image, jsons)
            if found is not None or _unlabelled(card) == "error":
                yield attempt(partial(_from_labelme, card, root, image, found, words))


def read_coco(card: Card, root: Path) -> Iterator[Sample | DataError]:
    """Pictures that the ``annotations`` file lists, looked up in the ``images`` folders."""
    words = _words(card)
    folders = [root / each for each in option_texts(card, "images", default=(".",))]
    for labelled in labels.read_coco(
        root / option_text(card, "annotations", default="annotations.json")
    ):
        if labelled.labels or _unlabelled(card) == "error":
            yield attempt(partial(_from_coco, card, root, folders, labelled, words))


def _from_labelme(
    card: Card, root: Path, image: Path, found: Path | None, words: Mapping[str, str]
) -> Sample:
    if found is None:
        raise DataError(
            f"{image} has no LabelMe file {image.stem}.json; label it, or set layout.unlabelled "
            f'to "skip" in {card.path}'
        )
    name = image.relative_to(root).as_posix()
    return _sample(card, image, name, labels.read_labelme(found), words)


def _from_coco(
    card: Card, root: Path, folders: list[Path], labelled: LabelledImage, words: Mapping[str, str]
) -> Sample:
    inside = [_inside(folder, labelled.file_name) for folder in folders]
    for image in inside:
        if image.is_file():
            name = image.relative_to(root.resolve()).as_posix()
            return _sample(card, image, name, labelled, words)
    raise DataError(f"{inside[0]} is missing, but the annotations of {card.name} list it")


def _inside(folder: Path, file_name: str) -> Path:
    """The file a COCO file names: it must not lead out of the data's folder."""
    path = (folder / file_name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(f"a COCO file names {file_name!r}, which leads out of {folder}")
    return path


def _sample(
    card: Card, image: Path, name: str, labelled: LabelledImage, words: Mapping[str, str]
) -> Sample:
    outlines: dict[str, list[labels.Polygon]] = {structure: [] for structure in card.classes}
    for label in labelled.labels:
        if label.structure in words:
            outlines[words[label.structure]].append(label.polygon)
    pixels = read_gray(image)
    if labelled.shape != pixels.shape:
        raise DataError(
            f"{image} is {pixels.shape[1]}x{pixels.shape[0]} pixels, but was labelled as "
            f"{labelled.shape[1]}x{labelled.shape[0]}; label the picture as it is"
        )
    masks: dict[str, Mask] = {
        structure: labels.rasterise(polygons, pixels.shape)
        for structure, polygons in outlines.items()
    }
    return build(card, image, pixels, masks, name=name, group=group_of(card, name))


def _words(card: Card) -> dict[str, str]:
    """From the word in a label file to the class it means."""
    words: dict[str, str] = {}
    for structure, options in card.classes.items():
        listed = options.get("labels", [structure])
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise DataError(f"{card.path}: classes.{structure}.labels must be a list of texts")
        for word in listed:
            if words.setdefault(word, structure) != structure:
                raise DataError(f"{card.path}: label {word!r} means two classes; name it once")
    return words


def _unlabelled(card: Card) -> Literal["error", "skip"]:
    value = option_text(card, "unlabelled", default="error")
    if value not in ("error", "skip"):
        raise DataError(f'{card.path}: layout.unlabelled is {value!r}, expected "error" or "skip"')
    return cast('Literal["error", "skip"]', value)


def _jsons_by_stem(root: Path) -> dict[str, Path | None]:
    """Every JSON under ``root`` by stem; ``None`` where two share a stem."""
    found: dict[str, Path | None] = {}
    for path in sorted(root.rglob("*.json")):
        found[path.stem] = None if path.stem in found else path
    return found


def _labels_of(image: Path, jsons: Mapping[str, Path | None]) -> Path | None:
    beside = image.with_suffix(".json")
    return beside if beside.is_file() else jsons.get(image.stem)
