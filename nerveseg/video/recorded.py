"""Recordings of a live source: a folder with the picture, its times, and what is known of both.

::

    recording.json     where it came from, its parts, whether it was closed
    picture.mkv        the first part; picture-2.mkv … where size or scale changed midway
    picture.png        instead of these, in a snapshot
    results.jsonl      a line per analysed frame
    events.jsonl       a line per notice that came or went

What lies outside of the ultrasound image is black in all of them, unless ``recording.json`` says
that the whole picture was kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nerveseg.errors import SourceError
from nerveseg.types import Frame
from nerveseg.video.clip import MAX_CLIP_PIXELS, Clip, check_size
from nerveseg.video.images import ImageClip
from nerveseg.video.recording import VideoClip

__all__ = ["ABOUT", "EVENTS", "FORMAT", "About", "Part", "RecordedClip", "is_recording"]

ABOUT = "recording.json"
"""The file that makes a folder a recording."""

EVENTS = "events.jsonl"
FORMAT = 1
"""Version of the layout; a reader refuses a later one."""

_MOST_PARTS = 10_000
_MOST_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one size and one scale: ``file`` lies in the recording's folder.

    ``start_s`` is when its first frame is shown, in seconds of the recording; ``frames`` is
    ``None`` for one that was not finished. ``region`` is left, top, right, bottom of what is not
    blacked out, in pixels.
    """

    file: str
    start_s: float
    width: int
    height: int
    mm_per_px: float | None = None
    frames: int | None = None
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What ``recording.json`` tells; ``facts`` are all its entries as they stand there.

    ``ended`` says why a recording ended, where its user didn't end it.
    """

    kind: str
    started: str
    seconds: float
    frames: int
    dropped: int
    closed: bool
    ended: str | None
    parts: tuple[Part, ...]
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> About:
        """Of the recording in ``folder``; `SourceError` for one that can't be understood."""
        path = folder / ABOUT
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes")
            return _about(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise SourceError(f"can't read {path}: {error.strerror}; check the path") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SourceError(
                f"{folder.name}/{ABOUT} is damaged ({_reason(error)}); "
                "the picture files beside it can be opened by themselves"
            ) from error


def is_recording(folder: Path) -> bool:
    """Whether ``folder`` holds a recording, damaged or not."""
    return (folder / ABOUT).is_file()


class RecordedClip(Clip):
    """A recording, or a snapshot, as a clip: its frames with their own times and scale.

    ``index`` and ``time_s`` are those of ``results.jsonl``. ``facts`` are the device's. A
    recording that was never closed gives all it holds, and then raises `SourceError`, as does
    one of which a part is missing.
    """

    def __init__(self, folder: Path, *, stride: int = 1) -> None:
        about = About.read(folder)
        if not about.parts:
            raise SourceError(
                f"{folder.name} holds no picture: the recording ended before an ultrasound image "
                "was found; record it again"
            )
        super().__init__(
            folder.resolve().name,
            file=folder.resolve().name,
            stride=stride,
            frame_count=about.frames if about.closed else None,
            fps=_rate(about),
            size_wh=_one({(part.width, part.height) for part in about.parts}),
            mm_per_px=_one({part.mm_per_px for part in about.parts}),
        )
        self.about = about
        self.facts, self.live = _device(about.facts), False
        self._folder = folder

    def frame_name(self, index: int) -> str:
        """The folder's name for a snapshot, which needs no number."""
        return self.name if self.about.kind == "snapshot" else super().frame_name(index)

    def _frames(self) -> Iterator[Frame]:
        index, end_s = 0, 0.0
        for part in self.about.parts:
            for frame in self._read(part):
                end_s = part.start_s + frame.time_s
                if index % self.stride == 0:
                    yield Frame(index, end_s, frame.pixels, part.mm_per_px)
                index += 1
        if not self.about.closed:
            why = self.about.ended or (
                "it was not closed, as when the program is stopped while it records"
            )
            raise SourceError(
                f"{self.file} ends here, at {end_s:.1f} s: {why}; what was recorded is good"
            )

    def _read(self, part: Part) -> Iterator[Frame]:
        given = broken = 0
        try:
            with _opened(self._folder / part.file, part.frames) as clip:
                for frame in clip:
                    given += 1
                    yield frame
                broken, problems = clip.broken_frames, clip.problems
        except SourceError:
            if part.frames is None and given == 0:
                return  # cut off before its first frame was on the disk
            raise
        if broken:
            self._broken(problems[0], count=broken)
        missing = (part.frames or 0) - given - broken
        if missing > 0:
            raise SourceError(
                f"{self.file}: {missing} frames are missing at the end of {part.file}; "
                "what was read is good"
            )


class _Picture(VideoClip):
    """A part's clip. How many frames it holds is the recording's word: a container makes that up
    from length and rate, which says nothing where the rate varies or frames were dropped.
    """

    def __init__(self, path: Path, frames: int | None) -> None:
        super().__init__(path)
        self.frame_count = frames

    def _finish(self, good: int) -> None:
        if good == 0 or self._container.missing_bytes:
            super()._finish(good)


def _opened(path: Path, frames: int | None) -> Clip:
    return ImageClip(path) if path.suffix == ".png" else _Picture(path, frames)


def _rate(about: About) -> float | None:
    """Frames a second, as measured over the recording."""
    if about.seconds <= 0 or about.frames < 2:
        return None
    return (about.frames - 1) / about.seconds


def _one(values: set[Any]) -> Any:
    """The value that all have, if there is one."""
    return next(iter(values)) if len(values) == 1 else None


def _device(facts: Mapping[str, Any]) -> dict[str, str | int | float | None]:
    device = facts.get("device")
    if not isinstance(device, dict):
        return {}
    return {
        str(key): value
        for key, value in device.items()
        if value is None or isinstance(value, str | int | float)
    }


def _about(table: Any) -> About:
    if not isinstance(table, dict):
        raise TypeError("it is no JSON object")
    version = table["format"]
    if version != FORMAT:
        raise ValueError(f"its format is {version!r}, expected {FORMAT}")
    parts = table["parts"]
    if not isinstance(parts, list) or len(parts) > _MOST_PARTS:
        raise ValueError("its parts are no list, or too many")
    return About(
        kind=str(table["kind"]),
        started=str(table["started"]),
        seconds=_number(table["seconds"]),
        frames=int(_number(table["frames"])),
        dropped=int(_number(table.get("dropped", 0))),
        closed=table["closed"] is True,
        ended=None if table.get("ended") is None else str(table["ended"]),
        parts=tuple(_part(part) for part in parts),
        facts=table,
    )


def _part(table: dict[str, Any]) -> Part:
    file, scale, frames = table["file"], table["mm_per_px"], table["frames"]
    if not isinstance(file, str) or Path(file).name != file or not file.startswith("picture"):
        raise ValueError(f"a part is called {str(file)[:40]!r}")
    part = Part(
        file=file,
        start_s=_number(table["start_s"]),
        width=int(_number(table["width"])),
        height=int(_number(table["height"])),
        mm_per_px=None if scale is None else _number(scale),
        frames=None if frames is None else int(_number(frames)),
    )
    if part.mm_per_px is not None and part.mm_per_px <= 0:
        raise ValueError(f"its scale is {scale}")
    try:
        check_size(file, part.width, part.height, most=MAX_CLIP_PIXELS)
    except SourceError as error:
        raise ValueError(str(error)) from error
    region = table.get("region")
    if region is None:
        return part
    left, top, right, bottom = (int(_number(side)) for side in region)
    return replace(part, region=(left, top, right, bottom))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{str(value)[:40]!r} stands where a number is expected")
    return float(value)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return "it is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
