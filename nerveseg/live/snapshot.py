"""Keep one frame of a live session as a picture with the model's outlines on it.

::

    picture.png      the frame, black outside of the ultrasound image
    picture.json     the model's outlines as LabelMe reads them: what a reference is made of
    results.jsonl    all that was found on it
    recording.json   where it came from

The folder opens like any recording: `nerveseg.video.sources.open`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nerveseg.errors import StoreError
from nerveseg.labels import LabelledImage, outline, write_labelme
from nerveseg.live.reel import about_entries, inside, part_of
from nerveseg.live.region import KnownRegion
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveResult
from nerveseg.results import RESULTS, Lines, record
from nerveseg.types import Box, FrameResult, Label
from nerveseg.video.clip import Facts
from nerveseg.video.recorded import ABOUT
from nerveseg.video.sinks import write_bytes, write_png

__all__ = ["PICTURE", "save"]

PICTURE = "picture.png"


def save(
    folder: Path,
    found: LiveResult,
    *,
    source: str,
    settings: DeviceSettings | None = None,
    device: Facts | None = None,
    block: str | None = None,
) -> Path:
    """Keep the frame of ``found`` in ``folder``, made by `Recordings.new`; gives it back.

    ``source`` is the address of what was scanned, ``settings`` and ``device`` what is known of
    it, ``block`` the block that was scanned for. With ``crop="off"`` the whole picture is kept.
    Raises `StoreError` if no ultrasound image is in the picture, and for what can't be written.
    """
    settings = settings or DeviceSettings()
    about = about_entries(
        kind="snapshot",
        source=source,
        settings=settings,
        block=block,
        started_at=found.shot.captured_at,
    )
    try:
        _write(folder, found, _region(found, settings), {**about, "device": dict(device or {})})
    except StoreError:
        with suppress(OSError):
            folder.rmdir()  # if it is empty: nothing came of it
        raise
    return folder


def _region(found: LiveResult, settings: DeviceSettings) -> Box:
    region = KnownRegion(settings.crop)
    region.learn(found)
    box = region.of(found.shot)
    if box is None:
        raise StoreError(
            "no ultrasound image is found in this picture, and what else is in it may be a name, "
            "so it isn't kept; say by hand where the image is"
        )
    return box


def _write(folder: Path, found: LiveResult, region: Box, about: dict[str, Any]) -> None:
    frame = replace(found.result.frame, index=0, time_s=0.0)
    result = replace(found.result, frame=frame)
    write_png(folder / PICTURE, inside(frame.pixels, region))
    write_labelme(folder / "picture.json", _outlines(result))
    with Lines(folder / RESULTS) as lines:
        lines.add(record(result, file=PICTURE, classes=tuple(result.structures)))
    entries = {
        **about,
        "model_id": result.segmentation.model_id,
        "ended": None,
        "closed": True,
        "frames": 1,
        "seconds": 0.0,
        "parts": [asdict(part_of(PICTURE, frame, region, frames=1))],
    }
    # Last, since it is what makes the folder a snapshot.
    write_bytes(folder / ABOUT, json.dumps(entries, indent=1).encode())


def _outlines(result: FrameResult) -> LabelledImage:
    labels = tuple(
        Label(name, polygon) for name, mask in result.masks.items() for polygon in outline(mask)
    )
    return LabelledImage(PICTURE, result.frame.pixels.shape, labels)
