"""Outlines and masks: exact round trips, hand-worked areas, hostile label files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nerveseg import labels
from nerveseg.errors import DataError, StoreError
from nerveseg.labels import LabelledImage
from nerveseg.types import Label

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
coordinates = st.floats(-50, 50).map(lambda value: round(value, 3))
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8).map(tuple)
outlines = st.builds(Label, st.text(min_size=1, max_size=9), polygons)
pictures = st.builds(
    LabelledImage,
    st.text(alphabet="abc_0", min_size=1, max_size=9),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.lists(outlines, max_size=3).map(tuple),
)

# What, polygon in (x, y), pixels expected on a 5x6 picture (rows of x positions).
AREAS = [
    ("edges on pixel borders", ((0.5, 0.5), (3.5, 0.5), (3.5, 2.5), (0.5, 2.5)),
     {1: "123", 2: "123"}),
    ("just over half of a column", ((0.5, 0.5), (2.2, 0.5), (2.2, 1.5), (0.5, 1.5)), {1: "12"}),
    ("well under half of a column", ((0.5, 0.5), (1.7, 0.5), (1.7, 1.5), (0.5, 1.5)), {1: "1"}),
    ("far outside on two sides", ((-900, -900), (1.4, -900), (1.4, 900), (-900, 900)),
     {0: "01", 1: "01", 2: "01", 3: "01", 4: "01"}),
    ("all outside", ((50, 50), (60, 50), (60, 60)), {}),
]  # fmt: skip


@pytest.mark.parametrize(("polygon", "expected"), [c[1:] for c in AREAS], ids=[c[0] for c in AREAS])
def test_rasterise_covers_the_pixels_worked_out_by_hand(polygon, expected):
    mask = labels.rasterise([polygon], (5, 6))
    got = {
        y: "".join(str(x) for x in np.flatnonzero(row)) for y, row in enumerate(mask) if row.any()
    }
    assert got == expected


@settings(max_examples=300)
@given(masks)
def test_an_outline_gives_its_mask_back(mask):
    assert np.array_equal(labels.rasterise(labels.outline(mask), mask.shape), mask)


def test_a_ring_and_a_speck_in_its_hole_survive():
    mask = np.ones((9, 9), dtype=bool)
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    assert np.array_equal(labels.rasterise(labels.outline(mask), mask.shape), mask)


def test_strips_of_a_large_picture_meet_without_a_seam():
    wide = 2_100_000  # More sub-pixels in one row than a strip holds.
    square = ((wide - 4.5, 0.5), (wide - 1.5, 0.5), (wide - 1.5, 3.5), (wide - 4.5, 3.5))
    tall = ((-0.5, 0.5), (wide - 0.5, 0.5), (wide - 0.5, 2.5), (-0.5, 2.5))
    mask = labels.rasterise([square, tall], (5, wide))
    assert mask.sum() == 2 * wide + 3


def test_a_disc_has_its_area_and_centre():
    turns = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    disc = [(30.3 + 12 * math.cos(t), 25.7 + 12 * math.sin(t)) for t in turns]
    rows, columns = np.nonzero(labels.rasterise([disc], (60, 64)))
    assert rows.size == pytest.approx(math.pi * 144, rel=0.01)
    assert (columns.mean(), rows.mean()) == pytest.approx((30.3, 25.7), abs=0.1)


@pytest.mark.parametrize("bad", [[(0, 0), (1, 1)], [(0, 0), (math.nan, 1), (2, 2)]])
def test_rasterise_refuses_what_encloses_nothing(bad):
    with pytest.raises(DataError):
        labels.rasterise([bad], (4, 4))


@given(masks)
def test_run_lengths_give_the_mask_back(mask):
    assert np.array_equal(labels.decode_runs(labels.encode_runs(mask), mask.shape), mask)


@settings(max_examples=40)
@given(picture=pictures)
def test_labelme_gives_back_what_was_written(tmp_path_factory, picture):
    path = tmp_path_factory.mktemp("labelme") / "x.json"
    labels.write_labelme(path, picture)
    _assert_same(labels.read_labelme(path), picture)


@settings(max_examples=40)
@given(listed=st.lists(pictures, max_size=3))
def test_coco_gives_back_what_was_written(tmp_path_factory, listed):
    path = tmp_path_factory.mktemp("coco") / "x.json"
    labels.write_coco(path, listed)
    read = labels.read_coco(path)
    assert len(read) == len(listed)
    for got, expected in zip(read, listed, strict=True):
        _assert_same(got, expected)


def _assert_same(got, expected):
    assert (got.file_name, got.shape) == (expected.file_name, expected.shape)
    assert [each.structure for each in got.labels] == [e.structure for e in expected.labels]
    for mine, theirs in zip(got.labels, expected.labels, strict=True):
        assert np.allclose(mine.polygon, theirs.polygon, atol=1e-9)


def test_labelme_counts_from_the_corner_of_a_pixel(tmp_path):
    table = _labelme(points=[[1, 1], [4, 1], [4, 3], [1, 3]])
    image = _read_labelme(tmp_path, table)
    mask = labels.rasterise([image.labels[0].polygon], image.shape)
    assert mask.sum() == 6
    assert mask[1:3, 1:4].all()


def test_labelme_rectangles_and_circles_are_areas_and_lines_are_none(tmp_path):
    table = _labelme(points=[[1, 1], [4, 3]], shape_type="rectangle")
    table["shapes"] += _labelme(points=[[10, 10], [10, 14]], shape_type="circle")["shapes"]
    table["shapes"] += _labelme(points=[[1, 1], [9, 9]], shape_type="line")["shapes"]
    image = _read_labelme(tmp_path, table)
    areas = [labels.rasterise([each.polygon], image.shape).sum() for each in image.labels]
    assert areas == [6, pytest.approx(math.pi * 16, rel=0.1)]


# What is wrong with a LabelMe file, the file.
BAD_LABELME = [
    ("not JSON", "{"),
    ("not an object", "[1]"),
    ("nested too deep", "[" * 100_000),
    ("no size", {"shapes": []}),
    ("absurd size", {"imageHeight": 10**9, "imageWidth": 10**9, "shapes": []}),
    ("shapes no list", {"imageHeight": 9, "imageWidth": 9, "shapes": 3}),
    ("two points", {"points": [[0, 0], [1, 1]]}),
    ("text for a number", {"points": [[0, 0], [1, "x"], [2, 2]]}),
    ("a number beyond floats", {"points": [[0, 0], [1, 10**400], [2, 2]]}),
    ("infinite", '{"imageHeight": 1e999, "imageWidth": 9, "shapes": []}'),
    ("NaN", '{"imageHeight": NaN, "imageWidth": 9, "shapes": []}'),
    ("three coordinates", {"points": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}),
    ("unknown shape", {"points": [[0, 0], [1, 1], [2, 2]], "shape_type": "spiral"}),
    ("too many points", {"points": [[0, 0]] * 100_001}),
    ("no label", {"points": [[0, 0], [1, 1], [2, 0]], "label": None}),
]  # fmt: skip


@pytest.mark.parametrize("content", [c[1] for c in BAD_LABELME], ids=[c[0] for c in BAD_LABELME])
def test_a_bad_labelme_file_is_one_clear_line_that_names_it(tmp_path, content):
    if isinstance(content, dict) and "points" in content:
        content = _labelme(**content)
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=r"bad\.json") as caught:
        labels.read_labelme(path)
    assert "\n" not in str(caught.value)


def test_a_label_file_with_a_byte_order_mark_and_foreign_bytes_is_read(tmp_path):
    path = tmp_path / "x.json"
    text = json.dumps(_labelme(points=[[0, 0], [4, 0], [4, 4]]))
    path.write_bytes(
        b"\xef\xbb\xbf" + text.replace("x.jpg", "PLACE").encode().replace(b"PLACE", b"\xd0\xc2.jpg")
    )
    assert labels.read_labelme(path).labels[0].structure == "nerve"


def test_coco_run_lengths_plain_and_compressed_make_the_same_mask(tmp_path):
    mask = np.zeros((9, 7), dtype=bool)
    mask[2:6, 1:4] = True
    mask[4, 2] = False
    runs = labels.encode_runs(mask)
    for counts in (runs, _compress(runs)):
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(_coco({"size": [9, 7], "counts": counts})))
        (image,) = labels.read_coco(path)
        assert np.array_equal(labels.rasterise([e.polygon for e in image.labels], (9, 7)), mask)


def test_a_compressed_text_worked_out_by_hand(tmp_path):
    # 10 off, 3 on, 50 off: "10" is digit 10 -> ':', 3 -> '3', 50 = 18 + 32 (more), 1 -> 'b1'.
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(_coco({"size": [9, 7], "counts": ":3b1"})))
    (image,) = labels.read_coco(path)
    mask = labels.rasterise([each.polygon for each in image.labels], (9, 7))
    assert np.flatnonzero(mask.ravel(order="F")).tolist() == [10, 11, 12]


# What is wrong with the segmentation of a COCO file, the segmentation.
BAD_COCO = [
    ("another size", {"size": [7, 9], "counts": [63]}),
    ("runs too short", {"size": [9, 7], "counts": [3]}),
    ("a negative run", {"size": [9, 7], "counts": [70, -7]}),
    ("a fraction", {"size": [9, 7], "counts": [62.5, 0.5]}),
    ("text cut short", {"size": [9, 7], "counts": "c"}),
    ("text of other characters", {"size": [9, 7], "counts": "é"}),
    ("text without end", {"size": [9, 7], "counts": "o" * 50}),
    ("odd polygon", [[1, 2, 3, 4, 5]]),
    ("a point", [[1, 2]]),
    ("a number", 7),
]


@pytest.mark.parametrize("value", [c[1] for c in BAD_COCO], ids=[c[0] for c in BAD_COCO])
def test_a_bad_coco_segmentation_is_refused(tmp_path, value):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(_coco(value)))
    with pytest.raises(DataError):
        labels.read_coco(path)


def test_a_coco_annotation_of_no_image_is_refused(tmp_path):
    table = _coco([[1, 1, 4, 1, 4, 4]])
    table["annotations"][0]["image_id"] = 99
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(table))
    with pytest.raises(DataError, match="99"):
        labels.read_coco(path)


def test_a_missing_label_file_and_a_missing_folder_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json"):
        labels.read_labelme(tmp_path / "gone.json")
    with pytest.raises(StoreError, match="can't be written"):
        labels.write_labelme(tmp_path / "no" / "x.json", LabelledImage("x", (3, 3), ()))


def _labelme(*, points, shape_type="polygon", label="nerve"):
    shape = {"label": label, "points": points, "shape_type": shape_type}
    return {"imagePath": "x.jpg", "imageHeight": 20, "imageWidth": 20, "shapes": [shape]}


def _read_labelme(folder, table):
    path = folder / "x.json"
    path.write_text(json.dumps(table))
    return labels.read_labelme(path)


def _coco(segmentation):
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 7}],
        "categories": [{"id": 5, "name": "nerve"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "segmentation": segmentation}],
    }


def _compress(runs):
    """Written from COCO's description of the format, the other way round than the reader."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            digit, value = value & 31, value >> 5
            more = value not in (0, -1) or bool(digit & 16) != (value == -1)
            text += chr((digit | (32 if more else 0)) + 48)
    return text
