"""One needle's echo on a picture, and its truth.

What is modelled, and why: a shaft is a mirror, so it fades as it turns away from facing the
beam; the beam is wider than it is deep, so a steep shaft looks thick; its two walls and the
metal between them ring, which hangs fainter copies below it along the beam; side lobes lay a
ghost beside it; sound that it stops leaves a shadow; a shaft that leaves the image plane fades
out, while a tip within it ends sharply, its bevel often brighter than the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train.needles.fields import Field, Image
from train.needles.grounds import grain

__all__ = ["DrawnNeedle", "band", "draw", "segment_layer"]

Floats = npt.NDArray[np.float32]
_STEP = 0.5
_FAINT, _PLAIN = 0.18, 0.45


@dataclass(frozen=True, slots=True, eq=False)
class DrawnNeedle:
    """A needle's truth in pixels of its picture.

    ``tip_xy`` is ``None`` when the tip lies out of the image plane. ``shaft`` is ``float32``
    ``(h, w)``, 1 on the shaft where it shows; ``judged`` is ``bool`` ``(h, w)``, False where the
    shaft is there but so faint that neither answer would be wrong.
    """

    entry_xy: tuple[float, float]
    tip_xy: tuple[float, float] | None
    shaft: Floats
    judged: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """Points ``(n, 2)`` from entry to tip, evenly spaced, and the unit vector along them."""

    points: Floats
    along: tuple[float, float]

    @property
    def length(self) -> float:
        return len(self.points) * _STEP


def draw(
    picture: Image, field: Field, rng: np.random.Generator
) -> tuple[Image, DrawnNeedle] | None:
    """``picture`` (``uint8``, ``(h, w)``) with a needle; ``None`` where none fits the field."""
    course = _course(field, rng)
    if course is None:
        return None
    shows, tip_in_plane = _in_plane(course, rng)
    psf = _spread(rng, curved=field.apex_xy is not None)
    middle = course.points[len(course.points) // 2]
    beam = field.beam(float(middle[0]), float(middle[1]))
    echo = shows * _along_echo(course, beam, tip_in_plane, rng)
    around = _brightness(picture, course)
    contrast = rng.uniform(30, 240)
    level = around + contrast
    layer = level * _shaft_layer(picture.shape, course, echo, psf, rng)
    extras = _extras(layer, course, echo, beam, psf, level, rng)
    if tip_in_plane and rng.random() < 0.3:
        extras = np.maximum(extras, _glint(layer.shape, course, psf, level, rng))
    shaded = _shadow(picture, layer, beam, rng)
    mixed = _mix(shaded, layer, extras, psf, rng)
    mixed[~field.inside] = 0
    # As told from the tissue: an echo no brighter than that shows nothing.
    strength = (echo * np.float32(level) - np.float32(0.8 * around)) / np.float32(90)
    return mixed, _truth(picture.shape, course, strength, tip_in_plane, psf)


def segment_layer(
    shape: tuple[int, ...], points: Floats, amplitude: Floats, psf: tuple[float, float]
) -> Floats:
    """A bright line, ``float32`` ``(h, w)``: ``amplitude`` at its ridge, spread by ``psf``.

    ``points`` are ``(n, 2)``, x and y, half a pixel apart; ``psf`` is the deviation in pixels
    across and along the beam.
    """
    layer = np.zeros((shape[0], shape[1]), np.float32)
    cell = np.floor(points).astype(np.int32)
    part = points - cell
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (part[:, 0] if right else 1 - part[:, 0]) * (
            part[:, 1] if down else 1 - part[:, 1]
        )
        x, y = cell[:, 0] + right, cell[:, 1] + down
        good = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
        np.add.at(layer, (y[good], x[good]), (amplitude * weight)[good])
    course = points[-1] - points[0]
    length = max(float(np.hypot(*course)), 1e-6)
    across = math.hypot(psf[0] * course[1] / length, psf[1] * course[0] / length)
    # The ridge of a blurred line of unit density is 1 / (sqrt(2 pi) sigma) high.
    height = math.sqrt(2 * math.pi) * across * _STEP
    blurred = cv2.GaussianBlur(layer, (0, 0), psf[0], sigmaY=psf[1])
    return np.asarray(blurred * height, np.float32)


def _course(field: Field, rng: np.random.Generator) -> _Course | None:
    """A tip within the field, and the way back from it to where the shaft comes in."""
    height, width = field.inside.shape
    for _ in range(20):
        tip = rng.uniform((0.06, 0.12), (0.94, 0.95)) * (width, height)
        flat = rng.random() < 0.3  # as for a superficial plane; else rare
        drawn = rng.uniform(1.5, 20) if flat else np.clip(rng.normal(31, 17), 3, 76)
        slope = math.radians(float(drawn))
        heading = 1 if rng.random() < 0.5 else -1
        along = (heading * math.cos(slope), math.sin(slope))
        steps = np.arange(0, math.hypot(height, width), _STEP, dtype=np.float32)
        back = tip - steps[:, None] * np.array(along)
        cell = np.round(back).astype(int)
        inside = (cell >= 0).all(axis=1) & (cell < (width, height)).all(axis=1)
        inside[inside] = field.inside[cell[inside, 1], cell[inside, 0]]
        count = int(np.argmin(inside)) if not inside.all() else len(steps)
        if count * _STEP < 0.14 * width:
            continue
        points = back[:count][::-1]
        return _Course(_bent(points, along, rng), along)
    return None


def _brightness(picture: Image, course: _Course) -> float:
    """The tissue's mean along the shaft."""
    columns, rows = np.clip(np.round(course.points).astype(int), 0, picture.shape[0] - 1).T
    return float(picture[rows, columns].mean())


def _bent(points: Floats, along: tuple[float, float], rng: np.random.Generator) -> Floats:
    """Needles bend a little towards their bevel; the more, the longer they are."""
    share = np.linspace(0, 1, len(points))
    sag = rng.normal(0, 0.008) * len(points) * _STEP * (share * (1 - share) * 4)
    return np.asarray(points + sag[:, None] * np.array([-along[1], along[0]]), np.float32)


def _in_plane(course: _Course, rng: np.random.Generator) -> tuple[Floats, bool]:
    """How much of the beam's slice the shaft fills (0..1 along it), and whether the tip does."""
    share = np.linspace(0, 1, len(course.points), dtype=np.float32)
    shows = np.ones_like(share)
    if rng.random() < 0.35:  # comes into the plane only on its way
        start, soft = rng.uniform(0.05, 0.65), rng.uniform(0.02, 0.2)
        shows *= _step(share - start, soft)
    tip_in_plane = bool(rng.random() > 0.16)
    if not tip_in_plane:
        end, soft = rng.uniform(0.45, 0.9), rng.uniform(0.06, 0.3)
        shows *= _step(end - share, soft)
    return shows.astype(np.float32), tip_in_plane


def _step(past: Floats, soft: float) -> Floats:
    """From 0 to 1 where ``past`` turns positive, over a width of about ``soft``."""
    return np.asarray(0.5 + 0.5 * np.tanh(past * (2 / soft)), np.float32)


def _spread(rng: np.random.Generator, *, curved: bool) -> tuple[float, float]:
    """Deviation of the point spread, in pixels, across and along the beam."""
    axial = math.exp(rng.uniform(math.log(0.5), math.log(2.6)))
    return min(6.0, axial * rng.uniform(1.0, 3.0 if curved else 2.2)), axial


def _along_echo(
    course: _Course, beam: tuple[float, float], tip_in_plane: bool, rng: np.random.Generator
) -> Floats:
    """Echo amplitude along the shaft, about 1 at its best, from entry to tip."""
    number = len(course.points)
    facing = abs(course.along[0] * beam[1] - course.along[1] * beam[0])
    specular = facing ** rng.uniform(0.0, 2.0)
    rough = rng.uniform(0.08, 0.7)
    fine = grain(rng, (2, number), (rng.uniform(2, 14), 1.0))[0]
    coarse = grain(rng, (2, number), (rng.uniform(20, 80), 1.0))[0]
    uneven = np.exp(rough * fine + rng.uniform(0, 0.4) * coarse - rough**2 / 2)
    share = np.linspace(0, 1, number)
    fading = np.interp(share, [0, 1], rng.uniform((0.35, 0.5), (1.1, 1.1)))
    echo = specular * uneven * fading
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.35 else 0):
        gap, half = rng.uniform(0.1, 0.85), rng.uniform(0.01, 0.06)
        echo = echo * (1 - rng.uniform(0.6, 1) * np.exp(-(((share - gap) / half) ** 4)))
    if tip_in_plane and rng.random() < 0.65:
        behind = (number - 1 - np.arange(number)) * _STEP
        echo = echo + rng.uniform(0.1, 1.2) * np.exp(-((behind / rng.uniform(1.5, 9)) ** 2))
    if tip_in_plane:  # the end itself always shows: else the tip would not be in view
        behind = (number - 1 - np.arange(number)) * _STEP
        echo = np.maximum(echo, 0.5 * np.exp(-((behind / 5) ** 2)))
    return np.asarray(np.clip(echo, 0, 1.6), np.float32)


def _shaft_layer(
    shape: tuple[int, ...],
    course: _Course,
    echo: Floats,
    psf: tuple[float, float],
    rng: np.random.Generator,
) -> Floats:
    """One wall, or two with metal between, of a needle of random gauge."""
    across = np.array([-course.along[1], course.along[0]], np.float32)
    if across[1] < 0:
        across = -across  # the far wall is the deeper one
    layer = segment_layer(shape, course.points, echo, psf)
    if rng.random() < 0.55:
        gauge = rng.uniform(1.2, 6.5)
        for share in (0.33, 0.67, 1.0):
            wall = course.points + across * (gauge * share)
            faint = echo * np.float32(rng.uniform(0.2, 0.95))
            layer = np.maximum(layer, segment_layer(shape, wall, faint, psf))
    return layer


def _extras(
    layer: Floats,
    course: _Course,
    echo: Floats,
    beam: tuple[float, float],
    psf: tuple[float, float],
    level: float,
    rng: np.random.Generator,
) -> Floats:
    """Reverberations and comet tails under the shaft, and a side lobe's ghost beside it."""
    extra = np.zeros_like(layer)
    if rng.random() < 0.45:
        gap, loss = rng.uniform(3, 13), rng.uniform(0.25, 0.6)
        for number in range(1, int(rng.integers(2, 6))):
            copy = _moved(layer, beam, gap * number) * loss**number
            extra = np.maximum(extra, copy)
    if rng.random() < 0.4:
        extra = np.maximum(extra, _comet(layer, beam, rng))
    if rng.random() < 0.4:
        extra = np.maximum(extra, _ghost(layer.shape, course, echo, psf, level, rng))
    return np.asarray(extra, np.float32)


def _moved(layer: Floats, beam: tuple[float, float], by: float) -> Floats:
    move = np.array([[1, 0, beam[0] * by], [0, 1, beam[1] * by]], np.float32)
    return np.asarray(cv2.warpAffine(layer, move, layer.shape[::-1]), np.float32)


def _comet(layer: Floats, beam: tuple[float, float], rng: np.random.Generator) -> Floats:
    """A glow that trails away from the probe."""
    tail = np.asarray(layer, np.float32)
    step = rng.uniform(1.5, 4)
    for doubling in range(3):
        tail = np.maximum(tail, np.float32(0.8) * _moved(tail, beam, step * 2**doubling))
    return np.asarray(tail * rng.uniform(0.05, 0.3), np.float32)


def _ghost(
    shape: tuple[int, ...],
    course: _Course,
    echo: Floats,
    psf: tuple[float, float],
    level: float,
    rng: np.random.Generator,
) -> Floats:
    """A fainter, blurred line near the shaft and nearly parallel to it, most often above it."""
    turn = math.radians(rng.uniform(-9, 9))
    pivot = course.points[0] + np.array([0, -rng.uniform(-8, 22)])
    cos, sin = math.cos(turn), math.sin(turn)
    turned = (course.points - course.points[0]) @ np.array([[cos, sin], [-sin, cos]]) + pivot
    keep = slice(0, max(8, int(len(turned) * rng.uniform(0.3, 1.0))))
    faint = np.minimum(echo[keep], 1.0) * np.float32(rng.uniform(0.12, 0.5))
    wide = (psf[0] * rng.uniform(1, 2.5), psf[1] * rng.uniform(1, 2.5))
    return level * segment_layer(shape, turned[keep].astype(np.float32), faint, wide)


def _glint(
    shape: tuple[int, ...],
    course: _Course,
    psf: tuple[float, float],
    level: float,
    rng: np.random.Generator,
) -> Floats:
    """The bevel as a bright blob, wider across the beam than the shaft."""
    end = course.points[-8:]
    wide = (min(8.0, psf[0] * rng.uniform(1, 2.5)), psf[1] * rng.uniform(1, 1.8))
    flash = np.full(len(end), rng.uniform(0.5, 1.5), np.float32)
    return np.asarray(level * segment_layer(shape, end, flash, wide), np.float32)


def _shadow(
    picture: Image, layer: Floats, beam: tuple[float, float], rng: np.random.Generator
) -> Floats:
    """``picture`` less what the needle keeps from it."""
    shaded = picture.astype(np.float32)
    if rng.random() > 0.35:
        return shaded
    cover = np.asarray(np.clip(layer / 120, 0, 1), np.float32)
    for doubling in range(6):
        cover = np.maximum(cover, _moved(cover, beam, 3.0 * 2**doubling))
    soft = cv2.GaussianBlur(cover, (0, 0), 3.0)
    return np.asarray(shaded * (1 - rng.uniform(0.15, 0.6) * soft), np.float32)


def _mix(
    tissue: Floats,
    layer: Floats,
    extras: Floats,
    psf: tuple[float, float],
    rng: np.random.Generator,
) -> Image:
    """Tissue and echoes as one speckled picture."""
    speckle = 1 + rng.uniform(0.05, 0.45) * grain(rng, layer.shape, psf)
    echo = np.clip(np.maximum(layer, extras) * speckle, 0, 255)
    brighter = rng.random() < 0.5  # where both are
    mixed = tissue + echo * (1 - tissue / 255) if brighter else np.maximum(tissue, echo)
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _truth(
    shape: tuple[int, ...],
    course: _Course,
    echo: Floats,
    tip_in_plane: bool,
    psf: tuple[float, float],
) -> DrawnNeedle:
    """Where the shaft counts as shown: its smoothed echo says so, and short gaps don't matter."""
    number = len(echo)
    window = max(3, int(0.06 * number)) | 1
    smooth = cv2.blur(echo[None, :], (window, 1), borderType=cv2.BORDER_REPLICATE)[0]
    closed = _bridged(smooth >= _PLAIN, reach=int(0.15 * number))
    doubtful = _bridged(smooth >= _FAINT, reach=int(0.15 * number)) & ~closed
    thick = math.hypot(psf[0] * course.along[1], psf[1] * course.along[0])
    shaft = band(shape, course.points[closed], width=float(np.clip(2.4 * thick, 3.0, 8.0)))
    faint = band(shape, course.points[doubtful], width=9.0) > 0.2
    judged = ~faint | (shaft > 0.2)
    first, last = course.points[0], course.points[-1]
    return DrawnNeedle(
        entry_xy=(float(first[0]), float(first[1])),
        tip_xy=(float(last[0]), float(last[1])) if tip_in_plane else None,
        shaft=shaft,
        judged=judged,
    )


def _bridged(shown: npt.NDArray[np.bool_], *, reach: int) -> npt.NDArray[np.bool_]:
    """Close gaps of up to ``reach`` between shown parts."""
    kernel = np.ones((1, max(1, reach)), np.uint8)
    padded = np.pad(shown.astype(np.uint8), reach)[None, :]
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[0]
    return np.asarray(closed[reach : reach + len(shown)] > 0)


def band(shape: tuple[int, ...], points: Floats, *, width: float) -> Floats:
    """Coverage, 0..1, of a band of ``width`` pixels along ``points``."""
    marks = np.full((shape[0], shape[1]), 255, np.uint8)
    cell = np.round(points).astype(int)
    good = (cell >= 0).all(axis=1) & (cell < (shape[1], shape[0])).all(axis=1)
    marks[cell[good, 1], cell[good, 0]] = 0
    if not good.any():
        return np.zeros((shape[0], shape[1]), np.float32)
    far = cv2.distanceTransform(marks, cv2.DIST_L2, 5)
    return np.asarray(np.clip(width / 2 + 0.5 - far, 0, 1), np.float32)
