"""Binary cross-entropy plus soft Dice, over the classes that were labelled at all."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["segmentation_loss"]


def segmentation_loss(
    logits: torch.Tensor, target: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Mean of BCE and of 1 − soft Dice over known classes.

    ``logits`` ``(N, C, h, w)``; ``target`` ``(N, C, h, w)`` in 0..1; ``known`` ``(N, C)`` is 1
    where the class was labelled in that picture: elsewhere it is unknown, not absent, and
    teaches nothing. Dice (Milletari et al. 2016) counts where the class is present, so that a
    small nerve weighs as much as a large vessel; BCE alone teaches absence.
    """
    logits = logits.float()
    if logits.shape[-2:] != target.shape[-2:]:
        # Judged at the target's resolution, as it will be used.
        logits = functional.interpolate(logits, target.shape[-2:], mode="bilinear")
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    present = known * (target.amax(dim=(2, 3)) > 0.5).float()
    return _masked_mean(cross_entropy.mean(dim=(2, 3)), known) + _masked_mean(
        1.0 - _soft_dice(logits.sigmoid(), target), present
    )


def _soft_dice(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    overlap = (probability * target).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (2 * overlap + 1.0) / (total + 1.0)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1.0)
