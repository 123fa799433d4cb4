"""Target in view: which of the structures that a block asks for does the picture show now?

The model tells classes (nerve, vessel, fascia), not names: so it is said how many outlines of a
class there are and which names the syllabus has for them, never which is which.
"""

from __future__ import annotations

from collections.abc import Iterable

from nerveseg.anatomy import Block
from nerveseg.live.values import Target
from nerveseg.types import FrameResult

__all__ = ["TargetWatch"]

_GROUPS = {"artery": "vessel", "vein": "vessel"}
_LINES = "fascia"
_BRIDGED_S = 0.3
"""A structure that is missing for less than this, on a frame or two, is still in view."""


class TargetWatch:
    """Follows the classes of one block's syllabus over a session.

    ``known`` are the classes that the model can tell.
    """

    def __init__(self, block: Block, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._names: dict[str, list[str]] = {}
        for structure in block.structures:
            group = _GROUPS.get(structure.class_name, structure.class_name)
            self._names.setdefault(group, []).append(structure.name)
        self._since_s: dict[str, float] = {}
        self._gone_s: dict[str, float] = {}

    def update(self, result: FrameResult) -> tuple[Target, ...]:
        """The next frame's targets, in the order of the syllabus."""
        return tuple(self._target(name, result) for name in self._names)

    def _target(self, name: str, result: FrameResult) -> Target:
        names = tuple(self._names[name])
        if name not in self._known:
            return Target(name, names, known=False)
        found, confidence = _found(name, result)
        seen_s = self._seen_for(name, result.frame.time_s, seen=found > 0)
        return Target(name, names, True, found, seen_s, confidence)

    def _seen_for(self, name: str, now_s: float, *, seen: bool) -> float:
        """Seconds without a break; a pause of the analysis, in which nobody looked, is none."""
        gone_s = self._gone_s.get(name, now_s)
        if seen:
            self._gone_s.pop(name, None)
            if now_s - gone_s >= _BRIDGED_S:
                self._since_s[name] = now_s
            return now_s - self._since_s.setdefault(name, now_s)
        self._gone_s[name] = gone_s
        return 0.0


def _found(name: str, result: FrameResult) -> tuple[int, float | None]:
    """How many there are, and their mean confidence."""
    if name == _LINES:
        sure = [plane.confidence for plane in result.planes]
        return len(sure), sum(sure) / len(sure) if sure else None
    members = [member for member, group in _GROUPS.items() if group == name]
    stats = [
        result.structures[member] for member in (name, *members) if member in result.structures
    ]
    sure = [one.mean_confidence for one in stats if one.mean_confidence is not None]
    return sum(len(one.contours) for one in stats), max(sure) if sure else None
