"""The Lightning module that trains the needle's decoder and leaves all else as it was."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch.nn import functional

from train.config import ExperimentConfig
from train.model import NeedleUnet
from train.module import SegmentationModule
from train.needles.dataset import Batch

__all__ = ["NeedleModule", "needle_loss", "tip_loss"]

_TIP_WEIGHT = 1.0


class NeedleModule(SegmentationModule):
    """Learns shaft and tip on scenes; its figure is how often the tip is found."""

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__(config)
        self._found: list[tuple[float, float, float]] = []

    @property
    def _net(self) -> NeedleUnet:
        return cast("NeedleUnet", self.network)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits of shaft and tip."""
        return self._net.needle(pictures.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """One batch's loss."""
        pictures, wanted, judged = batch
        loss = needle_loss(self(pictures).float(), wanted, judged)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's figures."""
        self._found = []

    def validation_step(self, batch: Batch, _: int, __: int = 0) -> None:
        """Collect, for each scene: is there a tip, the map's peak, and how far off it is."""
        pictures, wanted, _judged = batch
        answer = self(pictures).float().sigmoid()
        width = answer.shape[-1]
        for said, true in zip(answer[:, 1], wanted[:, 1], strict=True):
            said_at, true_at = int(said.argmax()), int(true.argmax())
            off = math.hypot(
                said_at % width - true_at % width, said_at // width - true_at // width
            ) / math.hypot(*said.shape)
            self._found.append((float(true.max() > 0.5), float(said.max()), off))

    def on_validation_epoch_end(self) -> None:
        """Log the share of scenes answered rightly, which checkpoints follow as ``dice``.

        Right: a tip within 2 % of the diagonal, at a peak that 95 % of the scenes without a
        tip stay below.
        """
        rows = torch.tensor(self._found)
        there = rows[:, 0] > 0.5
        level = torch.quantile(rows[~there, 1], 0.95)
        near = rows[there, 2] < 0.02
        right = (near & (rows[there, 1] > level)).float().mean()
        self.log("tip/near", near.float().mean())
        self.log("tip/false_peak_p95", level)
        self.log("dice", right, prog_bar=True)
        self.print(
            f"tips near {near.float().mean():.3f}, and above the false ones' p95 "
            f"({level:.2f}) {right:.3f}; median off {rows[there, 2].median():.4f}"
        )


def needle_loss(logits: torch.Tensor, wanted: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and soft Dice of the shaft, and the tip's `tip_loss`; all ``(N, 2, h, w)``."""
    shaft, true, counts = logits[:, 0], wanted[:, 0], judged[:, 0]
    entropy = functional.binary_cross_entropy_with_logits(shaft, true, reduction="none")
    entropy = (entropy * counts).sum() / counts.sum()
    said, true = shaft.sigmoid() * counts, true * counts
    overlap, total = (said * true).sum(dim=(1, 2)), (said + true).sum(dim=(1, 2))
    present = (true.amax(dim=(1, 2)) > 0.5).float()
    dice = ((1 - (2 * overlap + 1) / (total + 1)) * present).sum() / present.sum().clamp(min=1)
    return 5 * entropy + dice + _TIP_WEIGHT * tip_loss(logits[:, 1], wanted[:, 1])


def tip_loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Penalty-reduced focal loss of a heat map, ``(N, h, w)`` (Zhou et al. 2019, eq. 1).

    Objects as Points, arXiv 1904.07850, with alpha 2 and beta 4: cells near a tip are punished
    less for saying so. Per scene, so that those without a tip count as well.
    """
    said = logits.sigmoid().clamp(1e-5, 1 - 1e-5)
    peak = (wanted > 0.999).float()
    hit = -((1 - said) ** 2) * said.log() * peak
    miss = -((1 - wanted) ** 4) * said**2 * (1 - said).log() * (1 - peak)
    return (hit + miss).sum(dim=(1, 2)).mean()
