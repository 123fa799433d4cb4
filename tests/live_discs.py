"""The made-up clip of `tests.discs` as a live source: in real time, and without an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cache

from nerveseg.errors import SourceError
from nerveseg.types import Frame, GrayImage
from nerveseg.video import sources
from nerveseg.video.clip import Clip
from tests.discs import FRAMES, SIZE, drawn_frame

FPS = 25.0


class LiveDiscs(Clip):
    """Frame ``n`` shows ``drawn_frame(n % FRAMES)``; ``gone`` makes the source vanish."""

    def __init__(self, uri: str, gone: threading.Event) -> None:
        super().__init__("discs", file=uri, fps=FPS, size_wh=SIZE, mm_per_px=0.2)
        self.facts = {"size": f"{SIZE[0]}x{SIZE[1]}"}
        self._gone = gone
        if gone.is_set():
            raise SourceError(f"{uri} is unplugged; plug it in again")

    def _frames(self) -> Iterator[Frame]:
        began_s, number = time.monotonic(), 0
        while not self._closing.wait(max(0.0, began_s + number / FPS - time.monotonic())):
            if self._gone.is_set():
                raise SourceError(f"{self.file} was unplugged; plug it in again")
            yield Frame(number, number / FPS, _drawn(number % FRAMES), self.mm_per_px)
            number += 1


class Opener:
    """Opens ``discs:`` addresses as `LiveDiscs`, everything else as always."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def __call__(self, uri: str) -> Clip:
        return LiveDiscs(uri, self.gone) if uri.startswith("discs:") else sources.open(uri)


@cache
def _drawn(number: int) -> GrayImage:
    return drawn_frame(number)
