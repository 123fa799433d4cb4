"""Where the files that travel with the package lie: in the checkout, or inside the wheel."""

from __future__ import annotations

from pathlib import Path

__all__ = ["datasets_dir", "weights_dir"]

_PACKAGE = Path(__file__).resolve().parent


def weights_dir() -> Path:
    """Folder of the shipped ONNX models and their model card."""
    return _travelling("weights")


def datasets_dir() -> Path:
    """Folder of the dataset cards and the committed splits."""
    return _travelling("datasets")


def _travelling(name: str) -> Path:
    inside_wheel = _PACKAGE / name
    return inside_wheel if inside_wheel.is_dir() else _PACKAGE.parent / name
