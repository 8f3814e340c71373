"""WebSockets on `/graphql`: who may open one.

Enters: a WebSocket that asks to be accepted. Refused before: a web page of an origin that is neither ours nor in
`CRMGQL_CORS_ORIGINS` (HTTP 403). Refused after, with a code that clients understand: another subprotocol, too many.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import Receive, Scope, Send

from crmgql import logs
from crmgql.config import Settings
from crmgql.engine.operations import Engine
from crmgql.errors import Throttled
from crmgql.http import cors, exchange
from crmgql.http.addresses import Addresses
from crmgql.http.caps import Caps
from crmgql.http.metrics import Metrics
from crmgql.http.open_streams import OpenStreams
from crmgql.http.socket_connection import Connection, send_close
from crmgql.http.socket_protocol import SUBPROTOCOL, Close, Code


class Endpoint:
    """The ASGI application. `origins` are those of `cors.origins`."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        caps: Caps,
        open_streams: OpenStreams,
        *,
        addresses: Addresses,
        origins: frozenset[str],
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.metrics = metrics
        self.caps = caps
        self.addresses = addresses
        self.origins = origins
        self.open = open_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = exchange.header_fields(scope["headers"])
        logs.request_id.set(exchange.request_id(headers.get(b"x-request-id")))
        await receive()
        if not self._may_open(headers):
            await send({"type": "websocket.close", "code": int(Code.FORBIDDEN)})
            return
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send_close(send, Close(Code.SUBPROTOCOL, f"Subprotocol not acceptable: ask for {SUBPROTOCOL}"))
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        client = scope.get("client")
        remote = self.addresses.client(client and client[0], headers.get(b"x-forwarded-for"))
        try:
            place = self.caps.place(remote)
        except Throttled as error:
            await send_close(send, Close(Code.TRY_LATER, error.message))
            return
        header = headers.get(b"authorization")
        connection = Connection(
            self.engine,
            self.settings,
            self.metrics,
            place,
            receive=receive,
            send=send,
            remote=remote,
            agent=headers.get(b"user-agent"),
            header=None if header is None else header.decode("latin-1"),
        )
        self.open.add(connection)
        try:
            await connection.run()
        finally:
            self.open.discard(connection)
            place.close()

    def _may_open(self, headers: dict[bytes, bytes]) -> bool:
        """A page of our own origin, of a listed one, or no page at all."""
        origin = headers.get(b"origin")
        if origin is None or cors.ANY in self.origins:
            return True
        text = origin.decode("latin-1").lower()
        return text in self.origins or urlsplit(text).netloc == headers.get(b"host", b"").decode("latin-1").lower()
