"""A live session's results out over OpenIGTLink."""

from __future__ import annotations

from nerveseg.live.values import LiveFrame, LiveResult, LiveStatus
from nerveseg.video.igtl_out import IgtlServer

__all__ = ["Outlet"]


class Outlet:
    """A `nerveseg.live.values.Listener` that sends each result through ``server``.

    It never keeps the session waiting: what a client is too slow for is left out. `close` closes
    the server too; take the outlet off the session first.
    """

    def __init__(self, server: IgtlServer) -> None:
        self.server = server

    def on_capture(self, shot: LiveFrame) -> None:
        """Nothing: pictures don't go out, results do."""

    def on_frame(self, shot: LiveFrame) -> None:
        """Nothing, likewise."""

    def on_result(self, result: LiveResult) -> None:
        """Send what was found."""
        self.server.send(result.result, captured_at=result.shot.captured_at)

    def on_status(self, status: LiveStatus) -> None:
        """Nothing: when results cease, the server tells by itself that the tip is lost."""

    def close(self) -> None:
        """Hang up on all clients and stop listening."""
        self.server.close()
