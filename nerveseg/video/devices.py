"""What there is to scan with: cameras, and OpenIGTLink servers on this computer."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from nerveseg.video.cameras import NO_PERMISSION, camera_backend
from nerveseg.video.igtl import PORT

__all__ = ["IGTL_HERE", "Camera", "Device", "list_devices"]

IGTL_HERE: Final = f"igtl://127.0.0.1:{PORT}"
"""Where an OpenIGTLink server on this computer is looked for."""

_log = logging.getLogger(__name__)

_KNOCK_S = 0.3


@dataclass(frozen=True, slots=True)
class Device:
    """Something that `nerveseg.video.sources.open` may open.

    ``uri`` is its address, ``name`` what it calls itself, ``note`` what one should know before
    opening it, such as that it may not be opened; empty where there is nothing to say.
    """

    uri: str
    name: str
    note: str = ""


class Camera(Protocol):
    """What is used of `cv2_enumerate_cameras.CameraInfo`; ``path`` may be ``None``."""

    index: int
    name: str
    path: str | None


def list_devices(
    *,
    cameras: Callable[[], Iterable[Camera]] | None = None,
    answers: Callable[[str, int], bool] | None = None,
) -> tuple[Device, ...]:
    """The cameras of this computer by their number, then what answers as OpenIGTLink on it.

    ``cameras`` lists the first, ``answers`` tells whether something listens at a host and port;
    by default the system is asked. Nothing is opened, and what can't be listed is left out.
    """
    found = sorted((cameras or _cameras)(), key=lambda camera: camera.index)
    devices = [_device(camera) for camera in found]
    if (answers or _answers)("127.0.0.1", PORT):
        devices.append(Device(IGTL_HERE, "OpenIGTLink", "something answers there"))
    return tuple(devices)


def _device(camera: Camera) -> Device:
    node = camera.path
    # Only on Linux is a camera a file with permissions; elsewhere its path isn't one.
    locked = bool(node and node.startswith("/dev/")) and not os.access(
        node or "", os.R_OK | os.W_OK
    )
    note = f"no permission: {NO_PERMISSION}" if locked else ""
    name = " ".join((camera.name or "").split()) or "camera"
    return Device(f"uvc:{camera.index}", name, note)


def _cameras() -> Iterable[Camera]:
    try:
        # On demand: what it needs of the system isn't there on every one.
        from cv2_enumerate_cameras import enumerate_cameras

        found: Iterable[Camera] = enumerate_cameras(camera_backend())
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        _log.warning("can't list cameras: %s", error)
        return ()
    return found


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_KNOCK_S).close()
    except OSError:
        return False
    return True
