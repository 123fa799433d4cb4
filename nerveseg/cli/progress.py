"""A progress bar on stderr, only where somebody is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

__all__ = ["Advance", "progress_bar", "tracked"]

Advance: TypeAlias = Callable[[int], None]
"""Moves a bar on by so many steps."""

_T = TypeVar("_T")


@contextmanager
def progress_bar(title: str, total: float | None, *, unit: str) -> Iterator[Advance]:
    """A bar with rate and time left; silent if stderr is no terminal or there is one step."""
    if total == 1 or not sys.stderr.isatty():
        yield _unseen
        return
    # Imported on demand: a single picture needs no bar, and should start fast.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} · {{task.fields[rate]}}", markup=False),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, rate="")

        def advance(steps: int) -> None:
            bar.advance(task, steps)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:.1f}/s" if speed else "")

        yield advance


def _unseen(steps: int) -> None:
    del steps


def tracked(items: Iterable[_T], title: str, total: float | None, *, unit: str) -> Iterator[_T]:
    """The same items, with a bar that counts them."""
    with progress_bar(title, total, unit=unit) as advance:
        for item in items:
            yield item
            advance(1)
