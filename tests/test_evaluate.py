"""`train.evaluate` and its report, with predictors whose right figures are known by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from nerveseg.errors import DataError, ModelError, StoreError
from nerveseg.types import Box, GrayImage, Mask, Plane, Sample, Segmentation
from train import data as reading
from train import evaluate as harness
from train.compare import compare, compare_cli
from train.evaluate import evaluate, evaluate_cli
from train.plane_scores import expert_lines
from train.plane_scores import score as score_planes
from train.predictors import Prediction, Predictor
from train.report import Provenance, read_rows, write
from train.scores import Report

SHAPE = (64, 80)
PROVENANCE = Provenance(
    split="test",
    data={"made-up": ("Drawn by a test.",)},
    command="python -m train evaluate net.onnx",
    date="2025-01-31",
    nerveseg_version="0.1.0",
    seed=0,
)


def square(row: int, column: int, side: int = 10) -> Mask:
    mask = np.zeros(SHAPE, bool)
    mask[row : row + side, column : column + side] = True
    return mask


EMPTY = np.zeros(SHAPE, bool)


def sample(
    name: str,
    truth: Mask | None,
    *,
    group: str | None = None,
    known: Sequence[str] = ("nerve",),
    card: str = "made-up",
    mm_per_px: float | None = None,
) -> Sample:
    # the picture's number is its brightness, by which the fake model knows it again
    image = np.full(SHAPE, int(name), np.uint8)
    masks = {} if truth is None else {"nerve": truth}
    return Sample(name, image, masks, frozenset(known), group or name, card, mm_per_px)


def oracle(answers: dict[int, Mask], *, classes: Sequence[str] = ("nerve",)) -> Predictor:
    """A model that answers by the picture's brightness, with certainty."""

    def predict(image: GrayImage) -> Prediction:
        mask = answers[int(image[0, 0])]
        return Prediction(
            {name: mask.astype(np.float32) for name in classes}, dict.fromkeys(classes, mask)
        )

    return Predictor("oracle@1", tuple(classes), dict.fromkeys(classes, 0.5), predict)


def mixed_report(**options: Any) -> Report:
    """One picture each: right, shifted by 5 of 10 columns, missed, invented, both empty."""
    samples = [
        sample("1", square(5, 5)),
        sample("2", square(5, 5)),
        sample("3", square(5, 5)),
        sample("4", None),
        sample("5", None),
    ]
    answers = {1: square(5, 5), 2: square(5, 10), 3: EMPTY, 4: square(0, 0, 8), 5: EMPTY}
    return evaluate(oracle(answers), samples, classes=["nerve"], **options)


def test_figures_worked_by_hand() -> None:
    (cell,) = mixed_report().cells
    measures = cell.measures
    # Dice 1, 0.5, 0, 0 and one undefined; the shift is 5 px on two of the five pictures
    assert (measures["dice"].value, measures["dice"].n) == (pytest.approx(1.5 / 4), 4)
    assert (measures["iou"].value, measures["iou"].n) == (pytest.approx((1 + 1 / 3) / 4), 4)
    assert (measures["hd95"].value, measures["hd95"].n) == (pytest.approx(5 / 2), 2)
    assert measures["centroid_error"].value == pytest.approx(5 / 2)
    assert (cell.structures.found, cell.structures.missed, cell.structures.false) == (2, 1, 1)
    assert measures["found_rate"].value == pytest.approx(2 / 3)
    assert measures["false_per_image"].value == pytest.approx(1 / 5)
    # wrong with certainty on 50 + 50 px, 100 px and 64 px
    assert measures["ece"].value == pytest.approx(264 / (5 * 64 * 80))
    assert (cell.n_images, cell.n_groups, cell.unit) == (5, 5, "px")
    assert (cell.n_both_empty, cell.n_missed_images, cell.n_false_images) == (1, 1, 1)


def test_an_unknown_class_is_not_counted_and_an_unnamed_one_left_out() -> None:
    samples = [
        sample("1", square(5, 5)),
        sample("2", None, known=("vessel",)),
        sample("3", None, known=("fascia",)),
    ]
    model = oracle({1: square(5, 5), 2: EMPTY, 3: EMPTY}, classes=("nerve", "vessel"))
    report = evaluate(model, samples, classes=["nerve", "vessel", "fascia"])
    assert [(row.name, row.class_name) for row in report.rows] == [("1", "nerve"), ("2", "vessel")]
    assert set(report.thresholds) == {"nerve", "vessel"}


def test_sets_stay_apart() -> None:
    samples = [sample("1", square(5, 5), card="b"), sample("2", square(5, 5), card="a")]
    report = evaluate(oracle({1: square(5, 5), 2: EMPTY}), samples, classes=["nerve"])
    assert [(c.card, c.measures["dice"].value) for c in report.cells] == [("a", 0.0), ("b", 1.0)]


@pytest.mark.parametrize(
    ("scales", "unit", "expected"), [((0.1, 0.3), "mm", 5 * 0.2), ((0.1, None), "px", 5.0)]
)
def test_millimetres_only_where_every_scale_is_known(
    scales: tuple[float | None, float | None], unit: str, expected: float
) -> None:
    samples = [
        sample(str(number), square(5, 5), mm_per_px=scale) for number, scale in enumerate(scales)
    ]
    report = evaluate(oracle({0: square(5, 10), 1: square(5, 10)}), samples, classes=["nerve"])
    (cell,) = report.cells
    assert (cell.unit, cell.measures["hd95"].value) == (unit, pytest.approx(expected))
    assert cell.measures["centroid_error"].value == pytest.approx(expected)


def test_worst_cases_are_the_lowest_dice_without_the_undefined() -> None:
    worst = mixed_report(worst=3).worst
    assert [(case.row.name, case.row.dice) for case in worst] == [
        ("3", 0.0),
        ("4", 0.0),
        ("2", 0.5),
    ]
    assert mixed_report(worst=0).worst == ()


def test_a_model_without_the_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"names \['nerve'\], none of .* \['vessel'\]"):
        evaluate(oracle({}), [], classes=["vessel"])


def test_no_usable_sample_is_refused() -> None:
    with pytest.raises(DataError, match="no sample has a known class"):
        evaluate(oracle({}), [sample("1", None, known=("fascia",))], classes=["nerve"])


def test_an_answer_of_another_size_is_refused() -> None:
    model = oracle({1: np.zeros((8, 8), bool)})
    with pytest.raises(ModelError, match=r"\(8, 8\) for 'nerve' on 1, expected \(64, 80\)"):
        evaluate(model, [sample("1", None)], classes=["nerve"])


# Reports


def test_report_on_disk(tmp_path: Path) -> None:
    report = mixed_report(worst=2)
    write(report, tmp_path / "deep" / "out", provenance=PROVENANCE)
    out = tmp_path / "deep" / "out"
    content = json.loads((out / "report.json").read_text("utf-8"))
    assert content["model"] == "oracle@1"
    assert (content["split"], content["date"]) == ("test", "2025-01-31")
    assert content["data"] == {"made-up": ["Drawn by a test."]}
    assert content["nerveseg_version"] == "0.1.0"
    (result,) = content["results"]
    assert (result["found"], result["missed"], result["false"]) == (2, 1, 1)
    assert result["measures"]["dice"]["value"] == pytest.approx(0.375)
    assert content["summary"]["sets"]["made-up"]["nerve"]["hd95"]["unit"] == "px"
    markdown = (out / "report.md").read_text("utf-8")
    assert "| made-up | nerve | 5 (5) | 0.375 [" in markdown
    assert "2.5 px [" in markdown
    assert "- made-up: Drawn by a test." in markdown
    for case in content["worst"]:
        assert case["picture"] in markdown
        assert (out / case["picture"]).is_file()
    leftovers = [path.name for path in out.rglob(".*")]
    assert leftovers == []


def test_undefined_figures_are_null_in_json(tmp_path: Path) -> None:
    report = evaluate(oracle({1: EMPTY}), [sample("1", None)], classes=["nerve"])
    write(report, tmp_path, provenance=PROVENANCE)
    (result,) = json.loads((tmp_path / "report.json").read_text("utf-8"))["results"]
    assert result["measures"]["dice"] == {"value": None, "low": None, "high": None, "n": 0}
    assert "| made-up | nerve | 1 (1) | n/a | n/a |" in (tmp_path / "report.md").read_text("utf-8")


def test_rows_come_back_from_the_csv(tmp_path: Path) -> None:
    report = mixed_report()
    write(report, tmp_path, provenance=PROVENANCE)
    rows = read_rows(tmp_path)
    assert repr(rows) == repr(report.rows)  # repr, because NaN differs from itself
    defined = [row.dice for row in rows if not math.isnan(row.dice)]
    assert np.mean(defined) == pytest.approx(report.cells[0].measures["dice"].value)


def test_picture_shows_truth_solid_and_prediction_dashed(tmp_path: Path) -> None:
    answers = {1: square(40, 40, 16)}
    report = evaluate(oracle(answers), [sample("1", square(5, 5, 16))], classes=["nerve"])
    write(report, tmp_path, provenance=PROVENANCE)
    picture = cv2.imread(str(tmp_path / "worst" / "made-up_nerve_01.png"))
    scale = 8  # 80 pixels enlarged to 640
    title, body = picture[: -64 * scale], picture[-64 * scale :]
    assert title.max() == 255
    on_truth = top_edge(body, row=5, column=5, side=16, scale=scale)
    assert (on_truth.max(axis=-1) > 180).all(), "the truth's outline has a gap"
    assert (on_truth[:, 0] < 120).all(), "the nerve's colour holds little blue"
    on_prediction = top_edge(body, row=40, column=40, side=16, scale=scale)
    lit = (on_prediction.min(axis=-1) > 180).mean()
    assert 0.3 < lit < 0.9, "the prediction's outline is dashed white"


def top_edge(body: Any, *, row: int, column: int, side: int, scale: int) -> Any:
    columns = slice((column + 1) * scale, (column + side - 1) * scale)
    return body[row * scale, columns].astype(int)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"can't write .*; choose a folder"):
        write(mixed_report(), tmp_path / "file" / "out", provenance=PROVENANCE)


def test_a_failed_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(mixed_report(), tmp_path, provenance=PROVENANCE)
    before = (tmp_path / "report.json").read_bytes()

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write(mixed_report(), tmp_path, provenance=PROVENANCE)
    assert (tmp_path / "report.json").read_bytes() == before
    assert list(tmp_path.rglob(".*")) == []


@pytest.mark.parametrize("content", [None, "", "card,name\na,b\n", "\x00"])
def test_a_foreign_csv_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "per_image.csv").write_text(content)
    with pytest.raises(DataError, match=r"can't read .*per_image.csv"):
        read_rows(tmp_path)


# Planes

LONG = Box(0, 0, 200, 100)


def band(*runs: tuple[int, int, int, int], shape: tuple[int, int] = (100, 200)) -> Mask:
    """Drawn as first row, last row, first column, last column."""
    mask = np.zeros(shape, bool)
    for top, bottom, left, right in runs:
        mask[top : bottom + 1, left : right + 1] = True
    return mask


def plane(y: float, left: int = 0, right: int = 199, *, fall: float = 0.0) -> Plane:
    x = np.arange(left, right + 1, dtype=float)
    heights = y + np.linspace(-fall, fall, len(x))
    return Plane(tuple(zip(x.tolist(), heights.tolist(), strict=True)), 4.0, 0.9)


def drawn(mask: Mask, known: str = "fascia") -> Sample:
    image = np.zeros(mask.shape, np.uint8)
    masks = {"fascia": mask} if known == "fascia" else {}
    return Sample("a", image, masks, frozenset({known}), "a", "made-up")


def test_experts_lines_are_the_middles_of_the_bands() -> None:
    mask = band((10, 13, 0, 199), (60, 64, 50, 149))
    shallow, deep = expert_lines(mask, LONG)
    assert (shallow.columns == np.arange(200)).all()
    assert (shallow.rows == 11.5).all()
    assert (deep.columns == np.arange(50, 150)).all()
    assert (deep.rows == 62).all()


def test_specks_of_the_brush_are_no_lines() -> None:
    assert expert_lines(band((10, 12, 0, 4)), LONG) == ()
    assert expert_lines(band(), LONG) == ()


def test_a_forked_band_has_no_middle_where_it_is_two() -> None:
    fork = band((10, 13, 0, 99), (10, 11, 100, 149), (13, 13, 99, 149))
    (line,) = expert_lines(fork, LONG)
    assert (line.columns == np.arange(100)).all()


# name: planes; lines found of 2, false planes, columns covered of 400, distance in rows. The lines
# are at 20 and 60 on all 200 columns; 2 % of the height of 100 are 2 rows
PLANE_CASES: list[tuple[str, list[Plane], int, int, int, float]] = [
    ("both right", [plane(20), plane(60)], 2, 0, 400, 0.0),
    ("one off by a row", [plane(20), plane(61)], 2, 0, 400, 0.5),
    ("one too far", [plane(20), plane(63)], 1, 1, 200, 0.0),
    ("none", [], 0, 0, 0, math.nan),
    ("half of the columns are enough", [plane(20, 0, 99)], 1, 0, 100, 0.0),
    ("less are not, yet it is not false", [plane(20, 0, 79)], 0, 0, 80, 0.0),
    ("two parts of one line", [plane(20, 0, 80), plane(20, 120, 199)], 1, 0, 161, 0.0),
    ("two on one line, the nearest counts", [plane(20), plane(21)], 1, 0, 200, 0.0),
    # off by up to 4 rows at the ends, 2 on average: on the line within half of its columns
    ("slanting away", [plane(20, fall=4.0)], 1, 0, 100, 2.0),
    ("between the lines", [plane(40), plane(20)], 1, 1, 200, 0.0),
]


@pytest.mark.parametrize(
    ("planes", "found", "false", "covered", "distance"),
    [case[1:] for case in PLANE_CASES],
    ids=[case[0] for case in PLANE_CASES],
)
def test_planes_worked_by_hand(
    planes: list[Plane], found: int, false: int, covered: int, distance: float
) -> None:
    truth = drawn(band((18, 22, 0, 199), (58, 62, 0, 199)))
    row = score_planes(truth, planes, region=LONG, class_name="fascia")
    assert (row.lines, row.found, row.planes, row.false) == (2, found, len(planes), false)
    assert (row.columns, row.covered) == (400, covered)
    assert row.distance_px == pytest.approx(distance, abs=0.02, nan_ok=True)
    assert row.distance_share == pytest.approx(distance / 100, abs=2e-4, nan_ok=True)


def test_heights_are_those_of_the_image_region() -> None:
    truth = drawn(band((18, 22, 0, 199)))
    region = Box(0, 0, 200, 50)
    row = score_planes(truth, [plane(20.9)], region=region, class_name="fascia")
    assert (row.height_px, row.found) == (50, 1)
    assert row.distance_share == pytest.approx(0.9 / 50)
    row = score_planes(truth, [plane(21.1)], region=region, class_name="fascia")
    assert row.found == 0


def test_a_picture_without_lines_counts_its_false_planes_alone() -> None:
    row = score_planes(drawn(band()), [plane(20)], region=LONG, class_name="fascia")
    assert (row.lines, row.found, row.planes, row.false, row.measured) == (0, 0, 1, 1, 0)


def lines_model(content: Mask) -> Predictor:
    """Answers every picture with the fascia drawn in ``content``."""
    probability = cv2.GaussianBlur(content.astype(np.float32), (0, 0), 1.0)

    def predict(image: GrayImage) -> Prediction:
        height, width = image.shape
        whole = Box(0, 0, width, height)
        found = Segmentation(
            {"fascia": probability}, whole, (height, width), {"fascia": 0.5}, "lines@1"
        )
        return Prediction({"fascia": probability}, {"fascia": content}, found)

    return Predictor("lines@1", ("fascia",), {"fascia": 0.5}, predict)


def test_the_report_tells_of_planes(tmp_path: Path) -> None:
    truth = band((18, 22, 0, 199), (58, 62, 0, 199))
    report = evaluate(
        lines_model(band((19, 23, 0, 199))), [drawn(truth), drawn(truth)], classes=["fascia"]
    )
    write(report, tmp_path, provenance=PROVENANCE)
    planes = json.loads((tmp_path / "report.json").read_text("utf-8"))["sections"]["planes"]
    (figures,) = planes["sets"]
    assert (figures["lines"], figures["found"], figures["false"]) == (4, 2, 0)
    assert figures["measures"]["found_rate"]["value"] == 0.5
    share = figures["measures"]["distance_share"]
    assert share["value"] == pytest.approx(1.0, abs=0.05)
    assert (share["unit"], share["n"], share["low"]) == ("%", 2, None)
    assert len(planes["worst"]) == 2
    assert all((tmp_path / case["picture"]).is_file() for case in planes["worst"])
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "## Fascial planes as lines" in markdown
    assert "| made-up | 2 (1) | 4 | 2 | 2 | 0 | 1.00 % | 1.0 px | 0.500 |" in markdown
    header, *rows = (tmp_path / "planes.csv").read_text("utf-8").splitlines()
    assert header.startswith("card,name,group,height_px,lines,found")
    assert len(rows) == 2


def test_the_worst_pictures_of_planes_come_first() -> None:
    model = lines_model(band((18, 22, 0, 199)))
    missed = drawn(band((18, 22, 0, 199), (58, 62, 0, 199)))
    near = drawn(band((19, 23, 0, 199)))
    right = drawn(band((18, 22, 0, 199)))
    report = evaluate(model, [right, missed, near], classes=["fascia"], worst=2)
    (section,) = report.sections
    said = [picture.caption.partition(": ")[2] for picture in section.pictures]
    assert said == ["1 of 2 found, distance 0.00 %", "1 of 1 found, distance 1.00 %"]


def test_planes_are_not_measured_where_fascia_is_unknown_or_not_asked_for() -> None:
    model = oracle({0: np.zeros((100, 200), bool)}, classes=("nerve", "fascia"))
    report = evaluate(model, [drawn(band(), known="nerve")], classes=["nerve", "fascia"])
    assert report.sections == ()
    lines = lines_model(band((18, 22, 0, 199)))
    both = Predictor("both@1", ("nerve", "fascia"), {"nerve": 0.5, "fascia": 0.5}, model.predict)
    picture = Sample(
        "a", np.zeros((100, 200), np.uint8), {}, frozenset({"nerve", "fascia"}), "a", "made-up"
    )
    assert evaluate(both, [picture], classes=["nerve"]).sections == ()
    assert len(evaluate(lines, [picture], classes=["fascia"]).sections) == 1


# Comparisons


def two_reports() -> tuple[Report, Report]:
    samples = [sample(str(n), square(5, 5), group=f"g{n // 2}") for n in range(1, 7)]
    samples.append(sample("7", None))
    right = dict.fromkeys(range(1, 7), square(5, 5)) | {7: EMPTY}
    shifted = dict.fromkeys(range(1, 7), square(5, 10)) | {7: EMPTY}
    ours = evaluate(oracle(right), samples, classes=["nerve"])
    return ours, evaluate(oracle(shifted), samples[:5] + samples[6:], classes=["nerve"])


def test_paired_difference() -> None:
    ours, theirs = two_reports()
    (gain,) = compare(ours.rows, theirs.rows)
    assert (gain.dice.value, gain.dice.low, gain.dice.high) == (0.5, 0.5, 0.5)
    assert (gain.dice.n, gain.n_undefined, gain.n_unpaired) == (5, 1, 1)
    assert gain.better_share == 1.0
    (loss,) = compare(theirs.rows, ours.rows)
    assert (loss.dice.value, loss.better_share) == (-0.5, 0.0)


def test_reports_without_a_shared_picture_are_refused() -> None:
    ours, _ = two_reports()
    with pytest.raises(DataError, match="share no picture"):
        compare(ours.rows[:2], ours.rows[2:])


def test_reports_of_different_truth_are_refused() -> None:
    one = evaluate(oracle({1: EMPTY}), [sample("1", square(5, 5))], classes=["nerve"])
    other = evaluate(oracle({1: EMPTY}), [sample("1", square(5, 5, 9))], classes=["nerve"])
    with pytest.raises(DataError, match=r"100 px of nerve .* 81 px"):
        compare(one.rows, other.rows)


def test_compare_from_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    for folder, report in zip(folders, two_reports(), strict=True):
        write(report, folder, provenance=PROVENANCE)
    assert compare_cli([str(folder) for folder in folders]) == 0
    assert (
        "| made-up | nerve | 5 | 0.500 [0.500, 0.500] | 100 % | 1 | 1 |" in capsys.readouterr().out
    )


# The command


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``evaluate_cli`` on four made-up pictures, of which 1 and 2 are in the test split.

    With ``--root`` they are there only in the folder that the card names.
    """

    def read(card: Any, root: Path | None = None) -> Iterator[Sample]:
        assert root in (None, tmp_path / "sets" / card.folder)
        yield from (sample(str(n), square(5, 5)) for n in range(1, 5))

    card = SimpleNamespace(name="made-up", folder="publisher's", quirks=("Drawn by a test.",))
    parts = {"1": "test", "2": "test", "3": "train", "4": "val"}
    monkeypatch.setattr(harness.cards, "load", {"made-up": card}.__getitem__)
    monkeypatch.setattr(reading.splits, "load", lambda asked: parts if asked is card else {})
    monkeypatch.setattr(reading, "samples", read)
    monkeypatch.setattr(
        harness, "from_file", lambda path: oracle(dict.fromkeys(range(1, 5), square(5, 5)))
    )
    model = tmp_path / "net.onnx"
    model.touch()

    def run(*options: str) -> int:
        out = str(tmp_path / "out")
        return evaluate_cli([str(model), "--data", "made-up", "--out", out, *options])

    return run


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["1", "2"]),
        (["--split", "val"], ["4"]),
        (["--split", "all"], ["1", "2", "3", "4"]),
        (["--split", "all", "--limit", "3"], ["1", "2", "3"]),
    ],
)
def test_command_measures_the_chosen_split(
    command: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    names: list[str],
) -> None:
    assert command(*options, "--date", "2025-01-31", "--root", str(tmp_path / "sets")) == 0
    assert [row.name for row in read_rows(tmp_path / "out")] == names
    content = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert content["date"] == "2025-01-31"
    assert content["command"].startswith("python -m train evaluate ")
    assert "--data made-up" in content["command"]
    said = capsys.readouterr().out
    assert "made-up nerve: Dice 1.000" in said
    assert str(tmp_path / "out" / "report.md") in said


def test_command_refuses_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model"):
        evaluate_cli([str(tmp_path / "none.onnx"), "--data", "usgra-seg", "--out", str(tmp_path)])


@pytest.mark.parametrize("options", [["--limit", "-1"], ["--data", ","], ["--split", "exam"]])
def test_command_refuses_wrong_options(command: Callable[..., int], options: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command(*options)
    assert stop.value.code == 2


@pytest.mark.realdata
def test_real_samples_of_the_committed_split(data_root: Path) -> None:
    card = harness.cards.load("usgra-seg")
    parts = reading.splits.load(card)
    chosen = list(islice(reading.split_samples(card, "test", root=data_root), 4))
    assert [parts[each.name] for each in chosen] == ["test"] * 4
    truths = {id(each.image): each.masks for each in chosen}

    def copy_the_truth(image: GrayImage) -> Prediction:
        masks = {name: truths[id(image)].get(name, image < 0) for name in ("nerve", "vessel")}
        return Prediction({name: mask.astype(np.float32) for name, mask in masks.items()}, masks)

    model = Predictor("copy@1", ("nerve", "vessel"), {"nerve": 0.5, "vessel": 0.5}, copy_the_truth)
    report = evaluate(model, chosen, classes=["nerve", "vessel", "fascia"])
    assert {cell.class_name for cell in report.cells} == {"nerve", "vessel"}
    for cell in report.cells:
        assert (cell.measures["dice"].value, cell.measures["hd95"].value) == (1.0, 0.0)
        assert cell.measures["ece"].value == 0.0
