"""Loading models, choosing a backend, and turning answers into masks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from nerveseg.errors import ModelError
from nerveseg.types import Box, Segmentation
from nerveseg.vision import backends
from nerveseg.vision.segment import Segmenter, masks, probability
from tests import tiny

WHOLE = Box(0, 0, 192, 128)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda _: str(tmp_path / "cache"))
    return tmp_path / "cache" / "backends.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "tiny.onnx")


def bright_square() -> np.ndarray:
    frame = np.full((128, 192), 80, np.uint8)
    frame[40:80, 60:120] = 180
    return frame


@pytest.mark.parametrize("backend", backends.available())
def test_every_backend_finds_the_square(model: Path, backend: str) -> None:
    segmenter = Segmenter.load(model, backend=backend)
    found = masks(segmenter.predict(bright_square(), WHOLE))
    truth = bright_square() > 100
    assert (found["nerve"] == truth).mean() > 0.995
    assert not found["vessel"].any()
    assert segmenter.backend_name == backend


def test_the_region_is_all_that_is_seen(model: Path) -> None:
    segmenter = Segmenter.load(model, backend="onnxruntime")
    found = masks(segmenter.predict(bright_square(), Box(0, 0, 90, 128)))["nerve"]
    assert found[50:70, 65:88].all()
    assert not found[:, 90:].any()


def test_probability_is_in_frame_pixels(model: Path) -> None:
    segmenter = Segmenter.load(model, backend="onnxruntime")
    found = probability(segmenter.predict(bright_square(), WHOLE), "nerve")
    # sigmoid(20 · (2 · 180/255 − 1)) and of 80.
    assert found[60, 90] == pytest.approx(1 / (1 + np.exp(-20 * (360 / 255 - 1))), abs=1e-4)
    assert found[5, 5] == pytest.approx(1 / (1 + np.exp(-20 * (160 / 255 - 1))), abs=1e-4)


def test_specks_are_dropped() -> None:
    content = np.zeros((128, 192), np.float32)
    content[10:40, 10:40] = 1
    content[100:102, 100:102] = 1
    answer = Segmentation({"nerve": content}, WHOLE, (128, 192), {"nerve": 0.5}, "m@1")
    assert masks(answer)["nerve"].sum() == 900
    assert masks(answer, min_area_share=0)["nerve"].sum() == 904


def test_doubtful_patches_are_dropped() -> None:
    content = np.zeros((128, 192), np.float32)
    content[10:40, 10:40] = 0.95
    content[20:30, 20:30] = 0  # a hole, which doesn't count against the patch around it
    content[60:90, 60:90] = 0.7
    answer = Segmentation(
        {"vessel": content}, WHOLE, (128, 192), {"vessel": 0.5}, "m@1", {"vessel": 0.8}
    )
    found = masks(answer)["vessel"]
    assert found[10:40, 10:40].sum() == 800
    assert not found[60:90, 60:90].any()


def test_auto_measures_once_and_remembers(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "available", lambda: ("onnxruntime", "openvino"))
    pytest.importorskip("openvino")
    chosen = Segmenter.load(model).backend_name
    assert list(json.loads(cache.read_text()).values()) == [chosen]

    def measuring(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(backends, "_measure", measuring)
    assert Segmenter.load(model).backend_name == chosen


TWO_MODELS = """
import signal, sys
from pathlib import Path
from nerveseg.vision.segment import Segmenter
signal.signal(signal.SIGTERM, lambda *_: print("answered"))
first, second = (Segmenter.load(Path(sys.argv[1]), backend="openvino") for _ in range(2))
del first
del second
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals have a stack of their own on POSIX alone")
def test_a_signal_after_two_models_have_gone_is_answered(model: Path) -> None:
    pytest.importorskip("openvino")
    command = [sys.executable, "-c", TWO_MODELS, str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr


def test_auto_passes_over_a_backend_that_fails_or_disagrees(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "available", lambda: ("onnxruntime", "broken", "wrong"))
    real = backends.open_runner

    def opened(path: Path, *, backend: str, threads: int) -> backends.Runner:
        if backend == "broken":
            raise ModelError("it broke")
        runner = real(path, backend="onnxruntime", threads=threads)
        if backend == "wrong":
            answer = runner.run(np.zeros((1, 1, 64, 96), np.float32))
            return backends.Runner("wrong", lambda _: 1 - answer)
        return runner

    monkeypatch.setattr(backends, "open_runner", opened)
    assert Segmenter.load(model).backend_name == "onnxruntime"


def test_a_damaged_memory_is_measured_again(model: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("{not json")
    assert Segmenter.load(model).backend_name in backends.available()


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at .*nothing\.onnx"):
        Segmenter.load(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 1000, b"\x08\x08garbage"])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.onnx"):
        Segmenter.load(path)


def test_an_onnx_without_our_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no nerveseg spec"):
        Segmenter.load(tiny.write(tmp_path / "foreign.onnx", None))


def test_an_output_that_breaks_the_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="promises"):
        Segmenter.load(tiny.write(tmp_path / "two.onnx", channels=2), backend="onnxruntime")


def test_an_unknown_backend_lists_the_installed_ones(model: Path) -> None:
    with pytest.raises(ModelError, match="onnxruntime"):
        Segmenter.load(model, backend="abacus")
