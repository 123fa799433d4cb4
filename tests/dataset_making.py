"""Small pictures, masks and cards, made on the spot in the layouts that publishers use."""

from __future__ import annotations

import cv2
import numpy as np

from nerveseg.data import cards

HEIGHT, WIDTH = 40, 48
BOX = (slice(10, 20), slice(8, 24))


def speckle(seed, *, height=HEIGHT, width=WIDTH):
    """A picture with structure of its own, as a frame of another patient has."""
    rough = np.random.default_rng(seed).random((9, 9)).astype(np.float32)
    grain = np.random.default_rng(seed + 999).random((height, width)).astype(np.float32)
    smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(200 * smooth + 40 * grain, 0, 255).astype(np.uint8)


def box_mask(value=255, *, shape=(HEIGHT, WIDTH)):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[BOX] = value
    return mask


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def write_card(folder, text, *, name="mine"):
    path = folder / f"{name}.toml"
    head = f'name = "{name}"\nlicence = "mine"\nuse = "train"\n'
    path.write_text(head + text, encoding="utf-8")
    return cards.load(path)


MASK_FILES = """
[layout]
kind = "mask-files"
images = ["images"]
[classes.nerve]
folder = "../masks"
value = 1
[classes.vessel]
folder = "../masks"
value = 2
"""


def small_set(folder):
    """A card of one's own with three pictures and their masks."""
    for i in range(3):
        write(folder / "images" / f"f{i}.png", speckle(i))
        write(folder / "masks" / f"f{i}.png", box_mask(1))
    return write_card(folder, MASK_FILES)
