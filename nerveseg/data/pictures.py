"""Read one picture or one mask file of a dataset, or say which file is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import DataError, SourceError
from nerveseg.types import GrayImage, Mask
from nerveseg.video import sources

__all__ = [
    "IMAGE_SUFFIXES",
    "MaskPicture",
    "find_by_stem",
    "list_pictures",
    "natural_key",
    "read_gray",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


class MaskPicture:
    """A mask file as numbers: palette or grey values, whichever the publisher used.

    ``values`` is ``uint8`` ``(H, W)``. Palette files follow the Pascal VOC colours (1 is
    (128, 0, 0), 2 is (0, 128, 0), …), as LabelMe exports them, and are turned into indices.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values = _indices(_decode(path))

    def equal_to(self, *wanted: int) -> Mask:
        """Where the mask has exactly one of these values or palette indices."""
        return np.isin(self.values, wanted)

    def at_least(self, threshold: int) -> Mask:
        """Where the mask is at least this bright (JPEG masks have soft edges)."""
        return np.asarray(self.values >= threshold, dtype=np.bool_)


def list_pictures(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Picture files in ``folder``, ordered by path with numbers counted as numbers."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; check the card's layout or fetch the data again")
    found = folder.rglob("*") if recursive else folder.iterdir()
    pictures = [
        path
        for path in found
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(pictures, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort key by which ``sample_2`` comes before ``sample_10``."""
    pieces = re.split(r"([0-9]+)", path.as_posix())
    return [(int(each), "") if i % 2 else (-1, each) for i, each in enumerate(pieces)]


def find_by_stem(folder: Path, stem: str) -> Path | None:
    """The picture ``stem.*`` in ``folder``, whatever its type; ``None`` if there is none."""
    for suffix in sorted(IMAGE_SUFFIXES):
        for variant in (suffix, suffix.upper()):
            path = folder / f"{stem}{variant}"
            if path.is_file():
                return path
    return None


def read_gray(path: Path) -> GrayImage:
    """Brightness of a picture, ``uint8`` ``(H, W)``; `DataError` names a file that is broken."""
    try:
        return sources.read_image(path)
    except SourceError as error:
        raise DataError(f"{path}: {error}") from error


def _decode(path: Path) -> npt.NDArray[Any]:
    """Every channel of a mask file as it is: the values are labels, not brightness."""
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    except (OSError, cv2.error) as error:
        raise DataError(f"{path} can't be read: {error}") from error
    if pixels is None:
        raise DataError(f"{path} is not a readable picture (empty, truncated or another type)")
    return np.asarray(pixels)


def _indices(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        pixels = pixels // 257 if pixels.dtype == np.uint16 else pixels.clip(0, 255)
        pixels = pixels.astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(blue, green) and np.array_equal(green, red):
        return np.ascontiguousarray(red)
    return _voc_index(red, green, blue)


def _voc_index(
    red: npt.NDArray[np.uint8], green: npt.NDArray[np.uint8], blue: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Invert the VOC colour map, in which bit ``3k+c`` of the index is bit ``7-k`` of channel c."""
    index = np.zeros(red.shape, dtype=np.uint8)
    for position in range(8):
        channel = (red, green, blue)[position % 3]
        index |= ((channel >> (7 - position // 3)) & 1) << position
    return index
