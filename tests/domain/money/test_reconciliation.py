"""What reconciliation finds, once while it lasts; what closes by itself and by hand; who is told; and how much money is explained."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import allocations, explained, payouts, reconciliation, refunds, suspense
from crmgql.domain.sales import orders
from crmgql.errors import Forbidden, IllegalTransition
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_disputes import dispute, lose
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed, draft
from tests.ledger.conftest import acting, add_customer

LATER = NOW + timedelta(days=60)
OPEN = "SELECT kind, amount, finding, subject_type, subject_id FROM reconciliation_exceptions WHERE status = 'OPEN' ORDER BY kind, id"
CARD: dict[str, Any] = {"provider": "stripe"}
Make = Callable[[db.Database, asyncpg.Connection, UUID], Awaitable[UUID]]


@pytest_asyncio.fixture(autouse=True)
async def finance(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, "Fin", roles=["FINANCE"])


async def reconcile(crm: db.Database, database: asyncpg.Connection, now: datetime = LATER) -> dict[str, int]:
    return await work.run(crm, database, kinds.MONEY_RECONCILE, now=now)  # type: ignore[no-any-return]


async def found(database: asyncpg.Connection) -> dict[str, str | None]:
    return {row["kind"]: None if row["amount"] is None else str(row["amount"]) for row in await database.fetch(OPEN)}


async def short(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "9.99", order_id=order)
    return order


async def over(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "12.00", order_id=order)
    return order


async def cancelled(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    order = await over(crm, database, customer)
    async with acting(crm) as act:
        (id,) = [row["id"] for row in await act.tx.connection.fetch("SELECT id FROM allocations")]
        await allocations.undo(act, id=id)
        await orders.move(act, "cancel", id=order)
    return order


async def twice(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    await pay(crm, "7.00", customer_id=customer, reference="A", received_at=NOW - timedelta(hours=2))
    return await pay(crm, "7.00", customer_id=customer, reference="B")


async def unusual(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    for day in range(2, 7):
        await pay(crm, f"{day}.00", customer_id=customer, received_at=NOW - timedelta(days=2 * day))
    return await pay(crm, "50.01", customer_id=customer)


async def dear(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    await database.execute("UPDATE companies SET low_margin_percent = 20")
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=order)
    await database.execute(
        "SET session_replication_role = replica; UPDATE order_lines SET unit_cost_amount = 8.01; RESET session_replication_role"
    )
    return order


async def stuck(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=order, provider_reference="pi_1", **CARD)
    return await database.fetchval("SELECT id FROM companies")  # type: ignore[no-any-return]


async def nobodys(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    async with acting(crm) as act:
        return await suspense.receive(act, amount=(Decimal("5.00"), "USD"), method="CASH")


async def odd(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    parts = {name: (Decimal(amount), "USD") for name, amount in (("gross", "10.00"), ("fees", "0.50"), ("net", "9.00"))}
    async with acting(crm) as act:
        return await payouts.record(act, provider="stripe", reference="po_1", pending=True, **parts)


async def late(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    net = (Decimal("9.00"), "USD")
    async with acting(crm) as act:
        return await payouts.record(
            act, provider="stripe", reference="po_1", pending=True, net=net, arrives_on=NOW.date()
        )


async def broken(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> UUID:
    await pay(crm, "7.00", customer_id=customer)
    await database.execute(
        "SET session_replication_role = replica; UPDATE payments SET amount = 8.00; RESET session_replication_role"
    )
    return customer


@pytest.mark.parametrize(
    ("make", "kind", "amount"),
    [
        (short, "ORDER_PAYMENT_MISMATCH", "-0.01"),
        (over, "ORDER_PAYMENT_MISMATCH", "2.00"),
        (twice, "DUPLICATE_PAYMENT", "7.00"),
        (unusual, "UNUSUAL_PAYMENT", "50.01"),
        (dear, "LOW_MARGIN", "1.99"),
        (stuck, "UNEXPLAINED_CLEARING", "10.00"),
        (nobodys, "SUSPENSE_OPEN", "5.00"),
        (odd, "PAYOUT_DIFFERS", "-0.50"),
        (late, "PAYOUT_LATE", "9.00"),
        (broken, "LEDGER", None),
    ],
)
async def test_what_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, make: Make, kind: str, amount: str | None
) -> None:
    subject = await make(crm, database, customer)
    assert await reconcile(crm, database) == {"found": 1, "opened": 1, "closed": 0}
    (row,) = await database.fetch(OPEN)
    assert (row["kind"], row["subject_id"]) == (kind, subject)
    assert (None if row["amount"] is None else str(row["amount"])) == amount
    assert await reconcile(crm, database, LATER + timedelta(days=1)) == {"found": 1, "opened": 0, "closed": 0}
    counted = await database.fetchrow(
        "SELECT (SELECT count(*) FROM events WHERE kind = 'reconciliationException.found') AS events,"
        " (SELECT count(*) FROM notifications WHERE kind = 'reconciliationException.found') AS told"
    )
    assert tuple(counted) == (1, 1)


@pytest.mark.parametrize("make", [short, over, stuck, nobodys, late])
async def test_nothing_is_found_before_its_time(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, make: Make
) -> None:
    await make(crm, database, customer)
    assert await reconcile(crm, database, NOW) == {"found": 0, "opened": 0, "closed": 0}


async def test_what_is_as_it_should_be_is_not_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    for reference in "AB":  # half and half, of which both are needed
        await pay(crm, "5.00", order_id=order, reference=reference)
    await pay(crm, "3.00", customer_id=customer)
    await pay(crm, "3.00", customer_id=await add_customer(database, "Ajax"))
    async with acting(crm) as act:
        await draft(act, customer, "9.00")
    assert await reconcile(crm, database) == {"found": 0, "opened": 0, "closed": 0}


async def test_money_of_a_cancelled_order_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await cancelled(crm, database, customer)
    await reconcile(crm, database)
    assert await found(database) == {"ORDER_PAID_NOT_OWED": "2.00"}


async def test_what_is_gone_closes_by_itself_and_opens_again(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await short(crm, database, customer)
    await reconcile(crm, database)
    (first,) = await database.fetch("SELECT id FROM reconciliation_exceptions")
    await pay(crm, "0.01", order_id=order)
    assert await reconcile(crm, database) == {"found": 0, "opened": 0, "closed": 1}
    assert await database.fetchval(
        "SELECT closed_at IS NOT NULL AND closed_by_id IS NULL FROM reconciliation_exceptions"
    )
    await pay(crm, "1.00", order_id=order)
    assert await reconcile(crm, database) == {"found": 1, "opened": 1, "closed": 0}
    (row,) = await database.fetch("SELECT id, status, amount FROM reconciliation_exceptions")
    assert (row["id"], row["status"], str(row["amount"])) == (first["id"], "OPEN", "1.00")
    assert await database.fetchval("SELECT count(*) FROM notifications") == 2


async def test_what_somebody_closed_stays_closed_for_the_same_amount(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, finance: UUID
) -> None:
    order = await over(crm, database, customer)
    await reconcile(crm, database)
    id = await database.fetchval("SELECT id FROM reconciliation_exceptions")
    viewer = Viewer(finance, Who(frozenset({"FINANCE"})), clock=lambda: LATER)
    async with crm.transaction() as tx:
        await reconciliation.close(Act(tx, viewer), id=id, reason="They want it that way.")
    with pytest.raises(IllegalTransition):
        async with crm.transaction() as tx:
            await reconciliation.close(Act(tx, viewer), id=id, reason="Again.")
    assert await reconcile(crm, database) == {"found": 1, "opened": 0, "closed": 0}
    await pay(crm, "1.00", order_id=order)
    assert await reconcile(crm, database) == {"found": 1, "opened": 1, "closed": 0}
    row = await database.fetchrow("SELECT status, reason, closed_by_id FROM reconciliation_exceptions")
    assert tuple(row) == ("OPEN", None, None)


async def test_many_are_told_of_at_once(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    for _ in range(reconciliation.TOLD_ONE_BY_ONE + 1):
        await over(crm, database, customer)
    await reconcile(crm, database)
    (row,) = await database.fetch("SELECT title, body FROM notifications")
    assert row["title"] == "An order and its payments differ (11 times)"
    assert "There are 11 new ones" in row["body"]


async def test_customers_are_looked_at_page_by_page(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "CUSTOMERS_AT_ONCE", 2)
    for number in range(4):
        await over(crm, database, await add_customer(database, f"Ajax {number}"))
    assert await reconcile(crm, database) == {"found": 4, "opened": 4, "closed": 0}
    assert await database.fetchval("SELECT customers FROM reconciliation_runs") == 5
    assert await reconcile(crm, database) == {"found": 4, "opened": 0, "closed": 0}


async def test_how_much_money_is_explained(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, finance: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "12.00", order_id=order, provider_reference="pi_1", **CARD)
    ahead = await pay(crm, "8.00", customer_id=customer)
    await nobodys(crm, database, customer)
    async with acting(crm) as act:
        refund = await refunds.request(act, payment_id=ahead, amount=(Decimal("3.00"), "USD"))
        await refunds.succeed(act, id=refund)
    await lose(crm, await dispute(crm, payment, "4.00", provider_reference="dp_1"))
    (row,) = await explained.money_explained(crm, Viewer(finance, Who(frozenset({"FINANCE"}))))
    amounts = {name: str(row[name]["amount"]) for name in explained.PARTS}
    assert amounts == {
        "received": "25.00",
        "allocated": "8.00",
        "credit": "0.00",
        "unearned": "5.00",
        "refunded": "3.00",
        "disputed": "4.00",
        "suspense": "5.00",
        "clearing": "8.00",
    }
    assert (row["explainedShare"], row["oldestUnexplainedOn"]) == (Decimal("0.6"), NOW.date())
    with pytest.raises(Forbidden):
        await explained.money_explained(crm, Viewer(finance, Who(frozenset({"SELLER"}))))
