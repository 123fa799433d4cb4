"""Needles drawn for training: exact truth, repeatable scenes, a decoder that leaves the rest be."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nerveseg.errors import DataError, ModelError
from nerveseg.types import Needle
from nerveseg.vision.preprocess import NEEDLE, NEEDLE_TIP
from nerveseg.vision.segment import Segmenter
from train import config, export, quantise
from train.checkpoint import load_network, start_from
from train.fit import fit, phantom_samples, spec_of
from train.model import NeedleUnet, build
from train.needle_scores import TrueNeedle, score_needle, truth_of
from train.needles import distractors, fields, grounds, render
from train.needles.calibrate import logistic_fit
from train.needles.dataset import GEL, Grounds, NumberedDraws, SceneSet, targets
from train.needles.module import needle_loss, tip_loss
from train.needles.phantoms import phantom_scenes
from train.needles.scenes import Scene, make_scene, mirrored


def gel(seed: int = 0, side: int = 128) -> np.ndarray:
    return grounds.gel(np.random.default_rng(seed), (side, side))


def drawn_on_gel(seed: int) -> tuple[np.ndarray, np.ndarray, render.DrawnNeedle]:
    ground = gel(seed)
    drawn = render.draw(ground, fields.linear(ground), np.random.default_rng(seed))
    assert drawn is not None
    return ground, *drawn


# --- rendering -----------------------------------------------------------------------------


SHOWN = [s for s in range(40) if (drawn_on_gel(s)[2].shaft > 0.9).sum() > 40]
WITH_TIP = [s for s in SHOWN if drawn_on_gel(s)[2].tip_xy is not None]


def test_most_needles_show_and_most_of_those_show_their_tip() -> None:
    assert len(SHOWN) > 20
    assert len(WITH_TIP) > 15


@pytest.mark.parametrize("seed", SHOWN)
def test_a_needle_is_brighter_than_what_it_lies_on(seed: int) -> None:
    ground, picture, needle = drawn_on_gel(seed)
    assert picture.dtype == np.uint8
    on = needle.shaft > 0.9
    assert picture[on].mean() > ground[on].mean() + 8


@pytest.mark.parametrize("seed", WITH_TIP)
def test_the_shaft_is_marked_on_the_line_from_entry_to_tip_and_ends_there(seed: int) -> None:
    _, picture, needle = drawn_on_gel(seed)
    assert needle.tip_xy is not None
    assert needle.tip_xy[1] > needle.entry_xy[1]  # needles go down
    assert np.nonzero(needle.shaft > 0.5)[0].max() <= needle.tip_xy[1] + 6
    along = np.subtract(needle.tip_xy, needle.entry_xy)
    rows, columns = np.nonzero(needle.shaft > 0.5)
    off = np.stack([columns, rows], axis=1) - np.array(needle.entry_xy)
    away = np.abs(off[:, 0] * along[1] - off[:, 1] * along[0]) / math.hypot(*along)
    # Half its band, and the little that it is bent.
    assert away.max() < 5 + 0.04 * picture.shape[1]


def test_a_tip_out_of_plane_has_no_tip() -> None:
    tips = [drawn_on_gel(seed)[2].tip_xy for seed in range(60)]
    assert 2 <= sum(tip is None for tip in tips) <= 25


def test_a_line_is_as_bright_as_asked_whatever_its_slope() -> None:
    for slope in (0.0, 0.6, 1.2):
        steps = np.arange(0, 60, 0.5)[:, None]
        points = 20 + steps * np.array([math.cos(slope), math.sin(slope)])
        layer = render.segment_layer(
            (100, 100), points.astype(np.float32), np.full(120, 200, np.float32), (2.0, 1.0)
        )
        middle = points[60]
        around = layer[
            int(middle[1]) - 2 : int(middle[1]) + 3, int(middle[0]) - 2 : int(middle[0]) + 3
        ]
        assert around.max() == pytest.approx(200, rel=0.1)


def test_a_sector_is_black_outside_and_its_beams_meet_in_its_apex() -> None:
    picture = np.full((128, 128), 200, np.uint8)
    fan, field = fields.sector(picture, np.random.default_rng(3))
    assert not fan[~field.inside].any()
    assert (fan[field.inside] > 150).mean() > 0.95
    assert field.apex_xy is not None
    x, y = 100.0, 100.0
    across, down = field.beam(x, y)
    assert math.hypot(across, down) == pytest.approx(1)
    off = (x - field.apex_xy[0]) * down - (y - field.apex_xy[1]) * across
    assert off == pytest.approx(0, abs=1e-9)


def test_distractors_add_light_and_no_truth() -> None:
    ground = gel(1)
    changed = [
        (distractors.add(ground.copy(), fields.linear(ground), np.random.default_rng(s)) != ground)
        for s in range(12)
    ]
    assert sum(c.any() for c in changed) >= 6


# --- scenes --------------------------------------------------------------------------------


def test_a_scene_is_repeatable_and_scenes_differ() -> None:
    one = make_scene(None, np.random.default_rng(5), side=128)
    again = make_scene(None, np.random.default_rng(5), side=128)
    other = make_scene(None, np.random.default_rng(6), side=128)
    assert np.array_equal(one.picture, again.picture)
    assert not np.array_equal(one.picture, other.picture)


def test_mirroring_twice_changes_nothing_and_once_moves_the_tip() -> None:
    scene = next(s for s in phantom_scenes(6, seed=1) if s.needle and s.needle.tip_xy)
    once, twice = mirrored(scene), mirrored(mirrored(scene))
    assert scene.needle is not None
    assert once.needle is not None
    assert twice.needle is not None
    assert np.array_equal(twice.picture, scene.picture)
    assert twice.needle.tip_xy == scene.needle.tip_xy
    assert once.needle.tip_xy == (255 - scene.needle.tip_xy[0], scene.needle.tip_xy[1])


def test_a_phantoms_shaft_lies_on_its_own_line() -> None:
    scenes = [s for s in phantom_scenes(12, seed=2) if s.needle and s.needle.shaft.max() > 0.9]
    assert len(scenes) >= 6
    for scene in scenes:
        assert scene.needle is not None
        rows, columns = np.nonzero(scene.needle.shaft > 0.9)
        (slope, offset), entry = np.polyfit(columns, rows, 1), scene.needle.entry_xy
        assert abs(slope * entry[0] + offset - entry[1]) < 12  # the band leads to the entry
        assert scene.picture[rows, columns].mean() > scene.picture.mean()


def test_targets_mark_the_tips_own_cell() -> None:
    shaft, judged = np.zeros((64, 64), np.float32), np.ones((64, 64), np.bool_)
    needle = render.DrawnNeedle((0.0, 0.0), (41.0, 20.0), shaft, judged)
    wanted, counts = targets(needle, 64)
    assert wanted[1, 10, 20] == wanted[1].max() == 1
    assert counts.all()
    nothing, _ = targets(None, 64)
    assert not nothing.any()


def test_grounds_without_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="usgra-seg"):
        Grounds({}, {"usgra-seg": 1.0})


def test_epochs_never_repeat_a_scene() -> None:
    draws = NumberedDraws(5)
    first = list(draws)
    draws.set_epoch(1)
    assert list(draws) == [5, 6, 7, 8, 9]
    assert first == [0, 1, 2, 3, 4]


# --- losses and curves ---------------------------------------------------------------------


def test_the_right_answer_costs_least() -> None:
    wanted = torch.zeros(1, 2, 32, 32)
    wanted[0, 0, 10, 5:20] = 1
    wanted[0, 1, 10, 20] = 1
    judged = torch.ones_like(wanted)
    right = (wanted * 2 - 1) * 12
    wrong = torch.roll(right, 6, dims=2)
    silent = torch.full_like(right, -12)
    costs = [float(needle_loss(said, wanted, judged)) for said in (right, silent, wrong)]
    assert costs[0] < 0.01 < costs[1] < costs[2]


def test_what_is_not_judged_costs_nothing() -> None:
    wanted, judged = torch.zeros(1, 2, 16, 16), torch.ones(1, 2, 16, 16)
    logits = torch.full((1, 2, 16, 16), -12.0)
    logits[0, 0, :4] = 12
    judged[0, 0, :4] = 0
    assert float(needle_loss(logits, wanted, judged)) < 0.01


def test_a_near_miss_of_the_tip_costs_less_than_a_far_one() -> None:
    x = torch.arange(32.0)
    wanted = torch.exp(-((x[None] - 10) ** 2 + (x[:, None] - 10) ** 2) / 4.5)[None]
    near, far = torch.full((1, 32, 32), -9.0), torch.full((1, 32, 32), -9.0)
    near[0, 10, 11], far[0, 25, 25] = 4.0, 4.0
    assert float(tip_loss(near, wanted)) < float(tip_loss(far, wanted))


def test_a_logistic_fit_finds_the_curve_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6000, 2))
    chance = 1 / (1 + np.exp(-(0.5 + 2 * features[:, 0])))
    offset, first, second = logistic_fit(features, list(rng.random(6000) < chance))
    assert offset == pytest.approx(0.5, abs=0.15)
    assert first == pytest.approx(2, abs=0.25)
    assert second == pytest.approx(0, abs=0.15)


# --- scores: a needle from (0, 0) to (60, 80) on a picture of 300 by 400, diagonal 500 -------

TRUE = TrueNeedle((0.0, 0.0), (60.0, 80.0))


def said(entry: tuple[float, float], tip: tuple[float, float]) -> Needle:
    return Needle(entry, tip, 0.9, 0.9, (entry, tip), 1.0)


@pytest.mark.parametrize(
    ("needle", "found", "angle", "tip_share"),
    [
        (said((0, 0), (60, 80)), True, 0.0, 0.0),
        (said((0, 0), (66, 88)), True, 0.0, 10 / 500),  # ten pixels too deep
        (said((60, 80), (0, 0)), True, 0.0, 100 / 500),  # the wrong end
        (said((30, 0), (90, 80)), False, 0.0, 30 / 500),  # parallel, 24 px off: 4.8 %
        (said((0, 0), (80, 60)), False, 16.26, math.hypot(20, 20) / 500),
    ],
)
def test_scores_worked_by_hand(needle: Needle, found: bool, angle: float, tip_share: float) -> None:
    score = score_needle(needle, TRUE, (300, 400))
    assert score.found is found
    assert score.angle_deg == pytest.approx(angle, abs=0.01)
    assert score.tip_share == pytest.approx(tip_share)


def test_a_missing_or_a_false_needle_has_no_errors() -> None:
    missed, false = (
        score_needle(None, TRUE, (9, 9)),
        score_needle(said((0, 0), (3, 4)), None, (9, 9)),
    )
    assert (missed.present, missed.said, missed.found) == (True, False, False)
    assert (false.present, false.said, false.found) == (False, True, False)
    assert math.isnan(missed.tip_px)
    assert math.isnan(false.angle_deg)


def test_a_masks_needle_is_its_main_axis_with_the_tip_below() -> None:
    mask = np.zeros((100, 100), np.bool_)
    for step in range(61):
        mask[80 - step : 83 - step, 10 + step] = True  # up to the right: the tip is at the left
    truth = truth_of(mask)
    assert truth is not None
    assert math.dist(truth.tip_xy, (10, 81)) < 2
    assert math.dist(truth.start_xy, (70, 21)) < 2
    assert truth_of(np.zeros((5, 5), np.bool_)) is None


# --- the network ---------------------------------------------------------------------------

MODEL = config.ModelConfig(
    classes=("nerve", "vessel", "fascia", NEEDLE),
    decoder_channels=(32, 16, 16, 16),
    needle_channels=(16, 16, 16, 8),
    pretrained=False,
    input_hw=(64, 64),
)
EXPERIMENT = config.ExperimentConfig(
    name="needles",
    data=config.DataConfig(
        mix={"phantom": 0.4, "phantom-needle": 0.3, GEL: 0.3}, phantom_frames=8, samples_per_epoch=8
    ),
    model=MODEL,
    optim=config.OptimConfig(epochs=2, batch_size=4, precision="32-true", ema_from_step=1),
    seed=1,
)
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network without a needle."""
    torch.manual_seed(0)
    network = build(dataclasses.replace(MODEL, classes=MODEL.classes[:-1], needle_channels=()))
    for layer in network.modules():  # statistics that folding has to get right
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    plain = dataclasses.replace(
        EXPERIMENT, model=dataclasses.replace(MODEL, classes=MODEL.classes[:-1], needle_channels=())
    )
    file = tmp_path_factory.mktemp("base") / "base.onnx"
    export.write_onnx(export.Probabilities(network.eval()).eval(), file, spec_of(plain))
    return file


@pytest.fixture(scope="module")
def checkpoint(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a short, real run on scenes."""
    out = tmp_path_factory.mktemp("needles")
    fit(dataclasses.replace(EXPERIMENT, start_from=str(base)), out=out, trainer_options=QUIET)
    return out / "last.ckpt"


def test_a_network_starts_from_an_exported_file_exactly(base: Path) -> None:
    network = build(MODEL)
    start_from(network, base)
    picture = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        ours = network.eval()(picture).sigmoid().numpy()
    theirs = Segmenter.load(base, backend="onnxruntime").infer(picture.numpy())
    assert ours.shape[1] == 5
    assert np.abs(ours[:, :3] - theirs).max() < 1e-4


def test_another_networks_file_is_refused(base: Path, tmp_path: Path) -> None:
    wider = dataclasses.replace(MODEL, decoder_channels=(64, 32, 16, 16))
    with pytest.raises(ModelError, match="start from the exported fp32 file"):
        start_from(build(wider), base)
    (tmp_path / "broken.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        start_from(build(MODEL), tmp_path / "broken.onnx")


def test_a_needle_needs_its_class_last() -> None:
    with pytest.raises(ModelError, match="last class"):
        build(dataclasses.replace(MODEL, classes=(NEEDLE, "nerve")))


def test_training_mode_leaves_the_base_alone() -> None:
    network = build(MODEL)
    assert isinstance(network, NeedleUnet)
    network.train()
    assert network.decoder.training
    assert not network.base.training
    assert not any(p.requires_grad for p in network.base.parameters())


@pytest.mark.slow
def test_learning_the_needle_changes_nothing_else(base: Path, checkpoint: Path) -> None:
    trained, untrained = load_network(checkpoint), build(MODEL)
    start_from(untrained, base)
    before, after = untrained.state_dict(), trained.state_dict()
    same = {k: torch.equal(before[k], after[k]) for k in before if k.startswith("base.")}
    assert all(same.values()), [k for k, equal in same.items() if not equal]
    learnt = [k for k in before if k.startswith("decoder.") and k.endswith("weight")]
    assert not all(torch.equal(before[k], after[k]) for k in learnt)


@pytest.mark.slow
def test_an_exported_needle_equals_torch_and_its_int8_keeps_the_heads(
    checkpoint: Path, tmp_path: Path
) -> None:
    pictures = [s.image for s in phantom_samples(3, seed=5)]
    confidence = {"shaft": (0.0,) * 7, "tip": (1.0,) * 7}
    spec = dataclasses.replace(
        spec_of(
            config.from_dict(
                json.loads((checkpoint.parent / "provenance.json").read_text())["config"]
            )
        ),
        confidence=confidence,
    )
    source, target = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    assert export.export(checkpoint, source, spec, pictures).holds
    segmenter = Segmenter.load(source, backend="onnxruntime")
    assert segmenter.spec.heatmaps == (NEEDLE_TIP,)
    assert segmenter.spec.confidence == confidence
    kept = quantise.decoder_nodes(source)
    assert sum("head" in name for name in kept) >= 2  # both of them
    quantise.quantise(source, target, pictures, keep_float=kept)
    assert Segmenter.load(target, backend="onnxruntime").spec.heatmaps == (NEEDLE_TIP,)


def test_scenes_of_a_set_are_those_of_their_numbers() -> None:
    grounds_only = Grounds({}, {GEL: 1.0})
    one = SceneSet(grounds_only, spec_of(EXPERIMENT), seed=3, strength=1.0)
    other = SceneSet(grounds_only, spec_of(EXPERIMENT), seed=3, strength=1.0)
    for number in (0, 7):
        assert all(torch.equal(a, b) for a, b in zip(one[number], other[number], strict=True))
    scene = one.scene(7)
    assert isinstance(scene, Scene)
    assert scene.picture.shape == (64, 64)
