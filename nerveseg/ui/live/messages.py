"""What travels to a page: a header of JSON, then perhaps a picture, in one binary message.

Four bytes (little-endian) give the header's length, the header follows, the rest is a JPEG. The
header's ``frame``, ``overlay``, ``status`` and ``pointer`` are ``null`` where there is no news.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus, Target
from nerveseg.live.watch import NOTICES
from nerveseg.ui.payload import overlay_json

__all__ = ["frame_json", "overlay_of", "pack", "pointer_json", "status_json", "watched_json"]

_LENGTH = struct.Struct("<I")
_PARTS = ("frame", "overlay", "status", "pointer")
_TO_WATCHERS = {"slow analysis": "The trainee's computer is too slow for every frame"}


def pack(parts: Mapping[str, bytes], picture: bytes = b"") -> bytes:
    """One message; ``parts`` are finished JSON, by the names of the header's keys."""
    said = b",".join(b'"%b":%b' % (name.encode(), parts.get(name, b"null")) for name in _PARTS)
    header = b"{%b}" % said
    return b"".join((_LENGTH.pack(len(header)), header, picture))


def frame_json(shot: LiveFrame) -> bytes:
    """A frame's number, time and size; ``captured_at`` in milliseconds since the epoch."""
    height, width = shot.frame.pixels.shape
    moved = shot.moved
    return _json(
        {
            "number": shot.number,
            "captured_at": round(1e3 * shot.captured_at, 1),
            "width": width,
            "height": height,
            "moved": None if moved is None else {"number": moved.number, "affine": moved.affine},
        }
    )


def overlay_of(result: LiveResult, *, stamp: float | None = None) -> bytes:
    """A result for drawing: `payload.overlay_json`, with when and where it belongs.

    ``region`` is the image region, left, top, right, bottom in pixels; ``stamp`` the page's own
    mark of the frame, where the page sent it.
    """
    region = result.result.segmentation.region
    more = {
        "number": result.shot.number,
        "captured_at": round(1e3 * result.shot.captured_at, 1),
        "ready_at": round(1e3 * result.ready_at, 1),
        "region": [region.left, region.top, region.right, region.bottom],
        "targets": [_target(target) for target in result.targets],
        "stamp": stamp,
    }
    return overlay_json(result.result, more=more)


def status_json(status: LiveStatus, more: Mapping[str, Any]) -> bytes:
    """How the session goes, with ``more`` that its own page is to know."""
    told = _figures(status) | {
        "notices": [asdict(notice) for notice in status.notices],
        "ms": {stage: round(value, 2) for stage, value in status.stage_ms.items()},
        "source": dict(status.source),
        **more,
    }
    return _json(told)


def watched_json(status: LiveStatus, more: Mapping[str, Any]) -> bytes:
    """How the session goes, for those who look on by a code.

    Nothing that may hold an address, a path or a password of the trainee's computer.
    """
    notices = [asdict(one) for one in status.notices if one.key in NOTICES]
    for notice in notices:
        key = notice["key"]
        notice["text"] = _TO_WATCHERS.get(key, NOTICES[key].text)
    told = {key: more[key] for key in ("watching", "mirrored", "block") if key in more}
    return _json(_figures(status) | {"notices": notices} | told)


def pointer_json(x: float, y: float, *, by: str) -> bytes:
    """A marker at ``x, y``, in pixels of the frame."""
    return _json({"x": round(x, 1), "y": round(y, 1), "by": by})


def _figures(status: LiveStatus) -> dict[str, Any]:
    figures = ("promised_fps", "delivered_fps", "distinct_fps", "analysed_fps", "age_ms")
    counts = ("delivered", "analysed", "passed_over", "frozen", "state")
    told = {name: getattr(status, name) for name in counts}
    return told | {name: _rounded(getattr(status, name)) for name in figures}


def _target(target: Target) -> dict[str, Any]:
    confidence = target.confidence
    return {
        "class": target.class_name,
        "names": target.names,
        "known": target.known,
        "found": target.found,
        "seen_s": round(target.seen_s, 1),
        "confidence": None if confidence is None else round(confidence, 3),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
