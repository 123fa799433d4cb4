"""What a live session tells: frames as they come, results when they are ready, how it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from nerveseg.types import Frame, FrameResult

__all__ = [
    "Affine",
    "Listener",
    "LiveFrame",
    "LiveResult",
    "LiveState",
    "LiveStatus",
    "Moved",
    "Notice",
    "Target",
]

Affine: TypeAlias = tuple[float, float, float, float, float, float]
"""``a, b, c, d, e, f``: the point ``x, y`` goes to ``a·x + c·y + e, b·x + d·y + f``, in frame
pixels; the order in which a canvas takes it."""

LiveState: TypeAlias = Literal["opening", "live", "lost", "ended", "failed", "closed"]
"""``opening`` before the first frame; ``lost`` while a source that vanished is tried again;
``ended`` after the last frame of a recording; ``failed`` where trying again is no use."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How the tissue has moved from frame ``number`` to the frame that this belongs to."""

    number: int
    affine: Affine


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """A frame as it came from the source.

    ``frame.index`` counts the frames of the session from 0, also over a source that vanished and
    came back; ``frame.time_s`` are the session's seconds, which rise strictly. ``captured_at`` is
    when it came, in seconds since the epoch (`time.time`). ``opening`` counts how often the
    source had to be opened before. ``moved`` is there when the overlay of an earlier frame can be
    carried along to this one.
    """

    frame: Frame
    captured_at: float
    opening: int = 0
    moved: Moved | None = None

    @property
    def number(self) -> int:
        """The frame's number in the session."""
        return self.frame.index


@dataclass(frozen=True, slots=True)
class Target:
    """Whether one class of a block's structures is in view.

    ``names`` are what the syllabus asks for, ``found`` how many outlines (or planes) the frame
    shows. ``seen_s`` is for how long without a break, 0 when it isn't seen now; ``confidence``
    the mean probability inside them. ``known`` is False for a class that the model can't tell,
    of which nothing is said.
    """

    class_name: str
    names: tuple[str, ...]
    known: bool
    found: int = 0
    seen_s: float = 0.0
    confidence: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LiveResult:
    """All that was found on one frame; ``ready_at`` is when, in seconds since the epoch."""

    shot: LiveFrame
    result: FrameResult
    ready_at: float
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is wrong: ``key`` for programs, ``text`` says what, ``advice`` what to do."""

    key: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """How the session goes, over about the last two seconds.

    Rates are frames a second: ``promised_fps`` is the source's own word (``None`` if it gives
    none), ``delivered_fps`` what came, ``distinct_fps`` of these, those that differ from the one
    before, ``analysed_fps`` those that a result was made of. ``delivered`` and ``analysed``
    count frames since the session began, ``passed_over`` those that came while another was
    analysed. ``age_ms`` is the median time from capture to result. ``notices`` hold what is
    wrong now, the gravest first. ``source`` are facts of the device, such as the size and rate
    that were asked for and read back.
    """

    state: LiveState
    notices: tuple[Notice, ...] = ()
    promised_fps: float | None = None
    delivered_fps: float = 0.0
    distinct_fps: float = 0.0
    analysed_fps: float = 0.0
    delivered: int = 0
    analysed: int = 0
    passed_over: int = 0
    age_ms: float | None = None
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    source: Mapping[str, str | int | float | None] = field(default_factory=dict)
    frozen: bool = False


class Listener(Protocol):
    """Who hears of a session; called from its threads, so each call has to be quick.

    What a call raises is logged and ends nothing.
    """

    def on_capture(self, shot: LiveFrame) -> None:
        """A frame came; also while the picture is frozen."""

    def on_frame(self, shot: LiveFrame) -> None:
        """A frame is to be shown."""

    def on_result(self, result: LiveResult) -> None:
        """A frame was analysed."""

    def on_status(self, status: LiveStatus) -> None:
        """About twice a second, and at once when `state` or `notices` change."""
