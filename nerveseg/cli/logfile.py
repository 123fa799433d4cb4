"""``--log FILE``: what the program tells of itself, kept in a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nerveseg.video.sinks import storing

__all__ = ["logging_to"]

_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """Have all that nerveseg logs added to ``path`` meanwhile; ``None`` keeps none of it.

    Raises `StoreError` if the file can't be written.
    """
    if path is None:
        yield
        return
    with storing(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_LINE))
    logger = logging.getLogger("nerveseg")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()
