"""Results as OpenIGTLink messages: what 3D Slicer and the like are to show.

For each result, in this order:

=============================  ==========================================================
STRING ``NervesegTip``         ``seen``, ``predicted`` or ``lost``
TRANSFORM ``NervesegNeedle``   where the needle is; only while its tip is seen or predicted
IMAGE ``NervesegOverlay``      the label map, ``uint8``, as large as the frame
=============================  ==========================================================

and once to each that connects, STRING ``NervesegLabels``: the values of the label map.

**Coordinates** are RAS, in mm: the centre of the frame's top-left pixel is the origin, x runs
along a row, y down a column, z out of the picture. Where the scale is not known, one pixel
counts as one, and the names are ``NervesegNeedle_px`` and ``NervesegOverlay_px`` instead. The
transform's origin is the tip; its x axis runs along the shaft, from the entry to the tip, its z
axis is the picture's, its y axis completes a right-handed frame.

**Labels**: 0 is nothing; a class has its place in ``anatomy.toml``, counted from 1 (nerve 1,
vessel 2, artery 3, vein 4, fascia 5, muscle 6, bone 7, pleura 8, needle 9). Where classes
overlap, a part (artery) goes over its whole (vessel), and a lower value over a higher one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nerveseg import anatomy
from nerveseg.types import FrameResult, Needle

__all__ = [
    "LABELS",
    "NEEDLE",
    "OVERLAY",
    "TIP",
    "Packer",
    "Sending",
    "label_map",
    "label_values",
    "needle_matrix",
]

OVERLAY: Final = "NervesegOverlay"
NEEDLE: Final = "NervesegNeedle"
TIP: Final = "NervesegTip"
LABELS: Final = "NervesegLabels"
"""Device names; the first two end in ``_px`` where the scale is unknown."""


def label_values() -> Mapping[str, int]:
    """The value of each class in the label map, from 1 up."""
    return {name: value for value, name in enumerate(anatomy.default().classes, start=1)}


def label_map(result: FrameResult) -> npt.NDArray[np.uint8]:
    """``uint8`` ``(H, W)``: `label_values` where a class is, 0 elsewhere."""
    labels = np.zeros(result.frame.pixels.shape, np.uint8)
    for name, value in sorted(label_values().items(), key=_painted_at):
        mask = result.masks.get(name)
        if mask is not None:
            labels[mask] = value
    return labels


def _painted_at(entry: tuple[str, int]) -> tuple[bool, int]:
    name, value = entry
    return anatomy.default().classes[name].parent is not None, -value


def needle_matrix(needle: Needle, mm_per_px: float) -> npt.NDArray[np.float32]:
    """``float32`` ``(4, 4)``, from the needle's own coordinates to the picture's.

    Column 3 is the tip; column 0 the unit vector from entry to tip, column 2 the picture's
    normal, column 1 their cross product. ``mm_per_px`` scales the tip alone. Raises
    `ValueError` where entry and tip are one point, which has no direction.
    """
    across = needle.tip_xy[0] - needle.entry_xy[0]
    down = needle.tip_xy[1] - needle.entry_xy[1]
    length = math.hypot(across, down)
    if length == 0:
        raise ValueError("entry and tip are one point")
    along = np.array([across / length, down / length, 0.0])
    normal = np.array([0.0, 0.0, 1.0])
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = along, np.cross(normal, along), normal
    matrix[:2, 3] = np.multiply(needle.tip_xy, mm_per_px)
    return matrix


@dataclass(frozen=True, slots=True, eq=False)
class Sending:
    """What is to be sent: a result and when its frame was captured, in s since the epoch."""

    number: int
    result: FrameResult
    captured_at: float


class Packer:
    """Turns results into OpenIGTLink's bytes, each once for however many clients."""

    def __init__(self, messages: ModuleType) -> None:
        self._messages = messages
        self._lock = threading.Lock()
        self._number = -1
        self._packed = b""

    def pack(self, sending: Sending) -> bytes:
        """All messages of one result."""
        with self._lock:
            if sending.number != self._number:
                self._packed = b"".join(message.pack() for message in self._made(sending))
                self._number = sending.number
            return self._packed

    def _made(self, sending: Sending) -> list[Any]:
        result, at = sending.result, sending.captured_at
        mm_per_px = result.frame.mm_per_px
        ending, step = ("_px", 1.0) if mm_per_px is None else ("", mm_per_px)
        status, matrix = _tip(result, step)
        made = [self._text(TIP, status, at)]
        if matrix is not None:
            made.append(
                self._messages.TransformMessage(matrix, timestamp=at, device_name=NEEDLE + ending)
            )
        made.append(
            self._messages.ImageMessage(
                label_map(result)[np.newaxis],
                np.diag([step, step, 1.0, 1.0]),
                # A TRANSFORM is RAS by definition, so the picture has to be, to lie beneath it.
                world_coordinate_system="ras",
                timestamp=at,
                device_name=OVERLAY + ending,
            )
        )
        return made

    def lost(self) -> bytes:
        """The message that no tip is known."""
        packed: bytes = self._text(TIP, "lost", time.time()).pack()
        return packed

    def labels(self) -> bytes:
        """The message that explains the label map."""
        legend = ", ".join(f"{value} {name}" for name, value in label_values().items())
        packed: bytes = self._text(LABELS, legend, time.time()).pack()
        return packed

    def _text(self, name: str, content: str, at: float) -> Any:
        return self._messages.StringMessage(content, timestamp=at, device_name=name)


def _tip(result: FrameResult, step: float) -> tuple[str, npt.NDArray[np.float32] | None]:
    state = result.needle_state
    if state.needle is None:
        return "lost", None
    try:
        return state.status, needle_matrix(state.needle, step)
    except ValueError:
        return "lost", None
