"""The subscribers, in a process of their own: thousands of WebSockets in one epoll loop that counts the deliveries.

Orders, a line of JSON each: `open` sockets, `read` until each socket had so many deliveries or the time is over. An event's number
stands in its text as `event-000123`; number 0 is the warm-up, which shows that a subscription is there and counts for nothing. The loop
does as little as it can, since it shares the machine with what it measures: `cpu_s` says how much that was.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

MARK = b"event-"
DIGITS = 6
AT_ONCE = 100
"""Sockets whose handshakes are under way together."""

HANDSHAKE_S = 30.0
TEXT, CLOSE = 1, 8
PONG = json.dumps({"type": "pong"})


def frame(text: str) -> bytes:
    """A client's text frame, with a mask of zeros."""
    body = text.encode()
    length = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0xFE]) + len(body).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + body


class Follower:
    """One socket. `count`: its deliveries, the warm-ups left out."""

    __slots__ = ("count", "rest", "socket", "warm")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.rest = b""
        self.count = 0
        self.warm = False


class Followers:
    """All of them, and what they were sent since the last order to read."""

    def __init__(self) -> None:
        self.all: dict[int, Follower] = {}
        self.epoll = select.epoll()
        self.epoll.register(0, select.EPOLLIN)
        self.kept: list[str] | None = None
        self.marked = True
        self.restart()

    def restart(self) -> None:
        self.numbers, self.times = array("I"), array("d")
        self.deliveries = self.bytes = 0
        self.first_s = self.last_s = 0.0
        self.each: int | None = None
        self.complete = 0
        self.ends = float("inf")
        self.cpu_s = time.process_time()
        for follower in self.all.values():
            follower.count = 0

    # Orders.

    def open(
        self,
        *,
        port: int,
        tokens: list[str],
        sockets: int,
        query: str,
        variables: list[dict[str, Any]],
        sse: bool = False,
    ) -> None:
        """Tokens and variables are dealt out in turn."""
        payloads = [{"query": query, "variables": each} for each in variables]
        for start in range(0, sockets, AT_ONCE):
            some = range(start, min(start + AT_ONCE, sockets))
            opened = (self._streams if sse else self._sockets)(
                [tokens[n % len(tokens)] for n in some], port, [payloads[n % len(payloads)] for n in some]
            )
            for each in opened:
                each.setblocking(False)
                self.all[each.fileno()] = Follower(each)
                self.epoll.register(each.fileno(), select.EPOLLIN)

    def _streams(self, tokens: list[str], port: int, payloads: list[dict[str, Any]]) -> list[socket.socket]:
        """Event streams, which are opened and not read: for who wants to know what they cost."""
        opened = [connected(port) for _ in tokens]
        for each, token, payload in zip(opened, tokens, payloads, strict=True):
            body = json.dumps(payload)
            head = f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            head += "Accept: text/event-stream\r\nContent-Type: application/json\r\n"
            each.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        for each in opened:
            expect(each, b": open", b"\n")
        return opened

    def _sockets(self, tokens: list[str], port: int, payloads: list[dict[str, Any]]) -> list[socket.socket]:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        ).encode()
        opened = [connected(port) for _ in tokens]
        for each in opened:
            each.sendall(head)
        for each, token in zip(opened, tokens, strict=True):
            expect(each, b"101 ", b"\r\n\r\n")
            each.sendall(frame(json.dumps({"type": "connection_init", "payload": {"token": token}})))
        for each, payload in zip(opened, payloads, strict=True):
            expect(each, b"connection_ack", b"}")
            each.sendall(frame(json.dumps({"type": "subscribe", "id": "1", "payload": payload})))
        return opened

    def read(self, *, seconds: float, each: int | None = None, warm: bool = False) -> Callable[[], bool]:
        """Starts to read; what it returns says whether it is done."""
        self.ends = time.monotonic() + seconds
        if warm:
            return lambda: all(follower.warm for follower in self.all.values())
        self.each = each
        return lambda: each is not None and self.complete == len(self.all)

    def figures(self) -> dict[str, Any]:
        return {
            "deliveries": self.deliveries,
            "bytes": self.bytes,
            "first_s": self.first_s,
            "last_s": self.last_s,
            "least": min((follower.count for follower in self.all.values()), default=0),
            "warm": sum(follower.warm for follower in self.all.values()),
            "cpu_s": time.process_time() - self.cpu_s,
        }

    # What arrives.

    def turn(self, timeout_s: float) -> bool:
        """Reads what is there, unless there is an order: what comes after it counts from it on."""
        ready = self.epoll.poll(timeout_s)
        if any(fd == 0 for fd, _ in ready):
            return True
        for fd, _ in ready:
            follower = self.all[fd]
            data = follower.socket.recv(262_144)
            if not data:
                raise RuntimeError("the server closed a connection")
            self._take(follower, follower.rest + data if follower.rest else data)
        return False

    def _take(self, follower: Follower, data: bytes) -> None:
        now = time.monotonic()
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                start = at + 4
                length = int.from_bytes(data[at + 2 : start], "big")
            elif length == 127:
                start = at + 10
                length = int.from_bytes(data[at + 2 : start], "big")
            stop = start + length
            if start > end or stop > end:
                break
            if data.startswith(b'{"id"', start):
                self._delivery(follower, data, start, stop, now)
            else:
                self._other(follower, data[at] & 15, data[start:stop])
            at = stop
        follower.rest = data[at:]

    def _delivery(self, follower: Follower, data: bytes, start: int, stop: int, now: float) -> None:
        if self.marked:
            mark = data.find(MARK, start, stop)
            if mark < 0:
                raise RuntimeError(f"no delivery: {data[start:stop]!r}")
            number = int(data[mark + len(MARK) : mark + len(MARK) + DIGITS])
            if not number:
                follower.warm = True
                return
            self.numbers.append(number)
            self.times.append(now)
        if not self.deliveries:
            self.first_s = now
        self.last_s = now
        self.deliveries += 1
        self.bytes += stop - start
        follower.count += 1
        if follower.count == self.each:
            self.complete += 1
        if self.kept is not None and follower is next(iter(self.all.values())):
            self.kept.append(data[start:stop].decode())

    def _other(self, follower: Follower, kind: int, text: bytes) -> None:
        if kind == TEXT and b'"ping"' in text:
            follower.socket.send(frame(PONG))
        elif kind == CLOSE or (kind == TEXT and b'"pong"' not in text):
            raise RuntimeError(f"not expected: {text!r}")


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def expect(connection: socket.socket, part: bytes, end: bytes) -> None:
    data = b""
    while part not in data or not data.endswith(end):
        more = connection.recv(65_536)
        if not more:
            raise RuntimeError(f"refused: {data!r}")
        data += more


def obey(followers: Followers, order: dict[str, Any]) -> Callable[[], dict[str, Any] | None]:
    """Carries out an order, or begins to. What it returns gives the answer, None as long as there is none."""
    what = order.pop("do")
    if what == "open":
        followers.marked, then = order.pop("marked", True), order.pop("then", None)
        started = time.monotonic()
        followers.open(**order)
        if then is None:
            return lambda: {"opened": len(followers.all)}
        order = then
    else:
        started = time.monotonic()
    file, keep = order.pop("file", None), order.pop("keep", False)
    followers.restart()
    followers.kept = [] if keep else None
    done = followers.read(**order)

    def answer() -> dict[str, Any] | None:
        if not done() and time.monotonic() < followers.ends:
            return None
        if file is not None:
            with open(file, "wb") as out:
                followers.numbers.tofile(out)
                followers.times.tofile(out)
        return followers.figures() | {"started_s": started} | ({"texts": followers.kept} if keep else {})

    return answer


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    followers = Followers()
    answer: Callable[[], dict[str, Any] | None] | None = None
    while True:
        if followers.turn(0.05):
            line = sys.stdin.readline()
            if not line:
                return
            answer = obey(followers, json.loads(line))
        if answer is not None and (said := answer()) is not None:
            print(json.dumps(said), flush=True)
            answer = None


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
        raise
