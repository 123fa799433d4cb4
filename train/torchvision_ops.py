"""Let torchvision be imported beside a CPU-only torch.

PyPI's Linux wheel of torchvision is built for CUDA torch; beside a CPU-only torch its compiled
operators don't load, and its import stops at ``operator torchvision::nms does not exist``.
timm, torchmetrics and segmentation-models-pytorch import torchvision but use neither operator,
so their schemas are declared first, and only where the real ones are missing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

__all__ = ["declare_missing_operators"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_missing_operators() -> torch.library.Library | None:
    """Declare ``torchvision::nms`` and ``qnms`` where torchvision's binary can't be loaded.

    Returns the library that holds the declarations (it must be kept alive), or ``None`` when
    nothing was missing.
    """
    if _real_operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
    return library


def _real_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for binary in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(str(binary))  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return True
    return False
