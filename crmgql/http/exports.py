"""`GET /exports/<id>`: the lines of an export, for its owner.

Enters: the id of a finished export, with a token or key. Leaves: JSON Lines, chunk by chunk as they are kept: gzip, or unpacked
for who does not read that. Memory holds one chunk. The cursor at which the export is whole is in the header `crmgql-cursor`.

Refused are other methods (405), strangers (401), unknown, foreign and expired exports (404), those with fewer rights than it was
written with (403), and what is not finished (409).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

from starlette.types import Message, Receive, Send

from crmgql.domain.people.identity import Identities
from crmgql.domain.streams import exports, packed
from crmgql.engine.documents import LOG_IN
from crmgql.engine.operations import Engine
from crmgql.errors import BadUserInput, NotFound, Unauthenticated
from crmgql.http import exchange, negotiation
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.exchange import Answer, Arrived
from crmgql.http.metrics import Metrics
from crmgql.http.refusals import Headers, Refused
from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import decode_id
from crmgql.records.records import Row
from crmgql.viewer import Viewer, system_clock

PATH = "/exports/"
MEDIA = b"application/jsonl; charset=utf-8"
FIND = "SELECT * FROM exports WHERE id = $1"
ONLY_GET: Headers = ((b"allow", b"GET"),)


class Endpoint(exchange.Endpoint):
    """The ASGI application behind `/exports/`."""

    vary = b"Accept-Encoding, Authorization"
    kind = "export"

    def __init__(
        self, engine: Engine, identities: Identities, metrics: Metrics, *, bodies: Bodies, addresses: Addresses
    ) -> None:
        super().__init__(metrics, bodies, addresses)
        self.engine = engine
        self.identities = identities

    async def answer(self, arrived: Arrived) -> Answer:
        if arrived.method != "GET":
            raise Refused(405, "METHOD_NOT_ALLOWED", "Use GET.", ONLY_GET)
        authorization = arrived.headers.get(b"authorization")
        if authorization is None:
            raise Unauthenticated(LOG_IN)
        viewer = await self.identities.identify(authorization.decode("latin-1"), system_clock)
        name = arrived.scope["path"].removeprefix(PATH)
        try:
            row = await self._find(decode_id(name, prefix=PREFIXES["Export"]), viewer)
        except (BadUserInput, NotFound) as error:
            message = error.message if isinstance(error, NotFound) else "There is no such export, or it is not yours."
            raise Refused(404, "NOT_FOUND", message) from None
        except exports.ExportNotReady as error:
            raise Refused(409, error.code, error.message) from None
        gzipped = negotiation.reads_gzip(arrived.headers.get(b"accept-encoding"))
        headers: Headers = (
            (b"content-disposition", f'attachment; filename="{name}.jsonl"'.encode()),
            (b"crmgql-cursor", row["cursor"].encode()),
            *(((b"content-encoding", b"gzip"),) if gzipped else ()),
        )

        async def respond(start: Message, receive: Receive, send: Send) -> None:
            parts = self._gzip(row, viewer) if gzipped else self._plain(row, viewer)
            await _send_all(parts, start, receive, send)

        return Answer(200, content_type=MEDIA, headers=headers, kind=self.kind, respond=respond)

    async def _find(self, id: UUID, viewer: Viewer) -> Row:
        """The export's row. Raises `NotFound`, `ExportNotReady`, `Forbidden`."""
        async with self.engine.database.reading() as connection:
            row = await connection.fetchrow(FIND, id)
        if row is None:
            raise NotFound("There is no such export, or it is not yours.")
        exports.require_rights(viewer, row)
        exports.require_ready(row, viewer.now())
        return dict(row)

    async def _gzip(self, row: Row, viewer: Viewer) -> AsyncIterator[bytes]:
        yield packed.HEAD
        async for body in self._chunks(row["id"], viewer):
            yield body
        yield packed.tail(row["crc32"], row["size_bytes"])

    async def _plain(self, row: Row, viewer: Viewer) -> AsyncIterator[bytes]:
        async for body in self._chunks(row["id"], viewer):
            yield await asyncio.to_thread(packed.unpacked, body)

    async def _chunks(self, id: UUID, viewer: Viewer) -> AsyncIterator[bytes]:
        """Each takes its turn among what the viewer asks the database."""
        number = 0
        while True:
            await self.engine.shares.take(viewer.user_id)
            try:
                async with self.engine.database.reading() as connection:
                    body = await connection.fetchval(exports.CHUNK, id, number)
            finally:
                self.engine.shares.give(viewer.user_id)
            if body is None:
                return
            yield body
            number += 1


async def _send_all(parts: AsyncIterator[bytes], start: Message, receive: Receive, send: Send) -> None:
    """Sends a response part by part, as long as somebody reads it."""
    await send(start)
    leaving = asyncio.create_task(_left(receive))
    try:
        async for part in parts:
            if leaving.done():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
