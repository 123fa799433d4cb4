"""Small files of every kind that ``nerveseg.video`` reads, made from pictures whose order shows.

``picture(i)`` holds a patch of brightness ``level(i)``: whoever gets the frames in another order,
or one of them twice, sees another brightness there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from nerveseg.types import Frame
from nerveseg.video import sources
from nerveseg.video.quiet import quiet_decoders

FRAMES = 12
WIDTH, HEIGHT = 64, 48
PATCH = (slice(12, 36), slice(16, 48))


def level(index: int) -> int:
    return 40 + 15 * (index % FRAMES)


def read_all(uri: str | Path, *, stride: int = 1) -> list[Frame]:
    with sources.open(uri, stride=stride) as clip:
        return list(clip)


def picture(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """``uint8`` ``(H, W)``: a dark gradient with a patch of brightness ``level(index)``."""
    pixels = np.tile(np.linspace(0, 30, width, dtype=np.uint8), (height, 1))
    pixels[PATCH] = level(index)
    return pixels


def textured(index: int) -> np.ndarray:
    """``uint8`` ``(240, 320, 3)``: enough detail that bytes in a file's middle are picture."""
    grain = np.random.default_rng(index).integers(0, 256, (30, 40), dtype=np.uint8)
    return cv2.cvtColor(cv2.resize(grain, (320, 240)), cv2.COLOR_GRAY2BGR)


def write_image(path: Path) -> Path:
    assert cv2.imwrite(str(path), picture(0))
    return path


def write_folder(path: Path) -> Path:
    path.mkdir()
    for index in range(FRAMES):
        assert cv2.imwrite(str(path / f"shot{index}.png"), picture(index))
    return path


def write_video(
    path: Path,
    fourcc: str,
    *,
    frames: int = FRAMES,
    make: Callable[[int], np.ndarray] | None = None,
) -> Path:
    make = make or (lambda index: cv2.cvtColor(picture(index), cv2.COLOR_GRAY2BGR))
    height, width = make(0).shape[:2]
    code = cv2.VideoWriter.fourcc(*fourcc)
    # Whoever uses FFmpeg first in a process settles how loud it is.
    with quiet_decoders():
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25, (width, height))
    assert writer.isOpened(), f"OpenCV here can't write {fourcc}"
    for index in range(frames):
        writer.write(make(index))
    writer.release()
    return path


def write_dicom(
    path: Path, frames: Sequence[np.ndarray], *, jpeg: bool = False, **elements: Any
) -> Path:
    """Frames ``(H, W)`` or red-first ``(H, W, 3)``; ``elements`` are set last, by keyword."""
    pixels = np.stack(frames)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[1:3]
    data.SamplesPerPixel = 1 if pixels.ndim == 3 else pixels.shape[3]
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 3 else "RGB"
    if data.SamplesPerPixel > 1:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    if len(pixels) > 1:
        data.NumberOfFrames = len(pixels)
        data.FrameTime = 40
    if jpeg:
        encoded = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in pixels]
        data.PixelData = encapsulate(encoded)
        data["PixelData"].is_undefined_length = True
    else:
        data.PixelData = pixels.tobytes()
        data["PixelData"].VR = "OB" if pixels.dtype == np.uint8 else "OW"
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return path


def region(
    delta_x: float,
    delta_y: float,
    *,
    corners: tuple[int, int, int, int] = (0, 0, WIDTH - 1, HEIGHT - 1),
    units: tuple[int, int] = (3, 3),
) -> Dataset:
    """An item of the Sequence of Ultrasound Regions, deltas in cm."""
    item = Dataset()
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_x, delta_y
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.RegionLocationMinX0, item.RegionLocationMinY0 = corners[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = corners[2:]
    return item


def regions(*items: Dataset) -> DicomSequence:
    return DicomSequence(items)


def write_meta(
    path: Path,
    frames: np.ndarray,
    *,
    compressed: bool = True,
    times: Sequence[float] | None = None,
    data_file: str = "LOCAL",
    extra: str = "",
) -> Path:
    """A MetaImage of ``frames`` ``(N, H, W[, C])``, with PLUS's fields if ``times`` are given."""
    names = {"uint8": "MET_UCHAR", "uint16": "MET_USHORT", "float32": "MET_FLOAT"}
    content = frames.tobytes()
    content = zlib.compress(content) if compressed else content
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        f"CompressedData = {compressed}",
        f"DimSize = {frames.shape[2]} {frames.shape[1]} {frames.shape[0]}",
        f"ElementNumberOfChannels = {1 if frames.ndim == 3 else frames.shape[3]}",
        f"ElementType = {names[str(frames.dtype)]}",
        *extra.splitlines(),
        *(f"Seq_Frame{i:04d}_Timestamp = {t}" for i, t in enumerate(times or ())),
        f"ElementDataFile = {data_file}",
    ]
    header = ("\n".join(lines) + "\n").encode()
    if data_file == "LOCAL":
        path.write_bytes(header + content)
    else:
        path.write_bytes(header)
        (path.parent / Path(data_file).name).write_bytes(content)
    return path


def png_header(width: int, height: int) -> bytes:
    """The first 33 bytes of a PNG of that size, and no picture."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(body)


def palette_png(indices: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> bytes:
    height, width = indices.shape
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in indices)
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = b"PLTE" + bytes(value for colour in palette for value in colour)
    chunks = (header, colours, b"IDAT" + zlib.compress(rows), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(body: bytes) -> bytes:
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def plain_tiff(pixels: np.ndarray) -> bytes:
    """An uncompressed grey TIFF whose directory comes before its only strip."""
    height, width = pixels.shape
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, pixels.size),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + pixels.tobytes()


@dataclass(frozen=True)
class Kind:
    """One kind of source: how to make it, and what reading it must give."""

    name: str
    make: Callable[[Path], str | Path]
    frames: int = FRAMES
    tolerance: int = 0
    times: tuple[float, ...] | None = None


def _meta_times() -> list[float]:
    # Uneven, as a tracker's clock is.
    return [232.5 + 0.08 * i + 0.01 * (i % 3) for i in range(FRAMES)]


def _stack() -> np.ndarray:
    return np.stack([picture(i) for i in range(FRAMES)])


_EVEN = tuple(index / 25 for index in range(FRAMES))
_TRACKED = tuple(time - 232.5 for time in _meta_times())

KINDS = (
    Kind("png", lambda folder: write_image(folder / "shot.png"), 1, times=(0.0,)),
    Kind("tif", lambda folder: write_image(folder / "shot.tif"), 1, times=(0.0,)),
    Kind("folder", lambda folder: write_folder(folder / "shots")),
    Kind("avi", lambda folder: write_video(folder / "clip.avi", "MJPG"), FRAMES, 6, _EVEN),
    Kind("mp4", lambda folder: write_video(folder / "clip.mp4", "mp4v"), FRAMES, 6, _EVEN),
    Kind("mov", lambda folder: write_video(folder / "clip.mov", "mp4v"), FRAMES, 6, _EVEN),
    Kind("mkv", lambda folder: write_video(folder / "clip.mkv", "MJPG"), FRAMES, 6, _EVEN),
    Kind("webm", lambda folder: write_video(folder / "clip.webm", "VP80"), FRAMES, 9, _EVEN),
    Kind("dicom", lambda folder: write_dicom(folder / "shot.dcm", [picture(0)]), 1, times=(0.0,)),
    Kind(
        "cine",
        lambda folder: write_dicom(folder / "cine.dcm", list(_stack())),
        times=_EVEN,
    ),
    Kind(
        "jpeg cine",
        lambda folder: write_dicom(folder / "cine.dcm", list(_stack()), jpeg=True),
        FRAMES,
        4,
        _EVEN,
    ),
    Kind(
        "mha",
        lambda folder: write_meta(folder / "scan.mha", _stack(), times=_meta_times()),
        times=_TRACKED,
    ),
    Kind(
        "mhd",
        lambda folder: write_meta(
            folder / "scan.mhd", _stack(), compressed=False, data_file="scan.raw"
        ),
    ),
    Kind("phantom", lambda folder: "phantom:axillary?seed=3&frames=12&size=96x96", times=_EVEN),
)
