"""`GET /invoices/<id>.pdf` and `GET /credit-notes/<id>.pdf`: a document as it was issued, in the customer's language.

Enters: the id of an issued invoice or of a credit note, with a token or key. Leaves: its PDF, made for each request, always the same
bytes. One is made at a time, in a thread, as each takes a third of a second of the processor.

Refused are other methods (405), strangers (401), unknown and foreign documents (404), keys for other types (403), what is not issued
(409), and who would wait behind too many others (503).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote
from uuid import UUID

from crmgql.db import Connection
from crmgql.domain.money import papers
from crmgql.domain.money.papers import Paper
from crmgql.domain.people.identity import Identities
from crmgql.engine.documents import LOG_IN
from crmgql.engine.operations import Engine
from crmgql.errors import BadUserInput, IllegalTransition, NotFound, Unauthenticated
from crmgql.http import exchange
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.exchange import Answer, Arrived
from crmgql.http.metrics import Metrics
from crmgql.http.refusals import Headers, Refused
from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import decode_id
from crmgql.viewer import Viewer, system_clock

Read = Callable[[Connection, Viewer, UUID], Awaitable[Paper]]

KINDS: dict[str, tuple[str, Read]] = {
    "/invoices/": ("Invoice", papers.invoice),
    "/credit-notes/": ("CreditNote", papers.credit_note),
}
"""Path → type and how it is read."""

PATHS = tuple(KINDS)
ENDING = ".pdf"
MEDIA = b"application/pdf"
ONLY_GET: Headers = ((b"allow", b"GET"),)
MOST_WAITING = 20
SOON: Headers = ((b"retry-after", b"5"),)
UNKNOWN = "There is no such document, or you may not see it."


class Endpoint(exchange.Endpoint):
    """The ASGI application behind these paths."""

    vary = b"Accept-Encoding, Authorization"
    kind = "paper"

    def __init__(
        self, engine: Engine, identities: Identities, metrics: Metrics, *, bodies: Bodies, addresses: Addresses
    ) -> None:
        super().__init__(metrics, bodies, addresses)
        self.engine = engine
        self.identities = identities
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def answer(self, arrived: Arrived) -> Answer:
        if arrived.method != "GET":
            raise Refused(405, "METHOD_NOT_ALLOWED", "Use GET.", ONLY_GET)
        authorization = arrived.headers.get(b"authorization")
        if authorization is None:
            raise Unauthenticated(LOG_IN)
        viewer = await self.identities.identify(authorization.decode("latin-1"), system_clock)
        try:
            paper = await self._find(arrived.scope["path"], viewer)
        except (BadUserInput, NotFound):
            raise Refused(404, "NOT_FOUND", UNKNOWN) from None
        except IllegalTransition as error:
            raise Refused(409, error.code, error.message) from None
        body = await self._printed(paper)
        # A header holds Latin letters; others are percent-encoded, RFC 8187.
        named = f"inline; filename*=UTF-8''{quote(paper.name)}".encode()
        return Answer(200, body, MEDIA, headers=((b"content-disposition", named),), kind=self.kind)

    async def _find(self, path: str, viewer: Viewer) -> Paper:
        """Raises `NotFound`, `BadUserInput`, `IllegalTransition`, `Forbidden`."""
        (start,) = (each for each in PATHS if path.startswith(each))
        record, read = KINDS[start]
        name = path.removeprefix(start)
        if not name.endswith(ENDING):
            raise NotFound(UNKNOWN)
        id = decode_id(name.removesuffix(ENDING), prefix=PREFIXES[record])
        await self.engine.shares.take(viewer.user_id)
        try:
            async with self.engine.database.snapshot() as connection:
                return await read(connection, viewer, id)
        finally:
            self.engine.shares.give(viewer.user_id)

    async def _printed(self, paper: Paper) -> bytes:
        if self._waiting >= MOST_WAITING:
            raise Refused(503, "SERVICE_UNAVAILABLE", "Too many documents are being printed; try again.", SOON)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(papers.printed, paper)
        finally:
            self._waiting -= 1
