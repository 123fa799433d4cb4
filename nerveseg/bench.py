"""How long each stage takes on this machine, how much memory, how quick the start: one run.

Everything is measured side by side on the same phantom frames, so that figures can be compared
with each other; absolute figures are of this machine at this moment.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from nerveseg import pipeline
from nerveseg.phantom import Phantom
from nerveseg.resources import weights_dir
from nerveseg.types import Frame
from nerveseg.vision import backends, overlay
from nerveseg.vision.segment import DEFAULT_MODEL, Segmenter

__all__ = ["SIZES_WH", "Timing", "bench", "time_pipeline"]

SIZES_WH = ((640, 480), (1280, 720))
"""Picture sizes measured, (width, height)."""

_WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a frame, over ``frames`` frames."""

    median_ms: float
    p95_ms: float
    frames: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Timing:
        """Summarise a list of durations."""
        median, p95 = np.percentile(milliseconds, [50, 95])
        return cls(round(float(median), 2), round(float(p95), 2), len(milliseconds))


def bench(*, model: Path | None = None, frames: int = 100) -> dict[str, Any]:
    """All that needs no torch: stages by size, threads and backend; memory; cold start."""
    path = model or weights_dir() / DEFAULT_MODEL
    return {
        "machine": _machine(),
        "model": path.name,
        "stages": list(_stages(path, frames)),
        "cold_start_s": cold_start(path),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _stages(path: Path, frames: int) -> Iterable[dict[str, Any]]:
    for size_wh in SIZES_WH:
        clip = phantom_clip(size_wh, frames + _WARM_UP)
        for threads in (1, 2):
            for backend in backends.available():
                timings = time_pipeline(clip, path, backend=backend, threads=threads)
                yield {
                    "size_wh": size_wh,
                    "threads": threads,
                    "backend": backend,
                    "stages": {name: asdict(timing) for name, timing in timings.items()},
                }


def time_pipeline(
    clip: Sequence[Frame], path: Path, *, backend: str, threads: int
) -> Mapping[str, Timing]:
    """Each stage from frame to overlay on ``clip``; ``whole`` is wall time of all of them."""
    segmenter = Segmenter.load(path, threads=threads, backend=backend)
    style = overlay.OverlayStyle()
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    spent: dict[str, list[float]] = {}
    try:
        start = time.perf_counter()
        for result in pipeline.run(iter(clip), segmenter):
            drawn = time.perf_counter()
            overlay.draw(result, style)
            now = time.perf_counter()
            stages = {
                **result.timings_ms,
                "overlay": 1e3 * (now - drawn),
                "whole": 1e3 * (now - start),
            }
            for name, value in stages.items():
                spent.setdefault(name, []).append(value)
            start = time.perf_counter()
    finally:
        cv2.setNumThreads(cv2_threads)
    return {name: Timing.of(values[_WARM_UP:]) for name, values in spent.items()}


def phantom_clip(size_wh: tuple[int, int], frames: int) -> list[Frame]:
    """A phantom clip with a needle, kept in memory so that rendering isn't timed."""
    phantom = Phantom("axillary", seed=1, size=size_wh, needle=True)
    return [shot.frame for shot in phantom.frames(frames)]


def cold_start(path: Path, *, repeats: int = 3) -> float:
    """Median seconds of ``nerveseg predict`` on one image, from process start to its end."""
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "frame.png"
        cv2.imwrite(str(picture), phantom_clip((640, 480), 1)[0].pixels)
        times = []
        for number in range(repeats):
            command = [
                sys.executable,
                "-m",
                "nerveseg",
                "predict",
                str(picture),
                "--out",
                str(Path(folder) / str(number)),
                "--model",
                str(path),
            ]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
            times.append(time.perf_counter() - start)
    return round(float(np.median(times)), 2)


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "backends": backends.available(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
