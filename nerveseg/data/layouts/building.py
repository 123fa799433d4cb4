"""What every layout does alike: make a `Sample`, find its group, check a card's options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from nerveseg.data.cards import Card
from nerveseg.errors import DataError
from nerveseg.types import GrayImage, Mask, Sample

__all__ = ["attempt", "build", "group_of", "option_number", "option_text", "option_texts"]


def attempt(make: Callable[[], Sample]) -> Sample | DataError:
    """The sample that ``make`` builds, or the error it met."""
    try:
        return make()
    except DataError as error:
        return error


def build(
    card: Card,
    source: Path,
    image: GrayImage,
    masks: Mapping[str, Mask],
    *,
    name: str,
    group: str,
) -> Sample:
    """A `Sample` of ``card``; `DataError` names ``source`` when a mask has another size."""
    for structure, mask in masks.items():
        if mask.shape != image.shape:
            raise DataError(
                f"{source}: the {structure} mask is {mask.shape[1]}x{mask.shape[0]} pixels, "
                f"the image {image.shape[1]}x{image.shape[0]}; they must match"
            )
    return Sample(
        name=name,
        image=image,
        masks=dict(masks),
        known=frozenset(masks),
        group=group,
        card=card.name,
    )


def group_of(card: Card, name: str) -> str:
    """The subject in a file name, by the card's ``group`` pattern; else the name itself."""
    pattern = card.layout.get("group")
    if not isinstance(pattern, str):
        return name
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise DataError(f"{card.path}: layout.group {pattern!r} is no pattern: {error}") from error
    if match is None:
        raise DataError(f"{name} does not match layout.group {pattern!r} of card {card.path}")
    return match.group(1) if match.re.groups else match.group(0)


def option_texts(card: Card, key: str, *, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A layout option that is a list of texts."""
    value = card.layout.get(key, list(default))
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or not value:
        raise DataError(f"{card.path}: layout.{key} is {value!r}, expected a list of texts")
    return tuple(value)


def option_text(card: Card, key: str, *, default: str) -> str:
    """A layout option that is a text."""
    value = card.layout.get(key, default)
    if not isinstance(value, str):
        raise DataError(f"{card.path}: layout.{key} is {value!r}, expected a text")
    return value


def option_number(card: Card, key: str, *, default: int) -> int:
    """A layout option that counts something, from 1 up."""
    value = card.layout.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"{card.path}: layout.{key} is {value!r}, expected a whole number from 1")
    return value
