"""Train a network from an experiment file; every run stores how to repeat it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812 - the library's own convention
from lightning.pytorch import callbacks
from lightning.pytorch.loggers import TensorBoardLogger
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from nerveseg.data import cards
from nerveseg.phantom import Phantom, blocks
from nerveseg.types import Sample
from nerveseg.vision.preprocess import ModelSpec
from train import augment
from train.checkpoint import start_from
from train.config import ExperimentConfig
from train.data import Item, PreparedSet, prepare, sampler, split_samples
from train.module import SegmentationModule
from train.needles.dataset import DRAWN, PHANTOM_NEEDLE, Grounds, NumberedDraws, SceneSet
from train.needles.module import NeedleModule
from train.needles.phantoms import phantom_scenes

__all__ = ["PHANTOM", "fit", "held_out_grounds", "phantom_samples", "spec_of"]

PHANTOM = "phantom"
"""The card of synthetic frames: rendered, not read."""

_VALIDATION_SCENES = 400


def fit(
    config: ExperimentConfig,
    *,
    out: Path,
    root: Path | None = None,
    resume: bool = False,
    trainer_options: dict[str, Any] | None = None,
) -> Path:
    """Train and return the best checkpoint's path.

    ``out`` gets the config, the provenance (seed, commit, versions, data hashes), TensorBoard
    logs and checkpoints. ``resume`` goes on from ``out/last.ckpt``. ``trainer_options`` go to
    Lightning's ``Trainer`` (``devices``, ``num_nodes``, ``strategy``, ``precision`` …).
    """
    L.seed_everything(config.seed, workers=True)
    out.mkdir(parents=True, exist_ok=True)
    train_items, val_items = _items(config, root)
    _store_provenance(config, out, train_items + val_items)
    module, training, validation = _task(config, train_items, val_items)
    best = callbacks.ModelCheckpoint(
        dirpath=out,
        filename="best",
        monitor="dice",
        mode="max",
        enable_version_counter=False,
    )
    if config.start_from:
        start_from(module.network, Path(config.start_from))
    trainer = _trainer(config, out, best, trainer_options or {})
    trainer.fit(
        module,
        training,
        validation,
        ckpt_path=out / "last.ckpt" if resume else None,
        weights_only=False,
    )
    return Path(best.best_model_path)


def spec_of(config: ExperimentConfig, *, margin: float = 1.0) -> ModelSpec:
    """The spec a config leads to; ``margin`` enlarges the input (kept pictures, not networks)."""
    model = config.model
    rows, columns = (round(side * margin / 32) * 32 for side in model.input_hw)
    return ModelSpec(
        name=config.name,
        version="0",
        classes=model.classes,
        input_hw=(rows, columns),
        mean=model.mean,
        std=model.std,
        heatmaps=model.heatmaps,
        fit=model.fit,
        thresholds=dict.fromkeys(model.classes, 0.5),
    )


def phantom_samples(frames: int, *, seed: int) -> Iterator[Sample]:
    """``frames`` synthetic samples, every block in turn, a new patient every fourth frame."""
    for start in range(0, frames, 4):
        number = seed * 100_000 + start
        block = blocks()[(start // 4) % len(blocks())]
        probe = "curved" if (start // 4) % 5 == 4 else "linear"
        phantom = Phantom(block, seed=number, probe=probe)
        for shot in phantom.frames(min(4, frames - start), fps=2.0):
            yield _phantom_sample(shot, f"{block}-{number}-{shot.frame.index}", str(number))


def _phantom_sample(shot: Any, name: str, group: str) -> Sample:
    masks = {key: shot.truth[key] for key in ("nerve", "vessel", "fascia") if key in shot.truth}
    return Sample(
        name=name,
        image=shot.frame.pixels,
        masks=masks,
        known=frozenset(("nerve", "vessel", "fascia")),
        group=group,
        card=PHANTOM,
        mm_per_px=shot.frame.mm_per_px,
    )


def _items(config: ExperimentConfig, root: Path | None) -> tuple[list[Item], list[Item]]:
    kept = spec_of(config, margin=config.data.margin)
    training: list[Item] = []
    validation: list[Item] = []
    for card in config.data.mix:
        if card in DRAWN:
            continue
        if card == PHANTOM:
            frames = config.data.phantom_frames
            training += prepare(phantom_samples(frames, seed=config.seed + 1), kept)
            continue
        training += prepare(split_samples(cards.load(card), "train", root=root), kept)
        validation += prepare(split_samples(cards.load(card), "val", root=root), spec_of(config))
    if not validation and PHANTOM in config.data.mix:
        frames = max(4, config.data.phantom_frames // 8)
        validation += prepare(phantom_samples(frames, seed=config.seed + 2), spec_of(config))
    return training, validation


def _task(
    config: ExperimentConfig, training: list[Item], validation: list[Item]
) -> tuple[SegmentationModule, DataLoader[Any], list[DataLoader[Any]]]:
    """What is learnt from what: the classes' areas, or the needle on scenes made of the items."""
    if config.model.needle_channels:
        return (
            NeedleModule(config),
            _scene_loader(config, training, seed=config.seed),
            [_scene_loader(config, validation, seed=config.seed + 1, scenes=_VALIDATION_SCENES)],
        )
    val_cards = tuple(sorted({item.card for item in validation}))
    return (
        SegmentationModule(config, val_cards),
        _training_loader(config, training),
        [_validation_loader(config, validation, card) for card in val_cards],
    )


def _scene_loader(
    config: ExperimentConfig, items: list[Item], *, seed: int, scenes: int = 0
) -> DataLoader[Any]:
    """Needle scenes on ``items``: always new ones, or the same ``scenes`` of them each time."""
    strength = config.data.augmentation
    grounds = _grounds(config, items, seed=seed)
    dataset = SceneSet(grounds, spec_of(config), seed=seed, strength=strength)
    return DataLoader(
        dataset,
        batch_size=config.optim.batch_size,
        sampler=range(scenes) if scenes else NumberedDraws(config.data.samples_per_epoch),
        drop_last=not scenes,
        num_workers=config.data.workers,
        persistent_workers=config.data.workers > 0,
    )


def held_out_grounds(config: ExperimentConfig, samples: Iterable[Sample]) -> Grounds:
    """What needle scenes are drawn on: ``samples``, none of them trained on, and fresh phantoms."""
    kept = spec_of(config, margin=config.data.margin)
    items = list(prepare(iter(samples), kept))
    if PHANTOM in config.data.mix:
        frames = max(4, config.data.phantom_frames // 4)
        items += prepare(phantom_samples(frames, seed=config.seed + 2), kept)
    return _grounds(config, items, seed=config.seed + 2)


def _grounds(config: ExperimentConfig, items: list[Item], *, seed: int) -> Grounds:
    by_card: dict[str, list[Item]] = {}
    for item in items:
        by_card.setdefault(item.card, []).append(item)
    mix = {c: share for c, share in config.data.mix.items() if c in DRAWN or c in by_card}
    ready = phantom_scenes(config.data.phantom_frames, seed=seed, side=config.model.input_hw[0])
    return Grounds(by_card, mix, list(ready) if PHANTOM_NEEDLE in mix else ())


def _training_loader(config: ExperimentConfig, items: list[Item]) -> DataLoader[Any]:
    dataset = PreparedSet(
        items,
        augment.for_training(
            config.model.input_hw, seed=config.seed, strength=config.data.augmentation
        ),
        spec_of(config),
    )
    draws = sampler(items, dict(config.data.mix), config.data.samples_per_epoch, seed=config.seed)
    return DataLoader(
        dataset,
        batch_size=config.optim.batch_size,
        sampler=draws,
        drop_last=True,
        num_workers=config.data.workers,
        persistent_workers=config.data.workers > 0,
    )


def _validation_loader(config: ExperimentConfig, items: list[Item], card: str) -> DataLoader[Any]:
    dataset = PreparedSet(
        [item for item in items if item.card == card],
        augment.for_validation(config.model.input_hw),
        spec_of(config),
    )
    return DataLoader(dataset, batch_size=config.optim.batch_size)


def _trainer(
    config: ExperimentConfig, out: Path, best: callbacks.Callback, options: dict[str, Any]
) -> L.Trainer:
    optim = config.optim
    settings: dict[str, Any] = {
        "max_epochs": optim.epochs,
        "precision": optim.precision,
        "gradient_clip_val": optim.gradient_clip,
        "log_every_n_steps": 20,
        "num_sanity_val_steps": 0,
    }
    return L.Trainer(
        **(settings | options),
        default_root_dir=out,
        logger=TensorBoardLogger(out, name="tensorboard"),
        callbacks=[
            best,
            # Every epoch, better or not: what a resumed run goes on from.
            callbacks.ModelCheckpoint(
                dirpath=out, filename="last", monitor=None, enable_version_counter=False
            ),
            _Averaging(decay=optim.ema_decay, from_step=optim.ema_from_step),
            callbacks.EarlyStopping(monitor="dice", mode="max", patience=optim.patience),
            callbacks.LearningRateMonitor("step"),
        ],
    )


class _Averaging(callbacks.WeightAveraging):
    """Exponential averages of weights and buffers, from a step on.

    Lightning's own rounds anew at every step, so that even weights that are never trained would
    drift; interpolation leaves them exactly as they are.
    """

    def __init__(self, *, decay: float, from_step: int) -> None:
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call] # torch leaves it so
        super().__init__(use_buffers=True, multi_avg_fn=average)
        self._from_step = from_step

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every step from the first that counts."""
        del epoch_idx
        return step_idx is not None and step_idx >= self._from_step


def _store_provenance(config: ExperimentConfig, out: Path, items: list[Item]) -> None:
    digest: dict[str, Any] = {}
    for item in items:
        digest.setdefault(item.card, hashlib.sha256()).update(
            item.picture.tobytes() + item.masks.tobytes()
        )
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "segmentation-models-pytorch", "albumentations", "lightning")
    }
    record = {
        "config": dataclasses.asdict(config),
        "commit": _commit(),
        "versions": versions,
        "data_sha256": {card: value.hexdigest() for card, value in digest.items()},
        "samples": {card: sum(i.card == card for i in items) for card in digest},
    }
    (out / "provenance.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the researcher uses
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
