"""The app: a page in the browser over the same rooms as the command line."""

from nerveseg.ui.server import build_app
from nerveseg.ui.serving import serve

__all__ = ["build_app", "serve"]
