"""`GET /invoices/<id>.pdf`: for who sees the document, always the same bytes; everybody else learns nothing, nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import credit_notes
from crmgql.engine.shares import Shares
from crmgql.http import papers
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.metrics import Metrics
from crmgql.models.names import api_id
from crmgql.schema import build
from crmgql.viewer import Clock, Viewer, Who
from tests.domain import work
from tests.domain.money.test_invoices import drafted, issued
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting, add_customer


class Identities:
    """Knows users by their roles: `Bearer FINANCE`."""

    def __init__(self, ids: dict[str, UUID]) -> None:
        self.ids = ids

    async def identify(self, authorization: str, clock: Clock) -> Viewer:
        role, _, scope = authorization.removeprefix("Bearer ").partition(" ")
        scopes = frozenset({scope}) if scope else None
        return Viewer(self.ids[role], Who(frozenset({role}), scopes), clock=clock)


class Door:
    def __init__(self, crm: db.Database, ids: dict[str, UUID]) -> None:
        engine: Any = SimpleNamespace(database=crm, shares=Shares(2))
        known: Any = Identities(ids)
        addresses = Addresses(())
        self.endpoint = papers.Endpoint(engine, known, Metrics(), bodies=Bodies(5.0), addresses=addresses)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.endpoint), base_url="http://crm.example")

    async def get(self, path: str, role: str = "FINANCE", *, method: str = "GET") -> httpx.Response:
        return await self.client.request(method, path, headers={"authorization": f"Bearer {role}"} if role else {})


@pytest_asyncio.fixture
async def door(crm: db.Database, database: asyncpg.Connection) -> AsyncIterator[Door]:
    assert build.built()
    roles = ("FINANCE", "SELLER", "MARKETER")
    made = Door(crm, {role: await work.user(database, role, roles=[role]) for role in roles})
    yield made
    await made.client.aclose()


@pytest_asyncio.fixture
async def invoice(crm: db.Database, database: asyncpg.Connection, door: Door) -> UUID:
    return await issued(crm, await confirmed(crm, await add_customer(database), "80.00"))


def path(id: UUID) -> str:
    return f"/invoices/{api_id('Invoice', id)}.pdf"


def code(response: httpx.Response) -> tuple[int, str]:
    (one,) = response.json()["errors"]
    return response.status_code, one["extensions"]["code"]


async def test_documents_are_fetched(door: Door, crm: db.Database, invoice: UUID) -> None:
    first, second = await door.get(path(invoice)), await door.get(path(invoice))
    assert (first.status_code, first.headers["content-type"]) == (200, "application/pdf")
    assert first.headers["content-disposition"] == "inline; filename*=UTF-8''INV-2026-000001.pdf"
    assert first.content.startswith(b"%PDF")
    assert first.content == second.content
    async with acting(crm) as act:
        note = await credit_notes.issue(act, invoice_id=invoice, reason="Broken")
    found = await door.get(f"/credit-notes/{api_id('CreditNote', note)}.pdf")
    assert (found.status_code, found.content[:4]) == (200, b"%PDF")


@pytest.mark.parametrize(
    ("role", "answer"),
    [
        ("", (401, "UNAUTHENTICATED")),
        ("SELLER", (404, "NOT_FOUND")),  # the customer is nobody's
        ("MARKETER", (404, "NOT_FOUND")),
        ("FINANCE orders:read", (403, "FORBIDDEN")),
    ],
)
async def test_others_get_none(door: Door, invoice: UUID, role: str, answer: tuple[int, str]) -> None:
    """The attack: the id of an invoice, which an e-mail or a log may show, in the hands of who may not see it."""
    assert code(await door.get(path(invoice), role)) == answer


async def test_what_is_no_document_is_refused(
    door: Door, crm: db.Database, database: asyncpg.Connection, invoice: UUID
) -> None:
    draft = await drafted(crm, await confirmed(crm, await add_customer(database), "80.00"))
    assert code(await door.get(path(draft))) == (409, "ILLEGAL_TRANSITION")
    name = api_id("Invoice", invoice)
    for each in (f"/invoices/{name}", "/invoices/.pdf", f"/credit-notes/{name}.pdf", f"/invoices/inv_{'0' * 32}.pdf"):
        assert code(await door.get(each)) == (404, "NOT_FOUND"), each
    assert code(await door.get(path(invoice), method="POST")) == (405, "METHOD_NOT_ALLOWED")


async def test_statements_are_fetched_by_their_days(door: Door, crm: db.Database, database: asyncpg.Connection) -> None:
    customer = await add_customer(database, "Ajax")
    await confirmed(crm, customer, "80.00")
    own = f"/statements/{api_id('Customer', customer)}.pdf"
    found = await door.get(f"{own}?since=2026-01-01&until=2026-12-31&currency=USD")
    assert (found.status_code, found.content[:4]) == (200, b"%PDF")
    assert found.headers["content-disposition"] == "inline; filename*=UTF-8''Ajax-2026-12-31.pdf"
    for query, says in (
        ("", "since"),
        ("?since=2026-13-01", "since"),
        ("?since=2026-01-01&until=yesterday", "until"),
        ("?since=2026-01-01&currency=money", "currency"),
        ("?since=2026-01-01&since=2026-01-02", "once"),
        ("?since=2026-01-01&depth=9", "parameters"),
        ("?since=%ff", "UTF-8"),
        ("?since=2026-02-01&until=2026-01-01", "begins"),
    ):
        refused = await door.get(own + query)
        assert refused.status_code == 400, query
        assert says in refused.json()["errors"][0]["message"], query
    assert code(await door.get("/statements/cus_1.pdf?since=2026-01-01")) == (404, "NOT_FOUND")
    for role, answer in (
        ("SELLER", (404, "NOT_FOUND")),
        ("MARKETER", (403, "FORBIDDEN")),
        ("FINANCE customers:read", (403, "FORBIDDEN")),
    ):
        assert code(await door.get(f"{own}?since=2026-01-01", role)) == answer, role


async def test_the_loop_goes_on_and_nobody_waits_behind_too_many(
    door: Door, invoice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.get(path(invoice))
    monkeypatch.setattr(papers, "MOST_WAITING", 2)
    asked = [asyncio.create_task(door.get(path(invoice))) for _ in range(4)]
    turns = 0
    while not all(task.done() for task in asked):
        await asyncio.sleep(0.005)
        turns += 1
    statuses = sorted(task.result().status_code for task in asked)
    assert statuses == [200, 200, 503, 503]
    assert turns > 5
    assert (await door.get(path(invoice))).status_code == 200


def test_documents_have_addresses_of_their_own(client: httpx.Client, token: str) -> None:
    for start, prefix in (("invoices", "inv"), ("credit-notes", "crn")):
        unknown = f"/{start}/{prefix}_{'0' * 32}.pdf"
        assert client.get(unknown).status_code == 401
        assert code(client.get(unknown, headers={"authorization": f"Bearer {token}"})) == (404, "NOT_FOUND")
