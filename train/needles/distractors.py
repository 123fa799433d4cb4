"""Bright things that are no needle: short echoes, wires, floors, marks, an edge-on needle."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from train.needles.fields import Field, Image
from train.needles.grounds import grain
from train.needles.render import segment_layer

__all__ = ["add"]

Floats = npt.NDArray[np.float32]


def add(picture: Image, field: Field, rng: np.random.Generator) -> Image:
    """``picture`` with some of them, drawn at random; often with none."""
    layer = np.zeros(picture.shape, np.float32)
    for maker, chance in _MAKERS:
        if rng.random() < chance:
            layer = np.maximum(layer, maker(picture.shape, field, rng))
    layer *= 1 + rng.uniform(0.05, 0.4) * grain(rng, layer.shape, (2.0, 1.0))
    layer[~field.inside] = 0
    mixed = np.maximum(picture, np.clip(layer, 0, 255)).astype(np.uint8)
    return _scanner_marks(mixed, rng) if rng.random() < 0.25 else mixed


def _flecks(shape: tuple[int, ...], _: Field, rng: np.random.Generator) -> Floats:
    """Short bright lines, mostly flat: too short for a needle."""
    layer = np.zeros(shape, np.float32)
    for _number in range(int(rng.integers(1, 5))):
        slope = math.radians(rng.normal(0, 12))
        layer = np.maximum(layer, _stroke(shape, slope, rng.uniform(0.03, 0.1), rng))
    return layer


def _wires(shape: tuple[int, ...], _: Field, rng: np.random.Generator) -> Floats:
    """Two to four short strokes at changing slopes from one point on, as of bent wire."""
    layer = np.zeros(shape, np.float32)
    place = rng.uniform((0.1, 0.2), (0.9, 0.9)) * (shape[1], shape[0])
    psf = (rng.uniform(1.5, 3.5), rng.uniform(0.8, 1.8))
    level = rng.uniform(80, 240)
    for _number in range(int(rng.integers(2, 5))):
        slope = math.radians(rng.uniform(20, 88) * rng.choice((-1, 1)))
        reach = rng.uniform(0.05, 0.15) * shape[1]
        steps = np.arange(0, reach, 0.5)[:, None]
        points = place + steps * np.array([math.cos(slope), math.sin(slope)])
        echo = np.full(len(points), level, np.float32)
        layer = np.maximum(layer, segment_layer(shape, points.astype(np.float32), echo, psf))
        place = points[-1] + rng.normal(0, 3, 2)
    return layer


def _floor(shape: tuple[int, ...], _: Field, rng: np.random.Generator) -> Floats:
    """The bottom of a bath, or a bone: a long bright line that rings."""
    height, width = shape
    x = np.arange(-5, width + 5, 0.5, dtype=np.float32)
    lean, bow = rng.normal(0, 0.18), rng.normal(0, 0.2)
    share = x / width - 0.5
    y = height * (rng.uniform(0.45, 0.97) + lean * share + bow * (share**2 - 0.08))
    points = np.stack([x, y], axis=1).astype(np.float32)
    level = rng.uniform(120, 300) * np.exp(0.35 * grain(rng, (2, len(x)), (30.0, 1.0))[0])
    psf = (rng.uniform(1.5, 4), rng.uniform(0.8, 2.5))
    line = segment_layer(shape, points, level.astype(np.float32), psf)
    layer = line.copy()
    gap, loss = rng.uniform(4, 16), rng.uniform(0.2, 0.75)
    for number in range(1, int(rng.integers(1, 6))):
        move = np.array([[1, 0, 0], [0, 1, gap * number]], np.float32)
        layer = np.maximum(layer, cv2.warpAffine(line, move, (width, height)) * loss**number)
    return np.asarray(layer, np.float32)


def _cross_section(shape: tuple[int, ...], field: Field, rng: np.random.Generator) -> Floats:
    """A needle that crosses the plane: one bright dot with a tail, and no shaft to follow."""
    layer = np.zeros(shape, np.float32)
    x, y = rng.uniform((0.1, 0.1), (0.9, 0.85)) * (shape[1], shape[0])
    beam = np.array(field.beam(x, y))
    gap, loss = rng.uniform(2, 8), rng.uniform(0.4, 0.8)
    for number in range(int(rng.integers(1, 8))):
        column, row = np.round(np.array([x, y]) + number * gap * beam).astype(int)
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            layer[row, column] = loss**number
    sigma_x, sigma_y = rng.uniform(1.2, 4), rng.uniform(0.8, 1.8)
    spots = cv2.GaussianBlur(layer, (0, 0), sigma_x, sigmaY=sigma_y)
    return np.asarray(spots * (2 * math.pi * sigma_x * sigma_y * rng.uniform(100, 255)), np.float32)


def _membrane(shape: tuple[int, ...], _: Field, rng: np.random.Generator) -> Floats:
    """A fascia-like line across most of the picture, that bends more than a needle would."""
    x = np.arange(0, shape[1], 0.5, dtype=np.float32)
    share = x / shape[1]
    wave = 0.03 * grain(rng, (2, len(x)), (rng.uniform(40, 160), 1.0))[0]
    y = shape[0] * (rng.uniform(0.1, 0.9) + rng.normal(0, 0.2) * (share - 0.5) + wave)
    points = np.stack([x, y], axis=1).astype(np.float32)
    echo = rng.uniform(60, 190) * np.exp(0.5 * grain(rng, (2, len(x)), (25.0, 1.0))[0])
    psf = (rng.uniform(1, 3), rng.uniform(0.6, 1.6))
    return segment_layer(shape, points, echo.astype(np.float32), psf)


def _haze(shape: tuple[int, ...], _: Field, rng: np.random.Generator) -> Floats:
    """A bright cloud where the probe leaves the skin."""
    x = rng.choice((0.0, 1.0)) * shape[1] + rng.normal(0, 0.1) * shape[1]
    y = rng.uniform(0, 0.3) * shape[0]
    width, height = rng.uniform(0.08, 0.25) * shape[1], rng.uniform(0.1, 0.35) * shape[0]
    across = (np.arange(shape[1]) - x) / width
    down = (np.arange(shape[0]) - y) / height
    cloud = np.exp(-(across[None, :] ** 2) - down[:, None] ** 2)
    texture = 1 + 0.5 * grain(rng, (shape[0], shape[1]), (3.0, 1.2))
    return np.asarray(rng.uniform(60, 230) * cloud * texture, np.float32)


def _stroke(shape: tuple[int, ...], slope: float, share: float, rng: np.random.Generator) -> Floats:
    start = rng.uniform((0.02, 0.05), (0.9, 0.95)) * (shape[1], shape[0])
    steps = np.arange(0, share * shape[1], 0.5)[:, None]
    points = start + steps * np.array([math.cos(slope), math.sin(slope)])
    bell = np.sin(np.linspace(0.2, math.pi - 0.2, len(points)))
    psf = (rng.uniform(1, 3), rng.uniform(0.6, 1.4))
    echo = (rng.uniform(80, 255) * bell).astype(np.float32)
    return segment_layer(shape, points.astype(np.float32), echo, psf)


def _scanner_marks(picture: Image, rng: np.random.Generator) -> Image:
    """What a scanner writes on the picture: a probe dot, a focus mark, a ruler, a word."""
    height, width = picture.shape
    bright = int(rng.integers(120, 255))
    if rng.random() < 0.5:
        x = int(rng.choice((rng.uniform(4, 20), width - rng.uniform(4, 20))))
        cv2.circle(picture, (x, int(rng.uniform(4, 24))), int(rng.integers(2, 6)), bright, -1)
    if rng.random() < 0.5:
        x = int(rng.choice((2, width - 3)))
        for y in np.arange(rng.uniform(0, 20), height, rng.uniform(10, 40)):
            cv2.line(picture, (x - 2, int(y)), (x + 2, int(y)), bright, 1)
    if rng.random() < 0.5:
        words = "".join(chr(c) for c in rng.integers(48, 90, int(rng.integers(2, 12))))
        place = (int(rng.uniform(0, 0.7) * width), int(rng.choice((10, height - 4))))
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.3, bright, 1, cv2.LINE_AA)
    return picture


_MAKERS = (
    (_flecks, 0.22),
    (_wires, 0.25),
    (_floor, 0.28),
    (_cross_section, 0.12),
    (_membrane, 0.2),
    (_haze, 0.15),
)
