"""Made-up news of a live session, and how a page reads what it is sent."""

from __future__ import annotations

import json
import struct
from typing import Any

import cv2
import numpy as np

from nerveseg.live.values import LiveFrame, LiveResult, Moved, Target
from nerveseg.types import Box, Frame, FrameResult, GrayImage, Segmentation


def shot(number: int, *, pixels: GrayImage | None = None, moved: Moved | None = None) -> LiveFrame:
    drawn = np.full((48, 64), 50 + number, np.uint8) if pixels is None else pixels
    return LiveFrame(Frame(number, number / 25, drawn), 1000.0 + number, moved=moved)


def result(of: LiveFrame, *, region: Box | None = None) -> LiveResult:
    height, width = of.frame.pixels.shape
    segmentation = Segmentation({}, region or Box(0, 0, width, height), (height, width), {}, "m@1")
    found = FrameResult(of.frame, segmentation, {}, {})
    targets = (Target("nerve", ("ulnar nerve",), known=True, found=1, seen_s=2.0, confidence=0.9),)
    return LiveResult(of, found, 1000.5, targets)


def opened(message: bytes | None) -> tuple[dict[str, Any], GrayImage | None]:
    """A message as a page reads it: the header, and the picture if there is one."""
    assert message is not None
    (length,) = struct.unpack_from("<I", message)
    header, jpeg = message[4 : 4 + length], message[4 + length :]
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE) if jpeg else None
    return json.loads(header), picture
