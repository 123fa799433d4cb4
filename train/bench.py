"""`nerveseg bench`, and beside it in the same run the same net in torch and a plain U-Net."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from nerveseg.bench import Timing, bench
from nerveseg.vision import backends
from nerveseg.vision.preprocess import ModelSpec, Tensor
from train.config import ModelConfig, read
from train.export import Probabilities, write_onnx
from train.model import build

__all__ = ["bench_all", "compare_inference", "table"]


def bench_all(model: Path, *, int8: Path | None, frames: int = 100) -> dict[str, Any]:
    """Everything of `nerveseg.bench.bench`, plus ``inference``: one row per way to run a net."""
    report = bench(model=model, frames=frames)
    report["inference"] = compare_inference(model, int8=int8, frames=frames)
    return report


def compare_inference(model: Path, *, int8: Path | None, frames: int) -> list[dict[str, Any]]:
    """Milliseconds of the network alone, taken in turns so that noise falls on all alike."""
    spec = backends.read_spec(model)
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        files = {
            "ours fp32": model,
            "ours INT8": int8,
            "ours fp32 without its needle": _without_needle(Path(folder) / "areas.onnx", spec),
            "plain U-Net 31 M": _plain_unet(Path(folder) / "plain.onnx", spec),
        }
        for threads in (1, 2):
            ways = dict(_ways(files, spec, threads))
            timings = _in_turns(ways, spec, frames)
            rows += [
                {"net": net, "backend": backend, "threads": threads, **asdict(timing)}
                for (net, backend), timing in timings.items()
            ]
    return rows


Way = Callable[[Tensor], Tensor]

_SHIPPED = Path(__file__).parent / "configs" / "needle.toml"

_ENOUGH_MS = 8_000
"""A slow way to run a net is measured no longer than this; ``frames`` says how often it ran."""


def _ways(
    files: dict[str, Path | None], spec: ModelSpec, threads: int
) -> Iterator[tuple[tuple[str, str], Way]]:
    for net, path in files.items():
        if path is None or not path.is_file():
            continue
        for backend in backends.available():
            run = backends.open_runner(path, backend=backend, threads=threads).run
            yield (net, backend), run
    yield ("ours fp32", "torch eager"), _torch_eager(spec, threads)


def _in_turns(
    ways: dict[tuple[str, str], Way], spec: ModelSpec, frames: int
) -> dict[tuple[str, str], Timing]:
    picture = np.random.default_rng(0).standard_normal((1, 1, *spec.input_hw)).astype(np.float32)
    spent: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    block = 10
    for _ in range(max(1, frames // block)):
        for way, run in ways.items():
            if sum(spent[way]) > _ENOUGH_MS:
                continue
            run(picture)  # what ran before has cooled this one's caches
            for _ in range(block):
                start = time.perf_counter()
                run(picture)
                spent[way].append(1e3 * (time.perf_counter() - start))
    return {way: Timing.of(values) for way, values in spent.items()}


def _torch_eager(spec: ModelSpec, threads: int) -> Way:
    network = Probabilities(build(_config(spec))).eval()

    @torch.inference_mode()
    def run(tensor: Tensor) -> Tensor:
        torch.set_num_threads(threads)
        answer: Tensor = network(torch.from_numpy(tensor)).numpy()
        return answer

    return run


def _config(spec: ModelSpec) -> ModelConfig:
    """Of an untrained net like the spec's: its time is the same, and no checkpoint is needed."""
    return ModelConfig(
        classes=spec.classes,
        input_hw=spec.input_hw,
        pretrained=False,
        needle_channels=read(_SHIPPED).model.needle_channels if spec.heatmaps else (),
    )


def _without_needle(target: Path, spec: ModelSpec) -> Path | None:
    """What the needle costs is the difference to this; ``None`` for a net that has none."""
    if not spec.heatmaps:
        return None
    config = dataclasses.replace(_config(spec), classes=spec.areas, needle_channels=())
    write_onnx(Probabilities(build(config)).eval(), target, spec)
    return target


def _plain_unet(target: Path, spec: ModelSpec) -> Path:
    config = ModelConfig(architecture="plain", classes=spec.classes)
    named = dataclasses.replace(spec, name="plain-unet", metrics={})
    write_onnx(Probabilities(build(config)).eval(), target, named)
    return target


def table(report: dict[str, Any]) -> str:
    """The report as lines to read."""
    machine = report["machine"]
    lines = [f"{machine['processor']}, {machine['cores']} cores"]
    lines += [_stage_line(row) for row in report["stages"]]
    lines += [
        f"{row['net']} in {row['backend']}, {row['threads']} threads: "
        f"{row['median_ms']} ms median, {row['p95_ms']} ms p95"
        for row in report["inference"]
    ]
    lines.append(f"cold start {report['cold_start_s']} s, peak {report['peak_memory_mb']} MB")
    return "\n".join(lines)


def _stage_line(row: dict[str, Any]) -> str:
    size = "x".join(map(str, row["size_wh"]))
    stages = ", ".join(f"{name} {each['median_ms']}" for name, each in row["stages"].items())
    p95 = row["stages"]["whole"]["p95_ms"]
    return f"{size}, {row['threads']} threads, {row['backend']}: {stages} ms median; p95 {p95} ms"
