"""What a tracker takes for granted of needles, and when it believes one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

__all__ = ["Motion", "TrackerSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How needles move and how well they are seen.

    Lengths are shares of the image region's diagonal, so that they hold for every size of
    picture; 1 % of it is about 0.5 to 1 mm. Angles are radians, times seconds.

    ``along_noise`` and ``across_noise``: standard deviation of an observed tip along its shaft,
    and of a shaft across its line. ``still_*``: acceleration of a needle that is held still or
    advanced evenly. ``jump_*``: change of speed of one that starts, stops or turns. ``top_speed``
    and ``top_turn``: no hand is faster. ``coast_s``: time in which a tip that isn't seen is taken
    to lose 63 % of its speed. Raises `ValueError` for a value that isn't positive.
    """

    along_noise: float = 0.00375
    across_noise: float = 0.0019
    still_along: float = 0.08
    still_across: float = 0.05
    still_turn: float = 0.4
    jump_along: float = 0.35
    jump_across: float = 0.15
    jump_turn: float = 0.8
    top_speed: float = 1.0
    top_turn: float = 2.0
    coast_s: float = 0.2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            _check_positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """When a needle is believed, followed and given up; times in seconds.

    ``start_confidence`` and ``keep_confidence``: confidence in the tip from which one that isn't
    known is taken up, and one that is known is followed; ``still_confidence``: the former on a
    picture that stands for itself, with no next one to be surer of. ``start_shaft_confidence``
    and ``keep_shaft_confidence``: the same of the shaft's line. ``predict_s``: a tip that was last
    seen longer ago is lost; ``fade_s``: a predicted tip's confidence falls to 37 % in this time.
    A new needle has to agree with itself on ``confirm_hits`` frames in a row and for
    ``confirm_s``, and for ``takeover_s`` while another is still known. After a pause of
    ``still_s`` nothing is left of the motion, and a picture stands for itself like the first. A
    clock that falls back by more than ``seek_s`` was set back. ``repeat_s`` counts as passed on
    a frame on which the clock stands still. After ``forget_s`` in which
    neither tip nor shaft was seen, a lost tip is forgotten. Raises `ValueError` for a value out
    of range.
    """

    still_confidence: float = 0.5
    start_confidence: float = 0.6
    keep_confidence: float = 0.45
    start_shaft_confidence: float = 0.6
    keep_shaft_confidence: float = 0.35
    predict_s: float = 0.3
    fade_s: float = 0.25
    confirm_hits: int = 2
    confirm_s: float = 0.03
    takeover_s: float = 0.15
    still_s: float = 0.75
    seek_s: float = 0.1
    repeat_s: float = 0.01
    forget_s: float = 10.0
    motion: Motion = field(default_factory=Motion)

    def __post_init__(self) -> None:
        for keep, start in (
            (self.keep_confidence, self.start_confidence),
            (self.keep_confidence, self.still_confidence),
            (self.keep_shaft_confidence, self.start_shaft_confidence),
        ):
            if not 0 <= keep <= start <= 1:
                raise ValueError(
                    f"a needle is taken up from {start} on and kept from {keep} on; "
                    "expected 0 <= keep <= start <= 1"
                )
        for name in self.__slots__:
            if name != "motion" and "confidence" not in name:
                _check_positive(name, getattr(self, name))


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is a positive number, got {value}")
