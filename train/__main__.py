"""The workshop's verbs: ``python -m train fit | evaluate | export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nerveseg.errors import NervesegError

app = typer.Typer(
    help="Train, evaluate and export networks.", no_args_is_help=True, add_completion=False
)


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


def main() -> None:
    """Run a verb; an error becomes one clear line and exit code 2."""
    try:
        app()
    except NervesegError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
