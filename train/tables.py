"""Figures as text: Markdown tables, intervals for readers and for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from train.bootstrap import Interval

__all__ = ["interval_json", "show", "table"]


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def show(interval: Interval, *, digits: int = 3, unit: str = "") -> str:
    """``0.712 [0.660, 0.751]``; ``n/a`` if undefined, no bracket if the spread is unknown."""
    if math.isnan(interval.value):
        return "n/a"
    value = f"{interval.value:.{digits}f}{' ' + unit if unit else ''}"
    if math.isnan(interval.low):
        return value
    return f"{value} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def interval_json(interval: Interval) -> dict[str, float | int | None]:
    """JSON has no NaN: what is undefined is null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(interval).items()
    }
