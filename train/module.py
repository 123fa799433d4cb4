"""The Lightning module: loss, optimiser, and Dice per class and card while it trains."""

from __future__ import annotations

import math
from typing import Any, cast

import lightning as L  # noqa: N812 - the library's own convention
import torch
from torch.nn import functional

from train.config import ExperimentConfig
from train.loss import segmentation_loss
from train.model import build

__all__ = ["SegmentationModule"]

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class SegmentationModule(L.LightningModule):
    """A network with its objective; ``val_cards`` names the validation loaders in their order."""

    def __init__(self, config: ExperimentConfig, val_cards: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.config = config
        # Convolutions run faster with channels innermost, on CPUs and on GPUs.
        self.network = build(config.model)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._val_cards = val_cards
        self._dice: dict[str, list[float]] = {}

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits at the network's own resolution."""
        fast = pictures.contiguous(memory_format=torch.channels_last)
        return cast("torch.Tensor", self.network(fast))

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """One batch's loss."""
        pictures, masks, known = batch
        loss = segmentation_loss(self(pictures), masks, known)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's figures."""
        self._dice = {}

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Collect each picture's Dice for each known class that is in picture or answer."""
        pictures, masks, known = batch
        logits = functional.interpolate(self(pictures).float(), masks.shape[-2:], mode="bilinear")
        said, true = logits > 0, masks > 0.5
        overlap = 2.0 * (said & true).sum(dim=(2, 3))
        total = said.sum(dim=(2, 3)) + true.sum(dim=(2, 3))
        card = self._val_cards[dataloader_idx]
        for row, column in ((known > 0) & (total > 0)).nonzero().tolist():
            key = f"dice/{card}/{self.config.model.classes[column]}"
            value = overlap[row, column] / total[row, column]
            self._dice.setdefault(key, []).append(float(value))

    def on_validation_epoch_end(self) -> None:
        """Log each mean and the mean of means, which early stopping and checkpoints follow."""
        means = {key: sum(values) / len(values) for key, values in self._dice.items()}
        self.log_dict(means)
        self.log("dice", sum(means.values()) / max(1, len(means)), prog_bar=True)
        self.print(" ".join(f"{key[5:]} {value:.3f}" for key, value in sorted(means.items())))

    def configure_optimizers(self) -> Any:
        """AdamW, a lower rate for the pretrained encoder; linear warm-up, then cosine."""
        optim = self.config.optim
        encoder = getattr(self.network, "encoder", None)
        inside = {id(p) for p in encoder.parameters()} if encoder is not None else set()
        learnt = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learnt if id(p) in inside], "lr": optim.encoder_lr},
            {"params": [p for p in learnt if id(p) not in inside], "lr": optim.lr},
        ]
        optimizer = torch.optim.AdamW(
            [g for g in groups if g["params"]], weight_decay=optim.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _warm_cosine(step / max(1, steps), optim.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _warm_cosine(progress: float, warmup: float) -> float:
    if progress < warmup:
        return max(progress, 1e-3) / warmup
    share = (progress - warmup) / (1 - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
