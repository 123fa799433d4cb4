"""Exit codes of the command."""

__all__ = ["FAILED", "INTERRUPTED"]

FAILED = 2
"""An error, or a run of which a part failed; told on stderr."""

INTERRUPTED = 130
"""Stopped by Ctrl-C; what was finished is kept."""
