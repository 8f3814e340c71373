"""What is credited where something that is paid for in advance ends early: the customer's days that are left, and no more than is left."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.customers import customers as all_customers
from crmgql.domain.money import credit_notes, early_ends
from crmgql.domain.money.credit_notes import Returned
from crmgql.errors import BadUserInput, Forbidden, IllegalTransition, NotFound
from crmgql.planner.codecs import decode_id
from crmgql.schema import build
from crmgql.viewer import Viewer
from tests.conftest import viewer
from tests.domain import work
from tests.domain.money.test_invoices import drafted, issued
from tests.domain.sales.test_deferrals import line, product, sold
from tests.ledger.conftest import acting, add_customer
from tests.ledger.test_verify import broken

FINANCE = viewer(UUID(int=1), "FINANCE")
FEBRUARY = datetime(2026, 2, 1, 12, tzinfo=UTC)
AT = datetime(2026, 2, 20, 16, tzinfo=UTC)
"""The 21st in Tokyo."""


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def monthly(crm: db.Database, database: asyncpg.Connection, customer: UUID, *more: Any) -> UUID:
    """An invoice of February, for 60.00, and of other lines."""
    plan = await product(database, "OVER_TIME", recognition_months=1)
    order = await sold(crm, customer, line(plan, "60.00"), *more, tax=(Decimal("12.00"), "USD"))
    await database.execute(
        "UPDATE orders SET confirmed_at = $2, ordered_at = $2 WHERE id = $1", order, FEBRUARY
    )  # as one that was confirmed then
    return await issued(crm, order)


async def tried(crm: db.Database, invoice: UUID, who: Viewer = FINANCE, at: datetime = AT) -> dict[str, Any]:
    return await early_ends.dry_run(crm, who, invoice_id=invoice, ended_at=at)


def figures(found: dict[str, Any]) -> tuple[str, ...]:
    return tuple(found[name]["amount"] for name in ("net", "tax", "total"))


@pytest.mark.parametrize(
    ("zone", "ended", "days", "net"),
    [("Asia/Tokyo", "2026-02-21", 7, "15.00"), (None, "2026-02-20", 8, "17.14")],
)
async def test_days_are_the_customers(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, zone: str | None, ended: str, days: int, net: str
) -> None:
    """60.00 for February, ended at 2026-02-20T16:00Z: the 21st in UTC+9, which is still used, so 7 of 28 days are left."""
    async with acting(crm) as act:
        await all_customers.update(act, id=customer, timezone=zone)
    found = await tried(crm, await monthly(crm, database, customer))
    (one,) = found["lines"]
    assert (found["timezone"], str(found["endedOn"]), one["daysLeft"]) == (zone or "UTC", ended, days)
    assert (str(one["firstOn"]), str(one["lastOn"]), one["net"]["amount"]) == ("2026-02-01", "2026-02-28", net)


async def test_a_credit_note_of_its_lines_takes_just_that_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    once = await product(database, name="Setup")
    invoice = await monthly(crm, database, customer, line(once, "40.00"))
    before = await database.fetchval("SELECT count(*) FROM events")
    found = await tried(crm, invoice)
    assert figures(found) == ("17.14", "2.06", "19.20")
    assert await database.fetchval("SELECT count(*) FROM events") == before
    returned = [
        Returned(decode_id(each["invoiceLineId"], prefix="ivl"), net=(Decimal(each["net"]["amount"]), "USD"))
        for each in found["lines"]
    ]
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, lines=returned, reason="Ended early")
    note = await database.fetchrow("SELECT net_amount::text, tax_amount::text, total_amount::text FROM credit_notes")
    assert tuple(note) == figures(found)
    async with database.transaction():
        assert await broken(database) == []


async def test_no_more_than_is_left_is_credited(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    invoice = await monthly(crm, database, customer)
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, amount=(Decimal("60.00"), "USD"), reason="Broken")
    assert figures(await tried(crm, invoice)) == ("10.00", "2.00", "12.00")
    for at, left in ((datetime(2025, 1, 1, tzinfo=UTC), "10.00"), (datetime(2026, 2, 28, 12, tzinfo=UTC), "0.00")):
        assert figures(await tried(crm, invoice, at=at))[0] == left
    assert (await tried(crm, invoice, at=datetime(2027, 1, 1, tzinfo=UTC)))["lines"] == []


async def test_who_may_not_credit_gets_none(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    invoice = await monthly(crm, database, customer)
    with pytest.raises(Forbidden):
        await tried(crm, invoice, viewer(UUID(int=1), "SELLER"))
    with pytest.raises(NotFound):
        await tried(crm, UUID(int=1))
    other = await add_customer(database, "Ajax")
    plan = await product(database, "OVER_TIME", recognition_months=1)
    draft = await drafted(crm, await sold(crm, other, line(plan, "60.00")))
    with pytest.raises(IllegalTransition, match="DRAFT"):
        await tried(crm, draft)


async def test_a_time_zone_is_one_that_there_is(crm: db.Database, customer: UUID) -> None:
    with pytest.raises(BadUserInput, match="IANA"):
        async with acting(crm) as act:
            await all_customers.update(act, id=customer, timezone="Mars/Olympus")
