"""Long-pollers, in processes of their own: thousands of connections in one epoll loop, each asking for what `next` says, again and again.

Orders, a line of JSON each: `open` so many, `read` for some seconds. The answer to `read` lists, by the position of the first event
in a page, when it arrived at each connection.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time
from collections import defaultdict
from typing import Any

CURSOR = b'"cursor":"evc_'
NEXT = b'"next":"'
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Pollers:
    def __init__(self) -> None:
        self.all: dict[int, socket.socket] = {}
        self.rests: dict[int, bytes] = {}
        self.epoll = select.epoll()
        self.epoll.register(0, select.EPOLLIN)
        self.empty = 0
        self.arrived: dict[int, list[float]] = defaultdict(list)

    def open(self, *, port: int, number: int, token: str, path: str) -> None:
        self.head = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        request = b"GET " + path.encode() + self.head
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request)
            connection.setblocking(False)
            self.all[connection.fileno()] = connection
            self.rests[connection.fileno()] = b""
            self.epoll.register(connection.fileno(), select.EPOLLIN)

    def turn(self) -> bool:
        ordered = False
        for fd, _ in self.epoll.poll(0.05):
            if fd == 0:
                ordered = True
                continue
            data = self.all[fd].recv(65_536)
            if not data:
                raise RuntimeError("a connection was closed")
            self._take(fd, self.rests[fd] + data)
        return ordered

    def _take(self, fd: int, data: bytes) -> None:
        end = data.find(HEAD_END)
        head = data[:end].lower()
        at = head.find(LENGTH)
        if end < 0 or at < 0:
            self.rests[fd] = data
            if end >= 0:
                raise RuntimeError(f"an answer without a length: {data[:300]!r}")
            return
        length = int(head[at + len(LENGTH) :].partition(b"\r")[0])
        if len(data) < end + 4 + length:
            self.rests[fd] = data
            return
        if not data.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {data[:500]!r}")
        self.rests[fd] = b""
        self._answered(fd, data[end + 4 :])

    def _answered(self, fd: int, body: bytes) -> None:
        if body.startswith(b'{"events":[]'):
            self.empty += 1
        else:
            at = body.index(CURSOR) + len(CURSOR)
            self.arrived[int(body[at + 8 : at + 24], 16)].append(time.monotonic())
        at = body.rindex(NEXT) + len(NEXT)
        self.all[fd].send(b"GET " + body[at : body.index(b'"', at)] + self.head)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    pollers, ends, cpu_s = Pollers(), float("inf"), 0.0
    while True:
        if pollers.turn():
            line = sys.stdin.readline()
            if not line:
                return
            order: dict[str, Any] = json.loads(line)
            if order.pop("do") == "open":
                pollers.open(**order)
                print(json.dumps({"opened": len(pollers.all)}), flush=True)
            else:
                pollers.arrived.clear()
                pollers.empty, cpu_s = 0, time.process_time()
                ends = time.monotonic() + order["seconds"]
        if time.monotonic() >= ends:
            ends = float("inf")
            spent_s = time.process_time() - cpu_s
            print(json.dumps({"arrived": pollers.arrived, "empty": pollers.empty, "cpu_s": spent_s}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
        raise
