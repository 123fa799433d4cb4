"""Is one model better than another? Paired differences on the very same pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np

from nerveseg.errors import DataError
from train.bootstrap import GroupBootstrap, Interval
from train.report import read_model_id, read_rows, show, table, write_text
from train.scores import Row

__all__ = ["Difference", "compare", "compare_cli"]

_Key: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """Dice of the first model less the second's, on one class of one set.

    ``dice`` is the mean over the pictures on which both have one; ``better_share`` is the share
    of those on which the first is strictly better. ``n_undefined`` pictures are left out because
    a Dice is NaN (no truth, and at least one model rightly predicted nothing); ``n_unpaired``
    because only one report has them.
    """

    card: str
    class_name: str
    dice: Interval
    better_share: float
    n_undefined: int
    n_unpaired: int


def compare(
    first: Sequence[Row], second: Sequence[Row], *, draws: int = 2000, seed: int = 0
) -> tuple[Difference, ...]:
    """One paired difference per set and class that both reports measured.

    The intervals redraw whole groups. Raises `DataError` when the reports share no picture or
    when a picture's truth differs between them.
    """
    ours, theirs = _by_key(first), _by_key(second)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise DataError(
            "the two reports share no picture of one class; evaluate both models on the same "
            "data and split"
        )
    for key in shared:
        _check_same_truth(ours[key], theirs[key])
    unpaired = sorted(ours.keys() ^ theirs.keys())
    return tuple(
        _difference(
            [(ours[key], theirs[key]) for key in keys],
            n_unpaired=sum(_cell_of(key) == cell for key in unpaired),
            draws=draws,
            seed=seed,
        )
        for cell, keys in groupby(shared, key=_cell_of)
    )


def compare_cli(argv: Sequence[str]) -> int:
    """``python -m train compare FIRST SECOND [--out FILE]``: a Markdown table; 0 when written."""
    parser = argparse.ArgumentParser(
        prog="python -m train compare",
        description="Paired Dice differences of two evaluations, FIRST less SECOND.",
    )
    parser.add_argument("first", type=Path, help="folder that an evaluation wrote")
    parser.add_argument("second", type=Path, help="folder that an evaluation wrote")
    parser.add_argument("--out", type=Path, help="Markdown file; default: standard output")
    options = parser.parse_args(argv)
    differences = compare(read_rows(options.first), read_rows(options.second))
    text = _markdown(differences, read_model_id(options.first), read_model_id(options.second))
    if options.out is None:
        sys.stdout.write(text)
    else:
        write_text(options.out, text)
    return 0


def _by_key(rows: Sequence[Row]) -> Mapping[_Key, Row]:
    keyed = {(row.card, row.class_name, row.name): row for row in rows}
    if len(keyed) < len(rows):
        raise DataError(
            f"{len(rows) - len(keyed)} rows name a picture and class again; "
            "a report has one row each"
        )
    return keyed


def _cell_of(key: _Key) -> tuple[str, str]:
    return key[0], key[1]


def _check_same_truth(ours: Row, theirs: Row) -> None:
    if (ours.truth_area_px, ours.group) != (theirs.truth_area_px, theirs.group):
        raise DataError(
            f"{ours.name} has {ours.truth_area_px} px of {ours.class_name} in group {ours.group} "
            f"in one report, {theirs.truth_area_px} px in group {theirs.group} in the other; "
            "evaluate both models on the same version of the data"
        )


def _difference(
    pairs: Sequence[tuple[Row, Row]], *, n_unpaired: int, draws: int, seed: int
) -> Difference:
    gains = np.array([ours.dice - theirs.dice for ours, theirs in pairs])
    bootstrap = GroupBootstrap([ours.group for ours, _ in pairs], draws=draws, seed=seed)
    defined = gains[~np.isnan(gains)]
    return Difference(
        card=pairs[0][0].card,
        class_name=pairs[0][0].class_name,
        dice=bootstrap.mean(gains),
        better_share=float(np.mean(defined > 0)) if defined.size else float("nan"),
        n_undefined=gains.size - defined.size,
        n_unpaired=n_unpaired,
    )


def _markdown(differences: Sequence[Difference], first: str, second: str) -> str:
    head = ["Set", "Class", "Images", "Dice difference", "Better on", "Undefined", "Unpaired"]
    body = [
        [
            difference.card,
            difference.class_name,
            str(difference.dice.n),
            show(difference.dice),
            f"{100 * difference.better_share:.0f} %",
            str(difference.n_undefined),
            str(difference.n_unpaired),
        ]
        for difference in differences
    ]
    return (
        f"# {first} less {second}\n\n{table(head, body)}\n\n"
        "Mean paired difference per picture with its 95 % interval from redrawing whole groups: "
        "an interval that holds 0 shows no difference.\n"
    )
