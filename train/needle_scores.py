"""How well one frame's needle was found, against a labelled shaft."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from nerveseg.errors import ModelError
from nerveseg.types import GrayImage, Mask, Needle, Point, Sample, Segmentation
from nerveseg.vision.needle import NeedleTracker, observe
from nerveseg.vision.preprocess import NEEDLE, ModelSpec
from train.bootstrap import GroupBootstrap
from train.predictors import Prediction
from train.scores import truth_of as mask_of
from train.sections import Figure, Picture, Section, SetFigures, by_card

__all__ = [
    "FOUND_ANGLE_DEG",
    "FOUND_OFFSET",
    "SURE",
    "TOLERANCE",
    "WITHOUT",
    "NeedleMeter",
    "NeedleRow",
    "NeedleScore",
    "TrueNeedle",
    "score_needle",
    "truth_of",
]

FOUND_ANGLE_DEG = 10.0
FOUND_OFFSET = 0.03
"""A needle counts as found when its line lies this close to the labelled one: in angle, and at
the middle of the labelled shaft in offset, as a share of the picture's diagonal."""


WITHOUT = frozenset({"usgra-seg", "femoral-nerve-block", "dl-track"})
"""Cards that were looked through: anatomy alone, no picture of theirs shows a needle."""

TOLERANCE = 0.02
"""Of the image region's diagonal: what a needle's confidence promises of its tip."""

SURE = 0.85
"""From this confidence on, about nine tips in ten should be right."""

_NOTES = f"""\
Each picture stands for itself, and the needle is the one that the app would show on it. The
labelled needle is its mask's main axis, the tip its deeper end. A needle is found when its line
lies within {FOUND_ANGLE_DEG:g} degrees of the labelled one and within {100 * FOUND_OFFSET:g} % of
the picture's diagonal of its middle. Angle and tip errors are over all pictures on which a
labelled needle was answered at all, right or wrong. `near` is the share of answers with a tip
within {100 * TOLERANCE:g} % of the image region's diagonal, to hold against the mean `confidence`;
`sure near` is that share among answers of confidence {SURE:g} and more, of which there are `sure`.
Sets that label no needles are counted only where they were looked through and show none
({", ".join(sorted(WITHOUT))}): every needle said there is false."""


@dataclass(frozen=True, slots=True)
class TrueNeedle:
    """A labelled needle: the two ends of its mask's main axis, in pixels; the tip is deeper."""

    start_xy: Point
    tip_xy: Point


@dataclass(frozen=True, slots=True)
class NeedleScore:
    """One frame's result. Errors are NaN where no needle was said or none is there.

    ``present``: a needle is labelled; ``said``: one was reported; ``found``: both, and the lines
    agree (see `FOUND_ANGLE_DEG`). ``angle_deg`` is between the lines, 0..90; ``tip_px`` and
    ``tip_share`` (of the picture's diagonal) between the tips; ``confidence`` the one reported.
    """

    present: bool
    said: bool
    found: bool
    angle_deg: float
    tip_px: float
    tip_share: float
    confidence: float


def truth_of(mask: Mask) -> TrueNeedle | None:
    """The needle of a mask, ``bool`` ``(H, W)``; ``None`` for an empty one.

    The axis is the mask's first principal component, its ends those of the mask along it.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < 2:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    middle = points.mean(axis=0)
    _, vectors = np.linalg.eigh((points - middle).T @ (points - middle))
    along = vectors[:, 1] if vectors[1, 1] >= 0 else -vectors[:, 1]
    course = (points - middle) @ along
    start, tip = middle + course.min() * along, middle + course.max() * along
    return TrueNeedle((float(start[0]), float(start[1])), (float(tip[0]), float(tip[1])))


def score_needle(
    said: Needle | None, truth: TrueNeedle | None, shape: tuple[int, int]
) -> NeedleScore:
    """Compare a reported needle with the labelled one on a picture of ``shape`` ``(H, W)``."""
    if said is None or truth is None:
        confidence = math.nan if said is None else said.confidence
        nan = math.nan
        return NeedleScore(truth is not None, said is not None, False, nan, nan, nan, confidence)
    diagonal = math.hypot(*shape)
    line = np.subtract(said.tip_xy, said.entry_xy)
    labelled = np.subtract(truth.tip_xy, truth.start_xy)
    angle = _angle_deg(line, labelled)
    middle = np.add(truth.tip_xy, truth.start_xy) / 2 - said.entry_xy
    length = max(float(np.hypot(*line)), 1e-9)
    offset = abs(float(line[0] * middle[1] - line[1] * middle[0])) / length
    tip = math.dist(said.tip_xy, truth.tip_xy)
    found = angle <= FOUND_ANGLE_DEG and offset <= FOUND_OFFSET * diagonal
    return NeedleScore(True, True, found, angle, tip, tip / diagonal, said.confidence)


@dataclass(frozen=True, slots=True)
class NeedleRow(NeedleScore):
    """The needle of one picture.

    ``near``: the tip said lies within the tolerance that the confidence speaks of, 2 % of the
    image region's diagonal.
    """

    card: str
    name: str
    group: str
    near: bool


class NeedleMeter:
    """Measures single pictures' needles; a `train.evaluate.Meter`.

    ``without`` names cards whose pictures show no needle though none is labelled; a needle of any
    other card that doesn't label them is unknown, and not counted. Keeps the ``worst`` pictures:
    false and missed needles, then the largest tip errors.
    """

    class_name = NEEDLE

    def __init__(
        self, spec: ModelSpec | None, worst: int, *, without: frozenset[str] = WITHOUT
    ) -> None:
        if spec is not None and NEEDLE in spec.classes and not spec.confidence:
            raise ModelError(
                f"{spec.model_id} can't tell how sure a needle is; measure the file that "
                "`python -m train export` wrote"
            )
        self._confidence = {} if spec is None else spec.confidence
        self._worst = worst
        self._without = without
        self._rows: list[NeedleRow] = []
        self._pictures: list[tuple[float, int, Picture]] = []

    def measure(self, sample: Sample, answer: Prediction) -> None:
        """Score what the app would say of this picture; nothing for a model without maps."""
        if answer.segmentation is None:
            return
        labelled = NEEDLE in sample.known
        if not labelled and sample.card not in self._without:
            return  # unknown is not absent
        region = answer.segmentation.region
        diagonal = math.hypot(region.width, region.height)
        said = self._said(answer.segmentation, sample.image)
        truth = truth_of(mask_of(sample, NEEDLE)) if labelled else None
        height, width = sample.image.shape
        score = score_needle(said, truth, (height, width))
        near = score.tip_px <= TOLERANCE * diagonal
        row = NeedleRow(
            **asdict(score), card=sample.card, name=sample.name, group=sample.group, near=near
        )
        self._rows.append(row)
        badness = 0.0 if math.isnan(score.tip_share) else score.tip_share
        if score.said != score.present:
            badness = 1.0
        if badness > 0:
            insort(self._pictures, (-badness, len(self._rows), _picture(sample, said, truth)))
            del self._pictures[self._worst :]

    def section(self, *, draws: int, seed: int) -> Section | None:
        """Found, angle, tip, false needles and confidence, by set."""
        if not self._rows:
            return None
        return Section(
            key="needles",
            title="Needles on single pictures",
            notes=_NOTES,
            sets=by_card(self._rows, lambda rows: _summarise(rows, draws, seed)),
            rows=tuple(self._rows),
            pictures=tuple(picture for _, _, picture in self._pictures),
        )

    def _said(self, segmentation: Segmentation, pixels: GrayImage) -> Needle | None:
        region = segmentation.region
        tracker = NeedleTracker(math.hypot(region.width, region.height))
        return tracker.update(observe(segmentation, pixels, self._confidence), 0.0).needle


def _summarise(rows: Sequence[NeedleRow], draws: int, seed: int) -> SetFigures:
    bootstrap = GroupBootstrap([row.group for row in rows], draws=draws, seed=seed)
    names = ("present", "said", "found")
    flags = {name: np.array([getattr(row, name) for row in rows], np.float64) for name in names}
    false = flags["said"] * (1 - flags["present"])
    both = flags["said"] * flags["present"]
    near = np.array([row.near for row in rows], np.float64)
    confidence = np.nan_to_num([row.confidence for row in rows])
    sure = flags["said"] * (confidence >= SURE)
    return SetFigures(
        card=rows[0].card,
        n_images=len(rows),
        n_groups=bootstrap.group_count,
        counts={name: int(flag.sum()) for name, flag in flags.items()}
        | {"false": int(false.sum()), "sure": int(sure.sum())},
        figures={
            "found_rate": Figure(bootstrap.ratio(flags["found"], flags["present"])),
            "angle_median": Figure(bootstrap.median([row.angle_deg for row in rows]), "°", 1),
            "tip_median": Figure(bootstrap.median([100 * row.tip_share for row in rows]), "%", 2),
            "false_rate": Figure(bootstrap.ratio(false, 1 - flags["present"])),
            "near": Figure(bootstrap.ratio(near * both, both), "", 2),
            "confidence": Figure(bootstrap.ratio(confidence * both, both), "", 2),
            "sure_near": Figure(bootstrap.ratio(near * sure, sure), "", 2),
        },
    )


def _picture(sample: Sample, said: Needle | None, truth: TrueNeedle | None) -> Picture:
    """The labelled needle white, the answer green with a ring at its tip."""
    drawn = np.repeat(sample.image[..., np.newaxis], 3, axis=2)
    caption = f"{sample.card}, {sample.name}: "
    if truth is not None:
        cv2.line(drawn, _whole(truth.start_xy), _whole(truth.tip_xy), (255, 255, 255), 1)
    if said is None:
        return Picture(caption + "none said", drawn)
    cv2.line(drawn, _whole(said.entry_xy), _whole(said.tip_xy), (0, 255, 0), 1, cv2.LINE_AA)
    cv2.circle(drawn, _whole(said.tip_xy), 7, (0, 255, 0), 2, cv2.LINE_AA)
    kind = "said where none is" if truth is None else "said"
    return Picture(f"{caption}{kind}, confidence {said.confidence:.2f}", drawn)


def _whole(point: Point) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    sine = abs(float(one[0] * other[1] - one[1] * other[0]))
    return math.degrees(math.atan2(sine, abs(float(one @ other))))
