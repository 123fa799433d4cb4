"""The phantom as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any, Final

from nerveseg.address import Address, flag, number_between
from nerveseg.phantom import Phantom, parse_uri
from nerveseg.types import Frame
from nerveseg.video.clip import Clip
from nerveseg.video.paced import PacedClip

__all__ = ["PhantomClip", "open_phantom"]

_FPS = 25.0
_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "fps": number_between(1, 240),
    "loop": flag,
    "realtime": flag,
}


def open_phantom(address: Address, *, stride: int = 1) -> Clip:
    """The phantom at ``phantom:BLOCK?…``: the keys of `nerveseg.phantom.parse_uri` and ``fps``
    (25 if left out), ``loop``, which makes it endless, and ``realtime``.
    """
    own, rest = address.split(tuple(_OPTIONS))
    given = own.options(_OPTIONS)
    fps, endless = given.get("fps", _FPS), given.get("loop", False)

    def make() -> PhantomClip:
        return PhantomClip(rest.uri, file=address.uri, stride=stride, fps=fps, endless=endless)

    return PacedClip(make, realtime=True) if given.get("realtime") else make()


class PhantomClip(Clip):
    """A synthetic clip, made frame by frame as it is read."""

    def __init__(
        self,
        uri: str,
        *,
        file: str | None = None,
        stride: int = 1,
        fps: float = _FPS,
        endless: bool = False,
    ) -> None:
        self._phantom, length = parse_uri(uri)
        height, width = self._phantom.frame_at(0, fps).frame.pixels.shape
        super().__init__(
            f"phantom_{self._phantom.block}",
            file=file or uri,
            stride=stride,
            frame_count=None if endless else length,
            fps=fps,
            size_wh=(width, height),
            mm_per_px=self._phantom.mm_per_px,
        )

    @property
    def phantom(self) -> Phantom:
        """What makes the frames, and knows the truth about each: ``phantom.frame_at(index)``."""
        return self._phantom

    def _frames(self) -> Iterator[Frame]:
        length = self.frame_count
        indices = count() if length is None else range(length)
        for index in islice(indices, 0, None, self.stride):
            yield self._phantom.frame_at(index, self.fps or _FPS).frame
