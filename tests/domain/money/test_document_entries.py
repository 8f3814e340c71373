"""Entries of the books from the order, the payment or the invoice that they are of: all of them, each once, and nobody else's."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.access import roles
from crmgql.domain.money import credit_notes, write_offs
from crmgql.engine.operations import Engine, Request
from crmgql.models import names
from crmgql.viewer import Viewer
from tests.conftest import viewer
from tests.domain import work
from tests.domain.money.test_allocations import allocate
from tests.domain.money.test_invoices import issued
from tests.domain.money.test_receipts import pay
from tests.domain.money.test_refunds import give
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting

FINANCE = viewer(UUID(int=0), "FINANCE")
QUERY = """query($id: ID!) { node(id: $id) {
    ... on Order { ledgerEntries(first: 100) { ...All } } ... on Payment { ledgerEntries(first: 100) { ...All } }
    ... on Invoice { ledgerEntries(first: 100) { ...All } } } }
fragment All on LedgerEntryConnection { totalCount nodes { id kind } }"""
# Parameters: the document, its type. Said another way than the views do: every entry with a posting on one of its items, or about it.
OF = """
SELECT e.kind FROM ledger_entries e WHERE e.source_type = $2 AND e.source_id = $1 OR EXISTS (
    SELECT FROM postings p JOIN open_items i ON i.id IN (p.debit_item_id, p.credit_item_id)
    WHERE p.entry_id = e.id AND $1 IN (i.order_id, i.payment_id, i.invoice_id))"""


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    return await work.user(database)


async def kinds(engine: Engine, record: str, id: UUID, who: Viewer = FINANCE) -> Any:
    asked = Request(QUERY, None, {"id": names.api_id(record, id)})
    answer = json.loads(await engine.answer(asked, who))
    assert "errors" not in answer, answer
    if answer["data"]["node"] is None:
        return None
    found = answer["data"]["node"]["ledgerEntries"]
    assert found["totalCount"] == len({each["id"] for each in found["nodes"]}) == len(found["nodes"])
    return Counter(each["kind"] for each in found["nodes"])


async def test_each_entry_is_there_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, engine: Engine
) -> None:
    order = await confirmed(crm, customer, "100.00")
    other = await confirmed(crm, customer, "1.00")
    payment = await pay(crm, "60.00", customer_id=customer)
    await allocate(crm, payment, order, "40.00")
    invoice = await issued(crm, order, payment_terms="50% NET 0, 50% NET 30")
    await allocate(crm, payment, order, "10.00")
    async with acting(crm) as act:
        await write_offs.write_off(act, order_id=order, amount=(Decimal("5.00"), "USD"), reason="Agreed")
        await credit_notes.issue(act, invoice_id=invoice, amount=(Decimal("70.00"), "USD"), reason="Broken")
    await give(crm, payment, "20.00")
    for record, id in (("Order", order), ("Order", other), ("Payment", payment), ("Invoice", invoice)):
        expected = Counter(row["kind"] for row in await database.fetch(OF, id, record))
        assert await kinds(engine, record, id) == expected, record
    assert (await kinds(engine, "Order", other)) == {"order.confirmed": 1}
    assert {"order.confirmed", "payment.allocated", "order.writtenOff", "creditNote.issued"} <= set(
        await kinds(engine, "Order", order)
    )


async def test_they_are_seen_by_who_sees_entries(
    crm: db.Database, customer: UUID, engine: Engine, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: who sees the order, and no entries of the books, reads what was posted for it."""
    order = await confirmed(crm, customer, "100.00")
    owner = await work.user(database, "Ann")
    await database.execute("UPDATE customers SET owner_id = $1 WHERE id = $2", owner, customer)
    monkeypatch.setattr(roles, "ROLES", dict(roles.ROLES))
    roles.declare("CLERK", "customer.read order.read ledger.read.own")
    for who, seen in (
        (viewer(owner, "SELLER"), {}),
        (viewer(owner, "CLERK"), {"order.confirmed": 1}),
        (viewer(UUID(int=9), "CLERK"), {}),
    ):
        assert await kinds(engine, "Order", order, who) == seen
