"""What the page is told of needle and planes, and how planes get their names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nerveseg import anatomy
from nerveseg.errors import StoreError
from nerveseg.phantom.uri import parse_uri
from nerveseg.types import NeedleState
from nerveseg.ui import build_app
from nerveseg.ui.facts import demos
from nerveseg.ui.payload import needle_letter, overlay_json
from nerveseg.ui.recording import MAX_NAME, Limits, Recording
from nerveseg.vision.guidance import WARNINGS
from nerveseg.vision.needle.observe import FEATURES
from nerveseg.vision.preprocess import NEEDLE, NEEDLE_TIP, Tensor
from nerveseg.vision.segment import Segmenter
from tests import insertions
from tests.discs import FRAMES, BrightnessRunner, fake_segmenter, write_clip
from tests.test_ui import result_of, settled, upload

ORIGIN = "http://127.0.0.1:7860"


class NeedleRunner(BrightnessRunner):
    """With maps of shaft and tip, on which nothing is ever seen."""

    def run(self, tensor: Tensor) -> Tensor:
        return np.pad(super().run(tensor), ((0, 0), (0, 2), (0, 0), (0, 0)))


def needle_segmenter() -> Segmenter:
    """`fake_segmenter` that looks for needles too."""
    spec = fake_segmenter().spec
    weights = (0.0,) * (1 + len(FEATURES))
    spec = replace(
        spec,
        classes=(*spec.classes, NEEDLE),
        thresholds={**spec.thresholds, NEEDLE: 0.5},
        heatmaps=(NEEDLE_TIP,),
        confidence={"shaft": weights, "tip": weights},
    )
    return Segmenter(spec, NeedleRunner())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nerveseg.ui.clips.pipeline.run", insertions.run)
        with TestClient(build_app(segmenter=needle_segmenter()), base_url=ORIGIN) as client:
            yield client


@pytest.fixture(scope="module")
def clip_id(client: TestClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_clip(tmp_path_factory.mktemp("clips") / "insertion.avi")
    clip_id = upload(client, path.read_bytes(), path.name)
    assert settled(client, clip_id)["state"] == "done"
    return clip_id


def overlay(client: TestClient, clip_id: str, number: int) -> dict[str, Any]:
    query = {"start": number, "count": 1}
    (found,) = client.get(f"/replay/clips/{clip_id}/overlays", params=query).json()
    return dict(found)


# --- needle, path, planes --------------------------------------------------------------------


def test_a_seen_needle_comes_with_its_path_and_distances(client: TestClient, clip_id: str) -> None:
    told = overlay(client, clip_id, 20)
    needle, guidance = told["needle"], told["guidance"]
    assert (needle["status"], needle["age"], needle["confidence"]) == ("seen", 0.0, 0.92)
    assert needle["entry"] == list(insertions.ENTRY)
    assert needle["tip"] == pytest.approx(insertions.tip(20), abs=0.05)
    assert needle["shaft"][0] == needle["entry"]
    assert guidance["path"][0] == needle["tip"]
    assert guidance["path"][1][0] == pytest.approx(319, abs=1)
    # The vessel is a disc around 60, 170, the tip at 60, 90: read off, not the code's own answer.
    assert guidance["distances"]["vessel"] == pytest.approx(80 - 16, abs=3)
    assert guidance["angle"] == pytest.approx(26.6, abs=0.1)
    assert guidance["visible"] == 0.8


def test_a_lost_tip_is_never_made_up(client: TestClient, clip_id: str) -> None:
    lost = overlay(client, clip_id, insertions.LOST + 1)
    assert lost["needle"]["status"] == "lost"
    assert lost["needle"]["tip"] is lost["needle"]["entry"] is lost["guidance"] is None
    assert lost["needle"]["shaft"][1] == pytest.approx(insertions.tip(20), abs=0.05)
    assert lost["needle"]["age"] == pytest.approx(0.28, abs=0.001)
    assert lost["warnings"] == ["tip lost"]
    assert overlay(client, clip_id, insertions.SHAFTLESS)["needle"]["shaft"] is None
    never = overlay(client, clip_id, 0)
    assert (never["needle"]["age"], never["warnings"]) == (None, [])


def test_a_predicted_tip_says_how_old_it_is(client: TestClient, clip_id: str) -> None:
    needle = overlay(client, clip_id, insertions.PREDICTED + 2)["needle"]
    assert (needle["status"], needle["age"]) == ("predicted", 0.12)
    assert needle["tip"] is not None


def test_planes_come_in_order_of_depth_with_their_keys(client: TestClient, clip_id: str) -> None:
    first, second = overlay(client, clip_id, 5)["planes"]
    assert (first["key"], second["key"]) == (7, 3)
    assert first["points"] == [20.0, 40.0, 160.0, 44.0, 300.0, 40.0]
    assert (first["confidence"], second["thickness"]) == (0.9, 14.0)


def test_the_timeline_has_one_letter_a_frame_and_sends_only_new_ones(
    client: TestClient, clip_id: str
) -> None:
    whole = client.get(f"/replay/clips/{clip_id}").json()
    assert whole["needle"] == insertions.letters(FRAMES)
    assert len(whole["needle"]) == len(whole["times"]) == FRAMES
    last = client.get(f"/replay/clips/{clip_id}", params={"since": FRAMES - 8}).json()
    assert last["needle"] == insertions.letters(FRAMES)[-8:]


def test_a_shaft_without_a_tip_is_lost_and_not_absent() -> None:
    assert needle_letter(NeedleState("lost")) == "n"
    assert needle_letter(NeedleState("lost", None, None, ((0.0, 0.0), (9.0, 9.0)))) == "l"
    assert needle_letter(NeedleState("lost", None, 2.0)) == "l"


def test_a_mask_named_needle_has_no_outline_of_its_own() -> None:
    result = result_of(np.ones((64, 64), np.bool_))
    masks = {**result.masks, "needle": result.masks["nerve"]}
    structures = {**result.structures, "needle": result.structures["nerve"]}
    told = json.loads(overlay_json(replace(result, masks=masks, structures=structures)))
    assert list(told["classes"]) == ["nerve"]


# --- what the page is told once --------------------------------------------------------------


def test_the_page_knows_the_syllabus_and_the_words_of_every_warning(client: TestClient) -> None:
    facts = client.get("/replay/facts").json()
    blocks = {block["name"]: block["planes"] for block in facts["blocks"]}
    assert set(blocks) == set(anatomy.default().blocks)
    assert {"fascia iliaca", "fascia lata", "border of iliacus"} == set(blocks["femoral"])
    assert "femoral nerve" not in blocks["femoral"]
    assert set(facts["warnings"]) == set(WARNINGS)
    assert all(notice["text"] and notice["symbol"] for notice in facts["warnings"].values())
    assert facts["needle"]["standard"] == "#30d158"


def test_the_page_knows_whether_the_model_looks_for_needles(client: TestClient) -> None:
    assert client.get("/replay/facts").json()["model"]["sees_needles"] is True
    with TestClient(build_app(segmenter=fake_segmenter()), base_url=ORIGIN) as other:
        assert other.get("/replay/facts").json()["model"]["sees_needles"] is False


def test_every_demo_has_a_needle_that_is_sometimes_out_of_the_plane() -> None:
    for _, uri in demos().values():
        phantom, frames = parse_uri(uri)
        visible = {
            needle.visible
            for index in range(0, frames, 25)
            if (needle := phantom.frame_at(index).needle) is not None
        }
        assert visible == {True, False}, uri


# --- names of planes -------------------------------------------------------------------------


def name(client: TestClient, clip_id: str, key: object, words: str, **headers: str) -> Any:
    url = f"/replay/clips/{clip_id}/planes/{key}"
    return client.post(url, params={"name": words}, headers=headers)


def test_a_name_stays_with_the_clip_until_it_is_taken_away(
    client: TestClient, clip_id: str
) -> None:
    assert name(client, clip_id, 7, "  fascia \n lata ").json() == {"names": {"7": "fascia lata"}}
    assert name(client, clip_id, 3, "<b>fascia iliaca</b>").status_code == 200
    names = client.get(f"/replay/clips/{clip_id}").json()["names"]
    assert names == {"7": "fascia lata", "3": "<b>fascia iliaca</b>"}
    assert name(client, clip_id, 7, "").json()["names"] == {"3": "<b>fascia iliaca</b>"}
    assert name(client, clip_id, 7, " ").status_code == 200, "taking it away twice is fine"
    name(client, clip_id, 3, "")


@pytest.mark.parametrize(
    ("key", "words", "problem"),
    [
        (99, "fascia lata", "no frame of this clip shows"),
        (-1, "fascia lata", "no frame of this clip shows"),
        (7, "x" * (MAX_NAME + 1), "at most"),
        (7, "x" * 5000, "name"),
        (7, "bell\x07", "one line"),
        (7, "turn\u202eed", "one line"),
        ("seven", "fascia lata", "integer"),
        (2**70, "fascia lata", "no frame of this clip shows"),
    ],
)
def test_a_name_that_can_not_be_taken_is_refused_with_the_reason(
    client: TestClient, clip_id: str, key: object, words: str, problem: str
) -> None:
    answer = name(client, clip_id, key, words)
    assert (answer.status_code, problem in answer.text) == (422, True), answer.text
    assert client.get(f"/replay/clips/{clip_id}").json()["names"] == {}


def test_only_the_own_page_may_name_and_only_an_open_clip(client: TestClient, clip_id: str) -> None:
    assert name(client, clip_id, 7, "x", Origin="https://evil.example").status_code == 403
    assert name(client, "nowhere", 7, "x").status_code == 404
    assert client.get(f"/replay/clips/{clip_id}/planes/7").status_code in (404, 405)


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    recording = Recording("clip", tmp_path, Limits(names=1))
    picture = replace(result_of(np.zeros((64, 64), np.bool_)), planes=insertions.PLANES)
    recording.add(picture, broken=0)
    yield recording
    recording.close()


def test_a_clip_holds_only_so_many_names(recording: Recording) -> None:
    recording.name_plane(7, "one")
    with pytest.raises(StoreError, match="1 names at most"):
        recording.name_plane(3, "another")
    assert recording.name_plane(7, "one again") == {7: "one again"}


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(words=st.text(max_size=80))
def test_whatever_is_typed_is_kept_as_one_line_or_refused(recording: Recording, words: str) -> None:
    recording.name_plane(7, "")
    with suppress(StoreError):
        recording.name_plane(7, words)
    for value in recording.status()["names"].values():
        assert value == " ".join(words.split())
        assert 0 < len(value) <= MAX_NAME
        assert value.isprintable()
