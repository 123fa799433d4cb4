"""Lines of ``results.jsonl``: what was found on each frame, as JSON that grows line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nerveseg.errors import StoreError
from nerveseg.types import FrameResult, Guidance, NeedleState, Plane, Point, StructureStats

__all__ = ["RESULTS", "Lines", "record"]

RESULTS = "results.jsonl"
"""The file's name in every folder of results."""


def record(result: FrameResult, *, file: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """One frame's line of ``results.jsonl``, without the files that were written for it.

    Lengths are in pixels of the source and areas in mm² where ``mm_per_px`` is known, else
    ``null``; ``region`` is left, top, right, bottom of the part that the network saw. ``planes``
    run from the shallowest down. ``needle`` is always there: its ``status`` is ``lost``, and its
    points are ``null``, where no tip is known, whether or not there ever was one.
    """
    frame, region = result.frame, result.segmentation.region
    return {
        "file": file,
        "index": frame.index,
        "time_s": round(frame.time_s, 6),
        "mm_per_px": frame.mm_per_px,
        "region": [region.left, region.top, region.right, region.bottom],
        "classes": {
            name: _class_record(result.structures[name], frame.mm_per_px) for name in classes
        },
        "planes": [_plane_record(plane) for plane in result.planes],
        "needle": _needle_record(result.needle_state),
        "guidance": _guidance_record(result.guidance, frame.mm_per_px),
        "warnings": list(result.warnings),
        "steadiness": None
        if result.steadiness is None
        else {name: round(value, 4) for name, value in result.steadiness.items()},
        "timings_ms": {stage: round(spent, 3) for stage, spent in result.timings_ms.items()},
        "model_id": result.segmentation.model_id,
    }


def _class_record(stats: StructureStats, mm_per_px: float | None) -> dict[str, Any]:
    area_mm2 = None if mm_per_px is None else round(stats.area_px * mm_per_px**2, 3)
    centroid, confidence = stats.centroid_xy, stats.mean_confidence
    return {
        "area_px": stats.area_px,
        "area_mm2": area_mm2,
        "centroid": None if centroid is None else _rounded(centroid),
        "mean_confidence": None if confidence is None else round(confidence, 4),
        "contours": stats.contours,
    }


def _plane_record(plane: Plane) -> dict[str, Any]:
    return {
        "key": plane.key,
        "points": [_rounded(point) for point in plane.points_xy],
        "thickness_px": round(plane.thickness_px, 2),
        "confidence": round(plane.confidence, 4),
    }


def _needle_record(state: NeedleState) -> dict[str, Any]:
    needle, shaft = state.needle, state.shaft_xy
    return {
        "status": state.status,
        "entry_xy": None if needle is None else _rounded(needle.entry_xy),
        "tip_xy": None if needle is None else _rounded(needle.tip_xy),
        "confidence": 0.0 if needle is None else round(needle.confidence, 4),
        "age_s": None if state.age_s is None else round(state.age_s, 4),
        "shaft_xy": None if shaft is None else [_rounded(point) for point in shaft],
    }


def _guidance_record(guidance: Guidance | None, mm_per_px: float | None) -> dict[str, Any] | None:
    """Lengths in pixels, and in millimetres too where the scale is known."""
    if guidance is None:
        return None
    return {
        "insertion_angle_deg": round(guidance.insertion_angle_deg, 2),
        "visible_share": round(guidance.visible_share, 4),
        "path": [_rounded(point) for point in guidance.path_xy],
        "distances": {name: _length(px, mm_per_px) for name, px in guidance.distances_px.items()},
        "crossings": [
            {
                "structure": crossing.structure,
                "at_xy": _rounded(crossing.at_xy),
                **_length(crossing.distance_px, mm_per_px),
            }
            for crossing in guidance.crossings
        ],
    }


def _length(px: float, mm_per_px: float | None) -> dict[str, float | None]:
    return {
        "px": round(px, 2),
        "mm": None if mm_per_px is None else round(px * mm_per_px, 3),
    }


def _rounded(point: Point) -> list[float]:
    return [round(value, 2) for value in point]


class Lines:
    """A JSON Lines file at ``path`` that holds whole lines only, whenever it is read.

    A context manager: entering makes the file anew. Raises `StoreError` for what can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0

    def __enter__(self) -> Self:
        # Unbuffered: a line is on its way to the disk when `add` returns.
        self._file = self._open()
        return self

    def _open(self) -> FileIO:
        try:
            return self._path.open("wb", buffering=0)
        except OSError as error:
            raise self._failed(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append one object; `StoreError`, and no part of the line, if it can't be written."""
        left = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        whole = self._size + len(left)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except BaseException as error:
            with suppress(OSError):
                self._file.truncate(self._size)
                self._file.seek(self._size)  # else the next line would follow a gap of zeros
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise
        self._size = whole

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"can't write {self._path}: {error.strerror or error}; what was finished is kept"
        )
