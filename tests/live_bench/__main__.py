"""``python -m tests.live_bench [--only NAME] [--quick] [--minutes 30] [--out FILE]``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from selenium.common.exceptions import WebDriverException

from tests.live_bench import lasting, showing
from tests.live_bench.machine import machine
from tests.live_bench.report import Bar, Row, table, write

_VGA, _HD = showing.VGA, showing.HD


def _rows(given: argparse.Namespace) -> dict[str, Callable[[], Row]]:
    """All rows by name, in the order in which they are measured."""
    seconds, quick = given.seconds, given.quick
    return {
        "vga": lambda: showing.showing(_VGA, seconds),
        "vga-plain": lambda: showing.plain(_VGA, seconds),
        "hd": lambda: showing.showing(_HD, seconds),
        "hd-plain": lambda: showing.plain(_HD, seconds),
        "camera": lambda: showing.camera(seconds),
        "viewers": lambda: showing.viewers(_VGA, seconds),
        "viewers-here": lambda: showing.viewers_here(_VGA, seconds),
        "kills": lambda: lasting.kills(5 if quick else 50),
        "vanishing": lambda: lasting.vanishing(5 if quick else 50),
        "faults": lambda: lasting.faults(60 if quick else 1000),
        "minutes": lambda: lasting.minutes(given.minutes),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-live", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="one row; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few seconds and few times")
    parser.add_argument("--seconds", type=float, help="of each row that looks at a page")
    parser.add_argument("--minutes", type=float, help="of the long run")
    parser.add_argument("--out", type=Path, default=Path("out/bench-live.json"))
    given = parser.parse_args()
    given.seconds = given.seconds or (10.0 if given.quick else 60.0)
    given.minutes = given.minutes or (2.0 if given.quick else 30.0)
    unknown = set(given.only) - set(_rows(given))
    if unknown:
        parser.error(f"no row is named {', '.join(unknown)}; there are {', '.join(_rows(given))}")
    return given


def _row(name: str, measure: Callable[[], Row]) -> Row:
    """What was measured; a row that could not be is one that is not met."""
    try:
        return measure()
    except (RuntimeError, WebDriverException, TimeoutError, OSError) as error:
        return Row(
            f"{name}: {type(error).__name__}: {error}", {"failed": 1}, (Bar("failed", most=0),)
        )


def _measured(given: argparse.Namespace) -> Iterator[Row]:
    for name, measure in _rows(given).items():
        if not given.only or name in given.only:
            row = _row(name, measure)
            sys.stdout.write(table([row]) + "\n")
            sys.stdout.flush()
            yield row


def main() -> int:
    """0 if every bar is met."""
    given = _arguments()
    # Faults are made on purpose here, and the session warns of each.
    logging.getLogger("nerveseg").setLevel(logging.ERROR)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    before = machine()
    rows: list[Row] = []
    for row in _measured(given):
        rows.append(row)
        write(given.out, before, rows)
    sys.stdout.write(f"written: {given.out}\n")
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
