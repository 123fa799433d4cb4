"""The app, or the plainest alternative, in a process of its own, as a user runs it.

``python -m tests.live_bench.server app|plain URI``: prints ``ready ADDRESS`` once it listens;
answers each line on its input (empty, or ``share``) with one line of JSON about its sessions; ends
with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import psutil

__all__ = ["Served", "serving"]


class Served:
    """A server in its own process."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address
        self.seen = psutil.Process(process.pid)

    def ask(self, order: str = "") -> dict[str, Any]:
        """What the server says of itself; ``share`` lets others look on first."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@contextlib.contextmanager
def serving(kind: str, uri: str, *more: str, **environment: str) -> Iterator[Served]:
    """Serve ``uri`` until the block ends."""
    command = [sys.executable, "-m", "tests.live_bench.server", kind, uri, *more]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if words[:1] != ["ready"]:
                raise RuntimeError(f"the server did not start; it said {words}")
            yield Served(process, words[1])
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _main(kind: str, uri: str, *more: str) -> None:
    import uvicorn

    app, tell, config = _app(uri, *more) if kind == "app" else _plain(uri)
    server = uvicorn.Server(config(app))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    _say(f"ready http://127.0.0.1:{port}/")
    for order in sys.stdin:
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        _say(json.dumps({"threads": names, **tell(order.strip())}))
    server.should_exit = True
    thread.join(10)


def _app(uri: str, threads: str = "", backend: str = "auto") -> tuple[Any, Any, Any]:
    from nerveseg.ui.live.desk import Desk, live_segmenter
    from nerveseg.ui.server import build_app, server_config
    from nerveseg.vision.segment import Segmenter

    def load() -> Segmenter:
        if not threads:
            return live_segmenter()
        return Segmenter.load(threads=int(threads), backend=backend)

    desk = Desk(load, opener=_open)
    app = build_app(desk=desk, live=uri or None)

    def tell(order: str) -> dict[str, Any]:
        seats = tuple(desk._seats.values())
        code = seats[0].share(on=True) if order == "share" else None
        return {"sessions": [asdict(seat.session.status) for seat in seats], "code": code}

    return app, tell, lambda app: server_config(app, port=0)


def _open(uri: str) -> Any:
    from nerveseg.video import sources
    from tests.live_bench.timecode import open_timecode

    return open_timecode(uri) if uri.startswith("timecode:") else sources.open(uri)


def _plain(uri: str) -> tuple[Any, Any, Any]:
    import uvicorn

    from tests.live_bench.plain import build_plain

    return (
        build_plain(_open, uri),
        lambda _: {},
        lambda app: uvicorn.Config(app, port=0, log_level="warning"),
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
