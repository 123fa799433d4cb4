"""Who uses the processor: the server, the browser, and others that are none of ours."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from nerveseg.vision import backends

__all__ = ["Load", "machine"]


class Load:
    """Processor time from now on, by who used it, in shares of one core."""

    def __init__(self, who: Mapping[str, Iterable[psutil.Process]]) -> None:
        self._who = {name: list(processes) for name, processes in who.items()}
        self._began = time.monotonic()
        self._before = {name: _spent(processes) for name, processes in self._who.items()}
        self._busy_before = _busy()

    def figures(self) -> dict[str, float]:
        """``cpu_NAME`` of each, and ``cpu_others``: what neither they nor this process used."""
        seconds = time.monotonic() - self._began
        used = {
            name: (_spent(processes) - self._before[name]) / seconds
            for name, processes in self._who.items()
        }
        busy = (_busy() - self._busy_before) / seconds
        told = {f"cpu_{name}": round(value, 2) for name, value in used.items()}
        return told | {"cpu_others": round(max(0.0, busy - sum(used.values())), 2)}


def machine() -> dict[str, Any]:
    """What this was measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        "backends": backends.available(),
        "load_average": os.getloadavg(),
    }


def _spent(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
