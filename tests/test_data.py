"""Cards, splits by look-alikes, and the check of a set."""

from __future__ import annotations

import re
import shutil

import pytest

from nerveseg import resources
from nerveseg.data import cards, check, layouts, samples, splits
from nerveseg.errors import DataError, StoreError
from tests.dataset_making import (
    HEIGHT,
    MASK_FILES,
    WIDTH,
    box_mask,
    small_set,
    speckle,
    write,
    write_card,
)

TRAIN = ("usgra-seg", "femoral-nerve-block", "dl-track")


def test_every_card_that_travels_along_can_be_read():
    assert set(TRAIN) < set(cards.names())
    for name in cards.names():
        card = cards.load(name)
        assert (card.name, card.path.stem) == (name, name)
        assert card.licence
        assert card.quirks


def test_only_sets_whose_licence_allows_it_are_for_training():
    assert {n for n in cards.names() if cards.load(n).use == "train"} == {*TRAIN, "phantom"}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("usgra-seg", {"nerve", "vessel"}),
        ("femoral-nerve-block", {"nerve"}),
        ("dl-track", {"fascia"}),
        ("needle-lei", {"needle"}),
    ],
)
def test_a_card_knows_only_what_its_set_labels(name, known):
    assert cards.load(name).known == known


def test_the_cards_that_the_readme_shows_can_be_read(tmp_path):
    readme = (resources.datasets_dir() / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```toml\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    assert len(shown) == 3
    for text in shown:
        path = tmp_path / "shown.toml"
        path.write_text(text, encoding="utf-8")
        card = cards.load(path)
        assert layouts.reader_of(card) is layouts.READERS[card.kind]


def test_the_readme_names_every_card():
    readme = (resources.datasets_dir() / "README.md").read_text(encoding="utf-8")
    assert set(cards.names()) <= set(re.findall(r"`([\w.-]+)`", readme))


# What is wrong with a card, the card, what the message names.
BAD_CARDS = [
    ("no TOML", "[", "mine.toml"),
    ("no layout", "[classes.nerve]", "layout"),
    ("no class", "[layout]\nkind = 'coco'\n[classes]", "classes"),
    ("unknown class", "[layout]\nkind = 'coco'\n[classes.tumour]", "tumour"),
    ("hash of another length", "[archive]\nsha256 = 'abc'\n" + MASK_FILES, "sha256"),
    ("address of another kind", "[archive]\nurl = 'file:///etc'\n" + MASK_FILES, "url"),
    ("text for a number", "[split]\nthreshold = 'high'\n" + MASK_FILES, "split.threshold"),
]


@pytest.mark.parametrize(
    ("text", "named"), [c[1:] for c in BAD_CARDS], ids=[c[0] for c in BAD_CARDS]
)
def test_a_bad_card_is_one_line_that_names_the_key(tmp_path, text, named):
    with pytest.raises(DataError, match=named) as caught:
        write_card(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nothing", "../secret", "", "/etc/passwd"])
def test_an_unknown_card_lists_the_known_ones(name):
    with pytest.raises(DataError, match="usgra-seg"):
        cards.load(name)


def test_a_layout_of_no_known_kind_lists_the_kinds(tmp_path):
    card = write_card(tmp_path, MASK_FILES.replace("mask-files", "guess"))
    with pytest.raises(DataError, match="coco"):
        next(samples(card))


def test_data_is_looked_for_where_the_user_says(tmp_path, monkeypatch):
    card = cards.load("usgra-seg")
    monkeypatch.setenv("NERVESEG_DATA", str(tmp_path))
    shared = tmp_path / "usgra-seg"
    shared.mkdir()
    assert cards.data_root(card) == shared
    assert cards.data_root(card, tmp_path) == tmp_path
    with pytest.raises(DataError, match="not a folder"):
        cards.data_root(card, tmp_path / "gone")


def test_missing_data_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("NERVESEG_DATA", "/nonexistent")
    with pytest.raises(DataError, match="nerveseg data fetch ubpd"):
        next(samples(cards.load("ubpd")))


@pytest.fixture
def mine(tmp_path):
    return small_set(tmp_path)


@pytest.fixture
def patients(tmp_path):
    """Eight patients with five frames each: the probe slides a little between frames."""
    for patient in range(8):
        wide = speckle(patient, height=140, width=150)
        for i in range(5):
            name = f"{patient + 8 * i:03d}.png"
            write(tmp_path / "images" / name, wide[i : i + 128, 2 * i : 2 * i + 128])
            write(tmp_path / "masks" / name, box_mask(1, shape=(128, 128)))
    return write_card(tmp_path, MASK_FILES)


def test_frames_of_one_patient_stay_on_one_side(patients):
    split = splits.make(patients, threshold=0.6)
    patient_of = {f"{p + 8 * i:03d}.png": p for p in range(8) for i in range(5)}
    assert {frozenset(patient_of[n] for n in c.names) for c in split.clusters} == {
        frozenset({p}) for p in range(8)
    }
    assert set(split) == set(patient_of)
    assert set(split.values()) == {"train", "val", "test"}


def test_a_split_is_made_again_from_its_seed_and_survives_the_disk(patients):
    split = splits.make(patients, seed=4, threshold=0.6)
    again = splits.make(patients, seed=4, threshold=0.6)
    assert dict(split) == dict(again)
    others = [splits.make(patients, seed=s, threshold=0.6) for s in range(4)]
    assert any(dict(other) != dict(split) for other in others)
    path = splits.save(split, splits.path_of(patients))
    loaded = splits.load(patients)
    assert dict(loaded) == dict(split)
    assert (loaded.seed, loaded.threshold, path.parent) == (4, 0.6, patients.path.parent)
    assert {s.group for s in samples(patients)} == {f"cluster {i}" for i in range(8)}


def test_named_subjects_are_never_split(patients, tmp_path):
    card = write_card(tmp_path, MASK_FILES.replace("[layout]", '[layout]\ngroup = "^0"'))
    split = splits.make(card, threshold=1.1)
    assert len(split.clusters) == 1


def test_a_check_tells_what_the_split_does_not_know(mine, tmp_path):
    splits.save(splits.make(mine), splits.path_of(mine))
    assert check(mine).ok
    for folder in ("images", "masks"):
        shutil.move(tmp_path / folder / "f0.png", tmp_path / folder / "new.png")
    report = check(mine)
    assert (report.unsplit, report.vanished, report.ok) == (("new.png",), ("f0.png",), False)


def test_a_check_counts_twins_empty_masks_and_shares(mine, tmp_path):
    shutil.copy(tmp_path / "images" / "f0.png", tmp_path / "images" / "f1.png")
    write(tmp_path / "masks" / "f2.png", box_mask(0))
    report = check(mine)
    assert report.duplicates == (("f0.png", "f1.png"),)
    nerve = report.classes["nerve"]
    assert (nerve.known, nerve.empty) == (3, 1)
    assert nerve.pixel_share == pytest.approx(160 / (HEIGHT * WIDTH))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"clusters": 3}', '{"clusters": [{"part": "?", "names": []}]}']
)
def test_a_malformed_split_is_named(mine, text):
    splits.path_of(mine).write_text(text)
    with pytest.raises(DataError, match=r"mine\.split\.json"):
        splits.load(mine)


def test_a_split_that_can_not_be_written_is_a_store_error(mine, tmp_path):
    with pytest.raises(StoreError, match="split"):
        splits.save(splits.make(mine), tmp_path / "mine.toml" / "x.json")


@pytest.mark.parametrize("name", TRAIN)
def test_committed_splits_are_about_70_10_20_in_whole_clusters(name):
    split = splits.load(name)
    counts = {part: frames / len(split) for part, (_, frames) in split.counts().items()}
    assert counts == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.08)
    assert sum(len(c.names) for c in split.clusters) == len(split)
    assert split.algorithm == splits.ALGORITHM


@pytest.mark.realdata
@pytest.mark.parametrize("name", TRAIN)
def test_a_committed_split_is_reproduced_from_the_data(data_root, name):
    card = cards.load(name)
    root = data_root / card.folder
    if not root.is_dir():
        pytest.skip(f"{root} is missing")
    committed = splits.load(name)
    assert dict(splits.make(card, root, seed=committed.seed)) == dict(committed)


@pytest.mark.realdata
@pytest.mark.parametrize("name", [*TRAIN, "needle-xgts", "needle-lei"])
def test_real_sets_are_whole_and_every_class_is_there(data_root, name):
    card = cards.load(name)
    root = data_root / card.folder
    if not root.is_dir():
        pytest.skip(f"{root} is missing")
    report = check(card, root)
    assert report.ok, report.broken[:3]
    for each in report.classes.values():
        assert each.empty < 0.2 * each.known
        assert 0.005 < each.pixel_share < 0.3
