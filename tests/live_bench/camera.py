"""A camera that can be killed: ``python -m tests.live_bench.camera PORT`` (0: any).

Prints ``ready PORT`` once it can be opened at ``http://127.0.0.1:PORT/stream.mjpg``.
"""

from __future__ import annotations

import signal
import sys

from tests.live_bench.timecode import phantom_pictures
from tests.mjpeg_server import MjpegServer


def _main(port: int) -> None:
    pictures = phantom_pictures((320, 240), 30.0)
    with MjpegServer(lambda number: pictures[number % len(pictures)], port=port) as camera:
        sys.stdout.write(f"ready {camera.port}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    _main(int(sys.argv[1]))
