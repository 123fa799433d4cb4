"""Still pictures as sources: one file, or a folder of them in natural order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import SourceError
from nerveseg.types import Frame, GrayImage
from nerveseg.video.clip import Clip, check_size, file_names
from nerveseg.video.headers import image_header
from nerveseg.video.quiet import held_complaints, quiet_decoders

__all__ = [
    "IMAGE_SUFFIXES",
    "FolderClip",
    "ImageClip",
    "coloured_share",
    "list_images",
    "read_image",
    "to_gray",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_DAMAGE = re.compile(rb"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression")
"""What libjpeg says of a picture whose rest it makes up."""

_MAX_IMAGE_BYTES = 512_000_000
"""No picture within the pixel limit needs a larger file."""


def list_images(folder: str | Path) -> list[Path]:
    """Pictures in ``folder`` itself, ``frame2`` before ``frame10``; `SourceError` if none."""
    folder = Path(folder)
    try:
        found = [p for p in folder.iterdir() if _is_image(p)]
    except OSError as error:
        raise SourceError(f"can't list {folder}: {error.strerror}; expected a folder") from error
    if not found:
        raise SourceError(
            f"{folder} holds no pictures; expected files ending in {', '.join(IMAGE_SUFFIXES)}, "
            "or the path of one clip"
        )
    return sorted(found, key=lambda path: _natural(path.name))


def _is_image(path: Path) -> bool:
    # macOS leaves "._name.png" companions that are no pictures.
    return (
        path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part.lower())
        for part in re.split(r"(\d+)", name)
        if part
    ]


def read_image(path: str | Path) -> GrayImage:
    """The picture in ``path`` (PNG, JPEG, BMP, first page of a TIFF) as grey ``uint8`` ``(H, W)``.

    Colour becomes luma (ITU-R BT.601), transparency is laid over black, 16 bits are scaled
    from the picture's own lowest..highest value to 0..255. The size is checked in the header
    before anything is decoded. Raises `SourceError` for a file that is missing, empty, cut
    short, damaged, no picture, or too small or large.
    """
    path = Path(path)
    content = _content(path)
    header = image_header(content, path.name)
    check_size(path.name, header.width, header.height)
    if not header.complete:
        raise SourceError(f"{path.name} is cut short: its end is missing; copy it again")
    picture = _decode(content)
    if picture is None:
        raise SourceError(
            f"{path.name} can't be decoded: it is a damaged {header.kind} file; save it again"
        )
    return to_gray(picture)


def _content(path: Path) -> npt.NDArray[np.uint8]:
    try:
        size = path.stat().st_size
        if size > _MAX_IMAGE_BYTES:
            raise SourceError(
                f"{path.name} has {size:,} bytes, expected a picture of at most "
                f"{_MAX_IMAGE_BYTES:,}"
            )
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SourceError(f"can't read {path}: {error.strerror}; check the path") from error
    if content.size == 0:
        raise SourceError(f"{path.name} is empty (0 bytes); expected a picture")
    return content


def _decode(content: npt.NDArray[np.uint8]) -> npt.NDArray[Any] | None:
    """The picture as stored, or ``None`` if it is damaged."""
    with quiet_decoders(), held_complaints() as complaints:
        try:
            # Rotation tags are left alone, so that results lie on the file's own pixels.
            picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    damaged = any(_DAMAGE.search(line) for line in complaints)
    return None if picture is None or picture.size == 0 or damaged else np.asarray(picture)


def to_gray(
    picture: npt.NDArray[Any], *, value_range: tuple[float, float] | None = None
) -> GrayImage:
    """``(H, W)`` or blue-first ``(H, W, 1 | 3 | 4)`` of any number type as ``uint8`` ``(H, W)``.

    8-bit values stay; others are scaled from ``value_range`` (default: their own
    lowest..highest) to 0..255, not-a-number becoming 0.
    """
    gray = _luma(picture if picture.dtype in (np.uint8, np.uint16) else _as_float(picture))
    if gray.dtype == np.uint8:
        return np.ascontiguousarray(gray, np.uint8)
    low, high = value_range or (float(gray.min()), float(gray.max()))
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = (gray.astype(np.float32) - np.float32(low)) * np.float32(scale)
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def coloured_share(picture: npt.NDArray[np.uint8]) -> float | None:
    """Share (0..1) of a picture's pixels that have a colour; ``None`` for a grey ``(H, W)`` one.

    Ultrasound is grey but for a scanner's chrome or a Doppler box; a camera shows a room in colour.
    Looks at some ten thousand of the pixels of a blue-first ``(H, W, 3 | 4)`` picture.
    """
    if picture.ndim != 3 or picture.shape[2] < 3:
        return None
    step = max(1, max(picture.shape[:2]) // 128)
    looked_at = picture[::step, ::step, :3].astype(np.int16)
    return float(np.mean(np.ptp(looked_at, axis=2) > _COLOURED))


_COLOURED = 40
"""Grey levels by which the channels of a coloured pixel differ: more than JPEG makes of grey."""


def _as_float(picture: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.nan_to_num(picture.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _luma(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if picture.ndim == 2:
        return picture
    channels = picture.shape[2]
    if channels == 1:
        return picture[..., 0]
    if channels == 2:
        return _over_black(picture[..., 0], picture[..., 1])
    gray = np.asarray(cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_BGR2GRAY))
    return gray if channels == 3 else _over_black(gray, picture[..., 3])


def _over_black(gray: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> npt.NDArray[Any]:
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1.0
    if bool((alpha == opaque).all()):
        return gray
    return np.asarray(gray * (alpha.astype(np.float32) / opaque)).round().astype(gray.dtype)


class ImageClip(Clip):
    """One picture as a clip of one frame at 0 s."""

    def __init__(self, path: Path, *, stride: int = 1) -> None:
        self._pixels = read_image(path)
        height, width = self._pixels.shape
        name, file = file_names(path)
        super().__init__(name, file=file, stride=stride, frame_count=1, size_wh=(width, height))

    def frame_name(self, index: int) -> str:
        """The file's stem: a picture needs no number."""
        del index
        return self.name

    def _frames(self) -> Iterator[Frame]:
        yield Frame(0, 0.0, self._pixels)


class FolderClip(Clip):
    """The pictures of a folder as frames one second apart; sizes may differ.

    A picture that can't be read is skipped and counted; if none can, `SourceError`.
    """

    stills = True

    def __init__(self, folder: Path, *, stride: int = 1) -> None:
        self._paths = list_images(folder)
        self._stems = Counter(path.stem for path in self._paths)
        name = folder.resolve().name
        super().__init__(name, file=name, stride=stride, frame_count=len(self._paths))

    def frame_name(self, index: int) -> str:
        """Stem of that picture's file, or its full name where two share a stem."""
        path = self._paths[index]
        return path.stem if self._stems[path.stem] == 1 else path.name

    def frame_file(self, index: int) -> str:
        """Name of that picture's file."""
        return self._paths[index].name

    def _frames(self) -> Iterator[Frame]:
        shown = 0
        for index in range(0, len(self._paths), self.stride):
            try:
                pixels = read_image(self._paths[index])
            except SourceError as error:
                self._broken(str(error))
                continue
            shown += 1
            yield Frame(index, float(index), pixels)
        if shown == 0:
            raise SourceError(
                f"none of the pictures in {self.name} can be read: {self.problems[0]}"
            )
