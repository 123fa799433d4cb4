"""Video files (MP4, MOV, AVI, MKV, WebM) through OpenCV's FFmpeg."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2

from nerveseg.errors import SourceError
from nerveseg.types import Frame, GrayImage
from nerveseg.video.clip import MAX_CLIP_PIXELS, Clip, check_size, file_names
from nerveseg.video.containers import Container, read_container
from nerveseg.video.images import to_gray
from nerveseg.video.quiet import quiet_decoders

__all__ = ["VIDEO_SUFFIXES", "VideoClip"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")

_PATIENCE = 100
"""Frames in a row that may fail beyond the declared end: some containers declare too few."""

_MOST_FAILURES = 20_000
"""Frames in a row that may fail before the rest is given up; each failure is quick."""


class VideoClip(Clip):
    """A recorded clip. Three failures read differently: it can't be opened, its codec can't be
    decoded, reading failed midway.

    Times are the container's presentation times. A frame that can't be decoded is skipped and
    counted, also where only the container's count shows that it is missing; a file that was cut
    short gives what it holds, then raises. The nominal frame rate and the frame count are the
    container's word: good for a progress bar, not for time.
    """

    def __init__(self, path: Path, *, stride: int = 1) -> None:
        name, file = file_names(path)
        self._container = _container(path)
        self._capture = _open(path, self._container)
        try:
            super().__init__(
                name,
                file=file,
                stride=stride,
                frame_count=_declared_count(self._capture),
                fps=_declared_rate(self._capture),
                size_wh=_size(self._capture, file),
            )
        except SourceError:
            self._capture.release()
            raise
        self.live = False  # however little the container tells of its length
        self._held.callback(self._capture.release)
        self._clock = _Clock(self.fps)

    def _frames(self) -> Iterator[Frame]:
        index, good, failed = -1, 0, 0
        while failed <= self._patience(index - failed):
            index += 1
            wanted = index % self.stride == 0
            pixels = self._next_picture(wanted=wanted)
            if pixels is False:
                failed += 1
                continue
            if failed:
                self._broken(f"{self.file}: {failed} before frame {index}", count=failed)
            good, failed = good + 1, 0
            time_s = self._clock.read(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            if not isinstance(pixels, bool):
                yield Frame(index, time_s, pixels)
        self._finish(good)

    def _patience(self, last_good: int) -> int:
        left = 0 if self.frame_count is None else self.frame_count - last_good - 1
        return min(_MOST_FAILURES, max(_PATIENCE, left))

    def _next_picture(self, *, wanted: bool) -> GrayImage | bool:
        """The next frame, or True if it was passed over unwanted, or False if it is broken."""
        try:
            with quiet_decoders():
                if not self._capture.grab():
                    return False
                if not wanted:
                    return True
                done, picture = self._capture.retrieve()
        except cv2.error:
            return False
        return to_gray(picture) if done else False

    def _finish(self, good: int) -> None:
        """Tell a clip that ended from one that broke off; count what is missing inside."""
        codec = self._container.codec or "unknown"
        if good == 0:
            raise SourceError(
                f"{self.file} has a codec ({codec}) of which not one frame can be decoded here; "
                f"convert it first: ffmpeg -i {self.file} -c:v libx264 converted.mp4"
            )
        declared = self.frame_count or 0
        if self._container.missing_bytes or self._clock.stopped_early(declared):
            of = f" of {declared}" if declared > good else ""
            raise SourceError(
                f"{self.file}: reading failed midway, after {good}{of} frames "
                f"({self._clock.last_s:.2f} s): {self._why()}; what was read is good"
            )
        unseen = declared - good - self.broken_frames
        if unseen > 0 and self._clock.even:
            self._broken(f"{self.file}: {unseen} missing by the container's count", count=unseen)

    def _why(self) -> str:
        missing = self._container.missing_bytes
        return f"the file is cut short by {missing:,} bytes" if missing else "the file is damaged"


class _Clock:
    """Presentation times that rise strictly, and what they tell of the clip's pace."""

    def __init__(self, fps: float | None) -> None:
        self._step_s = 1 / fps if fps else 0.04
        self._steps = 0
        self._even_steps = 0
        self.last_s = -math.inf

    def read(self, time_s: float) -> float:
        """``time_s``, or one nominal step after the last where the container gives no time."""
        if not math.isfinite(self.last_s):
            self.last_s = max(0.0, time_s)
            return self.last_s
        if not time_s > self.last_s:
            time_s = self.last_s + self._step_s
        self._steps += 1
        # Half a step apart: containers that count in milliseconds round by up to that much.
        self._even_steps += abs(time_s - self.last_s - self._step_s) < 0.25 * self._step_s
        self.last_s = time_s
        return time_s

    @property
    def even(self) -> bool:
        """Whether nine steps of ten are nominal, so that the declared count can be trusted."""
        return self._even_steps >= 0.9 * self._steps

    def stopped_early(self, declared: int) -> bool:
        """Whether the last frame lies more than a tenth before the declared end.

        The end is ``declared`` nominal steps, which is how a container's duration is told.
        """
        end_s = declared * self._step_s
        return end_s - (self.last_s + self._step_s) > max(0.15 * end_s, 2 * self._step_s)


def _container(path: Path) -> Container:
    try:
        container = read_container(path)
    except OSError as error:
        raise SourceError(f"can't read {path}: {error.strerror}; check the path") from error
    if container is None:
        raise SourceError(
            f"{path.name} is no video: it doesn't begin like an MP4, MOV, AVI, MKV or WebM file"
        )
    return container


def _open(path: Path, container: Container) -> cv2.VideoCapture:
    with quiet_decoders():
        # An absolute path, so that FFmpeg can't take a name such as "concat:x.mp4" for a protocol.
        capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    if capture.isOpened():
        return capture
    if not container.has_index:
        reason = "its index is missing, as when a recording is cut off; ask for the file again"
    elif container.codec is None:
        reason = "no video was found in it; expected MP4, AVI, MOV, MKV or WebM with a picture"
    else:
        reason = (
            f"its codec ({container.codec}) can't be decoded here or its header is damaged; "
            f"convert it first: ffmpeg -i {path.name} -c:v libx264 converted.mp4"
        )
    raise SourceError(f"{path.name} can't be opened: {reason}")


def _declared_count(capture: cv2.VideoCapture) -> int | None:
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and 0 < count < 1e9 else None


def _declared_rate(capture: cv2.VideoCapture) -> float | None:
    # A millisecond clock without a rate reads as 1000 frames a second.
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and 0 < rate < 1000 else None


def _size(capture: cv2.VideoCapture, name: str) -> tuple[int, int]:
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    check_size(name, width, height, most=MAX_CLIP_PIXELS)
    return width, height
