"""How a command ends other than well."""

__all__ = ["FAILED", "INTERRUPTED", "Stopped"]

FAILED = 2
"""Exit code of an error, or of a run of which a part failed; told on stderr."""

INTERRUPTED = 130
"""Exit code after Ctrl-C; what was finished is kept."""


class Stopped(Exception):  # noqa: N818 - Ctrl-C is no error
    """Ctrl-C in the middle of long work; the text says what is kept."""
