"""The clips that are open in the app: a bounded number, each behind an unguessable id."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from nerveseg import pipeline
from nerveseg.errors import NervesegError, StoreError
from nerveseg.ui.analyst import Analyst, Job
from nerveseg.ui.recording import Limits, Recording
from nerveseg.video import sources
from nerveseg.vision.segment import Segmenter

__all__ = ["ClipStore"]


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    recording: Recording
    job: Job
    folder: Path


class ClipStore:
    """Opens clips, has them analysed, and forgets the one that was unused longest.

    All of it lies in one temporary folder, which goes when the store is closed.
    """

    def __init__(self, segmenter: Segmenter, *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._segmenter = segmenter
        self._root = tempfile.TemporaryDirectory(prefix="nerveseg-")
        self._lock = threading.RLock()
        self._clips: OrderedDict[str, _Open] = OrderedDict()
        self._shared: dict[str, str] = {}
        self._analyst = Analyst()

    def demo(self, uri: str, name: str) -> str:
        """The id of the clip at ``uri``, which all viewers share."""
        with self._lock:
            known = self._shared.get(uri)
            if known is None or known not in self._clips:
                self._shared[uri] = self._open(self.new_folder(), uri, name)
            return self._shared[uri]

    def new_folder(self) -> Path:
        """A fresh folder for an upload; hand it to `uploaded`, or to `discard`."""
        try:
            return Path(tempfile.mkdtemp(dir=self._root.name))
        except OSError as error:
            raise StoreError(f"can't keep a clip in {self._root.name}: {error.strerror}") from error

    def uploaded(self, path: Path, name: str) -> str:
        """The id of the clip in ``path``, a file alone in its `new_folder`, shown as ``name``."""
        with self._lock:
            return self._open(path.parent, str(path), name)

    def recorded(self, folder: Path) -> str:
        """The id of the recording in ``folder``, which is read and left as it is."""
        with self._lock:
            return self._open(self.new_folder(), str(folder), folder.name)

    def discard(self, folder: Path) -> None:
        """Delete a folder that no clip came of."""
        shutil.rmtree(folder, ignore_errors=True)

    def get(self, clip_id: str) -> Recording:
        """The clip behind an id; `StoreError` if there is none (any more)."""
        with self._lock:
            if clip_id not in self._clips:
                raise StoreError("this clip is no longer open; open it again")
            self._clips.move_to_end(clip_id)
            return self._clips[clip_id].recording

    def release(self, clip_id: str) -> None:
        """Close a clip that its viewer is done with; a shared one stays for the others."""
        with self._lock:
            if clip_id in self._clips and clip_id not in self._shared.values():
                self._drop(clip_id)

    def close(self) -> None:
        """Stop all work and delete all files."""
        with self._lock:
            while self._clips:
                self._drop(next(iter(self._clips)))
        self._analyst.stop()
        self._root.cleanup()

    def _open(self, folder: Path, uri: str, name: str) -> str:
        recording = Recording(name, folder, self.limits)
        steps = _analyse(uri, recording, self._segmenter)
        job = Job(steps, on_crash=lambda: recording.finish("failed", _CRASHED))
        clip_id = secrets.token_urlsafe(16)
        self._clips[clip_id] = _Open(recording, job, folder)
        while len(self._clips) > self.limits.clips:
            self._drop(next(iter(self._clips)))
        self._analyst.take(job)
        return clip_id

    def _drop(self, clip_id: str) -> None:
        clip = self._clips.pop(clip_id)
        clip.job.cancel()
        clip.recording.close()
        self.discard(clip.folder)


_CRASHED = "the analysis stopped on a fault of this program; its log tells more"
_FULL = "only the first part is shown: the clip is longer than this app keeps"


def _analyse(uri: str, recording: Recording, segmenter: Segmenter) -> Generator[None]:
    """Analyse one frame a step, and end the recording on the right word."""
    try:
        with sources.open(uri) as clip:
            recording.begin(fps=clip.fps, frame_count=clip.frame_count)
            for result in pipeline.run(clip, segmenter):
                if not recording.add(result, broken=clip.broken_frames):
                    recording.finish("done", _FULL)
                    return
                yield
        recording.finish("done")
    except NervesegError as error:
        # The user's name for the file says more than the app's.
        words = str(error).replace(uri, recording.name).replace(Path(uri).name, recording.name)
        recording.finish("failed", words)
