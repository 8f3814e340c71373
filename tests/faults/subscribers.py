"""Subscribers who keep their cursors, over WebSockets, server-sent events and polls, and come back whatever ends their connection."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from crmgql.events.cursors import START

QUERY = """subscription($after: Cursor, $kinds: [String!]) {
    events(after: $after, kinds: $kinds) { cursor kind transactionId isLast } }"""
PASSING = {"SERVICE_UNAVAILABLE", "THROTTLED", "TIMEOUT"}
SILENT_S = 20
"""Heartbeats come every second."""


class Failed(Exception):
    """What the server said, and what a client takes as a reason to come back."""


@dataclass
class Subscriber:
    """`cursor` is kept in one step with `events`, as a client's own database would: both stay when the client is killed."""

    way: str
    urls: list[str]
    token: str
    kinds: list[str]
    dice: random.Random
    cursor: str = START.text()
    events: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    refused: list[Any] = field(default_factory=list)
    """Errors that no fault explains."""

    lost: list[str] = field(default_factory=list)
    """Snapshot cursors that were given for its own, which an undone history had given: it went on from there."""

    _living: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._living = asyncio.create_task(self._live())

    async def kill(self) -> None:
        assert self._living is not None
        self._living.cancel()
        await asyncio.gather(self._living, return_exceptions=True)

    async def _live(self) -> None:
        while True:
            url = self.dice.choice(self.urls)
            try:
                await {"socket": self._socket, "events": self._stream, "poll": self._polls}[self.way](url)
            except (OSError, TimeoutError, httpx.HTTPError, WebSocketException, Failed):
                await asyncio.sleep(self.dice.uniform(0.02, 0.3))

    def _take(self, answer: Any) -> None:
        if errors := answer.get("errors"):
            self._fail(errors)
        self._keep(answer["data"]["events"])

    def _keep(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.cursor = event["cursor"]

    def _fail(self, errors: Any) -> None:
        if errors[0]["extensions"]["code"] == "CURSOR_OF_ANOTHER_HISTORY":
            self.cursor = errors[0]["extensions"]["snapshotCursor"]
            self.lost.append(self.cursor)
        elif not {error["extensions"]["code"] for error in errors} <= PASSING:
            self.refused.append(errors)
        raise Failed(errors)

    async def _socket(self, url: str) -> None:
        address = f"{url.replace('http', 'ws')}/graphql"
        options: Any = {"open_timeout": SILENT_S, "close_timeout": 0.1, "ping_interval": None}
        async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")], **options) as socket:
            try:
                await self._speak(socket)
            except asyncio.CancelledError:
                socket.transport.abort()  # as the kernel does for a killed process
                raise

    async def _speak(self, socket: Any) -> None:
        async def send(**message: Any) -> None:
            await socket.send(json.dumps(message))

        await send(type="connection_init", payload={"authorization": f"Bearer {self.token}"})
        while True:
            async with asyncio.timeout(SILENT_S):
                message = json.loads(await socket.recv())
            if message["type"] == "connection_ack":
                self.connections += 1
                variables = {"after": self.cursor, "kinds": self.kinds or None}
                await send(type="subscribe", id="1", payload={"query": QUERY, "variables": variables})
            elif message["type"] == "ping":
                await send(type="pong")
            elif message["type"] == "next":
                self._take(message["payload"])
            elif message["type"] == "error":
                self._fail(message["payload"])

    async def _stream(self, url: str) -> None:
        headers = {"authorization": f"Bearer {self.token}", "accept": "text/event-stream", "last-event-id": self.cursor}
        body = {"query": QUERY, "variables": {"kinds": self.kinds or None}}
        async with (
            httpx.AsyncClient(verify=False, timeout=SILENT_S) as http,
            http.stream("POST", f"{url}/graphql", json=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                await response.aread()
                self._fail(response.json()["errors"])
            self.connections += 1
            async for line in response.aiter_lines():  # no free text is asked for
                if line.startswith("data: "):
                    self._take(json.loads(line.removeprefix("data: ")))
        raise Failed("the server ended the stream")

    async def _polls(self, url: str) -> None:
        headers = {"authorization": f"Bearer {self.token}", "accept": "application/json"}
        async with httpx.AsyncClient(base_url=url, headers=headers, verify=False, timeout=SILENT_S) as http:
            while True:
                given = {"after": self.cursor, "kinds": ",".join(self.kinds), "wait": "5", "first": "10"}
                response = await http.get("/events", params={name: value for name, value in given.items() if value})
                page = response.json()
                if "errors" in page:
                    self._fail(page["errors"])
                for event in page["events"]:
                    self._keep(event)
                self.cursor = page["cursor"]
                self.connections += 1
