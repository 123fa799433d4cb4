"""Ways to run one ONNX file: ONNX Runtime's execution providers, and OpenVINO.

With `nerveseg.vision.segment` the only place that knows either library. A runner is a plain
function from the input tensor to the output tensor, so that nothing else depends on which it is.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import platformdirs

from nerveseg.errors import ModelError
from nerveseg.vision.preprocess import SPEC_KEY, ModelSpec, Tensor

__all__ = ["Runner", "available", "choose", "open_runner", "read_spec"]

Run: TypeAlias = Callable[[Tensor], Tensor]

_log = logging.getLogger(__name__)

_PROVIDERS = {
    "CUDAExecutionProvider": "onnxruntime-cuda",
    "CoreMLExecutionProvider": "onnxruntime-coreml",
    "DmlExecutionProvider": "onnxruntime-directml",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
}
_CPU = "onnxruntime"
_OPENVINO = "openvino"


@dataclass(frozen=True, slots=True)
class Runner:
    """A loaded network: ``run`` maps ``(1, 1, h, w)`` to ``(1, C, h', w')``, both float32."""

    name: str
    run: Run


def available() -> tuple[str, ...]:
    """Names of the backends that are installed here; ``onnxruntime`` (its CPU one) is always."""
    import onnxruntime

    found = [_CPU]
    found += [_PROVIDERS[p] for p in onnxruntime.get_available_providers() if p in _PROVIDERS]
    if importlib.util.find_spec("openvino") is not None:
        found.append(_OPENVINO)
    return tuple(found)


def read_spec(path: Path) -> ModelSpec:
    """The `ModelSpec` inside an ONNX file; raise `ModelError` if it isn't one of ours."""
    session = _session(path, threads=1, provider="CPUExecutionProvider", optimise=False)
    return _spec_of(session.get_modelmeta().custom_metadata_map, path)


def open_runner(path: Path, *, backend: str, threads: int) -> Runner:
    """Load ``path`` with the named backend; raise `ModelError` if it isn't there or fails."""
    if backend not in available():
        raise ModelError(
            f"backend {backend!r} is not installed; installed are {', '.join(available())}"
        )
    if backend == _OPENVINO:
        return Runner(backend, _openvino(path, threads))
    return Runner(backend, _onnxruntime(path, threads, backend))


def choose(path: Path, spec: ModelSpec, *, threads: int) -> Runner:
    """The fastest installed backend for this model on this machine.

    With only ONNX Runtime's CPU there is nothing to measure. Otherwise each is timed once on
    a synthetic picture and the winner is remembered in the user's cache folder, so that later
    starts load one backend only. One that fails to load or disagrees with the CPU is passed over.
    """
    names = available()
    if names == (_CPU,):
        return open_runner(path, backend=_CPU, threads=threads)
    key = f"{spec.model_id}|{path.stat().st_size}|{threads}|{','.join(names)}|{_TOLERANCE}"
    remembered = _remembered().get(key)
    if remembered in names:
        try:
            return open_runner(path, backend=str(remembered), threads=threads)
        except ModelError as error:
            _log.warning("the remembered backend failed, measuring again: %s", error)
    runner = _measure(path, spec, names, threads)
    _remember(key, runner.name)
    return runner


def _measure(path: Path, spec: ModelSpec, names: tuple[str, ...], threads: int) -> Runner:
    picture = np.random.default_rng(0).standard_normal((1, 1, *spec.input_hw)).astype(np.float32)
    best = open_runner(path, backend=_CPU, threads=threads)
    reference, fastest = best.run(picture), _time(best.run, picture)
    for name in names:
        if name == _CPU:
            continue
        try:
            runner = open_runner(path, backend=name, threads=threads)
            agrees = _agree(runner.run(picture), reference)
        except ModelError as error:
            _log.warning("passing over %s: %s", name, error)
            continue
        took = _time(runner.run, picture)
        if agrees and took < fastest:
            best, fastest = runner, took
    return best


_TOLERANCE, _MEAN_TOLERANCE = 0.25, 0.01
"""Largest and mean difference in probability between backends: reduced precision, not another
answer. An INT8 model rounds in other places in each, and on noise single pixels differ by 0.13
where areas, planes and needles on real frames come out alike."""


def _agree(one: Tensor, other: Tensor) -> bool:
    difference = np.abs(one - other)
    return float(difference.max()) < _TOLERANCE and float(difference.mean()) < _MEAN_TOLERANCE


def _time(run: Run, picture: Tensor, *, repeats: int = 7) -> float:
    run(picture)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(picture)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _onnxruntime(path: Path, threads: int, backend: str) -> Run:
    wanted = {name: provider for provider, name in _PROVIDERS.items()}
    provider = wanted.get(backend, "CPUExecutionProvider")
    session = _session(path, threads=threads, provider=provider, optimise=True)
    name = session.get_inputs()[0].name

    def run(tensor: Tensor) -> Tensor:
        return np.asarray(session.run(None, {name: tensor})[0], np.float32)

    return run


def _session(path: Path, *, threads: int, provider: str, optimise: bool) -> Any:
    import onnxruntime

    if not path.is_file():
        raise ModelError(f"no model at {path}; expected an ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        raise ModelError(
            f"{path} can't be loaded as an ONNX model by {provider}: {_first_line(error)}; "
            "expected a model made by `python -m train export`"
        ) from error


def _openvino(path: Path, threads: int) -> Run:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    try:
        # In a thread that ends: it gives the thread that compiles a stack for signals, and puts
        # the one before it back when the model goes. Two models that go in the order in which
        # they came leave a stack that is freed, on which the next signal (Ctrl-C) crashes.
        with ThreadPoolExecutor(1, "nerveseg-openvino") as apart:
            core = openvino.Core()
            compiled = apart.submit(core.compile_model, str(path), "CPU", settings).result()
    except Exception as error:
        raise ModelError(f"{path} can't be loaded by OpenVINO: {_first_line(error)}") from error
    request = compiled.create_infer_request()

    def run(tensor: Tensor) -> Tensor:
        # Copied: the request's buffer is written again by the next frame.
        return np.array(request.infer({0: tensor})[0], np.float32)

    return run


def _spec_of(metadata: dict[str, str], path: Path) -> ModelSpec:
    if SPEC_KEY not in metadata:
        raise ModelError(
            f"{path} has no nerveseg spec in its metadata, so how to feed it is unknown; "
            "expected a model made by `python -m train export`"
        )
    return ModelSpec.from_json(metadata[SPEC_KEY])


def _memory() -> Path:
    return Path(platformdirs.user_cache_dir("nerveseg")) / "backends.json"


def _remembered() -> dict[str, str]:
    try:
        raw = json.loads(_memory().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _remember(key: str, name: str) -> None:
    try:
        _memory().parent.mkdir(parents=True, exist_ok=True)
        _memory().write_text(json.dumps(_remembered() | {key: name}), "utf-8")
    except OSError as error:
        _log.info("the choice of backend can't be kept: %s", error)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
