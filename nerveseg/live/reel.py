"""The files of one recording, written as it grows; see `nerveseg.video.recorded`."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nerveseg import __version__
from nerveseg.address import shown_uri
from nerveseg.errors import StoreError
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveFrame, LiveResult
from nerveseg.results import RESULTS, Lines, record
from nerveseg.types import Box, Frame, GrayImage
from nerveseg.video.lossless import LosslessWriter
from nerveseg.video.recorded import ABOUT, EVENTS, FORMAT, Part
from nerveseg.video.sinks import write_bytes

__all__ = ["Reel", "about_entries", "clock_text", "inside", "part_of"]

_PLACES_KEPT = 2000
_KEPT = "kept: the crop was off"


def inside(pixels: GrayImage, region: Box) -> GrayImage:
    """``pixels`` (``uint8``, ``(H, W)``), black outside of ``region``; size and places stay."""
    stored = np.zeros_like(pixels)
    stored[region.slices] = pixels[region.slices]
    return stored


def clock_text(at: float) -> str:
    """Seconds since the epoch as local time with its zone, ISO 8601."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")


def about_entries(
    *,
    kind: str,
    source: str,
    settings: DeviceSettings,
    block: str | None,
    started_at: float,
) -> dict[str, Any]:
    """What ``recording.json`` tells from the beginning; ``started_at`` in seconds since the epoch.

    ``kind`` is ``recording`` or ``snapshot``, ``source`` the address of what is recorded, and
    ``block`` the block that was scanned for. A password in the address is left out.
    """
    return {
        "format": FORMAT,
        "kind": kind,
        "software": f"nerveseg {__version__}",
        "started": clock_text(started_at),
        "source": shown_uri(source),
        "block": block,
        "settings": _entries(settings),
        "outside_the_image": _KEPT if settings.crop == "off" else "blacked out",
    }


def part_of(
    file: str, frame: Frame, region: Box, *, start_s: float = 0.0, frames: int | None = None
) -> Part:
    """The part that begins with ``frame``, of which ``region`` is kept."""
    height, width = frame.pixels.shape
    sides = (region.left, region.top, region.right, region.bottom)
    return Part(file, start_s, width, height, frame.mm_per_px, frames, sides)


def _entries(settings: DeviceSettings) -> dict[str, Any]:
    entries, box = asdict(settings), settings.crop
    if isinstance(box, Box):
        entries["crop"] = [box.left, box.top, box.right, box.bottom]
    return entries


class Reel:
    """Writes one recording into ``folder``, which is empty; one thread uses it.

    ``about`` is what `about_entries` gives, ``dropped`` how many frames could not be written in
    time, ``left_out`` how many came before the image region was known. Whatever can't be written
    raises `StoreError`.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = dict(about)
        self.device: Mapping[str, str | int | float | None] = {}
        self.fps: float | None = None
        self.frames = 0
        self.results = 0
        self.seconds = 0.0
        self.dropped = 0
        self.left_out = 0
        self._model_id: str | None = None
        self._parts: list[Part] = []
        self._writer: LosslessWriter | None = None
        self._start_s: float | None = None
        self._places: OrderedDict[int, tuple[int, float, str]] = OrderedDict()
        self._last_result = -1
        self._held = ExitStack()
        self._results = self._held.enter_context(Lines(folder / RESULTS))
        try:
            self._events = self._held.enter_context(Lines(folder / EVENTS))
            self.save_about()
        except BaseException:
            self._held.close()
            raise

    def write(self, shot: LiveFrame, region: Box) -> None:
        """Add a frame, black outside of ``region``."""
        frame = shot.frame
        if self._start_s is None:
            self._start_s = frame.time_s
            self.about["started"] = clock_text(shot.captured_at)
        time_s = frame.time_s - self._start_s
        writer = self._writer_for(frame, region, time_s)
        writer.write(inside(frame.pixels, region), time_s=time_s - self._parts[-1].start_s)
        self._places[frame.index] = (self.frames, time_s, self._parts[-1].file)
        if len(self._places) > _PLACES_KEPT:
            self._places.popitem(last=False)
        self.frames += 1
        self.seconds = time_s

    def add_result(self, found: LiveResult) -> None:
        """Add a line for a frame that was written; once for each."""
        place = self._places.get(found.shot.number)
        if place is None or found.shot.number <= self._last_result:
            return
        index, time_s, file = place
        result = found.result
        result = replace(result, frame=replace(result.frame, index=index, time_s=time_s))
        line = record(result, file=file, classes=tuple(result.structures))
        self._model_id = line["model_id"]
        self._last_result = found.shot.number
        self._results.add(
            {
                **line,
                "live": {
                    "number": found.shot.number,
                    "captured": clock_text(found.shot.captured_at),
                    "delay_ms": round((found.ready_at - found.shot.captured_at) * 1e3, 1),
                },
            }
        )
        self.results += 1

    def add_event(self, key: str, text: str, *, at: float) -> None:
        """Add a line about something that happened, at its place in the recording."""
        entry = {"time": clock_text(at), "time_s": round(self.seconds, 3), "key": key}
        self._events.add({**entry, "text": text})

    def change(self, settings: DeviceSettings) -> None:
        """The device is set otherwise from here on."""
        entries = _entries(settings)
        self.about["settings"] = entries
        if settings.crop == "off":
            self.about["outside_the_image"] = _KEPT
        self.add_event("settings", json.dumps(entries), at=time.time())

    def save_about(self, *, closed: bool = False, ended: str | None = None) -> None:
        """Write ``recording.json`` anew, in one step."""
        entries = {
            **self.about,
            "ended": ended,
            "closed": closed,
            "frames": self.frames,
            "seconds": round(self.seconds, 6),
            "results": self.results,
            "dropped": self.dropped,
            "left_out": self.left_out,
            "scale_from": self._scale_from(),
            "model_id": self._model_id,
            "device": self.device,
            "parts": [asdict(part) for part in self._parts],
        }
        write_bytes(self.folder / ABOUT, json.dumps(entries, indent=1).encode())

    def finish(self, ended: str | None = None) -> None:
        """Close all files; ``ended`` says why, where it wasn't the user who ended it.

        What can't be finished is left as it is: readable, and not marked as closed.
        """
        try:
            self._end_part()
            self.save_about(closed=True, ended=ended)
        finally:
            self._held.close()

    def abandon(self, ended: str) -> None:
        """Let go of all files of a recording that failed, finishing what can be."""
        with suppress(StoreError):
            self._end_part()
        with suppress(StoreError):
            self.save_about(ended=ended)
        self._held.close()

    def _scale_from(self) -> str | None:
        settings = self.about["settings"]
        if settings["mm_per_px"] is not None:
            return settings["scale_from"] or "set by hand"
        known = any(part.mm_per_px is not None for part in self._parts)
        return "the source" if known else None

    def _writer_for(self, frame: Frame, region: Box, time_s: float) -> LosslessWriter:
        height, width = frame.pixels.shape
        part = self._parts[-1] if self._writer is not None else None
        if (
            self._writer is not None
            and part is not None
            and (part.width, part.height, part.mm_per_px) == (width, height, frame.mm_per_px)
        ):
            self._widen(part, region)
            return self._writer
        self._end_part()
        number = len(self._parts) + 1
        name = "picture.mkv" if number == 1 else f"picture-{number}.mkv"
        self._writer = LosslessWriter(self.folder / name, size_wh=(width, height), fps=self.fps)
        self._parts.append(part_of(name, frame, region, start_s=time_s))
        self.save_about()
        return self._writer

    def _widen(self, part: Part, region: Box) -> None:
        """The part tells the smallest box around all that is not blacked out in it."""
        left, top, right, bottom = part.region or (part.width, part.height, 0, 0)
        sides = (
            min(left, region.left),
            min(top, region.top),
            max(right, region.right),
            max(bottom, region.bottom),
        )
        if sides != part.region:
            self._parts[-1] = replace(part, region=sides)

    def _end_part(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        self._parts[-1] = replace(self._parts[-1], frames=writer.frames_written)
