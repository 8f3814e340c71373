"""The floor of a fan-out: a bare Starlette WebSocket loop. It speaks just enough of graphql-transport-ws for the same clients.

`POST /send` with a JSON list of texts sends each of them to every socket, one after the other; with `?at_once` to all of them at once, a
task for each socket; with `?in_rows` 64 texts to a socket at once. No rights, no database, no cursors.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

ROW = 64
Way = Callable[[list[WebSocket], list[str]], Coroutine[Any, Any, None]]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    sys.setswitchinterval(0.001)  # as crmgql has it
    app.state.sockets = []
    yield


async def connected(socket: WebSocket) -> None:
    await socket.accept(subprotocol="graphql-transport-ws")
    try:
        while True:
            message: dict[str, Any] = orjson.loads(await socket.receive_text())
            if message["type"] == "connection_init":
                await socket.send_text('{"type":"connection_ack"}')
            elif message["type"] == "subscribe":
                socket.app.state.sockets.append(socket)
    except WebSocketDisconnect:
        pass


async def send(request: Request) -> Response:
    texts: list[str] = orjson.loads(await request.body())
    way = _send_in_rows if "in_rows" in request.query_params else _send
    sockets = request.app.state.sockets
    sending = _each_at_once(way, sockets, texts) if "at_once" in request.query_params else way(sockets, texts)
    request.app.state.sending = asyncio.create_task(sending)
    return Response(status_code=202)


async def _send(sockets: list[WebSocket], texts: list[str]) -> None:
    for text in texts:
        for socket in sockets:
            await socket.send_text(text)


async def _each_at_once(way: Way, sockets: list[WebSocket], texts: list[str]) -> None:
    await asyncio.gather(*(way([socket], texts) for socket in sockets))


async def _send_in_rows(sockets: list[WebSocket], texts: list[str]) -> None:
    for first in range(0, len(texts), ROW):
        for socket in sockets:
            await asyncio.gather(*map(socket.send_text, texts[first : first + ROW]))


app = Starlette(
    routes=[WebSocketRoute("/graphql", connected), Route("/send", send, methods=["POST"])], lifespan=lifespan
)
