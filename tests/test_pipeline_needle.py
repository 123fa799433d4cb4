"""The needle through the whole pipeline: a state for whatever comes, never an invented tip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import pytest

from nerveseg import pipeline
from nerveseg.types import Frame, FrameResult, NeedleState
from nerveseg.vision.preprocess import Tensor
from nerveseg.vision.segment import Segmenter
from tests import tiny

WIDTH, HEIGHT, FPS = 384, 256, 25
ENTRY, TIP = (0, 40), (250, 190)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    path = tiny.write_needle(tmp_path_factory.mktemp("model") / "needle.onnx")
    return Segmenter.load(path, threads=1, backend="onnxruntime")


def picture(
    entry: tuple[int, int] | None = ENTRY, tip: tuple[int, int] = TIP, *, tip_shows: bool = True
) -> np.ndarray:
    """Grey tissue with a bright shaft and a brighter tip; ``entry=None`` leaves them out."""
    pixels = np.full((HEIGHT, WIDTH), 100, np.uint8)
    if entry is not None:
        cv2.line(pixels, entry, tip, 240, 11)
        if tip_shows:
            cv2.circle(pixels, tip, 8, 255, -1)
    return pixels


def clip(pictures: Iterable[np.ndarray], *, times: Sequence[float] | None = None) -> list[Frame]:
    return [
        Frame(i, i / FPS if times is None else times[i], pixels, 0.1)
        for i, pixels in enumerate(pictures)
    ]


def followed(segmenter: Segmenter, frames: Iterable[Frame]) -> list[FrameResult]:
    results = list(pipeline.run(frames, segmenter, crop=False))
    for result in results:
        state = result.needle_state
        assert (state.needle is None) == (state.status == "lost")
        assert (result.guidance is None) == (state.needle is None)
    return results


def statuses(results: Iterable[FrameResult]) -> list[str]:
    return [result.needle_state.status for result in results]


def test_a_still_picture_is_answered_at_once(segmenter: Segmenter) -> None:
    (result,) = followed(segmenter, clip([picture()]))
    assert result.needle_state.status == "seen"
    assert result.needle_state.needle is not None
    assert math.dist(result.needle_state.needle.tip_xy, TIP) < 8
    assert result.guidance is not None
    assert result.guidance.insertion_angle_deg == pytest.approx(31.0, abs=2)


@pytest.mark.parametrize(
    ("entry", "tip"),
    [((0, 40), (250, 190)), ((383, 40), (130, 190)), ((180, 0), (220, 200))],
    ids=["from the left", "from the right", "from the top"],
)
def test_wherever_it_comes_in(
    segmenter: Segmenter, entry: tuple[int, int], tip: tuple[int, int]
) -> None:
    results = followed(segmenter, clip([picture(entry, tip)] * 4))
    assert statuses(results) == ["seen"] * 4
    needle = results[-1].needle_state.needle
    assert needle is not None
    assert math.dist(needle.tip_xy, tip) < 8
    assert math.dist(needle.entry_xy, entry) < 12


def test_a_clip_without_a_needle_has_lost_nothing(segmenter: Segmenter) -> None:
    results = followed(segmenter, clip([picture(None)] * 5))
    assert set(statuses(results)) == {"lost"}
    assert all(r.needle_state.age_s is None and r.warnings == () for r in results)


def test_one_that_leaves_is_predicted_for_a_moment_then_lost_then_found(
    segmenter: Segmenter,
) -> None:
    shown = [picture()] * 6 + [picture(None)] * 12 + [picture()] * 6
    results = followed(segmenter, clip(shown))
    said = statuses(results)
    assert said[:6] == ["seen"] * 6
    gone = said[6:18]
    assert gone == sorted(gone, reverse=True)  # predicted, then lost
    assert 1 <= gone.count("predicted") <= 0.3 * FPS + 1
    assert results[17].warnings == ("tip lost",)
    assert said[-1] == "seen"


def test_of_one_that_is_drawn_out_nothing_is_lost(segmenter: Segmenter) -> None:
    way = np.subtract(TIP, ENTRY)
    out = [np.add(ENTRY, way * share).astype(int).tolist() for share in np.linspace(1, 0.2, 24)]
    shown = [picture(tip=tuple(tip)) for tip in out] + [picture(None)] * 15
    results = followed(segmenter, clip(shown))
    assert statuses(results)[:20] == ["seen"] * 20
    assert results[-1].needle_state.age_s is None
    assert results[-1].warnings == ()


def test_a_shaft_without_its_tip_is_shown_and_its_tip_lost(segmenter: Segmenter) -> None:
    shown = [picture()] * 4 + [picture(tip_shows=False)] * 12
    last = followed(segmenter, clip(shown))[-1]
    assert last.needle_state.status == "lost"
    assert last.needle_state.shaft_xy is not None


def test_two_needles_are_not_mixed(segmenter: Segmenter) -> None:
    both = np.maximum(picture(), picture((383, 20), (300, 90)))
    results = followed(segmenter, clip([both] * 6))
    tips = [r.needle_state.needle.tip_xy for r in results if r.needle_state.needle is not None]
    assert len(tips) == 6
    assert all(math.dist(tip, TIP) < 8 for tip in tips)


def test_a_cut_to_another_needle_is_followed_there(segmenter: Segmenter) -> None:
    other = picture((383, 40), (130, 190))
    results = followed(segmenter, clip([picture()] * 6 + [other] * 15))
    needle = results[-1].needle_state.needle
    assert needle is not None
    assert math.dist(needle.tip_xy, (130, 190)) < 8


def tissue(level: int = 130, *, seed: int = 0) -> np.ndarray:
    """Another scene: coarse speckle without a needle."""
    grain = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH))
    grain = cv2.GaussianBlur(grain, (0, 0), 6)
    return np.clip(level + 25 * grain / grain.std(), 0, 215).astype(np.uint8)


@pytest.mark.parametrize(
    "scene",
    [tissue(), np.zeros((HEIGHT, WIDTH), np.uint8), np.full((HEIGHT, WIDTH), 255, np.uint8)],
    ids=["other tissue", "black", "white"],
)
def test_over_another_scene_no_needle_of_before_is_drawn(
    segmenter: Segmenter, scene: np.ndarray
) -> None:
    results = followed(segmenter, clip([picture()] * 30 + [scene] * 10))
    assert set(statuses(results[:30])) == {"seen"}
    for result in results[30:]:
        assert result.needle_state == NeedleState("lost")
        assert result.warnings == ()


def test_a_needle_of_the_next_scene_is_believed_on_its_second_frame(segmenter: Segmenter) -> None:
    scene = tissue()
    cv2.line(scene, (383, 40), (130, 190), 240, 11)
    cv2.circle(scene, (130, 190), 8, 255, -1)
    results = followed(segmenter, clip([picture()] * 6 + [scene] * 3))
    assert statuses(results) == ["seen"] * 6 + ["lost"] + ["seen"] * 2
    needle = results[-1].needle_state.needle
    assert needle is not None
    assert math.dist(needle.tip_xy, (130, 190)) < 8


def test_planes_after_a_cut_have_keys_of_their_own(segmenter: Segmenter) -> None:
    one, other = (np.full((HEIGHT, WIDTH), level, np.uint8) for level in (40, 110))
    for pixels in (one, other):
        cv2.line(pixels, (0, 128), (WIDTH, 128), 230, 13)
    results = followed(segmenter, clip([one] * 3 + [other] * 3))
    keys = [{plane.key for plane in result.planes} for result in results]
    assert keys == [{1}] * 3 + [{2}] * 3


def test_a_flipped_picture_is_a_cut_like_any_other(segmenter: Segmenter) -> None:
    flipped = np.ascontiguousarray(picture()[:, ::-1])
    results = followed(segmenter, clip([picture()] * 5 + [flipped] * 15))
    needle = results[-1].needle_state.needle
    assert needle is not None
    assert math.dist(needle.tip_xy, (WIDTH - 1 - TIP[0], TIP[1])) < 8


def test_a_frozen_feed_stays_as_it_is(segmenter: Segmenter) -> None:
    results = followed(segmenter, clip([picture()] * 40))
    tips = np.array([r.needle_state.needle.tip_xy for r in results if r.needle_state.needle])
    assert statuses(results) == ["seen"] * 40
    assert np.ptp(tips, axis=0).max() < 2


@pytest.mark.parametrize(
    "times",
    [
        [0.0] * 8,
        [0.0, 0.04, 0.04, 0.02, 0.06, 0.01, 0.08, 0.12],
        [1.0, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0],
        [0, 0.04, 5.0, 5.04, 60.0, 60.04, 900.0, 900.04],
    ],
    ids=["standing still", "jittering", "running backwards", "with long pauses"],
)
def test_any_clock_will_do(segmenter: Segmenter, times: list[float]) -> None:
    results = followed(segmenter, clip([picture()] * 8, times=times))
    assert statuses(results)[-1] == "seen"


def test_after_a_stalled_clock_no_tip_is_seen_that_is_not_there(segmenter: Segmenter) -> None:
    times = [0.0] * 30 + [i / FPS for i in range(1, 13)]
    shown = [picture()] * 30 + [picture(None)] * 12
    said = statuses(followed(segmenter, clip(shown, times=times)))
    assert "seen" not in said[30:]
    assert said[-1] == "lost"


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_even_picture_shows_no_needle(segmenter: Segmenter, value: int) -> None:
    even = np.full((HEIGHT, WIDTH), value, np.uint8)
    results = followed(segmenter, clip([even] * 3))
    for result in results:
        assert result.needle_state.status == "lost"


def test_a_picture_that_changes_its_size_starts_anew(segmenter: Segmenter) -> None:
    small = cv2.resize(picture(), (192, 128), interpolation=cv2.INTER_NEAREST)
    results = followed(segmenter, clip([picture(), picture(), small, small, small]))
    needle = results[-1].needle_state.needle
    assert needle is not None
    assert math.dist(needle.tip_xy, (TIP[0] / 2, TIP[1] / 2)) < 6


def test_a_needle_is_measured_by_the_region_that_it_is_in(segmenter: Segmenter) -> None:
    """The region is found once the probe is on; a blank frame before shows the whole screen.

    By noises of the screen's size a needle that starts to move would be left behind.
    """
    rng = np.random.default_rng(1)
    blank = np.zeros((900, 1600), np.uint8)
    screens = []
    for step in (*[0] * 10, *range(1, 9)):
        speckle = cv2.GaussianBlur(rng.normal(110, 60, (320, 320)), (0, 0), 1.0)
        screen = blank.copy()
        screen[100:420, 200:520] = np.clip(speckle, 5, 200)
        tip = (300 + 10 * step, 220 + 8 * step)
        cv2.line(screen, (200, 140), tip, 245, 13)
        cv2.circle(screen, tip, 10, 255, -1)
        screens.append(screen)

    def tips(frames: list[Frame]) -> np.ndarray:
        results = pipeline.run(frames, segmenter)
        return np.array([r.needle_state.needle.tip_xy for r in results if r.needle_state.needle])

    after_blank, alone = tips(clip([blank, *screens])), tips(clip(screens))
    assert len(after_blank) >= 16
    assert after_blank[-8:] == pytest.approx(alone[-8:], abs=0.5)


@pytest.mark.parametrize("value", [0, 60, 235, 255])
def test_an_even_picture_has_no_planes(segmenter: Segmenter, value: int) -> None:
    pixels = np.full((HEIGHT, WIDTH), value, np.uint8)
    pixels[::2] += np.uint8(value < 255)
    sure = Dreaming(segmenter)
    (result,) = pipeline.run(clip([pixels]), sure, crop=False)
    assert result.segmentation.probabilities["fascia"].max() > 0.9
    assert result.planes == ()
    (textured,) = pipeline.run(clip([tissue()]), sure, crop=False)
    assert textured.planes != ()


class Dreaming(Segmenter):
    """Sees a fascial plane across the middle of whatever it is shown."""

    def __init__(self, other: Segmenter) -> None:
        super().__init__(other.spec, other._runner)

    def infer(self, tensor: Tensor) -> Tensor:
        answer = super().infer(tensor).copy()
        answer[0, self.spec.classes.index("fascia")] = 0
        answer[0, self.spec.classes.index("fascia"), 30:35] = 0.95
        return answer


def test_a_shaft_is_outlined_and_measured_as_nothing_else(segmenter: Segmenter) -> None:
    results = followed(segmenter, clip([picture()] * 3))
    for result in results:
        assert result.masks["needle"].any()
        assert not result.masks["fascia"].any()
        assert result.structures["fascia"].area_px == 0
        assert result.planes == ()


def test_a_model_without_a_needle_says_lost_and_warns_of_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tiny.write(tmp_path_factory.mktemp("model") / "tiny.onnx")
    plain = Segmenter.load(path, threads=1, backend="onnxruntime")
    (result,) = followed(plain, clip([picture()]))
    assert result.needle_state.status == "lost"
    assert result.warnings == ()
