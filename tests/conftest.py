"""What all tests share: where the real data lies, and that nobody logs an ERROR unnoticed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is the machine's business, and no test's.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "logs_errors: this test makes an ERROR log record on purpose; others fail on one"
    )


@pytest.fixture
def data_root() -> Path:
    """The folder that holds the public datasets under their publishers' names."""
    given = os.environ.get("NERVESEG_DATA")
    if not given:
        pytest.skip("NERVESEG_DATA is not set to the folder of the public datasets")
    root = Path(given)
    if not root.is_dir():
        pytest.skip(f"NERVESEG_DATA is {given}, which is no folder")
    return root


class _Errors(logging.Handler):
    """Keeps what is logged at ERROR or above, by any library, while a test runs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    try:
        result = yield
    finally:
        logging.getLogger().removeHandler(errors)
    if errors.lines and item.get_closest_marker("logs_errors") is None:
        pytest.fail("an ERROR was logged:\n" + "\n".join(errors.lines), pytrace=False)
    return result
