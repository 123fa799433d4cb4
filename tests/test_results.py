"""Lines of results: whole ones only, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerveseg.errors import StoreError
from nerveseg.results import Lines, record
from tests.recordings import REGION, result_of, shot_of

VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.integers())


@settings(max_examples=25, deadline=None)
@given(entries=st.lists(st.dictionaries(st.text(max_size=9), VALUES, max_size=4), max_size=4))
def test_each_object_is_a_line_of_its_own(
    entries: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "results.jsonl"
    with Lines(path) as lines:
        for entry in entries:
            lines.add(entry)
    told = path.read_bytes()
    assert [json.loads(line) for line in told.splitlines()] == entries
    assert told.count(b"\n") == len(entries)


def test_a_line_is_there_as_soon_as_it_was_added(tmp_path: Path) -> None:
    with Lines(tmp_path / "results.jsonl") as lines:
        lines.add({"index": 0})
        assert (tmp_path / "results.jsonl").read_bytes() == b'{"index":0}\n'


def test_a_line_that_does_not_fit_leaves_no_part_of_itself(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "results.jsonl"
    with Lines(path) as lines:
        lines.add({"index": 0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
        try:
            with pytest.raises(StoreError, match="what was finished is kept"):
                lines.add({"index": 1, "long": "x" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        lines.add({"index": 2})
    assert path.read_bytes() == b'{"index":0}\n{"index":2}\n'


def test_what_is_no_json_is_refused_whole(tmp_path: Path) -> None:
    with Lines(tmp_path / "results.jsonl") as lines:
        with pytest.raises(ValueError, match="Out of range float"):
            lines.add({"index": float("nan")})
        lines.add({"index": 1})
    assert (tmp_path / "results.jsonl").read_bytes() == b'{"index":1}\n'


def test_a_folder_that_is_missing_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't write"), Lines(tmp_path / "nowhere/x"):
        pass


def test_a_record_tells_lengths_in_millimetres_only_where_the_scale_is_known() -> None:
    for scale, expected in ((0.1, 24.0), (None, None)):
        result = result_of(shot_of(4, mm_per_px=scale)).result
        told = record(result, file="clip.mkv", classes=("nerve",))
        assert told["classes"]["nerve"]["area_px"] == 40 * 60
        assert told["classes"]["nerve"]["area_mm2"] == expected
        assert told["region"] == [REGION.left, REGION.top, REGION.right, REGION.bottom]
        assert (told["file"], told["index"], told["time_s"]) == ("clip.mkv", 4, round(4 / 30, 6))
