"""Is the picture fit to be judged? What a session says about itself when it isn't.

Pure: pictures and times go in, notices come out. The thresholds are grey levels of 255 and
seconds; what they were tried on is said beside each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from nerveseg.live.values import LiveStatus, Notice
from nerveseg.types import Box, GrayImage

__all__ = ["NOTICES", "PictureWatch", "pace_notices"]

NOTICES = {
    notice.key: notice
    for notice in (
        Notice(
            "no picture",
            "No new picture from the source",
            "check the cable and the probe; it is tried again by itself",
        ),
        Notice(
            "frozen",
            "The picture stands still",
            "unfreeze the scanner, or unplug the grabber and plug it in again",
        ),
        Notice(
            "black",
            "The picture is black",
            "switch the scanner's video output on, or choose another source",
        ),
        Notice(
            "blank",
            "The picture is blank: no signal",
            "check the cable between scanner and grabber",
        ),
        Notice(
            "noise",
            "The picture is mere noise: no signal",
            "check the cable, or choose another size or format of the source",
        ),
        Notice(
            "in air",
            "The probe seems to be in the air",
            "put it on the phantom with enough gel",
        ),
        Notice(
            "too dark",
            "Too dark to judge",
            "turn the gain up; outlines on so dark a picture mean little",
        ),
        Notice(
            "too bright",
            "Too bright to judge",
            "turn the gain down; outlines on so bright a picture mean little",
        ),
        Notice(
            "slow source",
            "The source gives few pictures a second",
            "ask for another size or format, use a USB 3 port, or lower the depth",
        ),
        Notice(
            "slow analysis",
            "This computer is too slow for every frame",
            "close other programs; the overlay is older than the picture",
        ),
        Notice(
            "no ultrasound",
            "This doesn't look like ultrasound",
            "choose another source: this one looks like a camera or a screen",
        ),
    )
}
"""Every notice about picture and pace, by its key."""

_LASTING_S = {"frozen": 1.0, "black": 0.5, "blank": 0.5, "noise": 0.5, "no ultrasound": 2.0}
_LASTING_ELSE_S = 1.0
"""For how long a thing has to be so before it is told: one dark frame is no news."""

_EVEN, _BUT_FOR = 8.0, 2.0
"""Grey levels that all of a picture but the darkest and the brightest two percent lie within, if
it shows nothing: a grabber may write "no signal" on it. Real pictures span 85 and more, and
scanners' noise alone 12."""

_BLACK = 24.0
"""Grey levels: an even picture darker than that is black; brighter ones are a test colour."""

_DARK, _BRIGHT = 45.0, 250.0
"""Grey levels that 98 % of the image region's pixels lie below, and above which half of them do
not lie, if there is to be anything to see. Real clips have 98 % below 110 to 230."""

_SATURATED_SHARE = 0.4

_COLOURED_SHARE = 0.2
"""More colour than that no scanner's chrome has. Tried on drawn pictures alone."""

_LEAST_LIKENESS = 0.5
"""Correlation of neighbouring pixels of a row. 1,300 real pictures of eight devices have 0.89 and
more, the phantom at its noisiest 0.97, mere noise 0."""

_ROWS_APART = 8

_NEAR_SHARE = 0.2
"""The top part of the image region, where a probe in air shows its own reverberation."""

_IN_AIR = (40.0, 10.0, 4.0)
"""Grey levels: in air the mean of the near part's rows reaches the first, and the mean below the
near part is under the second with a deviation of its rows under the third."""

_SIDE = 160
"""Longer side at which a picture is looked at; speckle isn't needed here."""

_SLOW_FPS, _SLOW_SHARE = 12.0, 0.6
"""A source is slow if it gives fewer distinct frames a second than the first, or delivers less
than this share of what it promised. Scanners make 15 to 25, which a grabber may double to keep its
own promise of 30 or 60."""

_ANALYSED_FPS, _ANALYSED_SHARE = 10.0, 0.5


class PictureWatch:
    """Follows one source's pictures; says what has been wrong with them for a while."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the source."""
        self._last: GrayImage | None = None
        self._since_s: dict[str, float] = {}
        self._now_s = 0.0
        self.distinct = False

    def update(
        self,
        pixels: GrayImage,
        region: Box | None,
        now_s: float,
        *,
        coloured: float | None = None,
    ) -> None:
        """The next picture, ``uint8`` ``(H, W)``, and its image region if it is known.

        ``coloured`` is the share of its pixels that had a colour before it was made grey.
        ``distinct`` then tells whether its image differs from the one before it, in any pixel:
        around a frozen one the scanner's clock may go on.
        """
        self.distinct = self._last is None or _differ(self._last, pixels, region)
        self._last, self._now_s = pixels, now_s
        wrong = set(_wrong_with(pixels, region))
        # A picture without a signal stands still too, which is not what is to be seen to.
        if not self.distinct and not wrong & {"black", "blank"}:
            wrong.add("frozen")
        if coloured is not None and coloured > _COLOURED_SHARE:
            wrong.add("no ultrasound")
        for key in [key for key in self._since_s if key not in wrong]:
            del self._since_s[key]
        for key in wrong:
            self._since_s.setdefault(key, now_s)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What has been so for long enough to be told, as of the last picture."""
        return tuple(
            notice
            for key, notice in NOTICES.items()
            # Asked for once: another thread takes keys out meanwhile.
            if (since_s := self._since_s.get(key)) is not None
            and self._now_s - since_s >= _LASTING_S.get(key, _LASTING_ELSE_S)
        )


def pace_notices(status: LiveStatus) -> tuple[Notice, ...]:
    """What the rates of a session that is live say about source and computer, in figures."""
    return tuple(_pace(status))


def _pace(status: LiveStatus) -> Iterator[Notice]:
    # A picture that stands still has no rate: that is told as such.
    if status.distinct_fps > 0 and _is_slow(status):
        yield _told("slow source", _pace_words(status))
    wanted = min(_ANALYSED_FPS, _ANALYSED_SHARE * status.delivered_fps)
    if not status.frozen and status.analysed_fps < wanted:
        words = f"{status.analysed_fps:.0f} of {status.delivered_fps:.0f} frames a second"
        yield _told("slow analysis", words)


def _is_slow(status: LiveStatus) -> bool:
    wanted = _SLOW_SHARE * min(status.promised_fps or 0.0, 30.0)
    return status.distinct_fps < _SLOW_FPS or status.delivered_fps < wanted


def _pace_words(status: LiveStatus) -> str:
    words = f"{status.delivered_fps:.0f} a second"
    if status.promised_fps:
        words += f", {status.promised_fps:.0f} promised"
    if status.distinct_fps < 0.8 * status.delivered_fps:
        words += f", only {status.distinct_fps:.0f} of them new"
    return words


def _told(key: str, words: str) -> Notice:
    notice = NOTICES[key]
    return Notice(key, f"{notice.text} ({words})", notice.advice)


def _differ(one: GrayImage, other: GrayImage, region: Box | None) -> bool:
    if one.shape != other.shape or region is None:
        return not np.array_equal(one, other)
    return not np.array_equal(one[region.slices], other[region.slices])


def _wrong_with(pixels: GrayImage, region: Box | None) -> Iterable[str]:
    """Keys of what is wrong with one picture: at most one, the gravest."""
    whole = _small(pixels)
    low, high = np.percentile(whole, (_BUT_FOR, 100 - _BUT_FOR))
    if high - low < _EVEN:
        return ("black",) if float(np.median(whole)) < _BLACK else ("blank",)
    inner = whole if region is None else _small(pixels[region.slices])
    if _in_air(inner):
        return ("in air",)
    if float(np.percentile(inner, 98)) < _DARK:
        return ("too dark",)
    if float(np.mean(inner >= _BRIGHT)) > _SATURATED_SHARE:
        return ("too bright",)
    if _likeness(pixels[::_ROWS_APART]) < _LEAST_LIKENESS:
        return ("noise",)
    return ()


def _likeness(rows: GrayImage) -> float:
    """Correlation of each pixel with the next one of its row, -1..1; 1 where all are even."""
    apart = rows.astype(np.float32)
    apart -= apart.mean(axis=1, keepdims=True)
    spread = float(np.vdot(apart, apart))
    return float(np.vdot(apart[:, 1:], apart[:, :-1])) / spread if spread > 0 else 1.0


def _in_air(inner: GrayImage) -> bool:
    """Bright level bands under the probe's face, and nothing below: reverberation in the lens."""
    near = max(1, round(_NEAR_SHARE * inner.shape[0]))
    rows = inner.mean(axis=1)
    bright, dark, even = _IN_AIR
    far = rows[near:]
    return bool(far.size and rows[:near].max() >= bright and far.mean() < dark and far.std() < even)


def _small(pixels: GrayImage) -> GrayImage:
    step = max(1, max(pixels.shape) // _SIDE)
    return np.ascontiguousarray(pixels[::step, ::step])
