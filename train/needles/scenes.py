"""A labelled training picture: tissue or gel, perhaps a needle, and what is none."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train.needles import distractors, fields, grounds, render
from train.needles.fields import Image
from train.needles.render import DrawnNeedle

__all__ = ["Scene", "make_scene", "mirrored"]

_NEEDLE, _SECTOR = 0.65, 0.36


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """``picture`` is ``uint8`` ``(h, w)``; ``needle`` is ``None`` where there is none."""

    picture: Image
    needle: DrawnNeedle | None


def make_scene(ground: Image | None, rng: np.random.Generator, *, side: int = 256) -> Scene:
    """A scene of ``side`` by ``side`` pixels on ``ground`` (``uint8``); on gel without one.

    ``ground`` must hold no needle. The same ``rng`` state gives the same scene.
    """
    if ground is None:
        picture = grounds.gel(rng, (side, side))
    else:
        picture = np.asarray(cv2.resize(ground, (side, side), interpolation=cv2.INTER_AREA))
    field = fields.linear(picture)
    if rng.random() < _SECTOR:
        picture, field = fields.sector(picture, rng)
    picture = _gain(picture, rng)
    drawn = render.draw(picture, field, rng) if rng.random() < _NEEDLE else None
    if drawn is None:
        return Scene(distractors.add(picture, field, rng), None)
    # What lies before the needle and what lies behind it: both happen.
    if rng.random() < 0.5:
        cluttered = distractors.add(picture, field, rng)
        again = render.draw(cluttered, field, rng)
        return Scene(again[0], again[1]) if again is not None else Scene(cluttered, None)
    return Scene(*drawn)


def _gain(picture: Image, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Tissue as dark as many needle pictures are, or as it was."""
    if rng.random() < 0.5:
        return picture
    table = 255 * rng.uniform(0.35, 1.0) * (np.arange(256) / 255) ** rng.uniform(0.8, 1.8)
    return np.asarray(cv2.LUT(picture, np.clip(table, 0, 255).astype(np.uint8)), np.uint8)


def mirrored(scene: Scene) -> Scene:
    """The scene with left and right exchanged."""
    picture = np.ascontiguousarray(scene.picture[:, ::-1])
    needle, last = scene.needle, scene.picture.shape[1] - 1
    if needle is None:
        return Scene(picture, None)
    tip = None if needle.tip_xy is None else (last - needle.tip_xy[0], needle.tip_xy[1])
    entry = (last - needle.entry_xy[0], needle.entry_xy[1])
    return Scene(picture, DrawnNeedle(entry, tip, needle.shaft[:, ::-1], needle.judged[:, ::-1]))
