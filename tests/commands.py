"""Run the ``nerveseg`` command inside a test, and small pictures and clips to run it on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np

from nerveseg.cli import main

CLASSES = ("nerve", "vessel", "fascia")


def runner(capsys, *, model=None):
    """A function that runs one command line and gives its exit code, stdout and stderr."""

    def run(*words):
        extra = [] if model is None else ["--model", model, "--backend", "onnxruntime"]
        code = main([str(word) for word in (*words, *extra)])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


def predictor(capsys, model, out):
    """``nerveseg predict`` into the folder ``out``, or the one named in the call."""
    run, default = runner(capsys, model=model), out

    def predict(source, *words, out=None):
        return run("predict", source, "--out", out or default, *words)

    return predict


def picture(*, side=200, at=60):
    """Mid-grey with a bright square of 40 by 40 pixels."""
    pixels = np.full((side, side), 100, np.uint8)
    pixels[at : at + 40, at : at + 40] = 200
    return pixels


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def write_clip(path, count=6, *, side=200):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (side, side))
    for index in range(count):
        writer.write(cv2.cvtColor(picture(side=side, at=20 + 5 * index), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def lines_of(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_fails(result, *words):
    """One clear line on stderr that holds all of ``words``, nothing on stdout, exit code 2."""
    assert result.code == 2
    told = result.err.strip().splitlines()
    assert len(told) == 1, result.err
    assert told[0].startswith("nerveseg: ")
    for word in words:
        assert word in told[0]
    assert result.out == ""
