"""Segment a clip and keep the results in a folder: overlays, masks and ``results.jsonl``.

::

    out/
      results.jsonl            one JSON object per frame, written as soon as the frame is done
      overlays/<frame>.png     a picture's overlay; <frame>.jpg for each frame of a clip
      overlays/<clip>.mp4      instead of pictures, when a video is asked for
      masks/<frame>_<class>.png  0 outside, 255 inside, in the source's own pixels

``<frame>`` is the picture's file stem, and ``<stem>_<six-digit index>`` for a clip. A line in
``results.jsonl`` names the files that belong to it and is written after them, so that whatever
it names is there, also when the run was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import cv2

from nerveseg import pipeline
from nerveseg.errors import ModelError, StoreError
from nerveseg.results import RESULTS, Lines, record
from nerveseg.types import FrameResult
from nerveseg.video.clip import Clip
from nerveseg.video.sinks import VideoWriter, write_bytes, write_png
from nerveseg.vision import overlay
from nerveseg.vision.overlay import BgrImage, OverlayStyle
from nerveseg.vision.segment import Segmenter

__all__ = ["Wanted", "predict"]

_OVERLAYS, _MASKS = "overlays", "masks"
_RATE_WITHOUT_CLOCK = 10.0
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to leave in the folder beside ``results.jsonl``.

    ``style`` says how overlays look and which classes are kept at all. ``video`` writes one
    overlay video in place of a clip's overlay pictures. ``overwrite`` removes what an earlier
    run left there (the files that its ``results.jsonl`` names, and no others).
    """

    style: OverlayStyle = field(default_factory=OverlayStyle)
    overlays: bool = True
    video: bool = False
    masks: bool = False
    overwrite: bool = False


def predict(
    clip: Clip, segmenter: Segmenter, folder: Path, wanted: Wanted, *, crop: bool = True
) -> Generator[FrameResult, None, None]:
    """Segment every frame of ``clip`` into ``folder``; each result is yielded once it is saved.

    Memory doesn't grow with the clip. Stopping midway leaves what was done complete. Raises
    `ModelError` for a class that the model doesn't know, `StoreError` if the folder holds
    results already or can't be written, `SourceError` if the clip breaks off.
    """
    _check_classes(wanted.style, segmenter)
    _check_video(clip, wanted)
    _make_ready(folder, wanted)
    with ExitStack() as stack:
        lines = stack.enter_context(Lines(folder / RESULTS))
        video = stack.enter_context(_open_video(clip, folder)) if wanted.video else None
        keeper = _Keeper(folder, clip, wanted, lines, video)
        for result in _results(clip, segmenter, crop=crop):
            keeper.save(result)
            yield result


def _check_classes(style: OverlayStyle, segmenter: Segmenter) -> None:
    unknown = [name for name in style.classes if name not in segmenter.spec.classes]
    if unknown or not style.classes:
        raise ModelError(
            f"the model has no class {', '.join(unknown) or '(none was named)'}; "
            f"choose among {', '.join(segmenter.spec.classes)}"
        )


def _check_video(clip: Clip, wanted: Wanted) -> None:
    if wanted.video and (clip.stills or clip.frame_count == 1):
        raise StoreError(
            f"{clip.file} is no clip, so there is no video to make of it; leave out the video"
        )
    if wanted.video and clip.size_wh is None:
        raise StoreError(
            f"the frames of {clip.file} have no one size that is known beforehand, which a video "
            "needs; leave out the video"
        )


def _results(clip: Clip, segmenter: Segmenter, *, crop: bool) -> Iterator[FrameResult]:
    if not clip.stills:
        return pipeline.run(clip, segmenter, crop=crop)
    # Pictures of a folder have nothing to do with each other: each has its own image region.
    each = (pipeline.run([frame], segmenter, crop=crop) for frame in clip)
    return chain.from_iterable(each)


def _make_ready(folder: Path, wanted: Wanted) -> None:
    """Make the folder; remove an earlier run's results or refuse to mix with them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = _occupied(folder)
        if occupied and not wanted.overwrite:
            raise StoreError(
                f"{folder} already holds results ({occupied}); choose another folder, "
                "or pass --overwrite to replace them"
            )
        _remove_earlier(folder)
        if wanted.overlays or wanted.video:
            (folder / _OVERLAYS).mkdir(exist_ok=True)
        if wanted.masks:
            (folder / _MASKS).mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"can't write into {folder}: {error.strerror or error}; choose a folder "
            "that you may write to"
        ) from error


def _occupied(folder: Path) -> str | None:
    """What of an earlier run lies in the folder."""
    if (folder / RESULTS).exists():
        return RESULTS
    parts = (part for part in (_OVERLAYS, _MASKS) if (folder / part).is_dir())
    return next((part for part in parts if any((folder / part).iterdir())), None)


def _remove_earlier(folder: Path) -> None:
    """Remove the files that an earlier run names in its results, and the results themselves."""
    results = folder / RESULTS
    if not results.is_file():
        return
    with results.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            for name in _files_named(line):
                (folder / name).unlink(missing_ok=True)
    results.unlink()


def _files_named(line: str) -> list[Path]:
    """Overlay and masks of one line; whatever lies elsewhere is not ours to remove."""
    try:
        entry = json.loads(line)
        named = [entry.get("overlay"), *entry.get("masks", {}).values()]
    except (ValueError, AttributeError):
        return []
    paths = [Path(name) for name in named if isinstance(name, str)]
    return [
        path
        for path in paths
        if len(path.parts) == 2 and path.parts[0] in (_OVERLAYS, _MASKS) and path.name != ".."
    ]


class _Keeper:
    """Writes what belongs to each frame of one run."""

    def __init__(
        self, folder: Path, clip: Clip, wanted: Wanted, lines: Lines, video: VideoWriter | None
    ) -> None:
        self._folder = folder
        self._clip = clip
        self._wanted = wanted
        self._lines = lines
        self._video = video
        still = clip.frame_count == 1 or clip.stills
        self._suffix = ".png" if still else ".jpg"
        self._start_s: float | None = None

    def save(self, result: FrameResult) -> None:
        """Write the frame's files, then the line that names them."""
        index, style = result.frame.index, self._wanted.style
        line = record(result, file=self._clip.frame_file(index), classes=style.classes)
        if self._wanted.overlays or self._video is not None:
            start = time.perf_counter()
            picture = overlay.draw(result, style)
            line["timings_ms"]["overlay"] = round((time.perf_counter() - start) * 1e3, 3)
            line["overlay"] = self._save_overlay(picture, result)
        if self._wanted.masks:
            line["masks"] = {name: self._save_mask(result, name) for name in style.classes}
        self._lines.add(line)

    def _save_overlay(self, picture: BgrImage, result: FrameResult) -> str:
        if self._video is not None:
            self._video.write(picture, time_s=self._shown_at(result.frame.time_s))
            return _video_name(self._clip)
        relative = f"{_OVERLAYS}/{self._clip.frame_name(result.frame.index)}{self._suffix}"
        write = write_png if self._suffix == ".png" else _write_jpeg
        write(self._folder / relative, picture)
        return relative

    def _shown_at(self, time_s: float) -> float | None:
        """Time in the overlay video; ``None``, one after another, where the source has no clock."""
        if self._start_s is None:
            self._start_s = time_s
        return None if self._clip.fps is None else time_s - self._start_s

    def _save_mask(self, result: FrameResult, name: str) -> str:
        relative = f"{_MASKS}/{self._clip.frame_name(result.frame.index)}_{name}.png"
        write_png(self._folder / relative, result.masks[name])
        return relative


def _video_name(clip: Clip) -> str:
    return f"{_OVERLAYS}/{clip.name}.mp4"


def _open_video(clip: Clip, folder: Path) -> VideoWriter:
    assert clip.size_wh is not None  # `_check_video` saw to it
    fps = clip.fps or _RATE_WITHOUT_CLOCK
    return VideoWriter(folder / _video_name(clip), fps=fps, size_wh=clip.size_wh)


def _write_jpeg(path: Path, picture: BgrImage) -> None:
    done, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise StoreError(f"can't write {path}: OpenCV could not encode it as JPEG")
    write_bytes(path, content.tobytes())
