"""The ``nerveseg`` command: verbs over the package; an error becomes one line and exit code 2."""

from nerveseg.cli.entry import app, main

__all__ = ["app", "main"]
