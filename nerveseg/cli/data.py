"""``nerveseg data``: the public datasets, their downloads, checks and splits."""

from __future__ import annotations

import typer

__all__ = ["datasets"]

datasets = typer.Typer(help="Public datasets: list, check, fetch, split.", no_args_is_help=True)


@datasets.command("list")
def list_() -> None:
    """List the datasets that nerveseg knows, with what they label and their licence."""
    from nerveseg.data import cards

    for name in cards.names():
        card = cards.load(name)
        typer.echo(f"{name:<28} {card.use:<8} {', '.join(sorted(card.known)):<24} {card.licence}")
