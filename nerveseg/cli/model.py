"""``nerveseg model`` and ``nerveseg bench``: what the model is, and how fast it is here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nerveseg.vision.preprocess import ModelSpec

__all__ = ["bench", "models"]

models = typer.Typer(help="What a model is and was trained on.", no_args_is_help=True)

_ModelPath = Annotated[
    Path | None,
    typer.Option("--model", help="ONNX file; the shipped one by default.", show_default=False),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@models.callback()
def _models() -> None:
    """Keeps `show` a verb of its own: a lone command would take its group's place."""


@models.command()
def show(model: _ModelPath = None, as_json: _AsJson = False) -> None:
    """Show a model's classes, input, training data, licences and measured quality."""
    from nerveseg.resources import weights_dir
    from nerveseg.vision import backends
    from nerveseg.vision.segment import DEFAULT_MODEL

    path = model or weights_dir() / DEFAULT_MODEL
    spec = backends.read_spec(path)
    if as_json:
        typer.echo(json.dumps(json.loads(spec.to_json()), indent=2))
        return
    for name, value in _facts(path, spec):
        typer.echo(f"{name:<12} {value}")
    typer.echo(f"{'backends':<12} {', '.join(backends.available())}")
    typer.echo("For education only, not for clinical use.")


def _facts(path: Path, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    height, width = spec.input_hw
    yield "file", f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
    yield "model", spec.model_id
    yield "classes", ", ".join(f"{c} (from {spec.thresholds[c]:.2f})" for c in spec.classes)
    yield "input", f"{width} by {height} pixels, {spec.fit}"
    for name in spec.trained_on:
        yield "trained on", f"{name} ({spec.licences.get(name, 'licence not told')})"
    for name, value in _leaves(spec.metrics):
        yield "measured", f"{name}: {value}"


def _leaves(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each measured figure with the path of names that leads to it."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", f"{value:.3f}" if isinstance(value, float) else str(value)


def bench(
    model: _ModelPath = None,
    as_json: _AsJson = False,
    frames: Annotated[int, typer.Option(min=1, help="Frames per measurement.")] = 100,
) -> None:
    """Time every stage from frame to overlay on this machine, and the start."""
    from nerveseg import bench as benches

    report = benches.bench(model=model, frames=frames)
    typer.echo(json.dumps(report, indent=2) if as_json else "\n".join(_bench_lines(report)))


def _bench_lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{report['model']} on {report['machine']['processor']}"
    yield f"cold start {report['cold_start_s']} s, peak memory {report['peak_memory_mb']} MB"
    yield "milliseconds a frame, median / 95th percentile:"
    for run in report["stages"]:
        width, height = run["size_wh"]
        yield f"{width}x{height}, {run['threads']} thread(s), {run['backend']}"
        for stage, timing in run["stages"].items():
            yield f"  {stage:<12} {timing['median_ms']:8.2f} / {timing['p95_ms']:.2f}"
