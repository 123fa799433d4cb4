"""A live session: newest frame wins, nothing queues, and a source that vanishes comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nerveseg.errors import NervesegError, SourceError
from nerveseg.live.capture import Patience
from nerveseg.live.counts import Counts
from nerveseg.live.journal import Journal
from nerveseg.live.session import LiveSession
from nerveseg.live.settings import DeviceSettings
from nerveseg.live.values import LiveStatus, Notice
from nerveseg.types import Box, Frame
from nerveseg.vision.preprocess import Tensor
from nerveseg.vision.segment import Segmenter
from tests.discs import drawn_frame, fake_segmenter
from tests.scripted import Heard, Script, flat

QUICK = Patience(stall_s=0.3, first_s=0.6, close_s=2.0, retry_s=(0.01, 0.05))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def live_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("nerveseg-live")]


class Gate:
    """A network that waits to be let through."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._run = segmenter._runner.run
        self.open = threading.Event()
        self.name = "gate"
        self.entered = 0

    def run(self, tensor: Tensor) -> Tensor:
        self.entered += 1
        assert self.open.wait(20)
        return self._run(tensor)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def session(script: Script, heard: Heard) -> Iterator[LiveSession]:
    made = LiveSession("scripted:", fake_segmenter(), opener=script, patience=QUICK)
    made.add_listener(heard)
    made.start()
    yield made
    made.close()
    assert live_threads() == []


def gated(script: Script, heard: Heard) -> tuple[LiveSession, Gate]:
    segmenter = fake_segmenter()
    gate = Gate(segmenter)
    session = LiveSession(
        "scripted:", Segmenter(segmenter.spec, gate), opener=script, patience=QUICK
    )
    session.add_listener(heard)
    session.start()
    return session, gate


def test_every_frame_is_told_in_order_and_analysed_as_it_came(session, script, heard):
    for count in range(1, 6):
        script.give()
        until(lambda count=count: len(heard.results) == count)
    assert [shot.number for shot in heard.frames] == [0, 1, 2, 3, 4]
    assert [found.shot for found in heard.results] == heard.frames
    for found in heard.results:
        assert found.result.frame is found.shot.frame
        assert found.ready_at >= found.shot.captured_at
    assert session.status.analysed == 5
    assert session.status.passed_over == 0


def test_what_comes_during_an_analysis_is_shown_and_only_the_newest_analysed(script, heard):
    session, gate = gated(script, heard)
    script.give()
    until(lambda: gate.entered == 1)
    for _ in range(6):
        script.give()
    until(lambda: len(heard.frames) == 7)
    gate.open.set()
    until(lambda: len(heard.results) == 2)
    session.close()
    assert [found.shot.number for found in heard.results] == [0, 6]
    assert session.status.passed_over == 5


def test_a_source_that_vanishes_is_opened_again_and_numbers_and_times_go_on(session, script, heard):
    script.give()
    script.give()
    until(lambda: len(heard.frames) == 2)
    script.refusals = [SourceError("unplugged"), SourceError("unplugged")]
    script.fail(SourceError("the signal is gone"))
    until(lambda: any(status.state == "lost" for status in heard.statuses))
    script.give(time_s=0.0)
    until(lambda: len(heard.frames) == 3)
    until(lambda: session.status.state == "live")
    assert script.openings == 4
    assert [shot.number for shot in heard.frames] == [0, 1, 2]
    assert [shot.opening for shot in heard.frames] == [0, 0, 3]
    times = [shot.frame.time_s for shot in heard.frames]
    assert times == sorted(set(times))
    told = [event.text for event in session.events if event.key == "source"]
    assert told == ["the signal is gone", "unplugged", "unplugged"]


def test_what_came_back_is_looked_at_anew(session, script, heard):
    """The image's region is settled over a clip, and may lie elsewhere in another one."""
    framed = np.zeros((240, 320), np.uint8)
    framed[40:200, 30:150] = np.random.default_rng(0).integers(40, 200, (160, 120))
    for shift in (0, 140):
        script.give(pixels=np.roll(framed, shift, axis=1))
        until(lambda shift=shift: len(heard.results) == 1 + (shift > 0))
        script.fail(SourceError("unplugged"))
    one, other = (found.result.segmentation.region for found in heard.results)
    assert (other.left - one.left, other.right - one.right) == (140, 140)


def test_after_a_pause_rates_say_nothing_for_a_while(session, script, heard):
    """Else each comeback would be a slow source, and each unfreezing a slow computer."""

    def settled() -> bool:
        return session._counts.settled(time.monotonic() + 60)

    script.give()
    until(settled)
    session.freeze()
    session.unfreeze()
    assert not settled()
    script.give()
    until(settled)
    script.fail(SourceError("unplugged"))
    script.give()
    until(lambda: len(heard.frames) == 3)
    assert heard.frames[-1].opening == 1
    counts = Counts()
    counts.came(0.0, distinct=True)
    counts.settle_anew()
    counts.came(10.0, distinct=True)
    assert [counts.settled(at_s) for at_s in (10.1, 13.9, 14.0)] == [False, False, True]


def test_while_a_source_was_away_no_target_was_in_view(session, script, heard):
    session.watch_for("axillary")
    for time_s in (0.0, 8.0):
        script.give(time_s=time_s)
    until(lambda: len(heard.results) >= 1 and heard.results[-1].shot.number == 1)
    script.fail(SourceError("unplugged"))
    script.give(time_s=0.0)
    until(lambda: heard.results[-1].shot.number == 2)
    assert {target.seen_s for target in heard.results[-1].targets if target.found} == {0.0}


def test_whoever_begins_to_listen_is_told_how_it_goes_at_once(session):
    late = Heard()
    session.add_listener(late)
    assert len(late.statuses) >= 1


@pytest.mark.parametrize("error", [OSError(19, "No such device"), RuntimeError("?"), MemoryError()])
def test_whatever_a_driver_raises_the_session_goes_on(session, script, heard, error):
    script.give()
    until(lambda: len(heard.frames) == 1)
    script.fail(error)
    script.give()
    until(lambda: len(heard.frames) == 2)
    assert type(error).__name__ in next(e.text for e in session.events if e.key == "source")


def test_a_stalled_source_is_told_and_opened_anew(session, script, heard):
    script.give()
    until(lambda: len(heard.frames) == 1)
    until(lambda: script.openings >= 2)
    until(lambda: any(status.state == "lost" for status in heard.statuses))
    lost = [status for status in heard.statuses if status.state == "lost"]
    assert lost[0].notices[0].key == "no picture"
    assert "no picture for" in lost[0].notices[0].text
    script.give()
    until(lambda: len(heard.frames) == 2)
    until(lambda: session.status.state == "live")


def test_a_stream_that_ends_is_lost_and_a_recording_that_ends_is_over(session, script, heard):
    script.give()
    script.end()
    until(lambda: script.openings == 2)
    recording, ends = Script(frame_count=1), Heard()
    other = LiveSession("scripted:", fake_segmenter(), opener=recording, patience=QUICK)
    other.add_listener(ends)
    other.start()
    recording.give()
    recording.end()
    until(lambda: other.status.state == "ended")
    until(lambda: len(ends.results) == 1)
    other.close()
    assert recording.openings == 1


def test_a_recording_that_breaks_off_is_over_too_and_says_why(heard):
    cut = Script(frame_count=9)
    session = LiveSession("file:cut.mp4", fake_segmenter(), opener=cut, patience=QUICK)
    session.add_listener(heard)
    session.start()
    cut.give()
    cut.fail(SourceError("cut.mp4: reading failed midway, after 1 of 9 frames"))
    until(lambda: session.status.state == "failed")
    session.close()
    assert cut.openings == 1
    assert any("failed midway" in event.text for event in session.events)


def test_what_is_opened_only_after_the_session_was_closed_is_let_go_of_unread(heard):
    script, asked, answer = Script(), threading.Event(), threading.Event()
    opened = []

    def slow(uri):
        asked.set()
        assert answer.wait(20)
        opened.append(script(uri))
        return opened[0]

    patience = Patience(close_s=0.1)
    session = LiveSession("slow:", fake_segmenter(), opener=slow, patience=patience)
    session.add_listener(heard)
    session.start()
    assert asked.wait(20)
    session.close()
    answer.set()
    until(lambda: live_threads() == [])
    script.give()
    with pytest.raises(SourceError, match="closed"):
        next(opened[0])
    assert heard.captures == []


def test_what_never_could_be_opened_fails_with_its_own_words(heard):
    script = Script()
    script.refusals = [SourceError("there is no camera 7; 0 and 1 are there")]
    session = LiveSession("uvc:7", fake_segmenter(), opener=script, patience=QUICK)
    session.add_listener(heard)
    session.start()
    until(lambda: session.status.state == "failed")
    (notice,) = session.status.notices
    assert (notice.key, notice.text) == ("failed", "there is no camera 7; 0 and 1 are there")
    session.close()
    assert script.openings == 1
    assert live_threads() == []


def test_what_is_there_but_shows_nothing_yet_is_waited_for(session, script, heard):
    """A grabber before its scanner is switched on, a server before it scans."""
    script.fail(SourceError("it is open, but gave no picture for 4 s; is it scanning?"))
    until(lambda: session.status.state == "lost" and script.openings >= 2)
    assert "is it scanning?" in next(event.text for event in session.events)
    script.give()
    until(lambda: len(heard.frames) == 1)
    until(lambda: session.status.state == "live")


def test_freezing_stands_still_at_a_frame_and_analyses_that_very_frame(script, heard):
    session, gate = gated(script, heard)
    script.give()
    until(lambda: gate.entered == 1)
    script.give()
    script.give()
    until(lambda: len(heard.frames) == 3)
    frozen = session.freeze()
    assert frozen is heard.frames[2]
    script.give()
    until(lambda: len(heard.captures) == 4)
    gate.open.set()
    until(lambda: session.latest is not None and session.latest.shot is frozen)
    assert [found.shot.number for found in heard.results] == [2]
    assert len(heard.frames) == 3
    assert session.status.frozen
    session.unfreeze()
    script.give()
    until(lambda: heard.results[-1].shot.number == 4)
    assert [shot.number for shot in heard.frames] == [0, 1, 2, 4]
    session.close()


def test_freezing_a_frame_that_is_analysed_already_tells_its_result_again(session, script, heard):
    script.give()
    until(lambda: len(heard.results) == 1)
    session.freeze()
    until(lambda: len(heard.results) == 2)
    assert heard.results[1] is heard.results[0]


def test_freezing_before_the_first_frame_freezes_nothing(session):
    assert session.freeze() is None
    assert not session.status.frozen


def test_crop_and_scale_by_hand_are_obeyed_at_once_also_on_a_frozen_frame(session, script, heard):
    script.give()
    until(lambda: len(heard.results) == 1)
    session.freeze()
    session.change(DeviceSettings(crop=Box(20, 10, 220, 190), mm_per_px=0.1, scale_from="ruler"))
    until(lambda: session.latest is not None and session.latest.result.frame.mm_per_px == 0.1)
    assert session.latest.result.segmentation.region == Box(20, 10, 220, 190)
    session.unfreeze()
    script.give()
    until(lambda: heard.results[-1].shot.number == 1)
    assert heard.results[-1].result.segmentation.region == Box(20, 10, 220, 190)
    assert heard.results[-1].result.frame.mm_per_px == 0.1


def test_a_scale_that_is_taken_back_gives_way_to_the_sources_own(session, script, heard):
    script.queue.put(Frame(0, 0.0, drawn_frame(0), 0.3))
    until(lambda: len(heard.results) == 1)
    session.freeze()
    for given, expected in ((0.1, 0.1), (None, 0.3)):
        session.change(DeviceSettings(mm_per_px=given))
        until(lambda: session.latest is not None)
        assert session.latest.result.frame.mm_per_px == expected


def test_another_crop_is_obeyed_also_on_the_last_picture_of_a_recording(heard):
    recording = Script(frame_count=1)
    session = LiveSession("file:", fake_segmenter(), opener=recording, patience=QUICK)
    session.add_listener(heard)
    session.start()
    recording.give()
    recording.end()
    until(lambda: session.status.state == "ended" and heard.results)
    session.change(DeviceSettings(crop=Box(20, 10, 220, 190)))
    until(lambda: heard.results[-1].result.segmentation.region == Box(20, 10, 220, 190))
    session.close()


def test_what_was_found_inside_another_crop_is_told_no_more(script, heard):
    """It may show what the new crop is to hide from a recording and from lookers-on."""
    session, gate = gated(script, heard)
    script.give()
    until(lambda: gate.entered == 1)
    session.change(DeviceSettings(crop=Box(20, 10, 220, 190)))
    gate.open.set()
    until(lambda: len(heard.results) == 1)
    session.close()
    assert heard.results[0].result.segmentation.region == Box(20, 10, 220, 190)


def test_a_crop_beyond_the_picture_is_cut_to_it_and_one_outside_looks_for_the_image(
    session, script, heard
):
    session.change(DeviceSettings(crop=Box(200, 100, 900, 900)))
    script.give()
    until(lambda: len(heard.results) == 1)
    assert heard.results[0].result.segmentation.region == Box(200, 100, 320, 240)
    session.change(DeviceSettings(crop=Box(600, 600, 900, 900)))
    script.give()
    until(lambda: len(heard.results) == 2)
    assert heard.results[1].result.segmentation.region.right <= 320


def test_a_picture_of_another_size_midway_is_analysed_too(session, script, heard):
    script.give()
    until(lambda: len(heard.results) == 1)
    script.give(pixels=np.pad(flat(120), 30))
    until(lambda: len(heard.results) == 2)
    assert heard.results[1].result.frame.pixels.shape == (300, 380)


def test_a_frame_says_where_the_tissue_of_the_latest_result_has_gone(session, script, heard):
    still = drawn_frame(0)
    script.give(pixels=still)
    until(lambda: len(heard.results) == 1)
    script.give(pixels=np.roll(still, 6, axis=1))
    until(lambda: len(heard.frames) == 2)
    assert heard.frames[0].moved is None
    moved = heard.frames[1].moved
    assert moved is not None
    assert moved.number == 0
    assert moved.affine == pytest.approx((1, 0, 0, 1, 6, 0), abs=0.5)


def test_times_that_make_no_sense_are_mended_and_told(session, script, heard):
    for time_s in (0.0, 0.1, 0.05, float("nan"), 0.2):
        script.give(time_s=time_s)
    until(lambda: len(heard.frames) == 5)
    times = [shot.frame.time_s for shot in heard.frames]
    assert times == sorted(set(times))
    assert np.isfinite(times).all()
    assert sum(event.key == "time" for event in session.events) == 2


@pytest.mark.logs_errors
def test_a_listener_that_fails_harms_nobody_else(script, heard):
    class Broken(Heard):
        def on_frame(self, shot):
            raise ValueError("broken")

    session = LiveSession("scripted:", fake_segmenter(), opener=script, patience=QUICK)
    session.add_listener(Broken())
    session.add_listener(heard)
    session.start()
    script.give()
    until(lambda: len(heard.results) == 1)
    session.close()
    assert len(heard.frames) == 1


@pytest.mark.logs_errors
def test_an_analysis_that_fails_is_told_and_tried_again(script, heard):
    class Shaky:
        name = "shaky"
        calls = 0

        def __init__(self, run):
            self._run = run

        def run(self, tensor):
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("out of memory")
            return self._run(tensor)

    segmenter = fake_segmenter()
    shaky = Segmenter(segmenter.spec, Shaky(segmenter._runner.run))
    session = LiveSession("scripted:", shaky, opener=script, patience=QUICK)
    session.add_listener(heard)
    session.start()
    script.give()
    until(lambda: any("analysis failed" in keys(status) for status in heard.statuses))
    assert "RuntimeError" in next(e.text for e in session.events if e.key == "analysis failed")
    script.give()
    until(lambda: len(heard.results) == 1)
    until(lambda: "analysis failed" not in keys(session.status))
    session.close()


@pytest.mark.logs_errors
def test_an_analysis_that_fails_each_time_is_logged_once(script, heard, caplog):
    class Broken:
        name = "broken"
        calls = 0

        def run(self, tensor):
            self.calls += 1
            raise RuntimeError("out of memory")

    broken = Broken()
    session = LiveSession(
        "scripted:", Segmenter(fake_segmenter().spec, broken), opener=script, patience=QUICK
    )
    session.start()
    for count in (1, 2):
        script.give()
        until(lambda count=count: broken.calls == count)
    session.close()
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


def test_somebody_elses_notices_are_told_with_the_sessions_own(session, heard):
    class Recorder:
        notices = ()

        def told(self):
            return self.notices

    from nerveseg.live.values import Notice

    recorder = Recorder()
    session.add_notices(recorder.told)
    recorder.notices = (Notice("disk", "The disk is nearly full", "free some space"),)
    until(lambda: "disk" in keys(heard.statuses[-1]) if heard.statuses else False)
    session.remove_notices(recorder.told)
    until(lambda: "disk" not in keys(heard.statuses[-1]))


def test_targets_are_told_for_a_block_and_an_unknown_block_is_refused(session, script, heard):
    session.watch_for("axillary")
    script.give()
    until(lambda: len(heard.results) == 1)
    by_name = {target.class_name: target for target in heard.results[0].targets}
    assert by_name["nerve"].found == 1
    assert "median nerve" in by_name["nerve"].names
    with pytest.raises(NervesegError, match="there is no block 'knee'"):
        session.watch_for("knee")


def test_the_log_has_events_and_figures_and_no_password(script, heard, caplog):
    caplog.set_level(logging.INFO, logger="nerveseg")
    uri = "rtsp://doctor:s3@cret@192.0.2.7/live"
    session = LiveSession(uri, fake_segmenter(), opener=script, patience=QUICK)
    session.add_listener(heard)
    session.start()
    script.give()
    until(lambda: heard.results and any(status.state == "live" for status in heard.statuses))
    session.close()
    told = [record.getMessage() for record in caplog.records]
    assert "rtsp://192.0.2.7/live: state: live" in told
    figures = next(line for line in told if "1 analysed" in line)
    assert "1 frames came, 1 analysed, 0 passed over" in figures
    assert "of 30 a second" in figures
    assert "inference" in figures
    assert not any("cret" in line or "doctor" in line for line in told)


def test_figures_are_logged_every_ten_seconds_and_events_once(caplog):
    caplog.set_level(logging.INFO, logger="nerveseg")
    now = [0.0]
    journal = Journal("drawn:", clock=lambda: now[0])
    dark = Notice("too dark", "Too dark to judge", "turn the gain up")
    for at_s in range(0, 31, 2):
        now[0] = at_s
        journal.follow(LiveStatus("live", (dark,) if at_s < 20 else (), delivered=1 + at_s))
    assert [(e.key, e.text) for e in journal.events] == [
        ("state", "live"), ("too dark", "Too dark to judge"), ("too dark", "over"),
    ]  # fmt: skip
    told = [r.getMessage() for r in caplog.records if "frames came" in r.getMessage()]
    assert [int(line.split()[1]) for line in told] == [1, 11, 21, 31]


def test_closing_twice_or_unstarted_does_no_harm(script):
    session = LiveSession("scripted:", fake_segmenter(), opener=script)
    session.close()
    session.close()
    assert session.status.state == "closed"


def keys(status) -> tuple[str, ...]:
    return tuple(notice.key for notice in status.notices)
