"""Cameras on this computer: USB probes and grabbers, as UVC devices."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2

from nerveseg.address import Address, number_between, picture_size
from nerveseg.errors import SourceError
from nerveseg.video.captures import Capture, CaptureFeed, Wishes
from nerveseg.video.clip import Clip
from nerveseg.video.device import DeviceClip, Patience

__all__ = ["NO_PERMISSION", "camera_backend", "open_camera"]

NO_PERMISSION: Final = "run `sudo usermod -aG video $USER`, then log out and in again"
"""What to do about a camera that may not be opened, on Linux."""

_BACKENDS = {
    "Linux": cv2.CAP_V4L2,
    "Windows": cv2.CAP_DSHOW,
    "Darwin": cv2.CAP_AVFOUNDATION,
}
_SILENT_S = "1"
_NODES = Path("/dev") if platform.system() == "Linux" else None


def camera_backend() -> int:
    """OpenCV's interface to cameras on this system."""
    return int(_BACKENDS.get(platform.system(), cv2.CAP_ANY))


def _open_device(device: int | str) -> Capture:
    # Read once a process: OpenCV would sit for ten seconds on a camera that falls silent, which
    # nobody could open anew meanwhile.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", _SILENT_S)
    capture: Capture = cv2.VideoCapture(device, camera_backend())
    return capture


def open_camera(
    address: Address,
    *,
    stride: int = 1,
    make: Callable[[int | str], Capture] = _open_device,
    nodes: Path | None = _NODES,
    patience: Patience | None = None,
) -> Clip:
    """The camera at ``uvc:0`` or ``uvc:/dev/video0``, with ``size``, ``fps`` and ``format``.

    ``make`` opens it by its number or path; ``nodes`` is the folder of the device files, ``None``
    where the system has none. What was asked for and what was granted are in the clip's
    ``facts``. Raises `SourceError` for a camera that isn't there, may not be used, or is in use.
    """
    given = address.options(_CAMERA_OPTIONS)
    wishes = Wishes(given.get("size"), given.get("fps"), given.get("format"))
    device = _device(address, nodes)
    feed = CaptureFeed(
        address.shown,
        lambda: make(device),
        why_not=lambda: "is it in use by another program? Close that, or unplug and plug it in",
        advice="is it in use by another program, or the cable loose? Unplug it and plug it in",
        wishes=wishes,
        own_clock=True,
    )
    name = f"camera_{Path(address.place).name}"
    return DeviceClip(feed, name, file=address.shown, stride=stride, patience=patience)


def _four_letters(given: str) -> str:
    if len(given) != 4 or not given.isascii() or not given.isprintable():
        raise ValueError("is no format of four letters, such as MJPG or YUYV")
    return given


_CAMERA_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "size": picture_size,
    "fps": number_between(1, 240),
    "format": _four_letters,
}


def _device(address: Address, nodes: Path | None) -> int | str:
    """What OpenCV calls the camera; `SourceError` if it isn't there or may not be used."""
    place = address.place or "0"
    if place.isascii() and place.isdecimal() and len(place) < 4:
        if nodes is not None:
            _check_node(nodes / f"video{place}", address)
        return int(place)
    if nodes is None or not place.startswith("/"):
        raise SourceError(
            f"{address.shown!r} names no camera; expected uvc:0 or, on Linux, uvc:/dev/video0; "
            "`nerveseg devices` lists what is there"
        )
    _check_node(Path(place), address)
    return place


def _check_node(node: Path, address: Address) -> None:
    if not node.exists():
        raise SourceError(
            f"{address.shown}: no such camera: {node} isn't there; plug it in, or see what there "
            "is with `nerveseg devices`"
        )
    if not os.access(node, os.R_OK | os.W_OK):
        raise SourceError(f"{address.shown}: no permission to open {node}; {NO_PERMISSION}")
