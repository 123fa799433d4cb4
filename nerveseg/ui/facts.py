"""What the page is told once: the model, the classes and their looks, the demos, the limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nerveseg import anatomy, phantom
from nerveseg.ui.recording import Limits
from nerveseg.vision.preprocess import ModelSpec
from nerveseg.vision.segment import Segmenter

__all__ = ["DEMO_FRAMES", "SUFFIXES", "demos", "page_facts"]

SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"),
    *(".dcm", ".mha"),
)
"""Kinds of file that may be uploaded."""

DEMO_FRAMES = 250

_WHITE = "#EBEBEB"


def demos() -> dict[str, tuple[str, str]]:
    """Per demo block: what the page calls it, and the address of its clip."""
    blocks = anatomy.default().blocks
    return {
        name: (blocks[name].label, f"phantom:{name}?frames={DEMO_FRAMES}")
        for name in phantom.blocks()
    }


def page_facts(segmenter: Segmenter | None, problem: str | None, limits: Limits) -> dict[str, Any]:
    """JSON for the page; without a model, ``problem`` says what to do about it."""
    return {
        "model": None if segmenter is None else _model(segmenter),
        "problem": problem,
        "demos": [{"name": name, "label": label} for name, (label, _) in demos().items()],
        "suffixes": SUFFIXES,
        "upload_bytes": limits.upload_bytes,
    }


def _model(segmenter: Segmenter) -> dict[str, Any]:
    spec = segmenter.spec
    return {
        "id": spec.model_id,
        "backend": segmenter.backend_name,
        "trained_on": spec.trained_on,
        "classes": [_look(name) for name in spec.classes],
        "measured": _measured(spec),
    }


def _look(name: str) -> dict[str, Any]:
    known = anatomy.default().classes.get(name)
    if known is None:  # a model may know a class that the syllabus doesn't
        label, line, colors = name.capitalize(), "solid", (_WHITE, _WHITE)
    else:
        label, line = known.label, known.line
        colors = (_hex(known.color), _hex(known.safe_color))
    return {"name": name, "label": label, "line": line, "standard": colors[0], "safe": colors[1]}


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#" + bytes(rgb).hex()


def _measured(spec: ModelSpec) -> list[dict[str, Any]]:
    """Dice per set and class, from the report's summary that the spec carries."""
    rows = []
    for card, classes in _mapping(spec.metrics.get("sets")).items():
        for name, measures in _mapping(classes).items():
            dice = _mapping(_mapping(measures).get("dice"))
            if isinstance(dice.get("value"), (int, float)):
                figures = {key: dice.get(key) for key in ("value", "low", "high", "n")}
                rows.append({"card": card, "class": name, **figures})
    return rows


def _mapping(value: object) -> Mapping[str, Any]:
    """A foreign model's metrics may have any shape; what isn't a table is an empty one."""
    return value if isinstance(value, Mapping) else {}
