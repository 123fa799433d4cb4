"""Readers of every public layout, on small files made in the same layout."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest

from nerveseg import labels
from nerveseg.data import cards, check, samples
from nerveseg.data.pictures import MaskPicture
from nerveseg.errors import DataError
from nerveseg.labels import LabelledImage
from nerveseg.types import Label
from tests.dataset_making import (
    BOX,
    HEIGHT,
    MASK_FILES,
    WIDTH,
    box_mask,
    small_set,
    speckle,
    write,
    write_card,
)


@pytest.fixture
def mine(tmp_path):
    return small_set(tmp_path)


def test_mask_files_give_one_mask_a_class_and_read_one_picture_at_a_time(mine, tmp_path):
    stream = samples(mine)
    first = next(stream)
    assert first.known == {"nerve", "vessel"}
    assert first.masks["nerve"][BOX].all()
    assert first.masks["nerve"].sum() == 160
    assert not first.masks["vessel"].any()
    (tmp_path / "images" / "f2.png").write_bytes(b"not yet read")
    assert next(stream).name == "f1.png"
    with pytest.raises(DataError, match=r"f2\.png"):
        next(stream)


def test_palette_masks_are_read_by_index(tmp_path):
    colours = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for index, blue_green_red in enumerate([(0, 0, 128), (0, 128, 0), (0, 128, 128), (128, 0, 0)]):
        colours[index * 4] = blue_green_red
    path = write(tmp_path / "m.png", colours)
    assert MaskPicture(path).values[:16:4, 0].tolist() == [1, 2, 3, 4]


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
    for i in (10, 9, 1):
        write(tmp_path / "images" / f"f{i}.png", speckle(i))
        write(tmp_path / "masks" / f"f{i}.png", box_mask(1))
    card = write_card(tmp_path, MASK_FILES)
    assert [each.name for each in samples(card)] == ["f1.png", "f9.png", "f10.png"]


TALLER = box_mask(shape=(41, 48))

BROKEN = [
    ("no mask", lambda root: (root / "masks" / "f1.png").unlink(), r"f1\.png has no mask"),
    ("empty mask file", lambda root: (root / "masks" / "f1.png").write_bytes(b""), r"f1\.png"),
    ("mask of another size", lambda root: write(root / "masks" / "f1.png", TALLER), r"f1.*48x41"),
    ("picture cut short", lambda root: os.truncate(root / "images" / "f1.png", 200), r"f1\.png"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "named"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_sample_is_named_and_check_goes_on(mine, tmp_path, spoil, named):
    spoil(tmp_path)
    with pytest.raises(DataError, match=named):
        list(samples(mine))
    report = check(mine)
    assert (report.samples, len(report.broken), report.ok) == (2, 1, False)


def test_kaggle_masks_are_files_or_rows_and_subjects_are_groups(tmp_path):
    for name in ("1_1", "1_2", "12_1"):
        write(tmp_path / "train" / f"{name}.tif", speckle(len(name)))
    write(tmp_path / "train" / "1_1_mask.tif", box_mask())
    write(tmp_path / "train" / "12_1_mask.tif", box_mask(0))
    write(tmp_path / "test" / "1.tif", speckle(4))
    # Column-major from 1: two columns of three pixels, from row 1 of columns 2 and 3.
    row = f"{2 * HEIGHT + 2} 3 {3 * HEIGHT + 2} 3"
    (tmp_path / "train_masks.csv").write_text(f"subject,img,pixels\n1,2,{row}\n")
    got = {s.name: s for s in samples(cards.load("kaggle-ultrasound-nerve"), tmp_path)}
    assert list(got) == ["1_1.tif", "1_2.tif", "12_1.tif"]
    assert got["1_1.tif"].group == got["1_2.tif"].group != got["12_1.tif"].group
    assert got["1_1.tif"].masks["nerve"].sum() == 160
    assert not got["12_1.tif"].masks["nerve"].any()
    marked = np.argwhere(got["1_2.tif"].masks["nerve"]).tolist()
    assert marked == [[r, c] for r in (1, 2, 3) for c in (2, 3)]


@pytest.mark.parametrize("pixels", ["0 3", "1", "x y", f"{HEIGHT * WIDTH} 2", "5 -1"])
def test_a_kaggle_row_out_of_the_picture_is_refused(tmp_path, pixels):
    write(tmp_path / "train" / "1_1.tif", speckle(1))
    (tmp_path / "train_masks.csv").write_text(f"subject,img,pixels\n1,1,{pixels}\n")
    with pytest.raises(DataError, match=r"1_1\.tif"):
        list(samples(cards.load("kaggle-ultrasound-nerve"), tmp_path))


def write_clip(path, frames, *, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, size)
    assert writer.isOpened()
    for i in range(frames):
        picture = speckle(i, height=size[1], width=size[0])
        writer.write(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    writer.release()


@pytest.fixture
def regional(tmp_path):
    """Two clips as Regional-US lays them out: one with contours, one with boxes and a needle."""
    write_clip(tmp_path / "data/Butterfly/videos/b240.mp4", 3)
    for i in (0, 2):
        write(tmp_path / f"data/Butterfly/ac_masks/b240/b240_{i:03d}.jpg", box_mask(shape=(64, 64)))
    write_clip(tmp_path / "data/Sonosite/videos/s071.mp4", 3)
    boxes = ["[[2, 3, 4, 5], [60, 60, 10, 10]]", "[[-5, -5, 8, 8], [20, 20, -4, -4]]"]
    lines = [{str(i): {"tracker": "human", "bounding_boxes": b}} for i, b in enumerate(boxes)]
    annotations = tmp_path / "data/Sonosite/bb_annotations/s071.txt"
    annotations.parent.mkdir(parents=True)
    annotations.write_text("\n".join(map(json.dumps, lines)) + "\n")
    needle = tmp_path / "data/Sonosite/needle/needle_coordinates/s071.txt"
    needle.parent.mkdir(parents=True)
    needle.write_text('{"1": {"start": [10, 30], "stop": [64, 30]}}')
    return tmp_path


def test_regional_us_takes_contours_then_boxes_and_leaves_the_rest_unknown(regional):
    got = {s.name: s for s in samples(cards.load("regional-us-brachial-plexus"), regional)}
    assert list(got) == [
        "Butterfly/b240_000", "Butterfly/b240_002", "Sonosite/s071_000", "Sonosite/s071_001",
    ]  # fmt: skip
    contour = got["Butterfly/b240_002"]
    assert contour.known == {"nerve"}
    assert contour.masks["nerve"].sum() == pytest.approx(160, abs=16)
    first, second = got["Sonosite/s071_000"], got["Sonosite/s071_001"]
    assert first.masks["nerve"].sum() == 4 * 5 + 4 * 4
    assert first.known == {"nerve"}
    assert second.masks["nerve"].sum() == 3 * 3 + 4 * 4
    assert second.masks["needle"].sum() == 3 * 54
    assert first.group == second.group != contour.group


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"0": {}}', '{"0": {"bounding_boxes": "[[1, 2]]"}}', '{"x": 1}',
             '{"0": {"bounding_boxes": "[[NaN, 1, 2, 3]]"}}'],
)  # fmt: skip
def test_a_malformed_box_names_file_and_line(regional, line):
    path = regional / "data/Sonosite/bb_annotations/s071.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"s071\.txt, line 3"):
        list(samples(cards.load("regional-us-brachial-plexus"), regional))


def test_ubpd_reads_pinyin_labels_and_skips_unlabelled_pictures(tmp_path):
    write(tmp_path / "JPEGImages" / "10_14.jpg", speckle(1))
    write(tmp_path / "JPEGImages" / "99_1.jpg", speckle(2))
    marks = ("shenjing", "dongmai", "jingmai", "zhifang")
    shapes = tuple(Label(name, square(4 + 8 * i, 4)) for i, name in enumerate(marks))
    (tmp_path / "json_train").mkdir()
    labels.write_labelme(
        tmp_path / "json_train" / "10_14.json",
        LabelledImage("10_14.jpg", (HEIGHT, WIDTH), shapes),
    )
    (sample,) = samples(cards.load("ubpd"), tmp_path)
    assert sample.group == "10"
    assert {k: int(m.sum()) for k, m in sample.masks.items()} == {
        "nerve": 16, "vessel": 32, "muscle": 0, "bone": 0,
    }  # fmt: skip


def square(left, top, side=4):
    right, bottom = left + side - 0.5, top + side - 0.5
    return ((left - 0.5, top - 0.5), (right, top - 0.5), (right, bottom), (left - 0.5, bottom))


def test_fallmud_pairs_masks_of_another_type_by_stem(tmp_path):
    for publisher in ("NeilCronin", "RyanCunningham"):
        write(tmp_path / publisher / "images" / "img_00001.tif", speckle(1))
        write(tmp_path / publisher / "aponeurosis_masks" / "img_00001.jpg", box_mask())
        write(tmp_path / publisher / "fascicle_masks" / "img_00001.tif", box_mask())
    got = list(samples(cards.load("fallmud"), tmp_path))
    assert [s.name for s in got] == [
        "NeilCronin/images/img_00001.tif", "RyanCunningham/images/img_00001.tif",
    ]  # fmt: skip
    assert all(s.known == {"fascia"} for s in got)
    assert got[0].masks["fascia"].sum() == pytest.approx(160, abs=16)


COCO = """
[layout]
kind = "coco"
images = ["images"]
[classes.nerve]
labels = ["median", "ulnar"]
"""


def test_a_coco_folder_is_read_by_its_categories(tmp_path):
    write(tmp_path / "images" / "a.png", speckle(1))
    shapes = (
        Label("median", square(4, 4)),
        Label("ulnar", square(20, 4)),
        Label("fat", square(30, 30)),
    )
    labels.write_coco(
        tmp_path / "annotations.json", [LabelledImage("a.png", (HEIGHT, WIDTH), shapes)]
    )
    (sample,) = samples(write_card(tmp_path, COCO))
    assert sample.masks["nerve"].sum() == 32


def test_a_coco_file_can_not_name_pictures_elsewhere(tmp_path):
    write(tmp_path / "images" / "a.png", speckle(1))
    write(tmp_path / "secret.png", speckle(1))
    labels.write_coco(
        tmp_path / "annotations.json", [LabelledImage("../secret.png", (HEIGHT, WIDTH), ())]
    )
    with pytest.raises(DataError, match="leads out"):
        list(samples(write_card(tmp_path, COCO)))


def test_a_picture_without_its_labelme_file_is_named(tmp_path):
    write(tmp_path / "a.png", speckle(1))
    card = write_card(tmp_path, '[layout]\nkind = "labelme"\n[classes.nerve]\n')
    with pytest.raises(DataError, match=r"a\.png has no LabelMe file"):
        list(samples(card))


def test_the_phantom_is_a_set_like_any_other(tmp_path):
    layout = '[layout]\nkind = "phantom"\nblocks = ["axillary"]\nframes = 2\n'
    card = write_card(tmp_path, layout + "[classes.nerve]\n[classes.needle]\n")
    first, second = samples(card)
    assert first.known == {"nerve", "needle"}
    assert first.masks["nerve"].any()
    assert first.group == second.group
    assert not np.array_equal(first.image, second.image)
