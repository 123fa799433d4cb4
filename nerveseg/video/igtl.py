"""Ultrasound over OpenIGTLink, as PLUS, 3D Slicer and FAST send it: IMAGE messages.

The messages are pyigtl's; the connection is our own, since a peer may send nonsense, or vanish in
the middle of a message, and has to be told from one that is only quiet.
"""

from __future__ import annotations

import math
import re
import socket
import struct
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from nerveseg.address import Address, text
from nerveseg.errors import SourceError
from nerveseg.types import GrayImage
from nerveseg.video.calibration import Scale
from nerveseg.video.clip import MAX_CLIP_PIXELS, Clip, check_size
from nerveseg.video.device import DeviceClip, Patience, Promise, Shot
from nerveseg.video.images import to_gray

__all__ = ["PORT", "IgtlFeed", "Wire", "igtl_messages", "open_igtl"]

PORT: Final = 18944
"""Where OpenIGTLink servers listen by custom."""

_CONNECT_S = 3.0
_TICK_S = 0.2
_STALLED_S = 1.5
_MOST_BYTES = 4 * MAX_CLIP_PIXELS + 65_536
_CHUNK = 1 << 20
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,11}")
_VERSIONS = (1, 2, 3)
_PLAUSIBLE_MM = (1e-4, 10.0)
_SAME = 1e-3
"""Scales that differ by a smaller share are one: a tracked probe's matrix is turned with it, and
its steps' lengths differ in their last digits from picture to picture."""

_UNPACKING_FAILS = (ValueError, KeyError, TypeError, NotImplementedError, struct.error)
"""What pyigtl raises on an IMAGE whose parts contradict each other."""


def igtl_messages() -> ModuleType:
    """The messages of pyigtl, an extra; `SourceError` says how to install it."""
    try:
        import pyigtl.messages
    except ImportError as error:
        raise SourceError(
            "OpenIGTLink needs pyigtl; install it with: pip install 'nerveseg[igtl]'"
        ) from error
    messages: ModuleType = pyigtl.messages
    return messages


def open_igtl(address: Address, *, stride: int = 1, patience: Patience | None = None) -> Clip:
    """The pictures that the server at ``igtl://HOST:PORT?device=NAME`` sends.

    The port is 18944 if left out; without a device, it is the first that sends an IMAGE. Colour
    (red first) becomes grey. The scale is the spacing of the image, where it is the same across
    and down, and not 1, which is what is sent when nobody has calibrated. Times are the sender's.
    TRANSFORM and all other messages are passed over. Raises `SourceError`.
    """
    device = address.options({"device": text}).get("device")
    host, port = _host_and_port(address)
    feed = IgtlFeed(host, port, device=device, messages=igtl_messages())
    name = f"igtl_{device or host}"
    return DeviceClip(feed, name, file=address.shown, stride=stride, patience=patience)


def _host_and_port(address: Address) -> tuple[str, int]:
    try:
        parts = urlsplit(f"igtl:{address.place}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError as error:
        raise SourceError(f"{address.shown!r} is no address: {error}") from error
    if not host or parts.path.strip("/"):
        raise SourceError(f"{address.shown!r} names no host; expected igtl://HOST:{PORT}")
    return host, port


class IgtlFeed:
    """An OpenIGTLink server as a feed; ``messages`` is `igtl_messages`."""

    def __init__(
        self, host: str, port: int, *, messages: ModuleType, device: str | None = None
    ) -> None:
        self._host, self._port = host, port
        self._device = device
        self._messages = messages
        self._wire: Wire | None = None
        self._heard: set[str] = set()
        self._range: tuple[float, float] | None = None
        self._scale: float | None = None

    @property
    def _where(self) -> str:
        return f"igtl://{self._host}:{self._port}"

    def open(self) -> Promise:
        """Connect."""
        try:
            peer = socket.create_connection((self._host, self._port), timeout=_CONNECT_S)
        except socket.gaierror as error:
            raise SourceError(
                f"{self._where}: there is no host named {self._host}; check the address"
            ) from error
        except OSError as error:
            raise SourceError(
                f"{self._where}: nothing answers; start the OpenIGTLink server there (PLUS, "
                f"3D Slicer), and check address and port"
            ) from error
        self._wire = Wire(peer, self._where, self._messages)
        return Promise(facts={"peer": f"{self._host}:{self._port}", "device": self._device})

    def read(self) -> Shot | str | None:
        """The picture in the next message, if it has one."""
        if self._wire is None:
            return None
        header = self._wire.header()
        if header is None:
            return None
        body = self._wire.body(header["body_size"], keep=self._is_wanted(header))
        return None if body is None else self._shot(header, body)

    def _is_wanted(self, header: dict[str, Any]) -> bool:
        if len(self._heard) < 20:
            self._heard.add(f"{header['message_type']} {header['device_name']!r}")
        if header["message_type"] != "IMAGE":
            return False
        if self._device is None:
            # A label map that comes along with the picture must not alternate with it.
            self._device = header["device_name"]
        return bool(header["device_name"] == self._device)

    def _shot(self, header: dict[str, Any], body: bytes) -> Shot | str:
        message = self._messages.ImageMessage()
        try:
            # A matrix may hold anything at all.
            with np.errstate(all="ignore"):
                message.unpack(header, body)
            pixels = self._gray(np.asarray(message.image))
        except _UNPACKING_FAILS as error:
            return f"its IMAGE contradicts itself: {str(error)[:120]}"
        except SourceError as error:
            return str(error)
        told_s = header["timestamp"]
        scale, before = _spacing(message.ijk_to_world_matrix), self._scale
        if scale is None or before is None or abs(scale - before) > _SAME * before:
            self._scale = scale
        return Shot(pixels, told_s if told_s > 0 else None, self._scale)

    def _gray(self, image: Any) -> GrayImage:
        """``(1, H, W[, C])``, red first, as ``uint8`` ``(H, W)``."""
        if image.shape[0] != 1:
            raise ValueError(f"it is a volume of {image.shape[0]} slices, expected one picture")
        picture = image[0]
        check_size("it", picture.shape[1], picture.shape[0], most=MAX_CLIP_PIXELS)
        if picture.ndim == 3 and picture.shape[2] in (3, 4):
            picture = picture[..., [2, 1, 0, 3][: picture.shape[2]]]
        if picture.dtype != np.uint8 and self._range is None:
            self._range = float(picture.min()), float(picture.max())
        # The first picture settles what is black and white, else brightness would flicker.
        return to_gray(picture, value_range=self._range)

    def close(self) -> None:
        """Hang up."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def wake(self) -> None:
        """End a read that waits."""
        wire = self._wire
        if wire is not None:
            wire.wake()

    def silence(self) -> str:
        """What the peer did send."""
        wanted = f"IMAGE {self._device!r}" if self._device else "an IMAGE"
        if not self._heard:
            return f"nothing came from {self._where}, expected {wanted}; is it scanning?"
        return f"expected {wanted}, what came was {', '.join(sorted(self._heard))}"


def _spacing(matrix: Any) -> float | None:
    """Millimetres per pixel from a 4×4 matrix whose columns 0 and 1 are a step across and down."""
    across, down = (float(np.linalg.norm(matrix[:3, axis])) for axis in (0, 1))
    low, high = _PLAUSIBLE_MM
    if not all(math.isfinite(step) and low <= step <= high for step in (across, down)):
        return None
    if across == down == 1.0:
        return None
    return Scale(across, down).mm_per_px


class Wire:
    """One connection, read message by message; raises `SourceError` when it can't go on."""

    def __init__(
        self,
        peer: socket.socket,
        where: str,
        messages: ModuleType,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peer = peer
        self._where = where
        self._messages = messages
        self._clock = clock
        self._size: int = messages.MessageBase.IGTL_HEADER_SIZE
        peer.settimeout(_TICK_S)

    def header(self) -> dict[str, Any] | None:
        """The next message's header as pyigtl takes it apart; ``None`` if none begins soon."""
        content = self._take(self._size, patient=True)
        if content is None:
            return None
        try:
            header: dict[str, Any] = self._messages.MessageBase.parse_header(content)
        except (ValueError, struct.error):
            raise self._nonsense(content) from None
        known = header["header_version"] in _VERSIONS and _TYPE.fullmatch(header["message_type"])
        if not known or header["body_size"] > _MOST_BYTES:
            raise self._nonsense(content)
        return header

    def body(self, size: int, *, keep: bool) -> bytes | None:
        """The ``size`` bytes of a body, or ``None`` for one that is passed over."""
        if keep:
            return self._take(size)
        while size:
            size -= len(self._take(min(size, _CHUNK)) or b"")
        return None

    def _take(self, size: int, *, patient: bool = False) -> bytes | None:
        """Exactly ``size`` bytes; ``None`` if ``patient`` and not one of them came."""
        content, filled, since = bytearray(size), 0, self._clock()
        view = memoryview(content)
        while filled < size:
            got = self._receive(view[filled:], begun=not patient or filled > 0)
            if got:
                filled, since = filled + got, self._clock()
            elif patient and not filled:
                return None
            elif self._clock() - since > _STALLED_S:
                raise SourceError(
                    f"{self._where} stopped in mid-message, after {filled:,} of {size:,} bytes; "
                    "connect again"
                )
        return bytes(content)

    def _receive(self, space: memoryview, *, begun: bool) -> int:
        """How many bytes came within a tick."""
        try:
            got = self._peer.recv_into(space)
        except TimeoutError:
            return 0
        except OSError as error:
            raise SourceError(f"{self._where}: connection lost: {error.strerror}") from error
        if not got:
            how = "went away in mid-message" if begun else "closed the connection"
            raise SourceError(f"{self._where} {how}; is the server still running?")
        return got

    def _nonsense(self, content: bytes) -> SourceError:
        return SourceError(
            f"{self._where} doesn't speak OpenIGTLink: its message begins with {content[:16]!r}; "
            "check that the port is that of an OpenIGTLink server"
        )

    def wake(self) -> None:
        """End a read that waits, from any thread."""
        try:
            self._peer.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Hang up."""
        self._peer.close()
