"""OpenIGTLink servers for tests: a real one of pyigtl's, and one that sends any bytes."""

from __future__ import annotations

import signal
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pyigtl

from tests.video_files import picture


class _QuietHandler(socketserver.BaseRequestHandler):
    """Sends what pyigtl's server has to send; its own handler prints a trace at each hang-up."""

    def handle(self) -> None:
        self.server._connected = True
        self.request.settimeout(0.01)
        with suppress(OSError):
            while not self.server.communication_thread_stop_requested:
                while self.server._send_queued_message_from_socket(self.request):
                    pass
                with suppress(TimeoutError):
                    if not self.request.recv(1000):
                        break
        self.server._connected = False


class IgtlCamera:
    """pyigtl's own server, sending ``picture(n)`` as IMAGEs of the device ``Probe``.

    Made on the main thread; the signal handlers that it replaces are put back. It serves one
    client after the other.
    """

    def __init__(
        self,
        picture: Callable[[int], np.ndarray] = picture,
        *,
        fps: float = 30.0,
        mm_per_px: float = 1.0,
        device: str = "Probe",
    ) -> None:
        self.picture, self.fps, self.device = picture, fps, device
        self.matrix = np.diag([mm_per_px, mm_per_px, 1.0, 1.0])
        self._stop, self._running = threading.Event(), threading.Event()
        self._running.set()
        handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
        self.server = pyigtl.OpenIGTLinkServer(port=0, start_now=False)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        self.server.RequestHandlerClass = _QuietHandler
        self.port = self.server.server_address[1]
        # Only what serves, not what prints every five seconds.
        self._threads = [
            threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self._send, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def uri(self) -> str:
        return f"igtl://127.0.0.1:{self.port}"

    def stall(self) -> None:
        self._running.clear()

    def _send(self) -> None:
        number = 0
        while not self._stop.wait(1 / self.fps):
            if not (self._running.is_set() and self.server.is_connected()):
                continue
            if not self.server.outgoing_messages:
                self.send(self.picture(number))
                number += 1

    def close_connections(self) -> None:
        """Hang up on who is connected, as a program that ends."""
        self.server.communication_thread_stop_requested = True

    def send(self, pixels: np.ndarray, *, at: float | None = None, device: str = "") -> None:
        self.server.send_message(
            pyigtl.ImageMessage(
                pixels[np.newaxis], self.matrix, timestamp=at, device_name=device or self.device
            ),
            wait=False,
        )

    def close(self) -> None:
        self._stop.set()
        self._threads[1].join()
        self.server.stop()
        self._threads[0].join()

    def __enter__(self) -> IgtlCamera:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class RawPeer:
    """A server on loopback that sends ``content`` to who connects, then hangs up or is silent."""

    def __init__(self, content: bytes, *, then: str = "close") -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._content, self._then = content, then
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"igtl://127.0.0.1:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        with suppress(OSError):
            peer, _ = self._listening.accept()
            with peer:
                peer.sendall(self._content)
                if self._then == "silence":
                    self._done.wait()

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        # Wakes a thread that still waits for somebody to connect.
        with suppress(OSError):
            socket.create_connection(self._listening.getsockname(), timeout=1).close()
        self._listening.close()
        self._thread.join()
