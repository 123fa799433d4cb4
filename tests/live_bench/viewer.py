"""A viewer on another computer: takes each message as the page does, and paints nothing here.

``python -m tests.live_bench.viewer ws://HOST/watch/CODE/view SECONDS`` prints its figures as JSON.
Its delay is from capture to a picture that is decoded, read from the picture's own time code.
"""

from __future__ import annotations

import json
import struct
import sys
import time

import cv2
import numpy as np
from websockets.sync.client import connect

from tests.live_bench.timecode import TICK_BITS, TICK_S, read

_CYCLE_S = 2**TICK_BITS * TICK_S


def look_on(url: str, seconds: float) -> dict[str, float]:
    """Look on for some seconds."""
    delays_s: list[float] = []
    overlays: set[int] = set()
    with connect(url, max_size=2**24, compression=None) as socket:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            message = socket.recv(timeout=30)
            assert isinstance(message, bytes)
            (length,) = struct.unpack_from("<I", message)
            header, picture = json.loads(message[4 : 4 + length]), message[4 + length :]
            if picture:
                pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
                told = read(np.asarray(pixels, np.uint8))
                if told is not None:
                    delays_s.append((time.time() - told[1]) % _CYCLE_S)
            if header["overlay"]:
                overlays.add(header["overlay"]["number"])
            socket.send("ack")
    median, p95 = np.percentile(delays_s, [50, 95]) * 1e3
    return {
        "shown_fps": round(len(delays_s) / seconds, 3),
        "overlays_fps": round(len(overlays) / seconds, 3),
        "delay_median_ms": round(float(median), 3),
        "delay_p95_ms": round(float(p95), 3),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look_on(sys.argv[1], float(sys.argv[2]))))
