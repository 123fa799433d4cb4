"""The pipeline: every frame, in order, one at a time, with what each stage cost."""

from __future__ import annotations

import numpy as np
import pytest

from nerveseg import pipeline
from nerveseg.errors import SourceError
from nerveseg.types import Box, Frame
from nerveseg.video.sources import read_image
from nerveseg.vision.backends import Runner
from nerveseg.vision.overlay import OverlayStyle, draw
from nerveseg.vision.segment import Segmenter, masks
from tests import tiny


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """Nerve where it is brighter than 128, vessel below 64, fascia above 223."""
    path = tiny.write(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return Segmenter.load(path, threads=1, backend="onnxruntime")


def bright_square(index=0, *, shape=(96, 128), at=(20, 40), side=24):
    pixels = np.full(shape, 100, np.uint8)
    pixels[at[0] : at[0] + side, at[1] : at[1] + side] = 200
    return Frame(index, index / 25, pixels, 0.1)


def test_finds_the_bright_square_where_it_is(segmenter):
    (result,) = pipeline.run([bright_square()], segmenter, crop=False)
    nerve = result.structures["nerve"]
    assert nerve.area_px == pytest.approx(24 * 24, rel=0.15)
    assert nerve.centroid_xy == pytest.approx((51.5, 31.5), abs=1.0)
    assert nerve.mean_confidence > 0.8
    assert len(nerve.contours) == 1


def test_an_absent_class_has_no_numbers(segmenter):
    (result,) = pipeline.run([bright_square()], segmenter, crop=False)
    fascia = result.structures["fascia"]
    assert (fascia.area_px, fascia.centroid_xy, fascia.mean_confidence) == (0, None, None)
    assert fascia.contours == ()
    assert not result.masks["fascia"].any()


def test_agrees_with_predicting_the_frame_alone(segmenter):
    frame = bright_square()
    (result,) = pipeline.run([frame], segmenter, crop=False)
    alone = masks(segmenter.predict(frame.pixels, Box(0, 0, 128, 96)))
    assert set(alone) == set(result.masks)
    for name, mask in alone.items():
        np.testing.assert_array_equal(result.masks[name], mask)
        assert result.structures[name].area_px == mask.sum()


def test_keeps_every_frame_in_order_and_times_every_stage(segmenter):
    frames = [bright_square(index) for index in (0, 1, 5, 6)]
    results = list(pipeline.run(frames, segmenter))
    assert [result.frame for result in results] == frames
    for result in results:
        assert tuple(result.timings_ms) == pipeline.STAGES
        assert all(spent >= 0 for spent in result.timings_ms.values())


def test_takes_the_next_frame_only_when_asked(segmenter):
    taken = []

    def source():
        for index in range(10):
            taken.append(index)
            yield bright_square(index)

    results = pipeline.run(source(), segmenter)
    next(results)
    next(results)
    assert taken == [0, 1]


def test_shows_the_network_the_image_region_alone(segmenter):
    rng = np.random.default_rng(0)
    pixels = np.zeros((480, 640), np.uint8)
    pixels[60:420, 160:600] = rng.integers(40, 200, (360, 440), np.uint8)
    seen = []

    def watched(tensor):
        seen.append(tensor)
        return segmenter.infer(tensor)

    spy, frame = Segmenter(tiny.SPEC, Runner("watched", watched)), Frame(0, 0.0, pixels)
    (cropped,) = pipeline.run([frame], spy)
    (whole,) = pipeline.run([frame], spy, crop=False)
    region = cropped.segmentation.region
    assert (region.left, region.top) == pytest.approx((160, 60), abs=12)
    assert (region.right, region.bottom) == pytest.approx((600, 420), abs=12)
    assert whole.segmentation.region == Box(0, 0, 640, 480)
    black = -tiny.SPEC.mean / tiny.SPEC.std
    assert seen[0][0, 0, :, 2].min() > black + 0.1, "the cropped input begins with the image"
    assert seen[1][0, 0, :, 2].max() < black + 0.1, "the whole frame begins with chrome"


def test_frames_of_another_size_are_welcome(segmenter):
    shapes = [(96, 128), (64, 200), (300, 200)]
    frames = [bright_square(i, shape=shape) for i, shape in enumerate(shapes)]
    results = list(pipeline.run(frames, segmenter))
    assert [result.masks["nerve"].shape for result in results] == shapes


def test_a_source_that_breaks_off_says_so_after_its_last_frame(segmenter):
    def source():
        yield bright_square()
        raise SourceError("the cable was pulled")

    results = pipeline.run(source(), segmenter)
    assert next(results).structures["nerve"].area_px
    with pytest.raises(SourceError, match="cable"):
        next(results)


@pytest.mark.realdata
def test_real_frames_from_any_scanner_come_through(segmenter, data_root):
    folder = data_root / "device-frames"
    pictures = [
        read_image(folder / name) for name in ("clarius-ocular-image.png", "interson-image.jpg")
    ]
    frames = [Frame(index, float(index), picture) for index, picture in enumerate(pictures)]
    for frame, result in zip(frames, pipeline.run(frames, segmenter), strict=True):
        region = result.segmentation.region
        assert region.width * region.height > 0.1 * frame.pixels.size
        assert draw(result, OverlayStyle()).shape == (*frame.pixels.shape, 3)
