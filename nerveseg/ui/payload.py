"""What the page gets of one frame: a JPEG, and the overlay as compact JSON.

Outlines are in pixels of the source frame, so they fit whatever size the picture is shown at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nerveseg.errors import SourceError
from nerveseg.types import FrameResult, GrayImage, Guidance, NeedleState, Plane, Point, Segmentation
from nerveseg.vision.preprocess import NEEDLE

__all__ = ["MAX_SIDE", "needle_letter", "overlay_json", "picture_jpeg"]

MAX_SIDE = 1600
"""Longest side of a picture that is sent to the page, in pixels; larger frames are shrunk."""

_QUALITY = 85
_SPACING, _MEAN_OVER = 1.8, 5  # pixels between points, points in a running mean
_STRAIGHT = 0.3  # pixels by which a course may be off where points are left out
_Path: TypeAlias = list[float]


def picture_jpeg(pixels: GrayImage, *, quality: int = _QUALITY) -> bytes:
    """``pixels`` (``uint8``, ``(H, W)``) as a grey JPEG of at most `MAX_SIDE` a side.

    ``quality`` is JPEG's own, 0..100.
    """
    scale = MAX_SIDE / max(pixels.shape)
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise SourceError(f"a frame of shape {pixels.shape} can't be encoded as JPEG")
    return bytes(data)


def overlay_json(result: FrameResult, *, more: Mapping[str, Any] | None = None) -> bytes:
    """All that is drawn or told about one frame, as one JSON object; ``more`` is added to it.

    ``size`` is the frame's width and height in pixels, to which all places refer.
    ``classes`` maps a class to ``area`` (px), ``centroid`` (x, y), ``confidence`` (0..1) and
    three lists of closed paths ``[x0, y0, x1, y1, …]`` read by the even-odd rule: ``outlines``
    (the mask), ``sure`` and ``possible``. Between the last two the network is torn: with the
    class's threshold ``t``, the probability there lies between ``t/2`` and ``(1+t)/2``.
    ``planes`` (by depth), ``needle``, ``guidance`` and ``warnings`` are those of
    `nerveseg.types`, in pixels; the needle has no outlines of its own.
    """
    frame = result.frame
    height, width = frame.pixels.shape
    summary: dict[str, Any] = {
        "index": frame.index,
        "size": [width, height],
        "time": round(frame.time_s, 4),
        "mm_per_px": frame.mm_per_px,
        "ms": {stage: round(value, 2) for stage, value in result.timings_ms.items()},
        "classes": {name: _class(result, name) for name in result.structures if name != NEEDLE},
        "planes": [_plane(plane) for plane in result.planes],
        "needle": _needle(result.needle_state),
        "guidance": None if result.guidance is None else _guidance(result.guidance),
        "warnings": result.warnings,
        **(more or {}),
    }
    return json.dumps(summary, separators=(",", ":")).encode()


def needle_letter(state: NeedleState) -> str:
    """One letter of a clip's timeline: ``s``een, ``p``redicted, ``l``ost, or ``n``ot there yet."""
    if state.status == "lost" and state.age_s is None and state.shaft_xy is None:
        return "n"
    return state.status[0]


def _plane(plane: Plane) -> dict[str, Any]:
    return {
        "key": plane.key,
        "points": [round(value, 1) for point in plane.points_xy for value in point],
        "thickness": round(plane.thickness_px, 1),
        "confidence": round(plane.confidence, 3),
    }


def _needle(state: NeedleState) -> dict[str, Any]:
    """``entry`` and ``tip`` are ``null`` for a lost tip, ``age`` for one that was never seen."""
    needle, age, shaft = state.needle, state.age_s, state.shaft_xy
    told: dict[str, Any] = {
        "status": state.status,
        "age": None if age is None else round(age, 3),
        "shaft": None if shaft is None else [_xy(end) for end in shaft],
        **dict.fromkeys(("entry", "tip", "confidence", "shaft_confidence")),
    }
    if needle is not None:
        told |= {
            "entry": _xy(needle.entry_xy),
            "tip": _xy(needle.tip_xy),
            "confidence": round(needle.confidence, 3),
            "shaft_confidence": round(needle.shaft_confidence, 3),
        }
    return told


def _guidance(guidance: Guidance) -> dict[str, Any]:
    return {
        "path": [_xy(end) for end in guidance.path_xy],
        "distances": {name: round(px, 1) for name, px in guidance.distances_px.items()},
        "crossings": [
            {"structure": c.structure, "at": _xy(c.at_xy), "distance": round(c.distance_px, 1)}
            for c in guidance.crossings
        ],
        "angle": round(guidance.insertion_angle_deg, 1),
        "visible": round(guidance.visible_share, 3),
    }


def _xy(point: Point) -> list[float]:
    return [round(value, 1) for value in point]


def _class(result: FrameResult, name: str) -> dict[str, Any]:
    stats = result.structures[name]
    centroid, confidence = stats.centroid_xy, stats.mean_confidence
    return {
        "area": stats.area_px,
        "centroid": None if centroid is None else [round(v, 1) for v in centroid],
        "confidence": None if confidence is None else round(confidence, 3),
        "outlines": [_path(np.array(contour, np.float64)) for contour in stats.contours],
        **_certainty(result.segmentation, name),
    }


def _certainty(segmentation: Segmentation, name: str) -> dict[str, list[_Path]]:
    if name not in segmentation.probabilities:
        return {"sure": [], "possible": []}
    region, threshold = segmentation.region, segmentation.thresholds[name]
    coarse = cv2.convertScaleAbs(segmentation.probabilities[name], alpha=255.0)
    size = (region.width, region.height)
    inner = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    corner = (region.left, region.top)
    return {
        "sure": _level(inner, 127.5 * (1.0 + threshold), corner),
        "possible": _level(inner, 127.5 * threshold, corner),
    }


def _level(brightness: GrayImage, level: float, corner: Sequence[int]) -> list[_Path]:
    above = cv2.inRange(brightness, level, 255.0)
    found, _ = cv2.findContours(above, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
    # Fewer than three points enclose nothing.
    return [_path(one.reshape(-1, 2).astype(np.float64)) for one in found if len(one) > 2]


def _path(outline: npt.NDArray[np.float64]) -> _Path:
    """As few points as the course needs: their text is most of what is sent."""
    smooth = _smooth(outline).astype(np.float32).reshape(-1, 1, 2)
    points = np.asarray(cv2.approxPolyDP(smooth, _STRAIGHT, closed=True), np.float64)
    path: _Path = np.round(points, 1).ravel().tolist()
    return path


def _smooth(outline: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The closed outline, ``(n, 2)``, without its pixel stairs, which show once enlarged.

    A running mean over about 9 pixels of its course; an outline shorter than two of those would
    shrink to nothing, and stays as it is.
    """
    closed = np.concatenate([outline, outline[:1]])
    steps = np.hypot(closed[1:, 0] - closed[:-1, 0], closed[1:, 1] - closed[:-1, 1])
    course = np.concatenate([[0.0], np.cumsum(steps)])
    if course[-1] < 2 * _MEAN_OVER * _SPACING:
        return outline
    even = np.arange(0.0, course[-1], _SPACING)
    points = np.stack([np.interp(even, course, closed[:, axis]) for axis in (0, 1)], axis=1)
    half = _MEAN_OVER // 2
    around = np.concatenate([points[-half:], points, points[:half]])
    sums = np.cumsum(np.concatenate([np.zeros((1, 2)), around]), axis=0)
    return np.asarray((sums[_MEAN_OVER:] - sums[:-_MEAN_OVER])[::2] / _MEAN_OVER, np.float64)
