"""Open anything that shows ultrasound as a `Clip`: an iterator of frames.

::

    with sources.open("block.mp4") as clip:
        for frame in clip:
            frame.pixels, frame.time_s

A file's kind is told by its content, not by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from nerveseg.errors import SourceError
from nerveseg.phantom import Phantom, parse_uri
from nerveseg.types import Frame
from nerveseg.video.clip import Clip
from nerveseg.video.containers import container_kind
from nerveseg.video.headers import image_kind
from nerveseg.video.images import IMAGE_SUFFIXES, FolderClip, ImageClip, list_images, read_image
from nerveseg.video.recorded import RecordedClip, is_recording
from nerveseg.video.recording import VIDEO_SUFFIXES, VideoClip

__all__ = ["Clip", "list_images", "open", "read_image"]

_PHANTOM = "phantom:"
_PHANTOM_FPS = 25.0
_META_SUFFIXES = (".mha", ".mhd")
_META_KEYS = (b"ObjectType", b"NDims", b"Comment", b"ObjectSubType")
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


class _Opener(Protocol):
    def __call__(self, path: Path, /, *, stride: int) -> Clip: ...


def open(uri: str | Path, *, stride: int = 1) -> Clip:  # noqa: A001 - reads as sources.open
    """The clip at ``uri``; every ``stride``-th of its frames.

    ``uri`` is the path of a picture (PNG, JPEG, TIFF, BMP), a folder of pictures, a recording's
    folder, a video (MP4, MOV, AVI, MKV, WebM), a DICOM file (one picture or a cine), an MHA or
    MHD sequence, or a phantom's address such as ``phantom:axillary?seed=3&frames=120``. Raises
    `SourceError` for what is missing, empty, damaged or of no such kind.
    """
    if str(uri).startswith(_PHANTOM):
        return PhantomClip(str(uri), stride=stride)
    path = Path(uri)
    if path.is_dir():
        kind = RecordedClip if is_recording(path) else FolderClip
        return kind(path, stride=stride)
    return _opener(path)(path, stride=stride)


def _opener(path: Path) -> _Opener:
    head, suffix = _head(path), path.suffix.lower()
    if image_kind(head) or suffix in IMAGE_SUFFIXES:
        return ImageClip
    if head[128:132] == b"DICM" or suffix in _DICOM_SUFFIXES:
        return _open_dicom
    if suffix in _META_SUFFIXES or head.lstrip().startswith(_META_KEYS):
        return _open_meta_image
    if container_kind(head) or suffix in VIDEO_SUFFIXES:
        return VideoClip
    raise SourceError(
        f"{path.name} is of no kind that can be read; expected a picture (PNG, JPEG, TIFF, BMP), "
        "a video (MP4, MOV, AVI, MKV, WebM), DICOM, MHA or a folder of pictures"
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        raise SourceError(f"can't read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise SourceError(f"can't read {str(path)!r}: {error}; check the path") from error
    if not head:
        raise SourceError(f"{path.name} is empty (0 bytes); expected a picture or a clip")
    return head


def _open_dicom(path: Path, /, *, stride: int) -> Clip:
    # Imported on demand: pydicom takes a noticeable part of a cold start.
    from nerveseg.video.dicom import DicomClip

    return DicomClip(path, stride=stride)


def _open_meta_image(path: Path, /, *, stride: int) -> Clip:
    from nerveseg.video.mha import MetaImageClip

    return MetaImageClip(path, stride=stride)


class PhantomClip(Clip):
    """A synthetic clip, made frame by frame as it is read."""

    def __init__(self, uri: str, *, stride: int = 1) -> None:
        self._phantom, count = parse_uri(uri)
        height, width = self._phantom.frame_at(0, _PHANTOM_FPS).frame.pixels.shape
        super().__init__(
            _phantom_name(uri),
            file=uri,
            stride=stride,
            frame_count=count,
            fps=_PHANTOM_FPS,
            size_wh=(width, height),
            mm_per_px=self._phantom.mm_per_px,
        )
        self._count = count

    @property
    def phantom(self) -> Phantom:
        """What makes the frames, and knows the truth about each: ``phantom.frame_at(index)``."""
        return self._phantom

    def _frames(self) -> Iterator[Frame]:
        for index in range(0, self._count, self.stride):
            yield self._phantom.frame_at(index, _PHANTOM_FPS).frame


def _phantom_name(uri: str) -> str:
    block = uri.removeprefix(_PHANTOM).partition("?")[0] or "axillary"
    return f"phantom_{block}"
