"""A camera for tests: an HTTP server on loopback that sends MJPEG, and misbehaves on demand.

::

    with MjpegServer(fps=30) as camera:
        sources.open(camera.url)

`picture(i)` of `tests.video_files` is shown by default, so that frames tell their order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from tests.video_files import picture

_BOUNDARY = b"nervesegframe"


class MjpegServer:
    """Sends ``picture(n)`` (``uint8`` ``(H, W)`` or ``(H, W, 3)``, or the bytes of a part) for
    n = 0, 1, … at ``fps`` to whoever asks; n counts on over connections. After ``count`` pictures
    it hangs up. It listens until `close`, and again, on the same port, after `start`.
    """

    def __init__(
        self,
        picture: Callable[[int], np.ndarray | bytes] = picture,
        *,
        fps: float = 30.0,
        count: int | None = None,
        port: int = 0,
        quality: int = 90,
    ) -> None:
        self.picture, self.fps, self.count, self.port = picture, fps, count, port
        self.quality = quality
        self.sent = 0
        self.connections = 0
        self.running = threading.Event()
        self.running.set()
        self._epoch = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    def start(self) -> None:
        """Listen (again)."""
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.camera = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def hang_up(self) -> None:
        """Close every connection, as a plug that is pulled; new ones are taken."""
        self._epoch += 1

    def stall(self) -> None:
        """Send nothing more, but stay connected, until `resume`."""
        self.running.clear()

    def resume(self) -> None:
        self.running.set()

    def close(self) -> None:
        """Hang up and stop listening."""
        self.hang_up()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def parts(self):
        """The bytes of one part after another, at the camera's pace."""
        epoch, due = self._epoch, time.monotonic()
        while epoch == self._epoch:
            if not self.running.wait(0.02):
                due = time.monotonic()
                continue
            if self.count is not None and self.sent >= self.count:
                return
            number, self.sent = self.sent, self.sent + 1
            yield self._part(self.picture(number))
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.monotonic()))

    def _part(self, shown: np.ndarray | bytes) -> bytes:
        if isinstance(shown, bytes):
            return shown
        done, jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        assert done
        return jpeg_part(jpeg.tobytes())


def jpeg_part(content: bytes) -> bytes:
    """``content`` as one part of the stream."""
    head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    return head % (_BOUNDARY, len(content)) + content + b"\r\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    camera: Any = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to talk of."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        camera = self.server.camera
        if self.path.partition("?")[0] != "/stream.mjpg":
            self.send_error(404)
            return
        camera.connections += 1
        self.send_response(200)
        self.send_header(
            "Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"
        )
        self.end_headers()
        for part in camera.parts():
            self.wfile.write(part)

    def log_message(self, *words: object) -> None:
        pass
