"""What the page is told once: the model, the classes and their looks, the demos, the limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nerveseg import anatomy, phantom
from nerveseg.anatomy import Block
from nerveseg.ui.recording import MAX_NAME, Limits
from nerveseg.video.devices import Device, list_devices
from nerveseg.vision.guidance import WARNINGS
from nerveseg.vision.preprocess import NEEDLE, ModelSpec
from nerveseg.vision.segment import Segmenter

__all__ = ["DEMO_FRAMES", "SUFFIXES", "demos", "live_sources", "page_facts", "watch_facts"]

SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"),
    *(".dcm", ".mha"),
)
"""Kinds of file that may be uploaded."""

DEMO_FRAMES = 250

_DEMO_NEEDLE = "needle&visibility=0.8"  # now and then out of the plane, as in life
_WHITE = "#EBEBEB"
_LINES_OF = ("fascia", "pleura")
_BORDERS_OF = ("muscle",)


def demos() -> dict[str, tuple[str, str]]:
    """Per demo block: what the page calls it, and the address of its clip."""
    blocks = anatomy.default().blocks
    return {
        name: (blocks[name].label, f"phantom:{name}?frames={DEMO_FRAMES}&{_DEMO_NEEDLE}")
        for name in phantom.blocks()
    }


def live_sources() -> list[dict[str, str]]:
    """What can be chosen to be live: devices that are there now, and phantoms."""
    blocks = anatomy.default().blocks
    phantoms = [
        {
            "group": "Phantom",
            "label": f"Phantom: {blocks[name].label}",
            "uri": f"phantom:{name}?{_DEMO_NEEDLE}&realtime&loop",
            "block": name,
        }
        for name in phantom.blocks()
    ]
    devices = [
        {"group": "This computer", "label": _device_label(device), "uri": device.uri}
        for device in list_devices()
    ]
    return devices + phantoms


def _device_label(device: Device) -> str:
    """Its name, and its address, since two probes of a kind have one name."""
    label = f"{device.name} · {device.uri}"
    return f"{label} ({device.note})" if device.note else label


def page_facts(
    segmenter: Segmenter | None,
    problem: str | None,
    limits: Limits,
    *,
    live: dict[str, str | None] | None = None,
    watch_at: str | None = None,
) -> dict[str, Any]:
    """JSON for the page; without a model, ``problem`` says what to do about it.

    ``live`` has the ``uri`` and ``block`` that the page opens at, ``watch_at`` the address under
    which other computers may look on.
    """
    return {
        "live": live,
        "watch_at": watch_at,
        "model": None if segmenter is None else _model(segmenter),
        "problem": problem,
        "demos": [{"name": name, "label": label} for name, (label, _) in demos().items()],
        "needle": _look(NEEDLE),
        "warnings": {
            key: {"text": notice.text, "symbol": notice.symbol} for key, notice in WARNINGS.items()
        },
        "blocks": [_block(block) for block in anatomy.default().blocks.values()],
        "name_letters": MAX_NAME,
        "suffixes": SUFFIXES,
        "upload_bytes": limits.upload_bytes,
    }


def watch_facts(segmenter: Segmenter) -> dict[str, Any]:
    """JSON for the page that looks on: what is drawn, and how."""
    return {
        "classes": [_look(name) for name in segmenter.spec.areas],
        "needle": _look(NEEDLE),
        "sees_needles": segmenter.spec.sees_needles,
    }


def _model(segmenter: Segmenter) -> dict[str, Any]:
    spec = segmenter.spec
    return {
        "id": spec.model_id,
        "backend": segmenter.backend_name,
        "trained_on": spec.trained_on,
        "classes": [_look(name) for name in spec.areas],
        "sees_needles": spec.sees_needles,
        "measured": _measured(spec),
        "needles": _measured_needles(spec),
    }


def _look(name: str) -> dict[str, Any]:
    known = anatomy.default().classes.get(name)
    if known is None:  # a model may know a class that the syllabus doesn't
        label, line, colors = name.capitalize(), "solid", (_WHITE, _WHITE)
    else:
        label, line = known.label, known.line
        colors = (_hex(known.color), _hex(known.safe_color))
    return {"name": name, "label": label, "line": line, "standard": colors[0], "safe": colors[1]}


def _block(block: Block) -> dict[str, Any]:
    """A block with the names that its syllabus offers for a line on the picture."""
    fasciae = [s.name for s in block.structures if s.class_name in _LINES_OF]
    borders = [f"border of {s.name}" for s in block.structures if s.class_name in _BORDERS_OF]
    return {"name": block.name, "label": block.label, "planes": fasciae + borders}


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#" + bytes(rgb).hex()


def _measured(spec: ModelSpec) -> list[dict[str, Any]]:
    """Dice per set and class, from the report's summary that the spec carries."""
    rows = []
    for card, classes in _mapping(spec.metrics.get("sets")).items():
        for name, measures in _mapping(classes).items():
            dice = _mapping(_mapping(measures).get("dice"))
            if name in spec.areas and isinstance(dice.get("value"), (int, float)):
                figures = {key: dice.get(key) for key in ("value", "low", "high", "n")}
                rows.append({"card": card, "class": name, **figures})
    return rows


def _measured_needles(spec: ModelSpec) -> list[dict[str, Any]]:
    """How often a needle was found, or said where none is, per set; see `_measured`."""
    rows = []
    for card, figures in _mapping(_mapping(spec.metrics.get("sections")).get("needles")).items():
        values = {
            name: _mapping(_mapping(figures).get(key)).get("value")
            for name, key in (
                ("found", "found_rate"), ("tip", "tip_median"), ("false", "false_rate"),
            )
        }  # fmt: skip
        if any(isinstance(value, (int, float)) for value in values.values()):
            rows.append({"card": card, "images": _mapping(figures).get("images"), **values})
    return rows


def _mapping(value: object) -> Mapping[str, Any]:
    """A foreign model's metrics may have any shape; what isn't a table is an empty one."""
    return value if isinstance(value, Mapping) else {}
