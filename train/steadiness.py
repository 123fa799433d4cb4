"""Does smoothing calm the overlay, and does it lag? Measured on clips, with and without it.

``python -m train steadiness MODEL CLIP...`` where a clip is a recording or a phantom's address;
only a phantom has the truth that tells a lag.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from nerveseg.phantom import parse_uri
from nerveseg.types import Frame, GrayImage, Mask, Segmentation
from nerveseg.video import sources
from nerveseg.video.crop import RegionTracker
from nerveseg.vision.segment import Segmenter
from nerveseg.vision.steady import Flow, Steadier, steadiness
from train.tables import table

__all__ = ["ClipFigures", "measure", "steadiness_cli"]

_CRUMB = 20
"""Map pixels; two masks of fewer pixels together are too small to speak of flicker."""

_PHANTOM = "phantom:"


@dataclass(frozen=True, slots=True)
class ClipFigures:
    """One class of one clip, each figure as (raw, smoothed).

    ``steadiness`` is the mean over pairs of frames (see `nerveseg.vision.steady.steadiness`), at
    the map's resolution and along a finer optical flow than the smoothing's own, lest it be
    judged by itself. ``dice`` is the mean over frames against a phantom's truth, NaN elsewhere.
    """

    pairs: int
    steadiness: tuple[float, float]
    dice: tuple[float, float]


@dataclass(slots=True)
class _Tally:
    steadiness: list[tuple[float, float]] = field(default_factory=list)
    dice: list[tuple[float, float]] = field(default_factory=list)


def measure(
    frames: Iterable[tuple[Frame, Mapping[str, Mask]]], segmenter: Segmenter
) -> dict[str, ClipFigures]:
    """Figures by class of one clip: ``frames`` with what is known of each frame's truth."""
    regions, steadier = RegionTracker(), Steadier()
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    before: _Moment | None = None
    for frame, truth in frames:
        raw = segmenter.predict(frame.pixels, regions.update(frame.pixels))
        now = _Moment.of(raw, steadier.update(raw, frame.pixels), frame.pixels)
        for name in now.masks.keys() & truth.keys():
            inside = truth[name][raw.region.slices].astype(np.uint8) * 255
            tallies[name].dice.append(now.dice(name, _shrunk(inside, now.picture.shape) > 127))
        if before is not None and before.picture.shape == now.picture.shape:
            now.compare(before, tallies)
        before = now
    return {name: _figures(tally) for name, tally in tallies.items()}


def steadiness_cli(argv: Sequence[str]) -> int:
    """The command: a Markdown table, one row per clip and class; 0 when written."""
    parser = argparse.ArgumentParser(prog="python -m train steadiness", description=__doc__)
    parser.add_argument("model", type=Path, help=".onnx file")
    parser.add_argument("clips", nargs="+", help="recordings or phantom addresses")
    options = parser.parse_args(argv)
    segmenter = Segmenter.load(options.model, backend="onnxruntime")
    head = ["Clip", "Class", "Pairs", "Steadiness raw", "smoothed", "Dice raw", "smoothed"]
    body = [
        [_name(clip), name, str(it.pairs), *(_show(value) for value in (*it.steadiness, *it.dice))]
        for clip in options.clips
        for name, it in sorted(measure(_read(clip), segmenter).items())
    ]
    sys.stdout.write(table(head, body) + "\n")
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A frame's picture at the map's size, and its (raw, smoothed) masks by class."""

    picture: GrayImage
    masks: Mapping[str, tuple[Mask, Mask]]

    @classmethod
    def of(cls, raw: Segmentation, smoothed: Segmentation, pixels: GrayImage) -> _Moment:
        masks = {
            name: (content >= limit, smoothed.probabilities[name] >= limit)
            for name, content in raw.probabilities.items()
            for limit in [raw.thresholds[name]]
        }
        shape = next(iter(raw.probabilities.values())).shape
        return cls(_shrunk(pixels[raw.region.slices], shape), masks)

    def dice(self, name: str, truth: Mask) -> tuple[float, float]:
        raw, smoothed = (_dice(mask, truth) for mask in self.masks[name])
        return raw, smoothed

    def compare(self, before: _Moment, tallies: Mapping[str, _Tally]) -> None:
        flow = _fine_flow(before.picture, self.picture)
        for name, masks in self.masks.items():
            pairs = list(zip(before.masks[name], masks, strict=True))
            if all(np.count_nonzero(old | new) > _CRUMB for old, new in pairs):
                raw, smoothed = (steadiness(old, new, flow) for old, new in pairs)
                tallies[name].steadiness.append((raw, smoothed))


def _read(clip: str) -> Iterator[tuple[Frame, Mapping[str, Mask]]]:
    if clip.startswith(_PHANTOM):
        phantom, count = parse_uri(clip)
        for shot in phantom.frames(count):
            yield shot.frame, shot.truth
        return
    with sources.open(clip) as recording:
        for frame in recording:
            yield frame, {}


def _name(clip: str) -> str:
    return clip if clip.startswith(_PHANTOM) else Path(clip).name


def _fine_flow(previous: GrayImage, picture: GrayImage) -> Flow:
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(
        method.calc(picture, previous, np.zeros((*picture.shape, 2), np.float32)), np.float32
    )


def _shrunk(pixels: GrayImage, shape: tuple[int, ...]) -> GrayImage:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _dice(mask: Mask, truth: Mask) -> float:
    both = np.count_nonzero(mask) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(mask & truth) / both if both else float("nan")


def _figures(tally: _Tally) -> ClipFigures:
    return ClipFigures(len(tally.steadiness), _means(tally.steadiness), _means(tally.dice))


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    defined = np.array([pair for pair in pairs if not np.isnan(pair).any()]).reshape(-1, 2)
    if len(defined) == 0:
        return float("nan"), float("nan")
    raw, smoothed = defined.mean(axis=0)
    return float(raw), float(smoothed)


def _show(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.3f}"
