"""Open anything that shows ultrasound as a `Clip`: an iterator of frames.

::

    with sources.open("block.mp4") as clip:
        for frame in clip:
            frame.pixels, frame.time_s

A file's kind is told by its content, not by its name.

What is named by an address, rather than a path:

=====================================  =====================================================
``uvc:0``, ``uvc:/dev/video0``         a camera: USB probe or grabber; ``?size=1280x720``,
                                       ``&fps=30`` and ``&format=MJPG`` are asked for
``igtl://HOST:18944?device=NAME``      OpenIGTLink: PLUS, 3D Slicer, FAST
``rtsp://…``                           a network camera
``http://…``, ``https://…``            a network camera that sends MJPEG
``phantom:axillary?seed=3&needle``     a synthetic clip; ``&fps=25``
``file:clip.mp4``                      what the path alone would open
``dicom:cine.dcm``, ``mha:scan.mha``   the same, of this kind whatever its content looks like
=====================================  =====================================================

The last four take ``?loop``, to begin again at the end (a phantom then has none), and
``&realtime``, to give each frame when its time has come, as a device does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from nerveseg.address import Address, flag
from nerveseg.errors import SourceError
from nerveseg.video.cameras import open_camera
from nerveseg.video.clip import Clip
from nerveseg.video.containers import container_kind
from nerveseg.video.headers import image_kind
from nerveseg.video.igtl import open_igtl
from nerveseg.video.images import IMAGE_SUFFIXES, FolderClip, ImageClip, list_images, read_image
from nerveseg.video.paced import PacedClip
from nerveseg.video.recorded import RecordedClip, is_recording
from nerveseg.video.recording import VIDEO_SUFFIXES, VideoClip
from nerveseg.video.streams import open_stream
from nerveseg.video.synthetic import open_phantom

__all__ = ["SCHEMES", "Clip", "list_images", "live_uri", "open", "read_image"]

_META_SUFFIXES = (".mha", ".mhd")
_META_KEYS = (b"ObjectType", b"NDims", b"Comment", b"ObjectSubType")
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


class _Opener(Protocol):
    def __call__(self, path: Path, /, *, stride: int) -> Clip: ...


class _AddressOpener(Protocol):
    def __call__(self, address: Address, /, *, stride: int) -> Clip: ...


def open(uri: str | Path, *, stride: int = 1) -> Clip:  # noqa: A001 - reads as sources.open
    """The clip at ``uri``; every ``stride``-th of its frames.

    ``uri`` is the path of a picture (PNG, JPEG, TIFF, BMP), a folder of pictures, a recording's
    folder, a video (MP4, MOV, AVI, MKV, WebM), a DICOM file (one picture or a cine), an MHA or
    MHD sequence, or one of the addresses above. Raises `SourceError` for what is missing, empty,
    damaged or of no such kind, for a device that can't be opened, and for a wrong address.
    """
    address = Address.parse(str(uri))
    if address is None:
        return _open_path(Path(uri), stride=stride)
    if address.scheme in _OPENERS:
        return _OPENERS[address.scheme](address, stride=stride)
    path = Path(uri)
    # A file may well be called "scan:2.mp4".
    if path.exists():
        return _open_path(path, stride=stride)
    raise SourceError(
        f"{address.shown!r} begins with {address.scheme}:, which names no kind of source; known "
        f"are {', '.join(f'{scheme}:' for scheme in SCHEMES)} and the path of a file"
    )


def live_uri(uri: str) -> str:
    """The address at which ``uri`` comes as from a device.

    A recording is played at its own pace and a phantom without end, also where that wasn't asked
    for; whatever is live already stays as it is.
    """
    address = Address.parse(uri)
    if address is None or (address.scheme not in _OPENERS and Path(uri).exists()):
        return f"file:{uri}?realtime"
    if address.scheme not in _PLAYED:
        return uri
    wanted = ("loop", "realtime") if address.scheme == "phantom" else ("realtime",)
    given = address.keys
    missing = [key for key in wanted if key not in given]
    return "&".join([uri if given else f"{uri.removesuffix('?')}?{missing.pop(0)}", *missing])


def _open_path(path: Path, *, stride: int) -> Clip:
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name longer than any can be, say
        raise SourceError(
            f"can't read {str(path)[:80]}: {error.strerror}; check the path"
        ) from error
    if is_folder:
        kind = RecordedClip if is_recording(path) else FolderClip
        return kind(path, stride=stride)
    return _opener(path)(path, stride=stride)


def _open_named(address: Address, *, stride: int) -> Clip:
    return _play(address, _open_path, stride=stride)


def _open_named_dicom(address: Address, *, stride: int) -> Clip:
    return _play(address, _open_dicom, stride=stride)


def _open_named_meta_image(address: Address, *, stride: int) -> Clip:
    return _play(address, _open_meta_image, stride=stride)


def _play(address: Address, opener: _Opener, *, stride: int) -> Clip:
    given = address.options({"loop": flag, "realtime": flag})
    if not any(given.values()):
        return opener(address.path, stride=stride)
    return PacedClip(lambda: opener(address.path, stride=stride), **given)


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


_OPENERS: Final[dict[str, _AddressOpener]] = {
    "uvc": open_camera,
    "igtl": open_igtl,
    "rtsp": open_stream,
    "http": open_stream,
    "https": open_stream,
    "phantom": open_phantom,
    "file": _open_named,
    "dicom": _open_named_dicom,
    "mha": _open_named_meta_image,
}
_PLAYED = ("phantom", "file", "dicom", "mha")

SCHEMES: Final = tuple(_OPENERS)
"""What an address may begin with, before the colon."""
