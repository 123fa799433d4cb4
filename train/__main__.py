"""The workshop's verbs; ``python -m train --help`` lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nerveseg.errors import NervesegError

app = typer.Typer(
    help="Train, evaluate and export networks.", no_args_is_help=True, add_completion=False
)


@app.callback()
def _verbs() -> None:
    """Keep the verbs' names, however few there are."""


@app.command()
def fit(
    config: Annotated[Path, typer.Argument(help="Experiment file, see train/configs/.")],
    out: Annotated[Path | None, typer.Option(help="Run folder [default: runs/NAME].")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds the datasets.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint.")] = False,
    devices: Annotated[int, typer.Option(help="Processes or GPUs on each node (DDP).")] = 1,
    nodes: Annotated[int, typer.Option(help="Nodes (DDP).")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of each process.")] = 1,
) -> None:
    """Train a network from an experiment file."""
    import torch

    from train import config as configs
    from train.fit import fit as run

    torch.set_num_threads(threads)
    experiment = configs.read(config)
    options: dict[str, Any] = {"devices": devices, "num_nodes": nodes}
    if devices * nodes > 1:
        options["strategy"] = "ddp"
    folder = out or Path("runs") / experiment.name
    best = run(experiment, out=folder, root=data, resume=resume, trainer_options=options)
    typer.echo(f"best checkpoint: {best}")


_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_FORWARD, add_help_option=False)
def evaluate(context: typer.Context) -> None:
    """Measure a checkpoint or an ONNX file on labelled samples (see ``evaluate --help``)."""
    from train.evaluate import evaluate_cli

    raise typer.Exit(evaluate_cli(context.args))


@app.command(context_settings=_FORWARD, add_help_option=False)
def compare(context: typer.Context) -> None:
    """Paired Dice differences of two evaluations (see ``compare --help``)."""
    from train.compare import compare_cli

    raise typer.Exit(compare_cli(context.args))


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Where training left it: runs/NAME/best.ckpt.")
    ],
    target: Annotated[Path, typer.Argument(help="ONNX file to write.")],
    data: Annotated[Path | None, typer.Option(help="Folder that holds the datasets.")] = None,
    version: Annotated[str, typer.Option(help="Version written into the spec.")] = "1",
) -> None:
    """Write an ONNX file that carries its spec, after checking that it equals torch."""
    from train.export import export_run

    result = export_run(checkpoint, target, root=data, version=version)
    typer.echo(f"{target}: {result}")


@app.command()
def stamp(
    model: Annotated[Path, typer.Argument(help="Exported model.")],
    reports: Annotated[list[Path], typer.Argument(help="report.json of each of its evaluations.")],
) -> None:
    """Put its evaluations' figures into the model, for the app to show."""
    from train.export import stamp_reports

    spec = stamp_reports(model, reports)
    typer.echo(
        f"{model}: {spec.model_id} now carries its figures on {', '.join(spec.metrics['sets'])}"
    )


@app.command()
def quantise(
    source: Annotated[Path, typer.Argument(help="Exported fp32 model.")],
    target: Annotated[Path, typer.Argument(help="INT8 file to write.")],
    data: Annotated[Path | None, typer.Option(help="Folder that holds the datasets.")] = None,
    method: Annotated[str, typer.Option(help="minmax, percentile or entropy.")] = "percentile",
    frames: Annotated[int, typer.Option(help="Training frames to calibrate on.")] = 96,
    keep_last_stage: Annotated[
        bool, typer.Option(help="Leave the layers after the last skip connection in fp32.")
    ] = True,
) -> None:
    """Write an INT8 variant, calibrated on training frames."""
    from train.quantise import quantise_run

    quantise_run(
        source, target, root=data, method=method, frames=frames, keep_last_stage=keep_last_stage
    )
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


@app.command(context_settings=_FORWARD, add_help_option=False)
def steadiness(context: typer.Context) -> None:
    """Does smoothing calm the overlay, and does it lag? (see ``steadiness --help``)."""
    from train.steadiness import steadiness_cli

    raise typer.Exit(steadiness_cli(context.args))


@app.command()
def needles(
    model: Annotated[Path, typer.Argument(help="Exported model.")],
    clips: Annotated[
        list[Path] | None, typer.Option("--without", help="A clip that shows no needle; repeat it.")
    ] = None,
    phantoms: Annotated[int, typer.Option(help="Phantom clips to follow a needle in.")] = 16,
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("runs/needles.json"),
) -> None:
    """Follow needles through phantom clips with known tips, and through clips without one."""
    import json

    from train.needle_clips import measure_clips

    report = json.dumps(measure_clips(model, clips=clips or [], phantoms=phantoms), indent=2)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report + "\n", "utf-8")
    typer.echo(report)
    typer.echo(f"written: {out}")


@app.command()
def bench(
    model: Annotated[Path, typer.Option(help="Exported fp32 model.")] = Path(
        "weights/nerveseg.onnx"
    ),
    int8: Annotated[Path | None, typer.Option(help="Its INT8 variant, if there is one.")] = Path(
        "weights/nerveseg-int8.onnx"
    ),
    frames: Annotated[int, typer.Option(help="Frames measured of each.")] = 100,
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("runs/bench.json"),
) -> None:
    """Time every stage, and our net against torch, OpenVINO and a plain U-Net, in one run."""
    import json

    from train.bench import bench_all, table

    report = bench_all(model, int8=int8, frames=frames)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    typer.echo(table(report))
    typer.echo(f"written: {out}")


def main() -> None:
    """Run a verb; an error becomes one clear line and exit code 2."""
    try:
        app()
    except NervesegError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
