"""Orders with as many lines as one may have, which become revenue over a year: in time, and beside the event loop."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import amendments, credit_notes, invoices
from crmgql.domain.sales import deferrals, recognition
from crmgql.domain.sales.orders import MAX_LINES
from crmgql.schema import build
from tests.domain import work
from tests.domain.sales.test_deferrals import line, product, sold
from tests.ledger.conftest import acting
from tests.ledger.test_verify import broken

MONTHS = 12
WAITING = "SELECT count(*), sum(amount - credited_amount) FROM recognition_schedules WHERE entry_id IS NULL"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def test_the_largest_order_is_confirmed_changed_and_credited(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """6,000 parts: what is compared for each of them, as it once was, takes minutes."""
    lasting = await product(database, "OVER_TIME", recognition_months=MONTHS)
    order = await sold(crm, customer, *[line(lasting, "120.00")] * MAX_LINES)
    assert tuple(await database.fetchrow(WAITING)) == (MAX_LINES * MONTHS, Decimal("60000.00"))
    async with acting(crm) as act:
        await amendments.amend(act, id=order, reason="Taxed", tax=(Decimal("12000.00"), "USD"))
        invoice = await invoices.create(act, order_id=order)
        await invoices.issue(act, id=invoice)
        half = Decimal("36000.00"), "USD"
        await credit_notes.issue(act, invoice_id=invoice, reason="Half of them were broken", amount=half)
    assert tuple(await database.fetchrow(WAITING)) == (MAX_LINES * MONTHS, Decimal("30000.00"))
    assert await broken(database) == []


@pytest.mark.parametrize(("lines", "is_aside"), [(50, True), (2, False)])
async def test_what_takes_long_leaves_the_event_loop(
    crm: db.Database,
    database: asyncpg.Connection,
    customer: UUID,
    monkeypatch: pytest.MonkeyPatch,
    lines: int,
    is_aside: bool,
) -> None:
    seen: list[threading.Thread] = []

    def noted(function: Any) -> Any:
        def noting(*given: Any, **more: Any) -> Any:
            seen.append(threading.current_thread())
            return function(*given, **more)

        return noting

    monkeypatch.setattr(recognition, "deferred", noted(recognition.deferred))
    monkeypatch.setattr(deferrals, "rows_of", noted(deferrals.rows_of))
    monkeypatch.setattr(recognition, "credit", noted(recognition.credit))
    lasting = await product(database, "OVER_TIME", recognition_months=MONTHS)
    order = await sold(crm, customer, *[line(lasting, "120.00")] * lines)
    async with acting(crm) as act:
        invoice = await invoices.create(act, order_id=order)
        await invoices.issue(act, id=invoice)
        await credit_notes.issue(act, invoice_id=invoice, reason="Broken")
    assert len(seen) >= 3
    assert {each is not threading.main_thread() for each in seen} == {is_aside}
