"""A receiver of webhooks, in a process of its own: answers 200 to everything, and checks a signature of every tenth request.

Orders, a line of JSON each: `listen`, and `wait` until so many have come.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from standardwebhooks import Webhook

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHECKED = 10


class Receiver:
    def __init__(self) -> None:
        self.secrets: dict[str, Webhook] = {}
        self.count = self.verified = 0
        self.first_s = self.last_s = 0.0
        self.seen: set[str] = set()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        now = time.monotonic()
        self.first_s = self.first_s or now
        self.last_s = now
        self.count += 1
        self.seen.add(path + headers["webhook-id"])
        if self.count % CHECKED == 0:
            self.secrets[path].verify(body, headers)
            self.verified += 1

    async def listen(self, *, secrets: dict[str, str]) -> dict[str, Any]:
        """Of each path, the secret with which its requests are signed."""
        self.secrets = {path: Webhook(secret) for path, secret in secrets.items()}
        self.count = self.verified = 0
        self.first_s = self.last_s = 0.0
        self.seen.clear()
        return {}

    async def wait(self, *, messages: int, seconds: float) -> dict[str, Any]:
        """`messages`: how many different ones."""
        ends, cpu_s = time.monotonic() + seconds, time.process_time()
        while len(self.seen) < messages and time.monotonic() < ends:  # noqa: ASYNC110 - an event for each request would cost more
            await asyncio.sleep(0.05)
        return {
            "requests": self.count,
            "messages": len(self.seen),
            "verified": self.verified,
            "seconds": self.last_s - self.first_s,
            "cpu_s": time.process_time() - cpu_s,
        }


class Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            stop = end + 4 + int(headers.get("content-length", 0))
            if len(self.buffer) < stop:
                return
            self.receiver.take(first.split(" ")[1], headers, self.buffer[end + 4 : stop])
            self.buffer = self.buffer[stop:]
            self.transport.write(OK)


async def _work() -> None:
    receiver = Receiver()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(receiver), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await getattr(receiver, order.pop("do"))(**order)), flush=True)
    server.close()


if __name__ == "__main__":
    uvloop.run(_work())
