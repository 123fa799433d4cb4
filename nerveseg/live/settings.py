"""What a user set for a device: crop, scale, mirror. Kept on this computer, one entry a device."""

from __future__ import annotations

import json
import logging
import math
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import platformdirs

from nerveseg.types import Box
from nerveseg.video.sinks import storing, write_bytes

__all__ = ["Crop", "DeviceSettings", "SettingsStore"]

Crop: TypeAlias = Literal["auto", "off"] | Box
"""``auto`` finds the image inside the scanner's chrome, ``off`` takes the whole picture, a `Box`
is where a user said it is."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """How one device's picture is to be read and shown.

    ``mm_per_px`` overrides the source's own scale; ``scale_from`` says in words where it came
    from. ``mirrored`` shows the picture left for right; what is analysed and recorded stays as
    it came. Raises `ValueError` for a crop that is none, and a scale that isn't a positive number.
    """

    crop: Crop = "auto"
    mm_per_px: float | None = None
    scale_from: str = ""
    mirrored: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.crop, Box) and self.crop not in ("auto", "off"):
            raise ValueError(f"crop is 'auto', 'off' or a box, got {self.crop!r}")
        if self.mm_per_px is not None and not (
            math.isfinite(self.mm_per_px) and self.mm_per_px > 0
        ):
            raise ValueError(f"mm_per_px is a positive number or None, got {self.mm_per_px}")


class SettingsStore:
    """A small JSON file of `DeviceSettings`, by device.

    One that can't be read counts as empty and is put aside, not overwritten. Any thread may use it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(platformdirs.user_config_dir("nerveseg")) / "devices.json"
        self._lock = threading.Lock()

    def load(self, device: str) -> DeviceSettings:
        """What was kept for ``device``, or the defaults."""
        with self._lock:
            entry = self._all().get(device, {})
        try:
            return _read(entry)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            _log.warning("the settings kept for %s can't be used: %s", device, error)
            return DeviceSettings()

    def save(self, device: str, settings: DeviceSettings) -> None:
        """Keep ``settings`` for ``device``; `StoreError` if the disk doesn't take them."""
        with self._lock:
            entries = self._all() | {device: _written(settings)}
            with storing(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self._path, json.dumps(entries, indent=1).encode())

    def _all(self) -> dict[str, Any]:
        try:
            entries = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            return self._put_aside(error)
        return entries if isinstance(entries, dict) else self._put_aside("it is no JSON object")

    def _put_aside(self, reason: object) -> dict[str, Any]:
        aside = self._path.with_suffix(".damaged.json")
        _log.warning("%s can't be read (%s); kept as %s", self._path, reason, aside.name)
        with suppress(OSError):
            self._path.replace(aside)
        return {}


def _written(settings: DeviceSettings) -> dict[str, Any]:
    crop = settings.crop
    return {
        "crop": [crop.left, crop.top, crop.right, crop.bottom] if isinstance(crop, Box) else crop,
        "mm_per_px": settings.mm_per_px,
        "scale_from": settings.scale_from,
        "mirrored": settings.mirrored,
    }


def _read(entry: dict[str, Any]) -> DeviceSettings:
    crop, scale = entry.get("crop", "auto"), entry.get("mm_per_px")
    return DeviceSettings(
        crop=Box(*(int(side) for side in crop)) if isinstance(crop, list) else crop,
        mm_per_px=None if scale is None else float(scale),
        scale_from=str(entry.get("scale_from", "")),
        mirrored=bool(entry.get("mirrored", False)),
    )
