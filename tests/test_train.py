"""The workshop: configs, masked loss, augmentation, a short real run, export with parity."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nerveseg.errors import DataError, ModelError
from nerveseg.types import Box, Sample, Segmentation
from nerveseg.video.crop import find_region
from nerveseg.vision.segment import Segmenter, masks
from train import augment, config, export, quantise
from train.checkpoint import load_config, load_network
from train.data import prepare, sampler
from train.fit import fit, phantom_samples, spec_of
from train.loss import segmentation_loss
from train.model import build

EXPERIMENT = """
name = "short"
seed = 1
[data]
phantom_frames = 8
samples_per_epoch = 8
workers = 0
[data.mix]
phantom = 1.0
[model]
pretrained = false
decoder_channels = [32, 16, 16, 16]
input_hw = [64, 64]
[optim]
epochs = 2
batch_size = 4
precision = "32-true"
ema_from_step = 1
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> config.ExperimentConfig:
    path = tmp_path_factory.mktemp("config") / "short.toml"
    path.write_text(EXPERIMENT)
    return config.read(path)


@pytest.fixture(scope="module")
def checkpoint(
    experiment: config.ExperimentConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The last checkpoint of a short, real run on phantom frames."""
    out = tmp_path_factory.mktemp("run")
    fit(experiment, out=out, trainer_options={"enable_progress_bar": False, "accelerator": "cpu"})
    return out / "last.ckpt"


# --- configs -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(Path("train/configs").glob("*.toml")), ids=str)
def test_committed_configs_read(path: Path) -> None:
    experiment = config.read(path)
    assert sum(experiment.data.mix.values()) == pytest.approx(1, abs=0.01)
    assert config.from_dict(dataclasses.asdict(experiment)) == experiment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "data"),
        ("nonsense = [", "can't read"),
        ("name = 'x'\n[data]\nmixx = 1", "mixx"),
        ("name = 'x'\n[data.mix]\na = 1\n[optim]\nlearning = 3", "learning"),
    ],
)
def test_a_wrong_config_says_which_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(DataError, match=said):
        config.read(tmp_path / "c.toml")


# --- loss ----------------------------------------------------------------------------------


def test_unknown_classes_teach_nothing() -> None:
    logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    target = torch.zeros(1, 2, 8, 8)
    target[:, 0, :4] = 1
    segmentation_loss(logits, target, torch.tensor([[1.0, 0.0]])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1].abs().sum() == 0


def test_a_known_empty_class_teaches_absence() -> None:
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    segmentation_loss(logits, torch.zeros(1, 1, 8, 8), torch.ones(1, 1)).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_loss_by_hand() -> None:
    # All-zero logits: BCE = ln 2. p = 1/2 everywhere, 8 of 16 pixels true: overlap 4, total
    # 8 + 8 = 16, soft Dice (2 · 4 + 1) / (16 + 1) = 9/17.
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1
    loss = segmentation_loss(torch.zeros(1, 1, 4, 4), target, torch.ones(1, 1))
    assert float(loss) == pytest.approx(np.log(2) + 1 - 9 / 17, abs=1e-6)


def test_half_resolution_logits_are_judged_at_full() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:6, 2:6] = 1
    good = torch.full((1, 1, 4, 4), -9.0)
    good[..., 1:3, 1:3] = 9
    wrong = -good
    known = torch.ones(1, 1)
    assert segmentation_loss(good, target, known) < 0.6 < segmentation_loss(wrong, target, known)


# --- data ----------------------------------------------------------------------------------


def sample(card: str, known: set[str]) -> Sample:
    image = np.full((60, 80), 90, np.uint8)
    mask = np.zeros((60, 80), np.bool_)
    mask[20:40, 20:60] = True
    return Sample(card, image, dict.fromkeys(known, mask), frozenset(known), "g", card)


def test_prepared_items_know_what_they_know(experiment: config.ExperimentConfig) -> None:
    [item] = prepare(iter([sample("a", {"nerve"})]), spec_of(experiment))
    assert item.known.tolist() == [1, 0, 0]
    assert item.masks.shape == (64, 64, 3)
    assert item.masks[..., 0].mean() / 255 == pytest.approx(20 * 40 / (60 * 80), abs=0.02)
    assert not item.masks[..., 1:].any()


def test_sampling_follows_the_mix_not_the_set_sizes(experiment: config.ExperimentConfig) -> None:
    items = list(
        prepare(
            iter([sample("large", {"nerve"})] * 90 + [sample("small", {"nerve"})] * 10),
            spec_of(experiment),
        )
    )
    drawn = list(sampler(items, {"large": 0.5, "small": 0.5}, 4000, seed=0))
    share = sum(items[i].card == "small" for i in drawn) / len(drawn)
    assert share == pytest.approx(0.5, abs=0.04)


def test_an_empty_card_is_named(experiment: config.ExperimentConfig) -> None:
    items = list(prepare(iter([sample("there", {"nerve"})]), spec_of(experiment)))
    with pytest.raises(DataError, match="gone"):
        sampler(items, {"there": 0.5, "gone": 0.5}, 10, seed=0)


def test_augmentation_moves_mask_and_picture_together() -> None:
    picture = np.full((96, 96), 40, np.uint8)
    picture[30:60, 20:50] = 200
    mask = (picture > 100).astype(np.uint8)[..., None] * 255
    transform = augment.for_training((64, 64), seed=3)
    contrasts = []
    for _ in range(20):
        out = transform(image=picture, mask=mask)
        inside = out["mask"][..., 0] > 128
        assert out["image"].shape == (64, 64)
        if inside.sum() > 50:
            contrasts.append(out["image"][inside].mean() - out["image"][~inside].mean())
    assert len(contrasts) > 15
    assert min(contrasts) > 20


@pytest.mark.parametrize("kind", [augment.DepthGain, augment.AcousticShadow, augment.Speckle])
def test_ultrasound_transforms_change_the_picture_and_keep_its_kind(kind: type) -> None:
    picture = np.random.default_rng(0).integers(60, 120, (64, 80)).astype(np.uint8)
    out = kind(p=1.0)(image=picture)["image"]
    assert out.shape == picture.shape
    assert out.dtype == np.uint8
    assert (out != picture).mean() > 0.02


# --- networks ------------------------------------------------------------------------------


def test_networks_have_the_sizes_they_are_described_with() -> None:
    ours = build(config.ModelConfig(pretrained=False))
    plain = build(config.ModelConfig(architecture="plain"))
    assert sum(p.numel() for p in ours.parameters()) / 1e6 == pytest.approx(3.8, abs=0.1)
    assert sum(p.numel() for p in plain.parameters()) / 1e6 == pytest.approx(31.0, abs=0.1)
    picture = torch.zeros(1, 1, 64, 64)
    assert ours.eval()(picture).shape == (1, 3, 32, 32)
    assert plain.eval()(picture).shape == (1, 3, 64, 64)


def test_the_pretrained_encoder_is_loaded() -> None:
    """ImageNet features differ from chance: two builds agree only when they are loaded."""
    torch.manual_seed(0)
    first = build(config.ModelConfig()).encoder.state_dict()  # type: ignore[union-attr]
    torch.manual_seed(1)
    second = build(config.ModelConfig()).encoder.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ModelError, match="transformer"):
        build(config.ModelConfig(architecture="transformer"))


# --- a short run, from the phantom to an ONNX file ------------------------------------------


@pytest.mark.slow
def test_a_run_stores_how_to_repeat_it(
    checkpoint: Path, experiment: config.ExperimentConfig
) -> None:
    record = json.loads((checkpoint.parent / "provenance.json").read_text())
    assert record["samples"] == {"phantom": 8 + 4}  # for training and for validation
    assert set(record["data_sha256"]) == {"phantom"}
    assert load_config(checkpoint) == experiment


@pytest.mark.slow
def test_a_run_is_repeatable(checkpoint: Path, experiment: config.ExperimentConfig) -> None:
    again = checkpoint.parent / "again"
    fit(experiment, out=again, trainer_options={"enable_progress_bar": False, "accelerator": "cpu"})
    first, second = load_network(checkpoint), load_network(again / "last.ckpt")
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_export_equals_torch_and_carries_its_spec(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "short.onnx"
    pictures = [s.image for s in phantom_samples(3, seed=5)]
    spec = spec_of(load_config(checkpoint))
    result = export.export(checkpoint, target, spec, pictures)
    assert result.holds
    assert Segmenter.load(target).spec == spec


@pytest.mark.slow
def test_a_report_is_stamped_only_on_its_own_model(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "short.onnx"
    spec = spec_of(load_config(checkpoint))
    export.export(checkpoint, target, spec, [s.image for s in phantom_samples(1, seed=5)])
    report = tmp_path / "report.json"
    summary = {"split": "test", "date": "2026-01-01", "sets": {"phantom": {}}}
    report.write_text(json.dumps({"model": spec.model_id, "summary": summary}))
    export.stamp_reports(target, [report])
    assert Segmenter.load(target).spec == dataclasses.replace(
        spec,
        metrics={"sets": {"phantom": {"split": "test"}}, "sections": {}, "date": "2026-01-01"},
    )
    report.write_text(json.dumps({"model": "another@2", "summary": summary}))
    with pytest.raises(DataError, match="another@2"):
        export.stamp_reports(target, [report])


@pytest.mark.slow
def test_a_file_that_differs_is_not_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "short.onnx"
    target.write_bytes(b"the one before")
    real = export.write_onnx

    def spoilt(network: torch.nn.Module, file: Path, spec: object) -> None:
        broken = load_network(checkpoint)
        with torch.no_grad():
            next(broken.parameters()).mul_(3)
        real(export.Probabilities(broken).eval(), file, spec)  # type: ignore[arg-type]

    monkeypatch.setattr(export, "write_onnx", spoilt)
    pictures = [s.image for s in phantom_samples(2, seed=5)]
    with pytest.raises(ModelError, match="differs from torch"):
        export.export(checkpoint, target, spec_of(load_config(checkpoint)), pictures)
    assert target.read_bytes() == b"the one before"


@pytest.mark.slow
def test_int8_stays_close(checkpoint: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    pictures = [s.image for s in phantom_samples(4, seed=5)]
    spec = spec_of(load_config(checkpoint))
    export.export(checkpoint, source, spec, pictures)
    quantise.quantise(source, target, pictures, keep_float=quantise.decoder_nodes(source))
    assert target.stat().st_size < 0.5 * source.stat().st_size
    ours = Segmenter.load(target, backend="onnxruntime")
    assert ours.spec == dataclasses.replace(spec, version="0-int8")
    tensor = ours.preprocess(pictures[0], find_region(pictures[0]))
    difference = ours.infer(tensor) - Segmenter.load(source, backend="onnxruntime").infer(tensor)
    assert np.abs(difference).mean() < 0.05


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    record = json.loads((checkpoint.parent / "provenance.json").read_text())
    record["config"]["model"]["decoder_channels"] = [64, 32, 16, 16]
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    (tmp_path / "last.ckpt").write_bytes(checkpoint.read_bytes())
    with pytest.raises(ModelError, match="not a checkpoint of this experiment"):
        load_network(tmp_path / "last.ckpt")


def test_a_checkpoint_without_its_record_says_so(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"provenance\.json"):
        load_network(tmp_path / "best.ckpt")


def test_masks_of_a_zero_answer_are_empty() -> None:
    answer = Segmentation(
        {"nerve": np.zeros((4, 4), np.float32)}, Box(0, 0, 8, 8), (8, 8), {"nerve": 0.5}, "m@1"
    )
    assert not masks(answer)["nerve"].any()
