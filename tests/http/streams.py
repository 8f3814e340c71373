"""What tests of streams do again and again: a WebSocket that speaks JSON, server-sent events as they are read, numbers to wait for."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.http.conftest import Served

PROTOCOL = Subprotocol("graphql-transport-ws")
EVENTS = "text/event-stream"
ME = {"query": "{ me { name } }"}
PATIENCE_S = 20


class Client:
    """Speaks in JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, type: str, **rest: Any) -> None:
        await self.connection.send(json.dumps({"type": type, **rest}))

    async def read(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self.connection.recv())

    async def next(self, *types: str) -> Any:
        """The next message of these types, the server's pings answered meanwhile."""
        while True:
            message = await self.read()
            if message["type"] == "ping":
                await self.send("pong")
            if message["type"] in (types or ("next", "error", "complete", "pong")):
                return message

    async def subscribe(self, id: str = "1", **variables: Any) -> None:
        await self.send("subscribe", id=id, payload=subscription(**variables))

    async def turned_away(self) -> tuple[int, str]:
        """The code and reason with which the server closes, however well its pings are answered."""
        return await self.closed(self.next("nothing"))

    async def closed(self, reading: Awaitable[Any] | None = None) -> tuple[int, str]:
        """The code and reason with which the server closes."""
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await (reading or self.read())
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code, caught.value.rcvd.reason


@asynccontextmanager
async def opened(server: Served, **options: Any) -> AsyncIterator[Client]:
    """A WebSocket that has said nothing yet."""
    options.setdefault("subprotocols", [PROTOCOL])
    async with connect(f"{server.url.replace('http', 'ws')}/graphql", open_timeout=PATIENCE_S, **options) as made:
        yield Client(made)


@asynccontextmanager
async def ready(server: Served, token: str, **options: Any) -> AsyncIterator[Client]:
    """A WebSocket that has shown its token."""
    async with opened(server, **options) as client:
        await client.send("connection_init", payload={"authorization": f"Bearer {token}"})
        assert (await client.read())["type"] == "connection_ack"
        yield client


@asynccontextmanager
async def asked(
    server: Served, token: str | None, body: Any, accept: str = EVENTS, **headers: str
) -> AsyncIterator[httpx.Response]:
    """A request to GraphQL whose answer goes on."""
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    async with (
        httpx.AsyncClient(verify=False, timeout=PATIENCE_S) as client,
        client.stream("POST", f"{server.url}/graphql", json=body, headers={"accept": accept, **headers}) as response,
    ):
        yield response


def subscription(**variables: Any) -> dict[str, Any]:
    """One to `tests.http.scripted`."""
    return {"query": "subscription", "variables": variables}


async def events(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """The fields of each event; a comment is called so."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.removeprefix(" ")
        else:
            yield fields
            fields = {}


async def read(response: httpx.Response, number: int) -> list[dict[str, str]]:
    """So many events that are no comments."""
    found = []
    async for each in events(response):
        if "event" in each:
            found.append(each)
            if len(found) == number:
                break
    return found


async def counted(server: Served, name: str, wanted: float) -> None:
    """Waits until a number of the server's is so."""
    async with asyncio.timeout(PATIENCE_S):
        while await metric(server, name) != wanted:
            await asyncio.sleep(0.05)


async def metric(server: Served, name: str) -> float:
    async with httpx.AsyncClient(verify=False) as client:
        text = (await client.get(f"{server.url}/metrics")).text
    return float(re.findall(rf"^{name} (\S+)$", text, re.M)[0])


def workers(server: Served) -> list[int]:
    """The ids of a server's processes that answer; none where the system does not tell."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []
