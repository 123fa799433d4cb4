"""Send results out over OpenIGTLink; `igtl_results` says what is sent.

The messages are pyigtl's. Its server is not used: it has to be made on the main thread, takes over
the process's signals, serves one client at a time and keeps old messages for the next.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Final

from nerveseg.errors import StoreError
from nerveseg.types import FrameResult
from nerveseg.video.igtl import PORT, igtl_messages
from nerveseg.video.igtl_results import Packer, Sending

__all__ = ["IgtlServer"]

_log = logging.getLogger(__name__)

_FRESH_S: Final = 0.5
"""A tip that is not renewed for so long, in seconds, is told to be lost."""

_SLOW_S: Final = 2.0
"""A client that takes longer than that, in seconds, over one result is left."""

_MOST_CLIENTS: Final = 8
_TICK_S: Final = 0.2


class IgtlServer:
    """Sends results to all that connect, from threads of its own.

    `send` never waits: each client gets the newest result when it is ready for it, and one that
    is too slow is left. When no result comes for half a second, the tip is told to be lost.
    ``host`` is this computer alone by default, ``port`` 0 takes a free one and `port` tells
    which. Raises `StoreError` if the port can't be had, `SourceError` without pyigtl.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = PORT) -> None:
        self.packer = Packer(igtl_messages())
        self._listening = _listen(host, port)
        self.host = host
        self.port: int = self._listening.getsockname()[1]
        self._news = threading.Condition()
        self._newest: Sending | None = None
        self._closing = False
        self._senders: list[_Sender] = []
        self._thread = threading.Thread(target=self._accept, name="nerveseg-igtl-out", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        """How many are connected."""
        with self._news:
            return sum(sender.is_alive() for sender in self._senders)

    @property
    def closing(self) -> bool:
        """Whether all ends."""
        return self._closing

    def send(self, result: FrameResult, *, captured_at: float) -> None:
        """Have ``result`` sent; its frame was captured at ``captured_at``, s since the epoch."""
        with self._news:
            number = self._newest.number + 1 if self._newest else 0
            self._newest = Sending(number, result, captured_at)
            self._news.notify_all()

    def close(self) -> None:
        """Hang up and stop listening; more than once does no harm."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join()
        self._listening.close()
        for sender in self._senders:
            sender.join()

    def _accept(self) -> None:
        # A thread that waits to accept is not woken by a close on every system.
        self._listening.settimeout(_TICK_S)
        while not self._closing:
            try:
                self._take_in(self._listening.accept()[0])
            except TimeoutError:
                continue
            except OSError:
                time.sleep(_TICK_S)  # too many open files, say: it would fail at once again

    def _take_in(self, peer: socket.socket) -> None:
        with self._news:
            self._senders = [sender for sender in self._senders if sender.is_alive()]
            if self._closing or len(self._senders) >= _MOST_CLIENTS:
                peer.close()
                return
            # What was found before the client came is no news to it.
            sender = _Sender(peer, self, after=self._newest.number if self._newest else -1)
            self._senders.append(sender)
            sender.start()

    def next(self, after: int, wait_s: float) -> Sending | None:
        """The newest that is newer than ``after``; ``None`` if there is none or all ends."""
        with self._news:
            self._news.wait_for(lambda: self._closing or self._is_newer(after), wait_s)
            return self._newest if self._is_newer(after) and not self._closing else None

    def _is_newer(self, after: int) -> bool:
        return self._newest is not None and self._newest.number > after


class _Sender(threading.Thread):
    """What sends to one client, until that goes away or all ends."""

    def __init__(self, peer: socket.socket, server: IgtlServer, *, after: int) -> None:
        super().__init__(name="nerveseg-igtl-client", daemon=True)
        self._sent = after
        self._peer = peer
        self._server = server
        self._tip_told = False

    def run(self) -> None:
        """Send one newest result after another."""
        try:
            self._peer.settimeout(_SLOW_S)
            self._peer.sendall(self._server.packer.labels())
            self._send_all()
        except OSError as error:
            _log.info("an OpenIGTLink client went away: %s", error)
        finally:
            self._peer.close()

    def _send_all(self) -> None:
        while not self._server.closing and self._is_there():
            sending = self._server.next(self._sent, _FRESH_S)
            if sending is not None:
                self._sent = sending.number
                self._peer.sendall(self._server.packer.pack(sending))
                self._tip_told = sending.result.needle_state.needle is not None
            elif self._tip_told:
                self._peer.sendall(self._server.packer.lost())
                self._tip_told = False

    def _is_there(self) -> bool:
        """Whether the client hasn't hung up; what it sends is thrown away."""
        self._peer.setblocking(False)
        try:
            while content := self._peer.recv(65_536):
                del content
        except BlockingIOError:
            return True
        finally:
            self._peer.settimeout(_SLOW_S)
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_MOST_CLIENTS)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreError(
            f"can't send by OpenIGTLink from {host}:{port}: {reason}; choose another port, or "
            "close what uses this one"
        ) from error
