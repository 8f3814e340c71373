"""The load generator, in a process of its own: raw HTTP/1.1 over keep-alive connections, requests made beforehand.

Enters, as one JSON line on standard input: where to, the requests, how long. Leaves, as one JSON line on standard output:
how many answers, and their latencies. Always holds: an answer that is not 200 or not as long as expected ends the run,
since a quick wrong answer must not count. It shares the machine with what it measures, so it does as little as it can.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop


@dataclass(frozen=True)
class Load:
    """`requests` are the whole HTTP requests, `lengths` those of the answers' bodies (None: not checked)."""

    port: int
    requests: list[bytes]
    lengths: list[int] | None
    connections: int
    warmup_s: float
    measured_s: float
    seed: int


class Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, sends the next one."""

    def __init__(self, load: Load, number: int, latencies: list[float], done: asyncio.Future[None]) -> None:
        self.load, self.latencies, self.done = load, latencies, done
        self.random = random.Random(load.seed * 1000 + number)
        self.starts = time.perf_counter() + load.warmup_s
        self.ends = self.starts + load.measured_s
        self.buffer = bytearray()
        self.missing = -1  # bytes still to come; -1: the head is not complete

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.number = self.random.randrange(len(self.load.requests))
        self.sent = time.perf_counter()
        self.transport.write(self.load.requests[self.number])

    def data_received(self, data: bytes) -> None:
        if self.missing < 0:
            self.buffer += data
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self.missing = self.length(bytes(self.buffer[:end])) - (len(self.buffer) - end - 4)
            self.buffer.clear()
        else:
            self.missing -= len(data)
        if self.missing == 0:
            self.answered()

    def length(self, head: bytes) -> int:
        """The length of the body, once it is what it should be."""
        _, _, rest = head.lower().partition(b"content-length:")
        length = int(rest.partition(b"\r\n")[0] or -1)
        expected = length if self.load.lengths is None else self.load.lengths[self.number]
        if not head.startswith(b"HTTP/1.1 200") or length != expected or length < 0:
            self.fail(f"request {self.number}: {head[:200]!r}, expected 200 and {expected} bytes")
        return length

    def answered(self) -> None:
        now = time.perf_counter()
        self.missing = -1
        if now >= self.ends:
            self.finish()
            return
        if self.sent >= self.starts:
            self.latencies.append(now - self.sent)
        self.send()

    def fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(message))
        self.transport.abort()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"connection lost: {exc}"))


async def drive(load: Load) -> dict[str, float]:
    """All connections until the time is over."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    finished: list[asyncio.Future[None]] = [loop.create_future() for _ in range(load.connections)]
    for number, done in enumerate(finished):
        connect = partial(Connection, load, number, latencies, done)
        await loop.create_connection(connect, "127.0.0.1", load.port)
    await asyncio.wait_for(asyncio.gather(*finished), load.warmup_s + load.measured_s + 30)
    latencies.sort()
    if not latencies:
        raise RuntimeError("not one answer in the measured time")
    return {
        "requests": len(latencies),
        "per_second": len(latencies) / load.measured_s,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p95_ms": latencies[len(latencies) * 95 // 100] * 1000,
    }


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    spec["requests"] = [request.encode() for request in spec["requests"]]
    print(json.dumps(uvloop.run(drive(Load(**spec)))), flush=True)


if __name__ == "__main__":
    main()
