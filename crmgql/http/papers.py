"""`GET /invoices/<id>.pdf` and `GET /credit-notes/<id>.pdf`: a document as it was issued, in the customer's language.
`GET /statements/<customer's id>.pdf?since=2026-01-01&until=2026-01-31&currency=EUR`: a customer's statement of account as it is known now.

Enters: the id of an issued invoice, of a credit note or of a customer, with a token or key. Leaves: its PDF, made for each request; what was
issued is always the same bytes. One is made at a time, in a thread, as each takes a third of a second of the processor.

Refused are other methods (405), strangers (401), unknown and foreign documents (404), keys for other types (403), days that are none (400),
what is not issued (409), and who would wait behind too many others (503).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from urllib.parse import parse_qsl, quote
from uuid import UUID

from crmgql.db import Connection
from crmgql.domain.money import papers, statements
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
from crmgql.http.refusals import Headers, Refused, bad
from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import decode_id
from crmgql.records import money
from crmgql.records.days import day_of
from crmgql.viewer import Viewer, system_clock

Query = Mapping[str, str]
Read = Callable[[Connection, Viewer, UUID, Query, date], Awaitable[Paper]]
"""`today`, the last argument, is the company's day."""


async def _invoice(connection: Connection, viewer: Viewer, id: UUID, query: Query, today: date) -> Paper:
    return await papers.invoice(connection, viewer, id)


async def _credit_note(connection: Connection, viewer: Viewer, id: UUID, query: Query, today: date) -> Paper:
    return await papers.credit_note(connection, viewer, id)


async def _statement(connection: Connection, viewer: Viewer, id: UUID, query: Query, today: date) -> Paper:
    currency = query.get("currency")
    if currency is not None and not money.is_code(currency):
        raise bad("currency must be a code such as EUR.")
    since, until = _day(query, "since"), _day(query, "until") or today
    if since is None:
        raise bad("Say since which day, such as since=2026-01-01.")
    return await statements.paper(connection, viewer, customer_id=id, since=since, until=until, currency=currency)


def _day(query: Query, name: str) -> date | None:
    text = query.get(name)
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise bad(f"{name} must be a day such as 2026-01-31.") from None


KINDS: dict[str, tuple[str, Read, frozenset[str]]] = {
    "/invoices/": ("Invoice", _invoice, frozenset()),
    "/credit-notes/": ("CreditNote", _credit_note, frozenset()),
    "/statements/": ("Customer", _statement, frozenset({"since", "until", "currency"})),
}
"""Path → type, how it is read, and the parameters that it takes."""

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
            paper = await self._find(arrived.scope["path"], arrived.scope["query_string"], viewer)
        except NotFound:
            raise Refused(404, "NOT_FOUND", UNKNOWN) from None
        except IllegalTransition as error:
            raise Refused(409, error.code, error.message) from None
        body = await self._printed(paper)
        # A header holds Latin letters; others are percent-encoded, RFC 8187.
        named = f"inline; filename*=UTF-8''{quote(paper.name)}".encode()
        return Answer(200, body, MEDIA, headers=((b"content-disposition", named),), kind=self.kind)

    async def _find(self, path: str, query: bytes, viewer: Viewer) -> Paper:
        """Raises `NotFound`, `BadUserInput`, `IllegalTransition`, `Forbidden`, `Refused`."""
        (start,) = (each for each in PATHS if path.startswith(each))
        record, read, known = KINDS[start]
        name = path.removeprefix(start)
        if not name.endswith(ENDING):
            raise NotFound(UNKNOWN)
        try:
            id = decode_id(name.removesuffix(ENDING), prefix=PREFIXES[record])
        except BadUserInput:
            raise NotFound(UNKNOWN) from None
        given = _parameters(query, known) if known else {}
        today = day_of(viewer.now(), await self.engine.database.zone())
        await self.engine.shares.take(viewer.user_id)
        try:
            async with self.engine.database.snapshot() as connection:
                return await read(connection, viewer, id, given, today)
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


def _parameters(query: bytes, known: frozenset[str]) -> dict[str, str]:
    """Those of a query string. Raises `Refused`."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError:  # UnicodeDecodeError is one
        raise bad("The query string is not percent-encoded UTF-8, or has too many parameters.") from None
    given = dict(pairs)
    if len(given) != len(pairs) or given.keys() - known:
        raise bad(f"There are the parameters {', '.join(sorted(known))}, each once.")
    return given
