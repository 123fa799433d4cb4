"""What a session says about its picture, its pace, its clock, its targets and its settings."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg import anatomy
from nerveseg.live.clock import Rate, SessionClock
from nerveseg.live.settings import DeviceSettings, SettingsStore
from nerveseg.live.targets import TargetWatch
from nerveseg.live.values import LiveStatus
from nerveseg.live.watch import NOTICES, PictureWatch, pace_notices
from nerveseg.phantom import Phantom, blocks
from nerveseg.types import Box, Frame, FrameResult, Plane, Segmentation, StructureStats
from nerveseg.video import sources
from nerveseg.video.images import coloured_share
from tests.scripted import flat


def told(pictures, *, fps=10.0, region=None) -> tuple[str, ...]:
    """Keys of what is told after all of ``pictures``."""
    watch = PictureWatch()
    for number, pixels in enumerate(pictures):
        watch.update(pixels, region, number / fps)
    return tuple(notice.key for notice in watch.notices)


def speckle(*, low=0, high=160, seed=0, shape=(240, 320)):
    """Grains four pixels wide."""
    rng = np.random.default_rng(seed)
    grains = rng.integers(low, high, (shape[0], shape[1] // 4)).astype(np.uint8)
    return np.repeat(grains, 4, axis=1)


def noise(seed):
    return np.random.default_rng(seed).integers(0, 160, (240, 320)).astype(np.uint8)


def in_air(seed):
    """Bright level bands under the probe's face, noise below, as a lens without gel gives."""
    pixels = speckle(high=6, seed=seed)
    for depth, level in ((4, 230), (14, 150), (24, 90), (34, 50)):
        pixels[depth : depth + 5] = level
    return pixels


def no_signal(level):
    """A grabber's own screen."""
    pixels = np.full((480, 640), level, np.uint8)
    return cv2.putText(pixels, "NO SIGNAL", (200, 240), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 235, 2)


# what the source shows, and what is told of it after three seconds
PICTURES = [
    ("moving speckle", lambda n: speckle(seed=n), ()),
    ("one frozen frame", lambda n: speckle(seed=1), ("frozen",)),
    ("black", lambda n: speckle(high=3, seed=n), ("black",)),
    ("black to the last bit", lambda n: flat(0), ("black",)),
    ("a grabber's blue screen", lambda n: flat(41), ("blank",)),
    ("words on a black screen", lambda n: no_signal(16), ("black",)),
    ("words on a blue screen", lambda n: no_signal(41), ("blank",)),
    ("gain turned down", lambda n: speckle(high=30, seed=n), ("too dark",)),
    ("gain turned up", lambda n: cv2.convertScaleAbs(speckle(seed=n), alpha=4), ("too bright",)),
    ("probe in air", in_air, ("in air",)),
    ("no signal, in another way", noise, ("noise",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "picture", "keys"), PICTURES)
def test_what_is_wrong_with_the_picture_is_told(name, picture, keys):
    assert told(picture(number) for number in range(30)) == keys, name


def test_a_moment_of_it_is_no_news():
    assert told([*(speckle(seed=n) for n in range(10)), flat(0), flat(0)]) == ()


def test_it_is_over_as_soon_as_the_picture_is_good_again():
    assert told([*(speckle(high=3, seed=n) for n in range(20)), speckle(seed=99)]) == ()


def test_a_dark_surrounding_says_nothing_of_the_image_region():
    def framed(seed):
        pixels = np.zeros((480, 640), np.uint8)
        pixels[100:300, 200:420] = speckle(seed=seed, shape=(200, 220))
        return pixels

    assert told((framed(n) for n in range(30)), region=Box(200, 100, 420, 300)) == ()


def test_a_frozen_image_beside_a_clock_that_goes_on_stands_still():
    def scanner(number):
        pixels = np.zeros((240, 320), np.uint8)
        pixels[40:200, 60:260] = speckle(shape=(160, 200))
        cv2.putText(pixels, f"{number // 5}", (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 1)
        return pixels

    screens = [scanner(number) for number in range(30)]
    assert told(screens) == (), "twice a second the picture changes"
    assert told(screens, region=Box(60, 40, 260, 200)) == ("frozen",)


def test_notices_can_be_asked_for_while_another_picture_comes():
    class Emptied(dict):
        """As another thread leaves it, once it was seen that something is in it."""

        def __contains__(self, key):
            return self.pop(key, None) is not None

    watch = PictureWatch()
    for number in range(30):
        watch.update(flat(0), None, number / 10)
    watch._since_s = Emptied(watch._since_s)
    assert {notice.key for notice in watch.notices} <= {"frozen", "black"}


@pytest.mark.parametrize("block", blocks())
@pytest.mark.parametrize("probe", ["linear", "curved"])
def test_no_phantom_is_found_wrong(block, probe):
    phantom = Phantom(block, probe=probe, size=(320, 240), needle=True)
    assert told(phantom.frame_at(index).frame.pixels for index in range(0, 60, 2)) == ()


@pytest.mark.realdata
def test_no_real_clip_is_found_wrong(data_root):
    clips = sorted((data_root / "gastrocnemius-clips").rglob("*.mp4"))
    clips += sorted((data_root / "device-frames").rglob("*.mp4"))
    assert clips
    for path in clips:
        with sources.open(path) as clip:
            pictures = [frame.pixels for _, frame in zip(range(25), clip, strict=False)]
        assert told(pictures) == (), path.name


def test_a_picture_in_colour_is_no_ultrasound():
    rng = np.random.default_rng(0)
    room = cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (320, 240))
    doppler = cv2.merge([speckle()] * 3)
    doppler[60:130, 100:180, 2] = 250
    for picture, keys in ((room, ("no ultrasound",)), (doppler, ())):
        watch = PictureWatch()
        for number in range(30):
            gray = speckle(seed=number)
            watch.update(gray, None, number / 10, coloured=coloured_share(picture))
        assert tuple(notice.key for notice in watch.notices) == keys


def test_a_grey_picture_has_no_colour_to_tell_of():
    assert coloured_share(speckle()) is None
    assert coloured_share(cv2.merge([speckle()] * 3)) == 0.0


def test_every_notice_says_what_and_what_to_do():
    for notice in NOTICES.values():
        assert notice.text[0].isupper()
        assert len(notice.text) < 50
        assert notice.advice


# promised, delivered, distinct, analysed -> keys
PACES = [
    (30, 30, 30, 30, []),
    (30, 30, 30, 16, []),
    (25, 25, 25, 25, []),
    (None, 15, 15, 15, []),
    (30, 5, 5, 5, ["slow source"]),
    (None, 5, 5, 5, ["slow source"]),
    (30, 30, 5, 30, ["slow source"]),
    (60, 30, 15, 30, []),  # a grabber shows each of a scanner's 15 twice
    (60, 30, 30, 30, []),  # half of 60 is a scanner's 30: nothing to complain of
    (30, 15, 15, 15, ["slow source"]),
    (30, 30, 0, 30, []),  # it stands still, which is told as such
    (30, 30, 30, 4, ["slow analysis"]),
]


@pytest.mark.parametrize(("promised", "delivered", "distinct", "analysed", "keys"), PACES)
def test_the_pace_is_told_in_figures(promised, delivered, distinct, analysed, keys):
    status = LiveStatus(
        "live",
        promised_fps=promised,
        delivered_fps=delivered,
        distinct_fps=distinct,
        analysed_fps=analysed,
    )
    notices = pace_notices(status)
    assert [notice.key for notice in notices] == keys
    if keys == ["slow source"]:
        assert f"{delivered} a second" in notices[0].text
        assert ("only 5 of them new" in notices[0].text) == (distinct < delivered)


def test_a_frozen_picture_is_not_slowly_analysed():
    status = LiveStatus("live", delivered_fps=30, distinct_fps=30, analysed_fps=0, frozen=True)
    assert pace_notices(status) == ()


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 100)), max_size=40
    )
)
def test_the_clock_rises_strictly_whatever_the_source_says(times):
    clock = SessionClock()
    told_s = [clock.read(time_s, number / 30) for number, time_s in enumerate(times)]
    assert all(math.isfinite(time_s) for time_s in told_s)
    assert all(one < other for one, other in pairwise(told_s))


def test_the_clock_keeps_the_sources_own_intervals_also_after_it_came_back():
    clock = SessionClock()
    first = [clock.read(time_s, 1.0 + n) for n, time_s in enumerate((5.0, 5.04, 5.1))]
    clock.reopen()
    second = [clock.read(time_s, 9.0 + n) for n, time_s in enumerate((0.0, 0.04, 0.1))]
    assert first == pytest.approx([1.0, 1.04, 1.1])
    assert second == pytest.approx([9.0, 9.04, 9.1])
    assert clock.faults == 0


def test_the_clock_counts_what_makes_no_sense():
    clock = SessionClock()
    for number, time_s in enumerate((0.0, 0.1, 0.1, math.nan, 0.2, 500.0)):
        clock.read(time_s, number / 10)
    assert clock.faults == 3  # stood still, no number, leapt ahead


def test_a_rate_is_right_from_the_second_event_on():
    rate = Rate(window_s=2.0)
    rate.add(10.0)
    assert rate.at(10.0) == 0.0
    for number in range(1, 16):
        rate.add(10.0 + number / 30)
    assert rate.at(10.5) == pytest.approx(30.0)
    for number in range(16, 120):
        rate.add(10.0 + number / 30)
    assert rate.at(10.0 + 119 / 30) == pytest.approx(30.0, rel=0.02)
    assert rate.at(20.0) == 0.0


STATS = StructureStats(100, (5.0, 5.0), 0.8, (((0, 0), (9, 0), (9, 9)),))
NOTHING = StructureStats(0, None, None, ())


def result(time_s, *, nerves=0, planes=0) -> FrameResult:
    pixels = flat(100)
    nerve = NOTHING if nerves == 0 else StructureStats(9, (1, 1), 0.7, STATS.contours * nerves)
    lines = tuple(Plane(((0, 9), (9, 9)), 2.0, 0.6, key) for key in range(planes))
    return FrameResult(
        Frame(0, time_s, pixels),
        Segmentation({}, Box(0, 0, 320, 240), (240, 320), {}, "m"),
        {},
        {"nerve": nerve, "vessel": STATS},
        planes=lines,
    )


def test_a_target_is_seen_for_as_long_as_it_shows_and_a_short_gap_is_bridged():
    watch = TargetWatch(anatomy.default().blocks["axillary"], ("nerve", "vessel", "fascia"))
    seen = [(0.0, 2), (0.1, 2), (0.2, 0), (0.3, 1), (0.4, 0), (0.9, 1), (1.0, 1)]
    nerves = []
    for time_s, count in seen:
        by_name = {t.class_name: t for t in watch.update(result(time_s, nerves=count, planes=1))}
        nerves.append((by_name["nerve"].found, round(by_name["nerve"].seen_s, 3)))
    assert nerves == [(2, 0.0), (2, 0.1), (0, 0.0), (1, 0.3), (0, 0.0), (1, 0.0), (1, 0.1)]
    assert by_name["fascia"].found == 1
    assert by_name["vessel"].seen_s == pytest.approx(1.0)
    assert by_name["vessel"].names == ("axillary artery", "axillary vein")


def test_of_a_class_that_the_model_cannot_tell_nothing_is_said():
    block = anatomy.default().blocks["femoral"]
    by_name = {t.class_name: t for t in TargetWatch(block, ("nerve",)).update(result(0.0))}
    assert not by_name["muscle"].known
    assert by_name["muscle"].found == 0
    assert by_name["nerve"].known


def test_settings_are_kept_by_device(tmp_path):
    store = SettingsStore(tmp_path / "deep" / "devices.json")
    mine = DeviceSettings(Box(1, 2, 300, 200), 0.08, "two clicks, 30 mm apart", True)
    store.save("uvc:0", mine)
    store.save("uvc:1", DeviceSettings(crop="off"))
    again = SettingsStore(tmp_path / "deep" / "devices.json")
    assert again.load("uvc:0") == mine
    assert again.load("uvc:1").crop == "off"
    assert again.load("uvc:2") == DeviceSettings()


@pytest.mark.parametrize("content", ["{", "[]", "\x00", '{"uvc:0": {"crop": [5, 5, 1, 1]}}'])
def test_damaged_settings_count_as_none_and_are_not_lost(tmp_path, content):
    path = tmp_path / "devices.json"
    path.write_text(content)
    store = SettingsStore(path)
    assert store.load("uvc:0") == DeviceSettings()
    store.save("uvc:9", DeviceSettings(mm_per_px=0.1))
    assert store.load("uvc:9").mm_per_px == 0.1
    kept = [file.read_text() for file in tmp_path.iterdir()]
    assert any(content in text or json.loads(text).get("uvc:0") for text in kept)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="mm_per_px is a positive number"):
        DeviceSettings(mm_per_px=scale)


def test_speckle_that_only_shifts_is_no_frozen_picture():
    still = speckle()
    assert told(np.roll(still, n, axis=1) for n in range(30)) == ()
    assert told(cv2.flip(still, n % 2) for n in range(30)) == ()


@pytest.mark.parametrize("entry", ["[]", "5", '"off"', '{"crop": 5}', '{"crop": [0, 0, 1e999, 9]}'])
def test_an_entry_that_is_none_counts_as_none(tmp_path, entry):
    path = tmp_path / "devices.json"
    path.write_text(f'{{"uvc:0": {entry}}}')
    assert SettingsStore(path).load("uvc:0") == DeviceSettings()


def test_devices_may_be_set_at_the_same_moment(tmp_path):
    store = SettingsStore(tmp_path / "devices.json")
    scales = [0.01 * number for number in range(1, 25)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda s: store.save(f"uvc:{s}", DeviceSettings(mm_per_px=s)), scales))
    assert [store.load(f"uvc:{scale}").mm_per_px for scale in scales] == scales
