"""imgpipe and a photo that comes over the network: the arrival alone, then decoding during it, then after it.

It is a busy worker: each way comes right after another photo, for a core that has just waited is slow at first.
The network is a clock: bytes arrive at a steady rate from the first request on, whether or not somebody reads, as they
do in the buffer of a socket. Arguments: the file, megabytes per second, turns. One JSON line: wall_ms by way, a list.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders.ours import recipe, work
from image_pipeline.renditions import render_stream
from image_pipeline.stream import Arriving

_TICK = 0.0002


class Network:
    """The body of a response: `read(n)` waits for bytes and returns at most `n` of them, none at the end."""

    def __init__(self, data: bytes, rate: float) -> None:
        self._data, self._rate, self._at = memoryview(data), rate, 0
        self._began = time.perf_counter()

    def read(self, size: int) -> bytes:
        wanted = min(self._at + size, len(self._data))
        while (come := int((time.perf_counter() - self._began) * self._rate)) < wanted:
            time.sleep(max(_TICK, (wanted - come) / self._rate))
        block = bytes(self._data[self._at : wanted])
        self._at = wanted
        return block


def alone(data: bytes, rate: float) -> None:
    network = Network(data, rate)
    while network.read(131_072):
        pass


def during(data: bytes, rate: float) -> None:
    render_stream(Arriving(Network(data, rate).read, len(data)), recipe("jpeg"))


def after(data: bytes, rate: float) -> None:
    network = Network(data, rate)
    blocks = []
    while block := network.read(131_072):
        blocks.append(block)
    work(b"".join(blocks), "jpeg")


WAYS: dict[str, Callable[[bytes, float], None]] = {"alone": alone, "during": during, "after": after}

if __name__ == "__main__":
    photo, rate, turns = Path(sys.argv[1]).read_bytes(), float(sys.argv[2]) * 1e6, int(sys.argv[3])
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(turns + 1):
        for way, run in WAYS.items():
            work(photo, "jpeg")
            began = time.perf_counter()
            run(photo, rate)
            if turn:
                took[way].append(1000 * (time.perf_counter() - began))
    sys.stdout.write(json.dumps(took) + "\n")
