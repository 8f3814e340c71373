"""What refers to an opportunity is of its customer, and a commission in its payment's currency, whoever writes them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.activities import bulk as activities
from crmgql.domain.activities import interactions
from crmgql.domain.leads import bulk as leads
from crmgql.domain.opportunities import bulk as deals
from crmgql.domain.opportunities import opportunities
from crmgql.domain.sales import bulk, orders
from crmgql.domain.sales.orders import Line
from crmgql.errors import BadUserInput, Conflict
from crmgql.models import Opportunity
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.ledger.conftest import acting, add_customer

ZERO = Decimal("0.00")
ORDER = ("customer_id", "opportunity_id", "currency", "number", "subtotal_amount", "shipping_amount", "tax_amount")
ORDER += ("discount_amount",)
CALL = ("customer_id", "opportunity_id", "kind", "subject", "occurred_at")
LEAD = ("customer_id", "opportunity_id", "name")
TOLD = """
SELECT e.subject_id, e.kind, e.customer_id, a.changes FROM events e JOIN audit_entries a USING (id)
WHERE e.subject_type = 'Opportunity' ORDER BY e.id"""


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


@pytest_asyncio.fixture
async def other(database: asyncpg.Connection) -> UUID:
    return await add_customer(database, "Zeta")


async def deal(database: asyncpg.Connection, customer: UUID | None = None, name: str = "Deal") -> UUID:
    return await work.insert(database, "opportunities", name=name, customer_id=customer, stale_known=True)


async def order(act: Act, customer: UUID, opportunity: UUID) -> UUID:
    seller = await act.tx.connection.fetchval("SELECT id FROM users")
    lines = [Line(Decimal(1), description="Thing", unit_price=(Decimal("5.00"), "USD"))]
    about = {"customer_id": customer, "opportunity_id": opportunity, "seller_id": seller}
    return await orders.create(act, lines=lines, **about)


async def call(act: Act, customer: UUID, opportunity: UUID) -> UUID:
    author = await act.tx.connection.fetchval("SELECT id FROM users")
    about = {"customer_id": customer, "opportunity_id": opportunity, "author_id": author}
    return await interactions.log(act, kind="CALL", subject="Hello", **about)


async def customer_of(database: asyncpg.Connection, opportunity: UUID) -> UUID | None:
    return await database.fetchval("SELECT customer_id FROM opportunities WHERE id = $1", opportunity)  # type: ignore[no-any-return]


async def told(database: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [(*row[:3], orjson.loads(row[3])) for row in await database.fetch(TOLD)]


ORDERED = (
    "INSERT INTO orders (customer_id, opportunity_id, currency, subtotal_amount, shipping_amount, tax_amount, discount_amount,"
    " total_amount) VALUES ({}, $3, 'USD', 0.00, 0.00, 0.00, 0.00, 0.00)"
)
CALLED = "INSERT INTO interactions (customer_id, opportunity_id, kind, subject, occurred_at) VALUES ({}, $3, 'CALL', 'x', now())"
ACTED = (
    "INSERT INTO opportunity_actions (customer_id, opportunity_id, key_action_id, done_at)"
    " SELECT {}, $3, id, now() FROM key_actions"
)
RAW = {
    "an order": ORDERED,
    "an interaction": CALLED,
    "a task": "INSERT INTO tasks (customer_id, opportunity_id, subject) VALUES ({}, $3, 'x')",
    "an action": ACTED,
    "a lead": "INSERT INTO leads (customer_id, opportunity_id, name, status_since, received_at, last_activity_at)"
    " VALUES ({}, $3, 'x', now(), now(), now())",
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_cannot_part_it_from_the_opportunitys_customer(
    database: asyncpg.Connection, customer: UUID, other: UUID, what: str
) -> None:
    await database.execute("INSERT INTO key_actions (stage_id, position, name) SELECT id, 9, 'Do' FROM stages LIMIT 1")
    cast = "SELECT $1::uuid, $2::uuid, $3::uuid"
    of_nobody, mine = await deal(database), await deal(database, customer)
    for whose, opportunity in (("$2", mine), ("$2", of_nobody)):
        statement = f"WITH given AS ({cast}) {RAW[what].format(whose)}"
        with pytest.raises(asyncpg.ForeignKeyViolationError, match="opportunity_customer"):
            await database.execute(statement, customer, other, opportunity)
    await database.execute(f"WITH given AS ({cast}) {RAW[what].format('$1')}", customer, other, mine)
    for whose in (other, None):
        with pytest.raises(asyncpg.ForeignKeyViolationError, match="opportunity_customer"):
            await database.execute("UPDATE opportunities SET customer_id = $2 WHERE id = $1", mine, whose)


async def test_raw_sql_cannot_give_a_commission_another_currency_than_its_payment(
    database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    values = {"customer_id": customer, "amount": Decimal("5.00"), "currency": "USD", "method": "CASH"}
    payment = await work.insert(database, "payments", **values, status="PENDING")
    earned = {"base_amount": Decimal("5.00"), "amount": Decimal("0.50"), "rate": Decimal("0.1"), "earned_at": NOW}
    earned |= {"customer_id": customer, "seller_id": seller, "payment_id": payment}
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="commissions_payment_currency"):
        await work.insert(database, "commissions", **earned, currency="EUR")
    await work.insert(database, "commissions", **earned, currency="USD")
    for table in ("payments", "commissions"):
        with pytest.raises(asyncpg.ForeignKeyViolationError, match="commissions_payment_currency"):
            await database.execute(f"UPDATE {table} SET currency = 'EUR'")


@pytest.mark.parametrize("make", [order, call])
async def test_an_opportunity_without_a_customer_gets_that_of_what_is_made_for_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID, make: Any
) -> None:
    opportunity = await deal(database)
    async with acting(crm) as act:
        await make(act, customer, opportunity)
    change = {"customer_id": [None, str(customer)]}
    assert await told(database) == [(opportunity, "opportunity.updated", customer, change)]
    for again in (order, call):
        with pytest.raises(BadUserInput, match="another customer") as refused:
            async with acting(crm) as act:
                await again(act, other, opportunity)
        assert refused.value.field == "opportunityId"
        async with acting(crm) as act:
            await again(act, customer, opportunity)
    assert len(await told(database)) == 1


async def test_an_interaction_that_moves_to_it_gives_it_a_customer_too(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    first, second = await deal(database, customer), await deal(database)
    async with acting(crm) as act:
        id = await call(act, customer, first)
        await interactions.update(act, id=id, opportunity_id=second)
    assert await customer_of(database, second) == customer


async def waits(database: asyncpg.Connection) -> None:
    while not await database.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("make", [order, call])
async def test_of_two_customers_at_once_the_second_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID, make: Any
) -> None:
    opportunity = await deal(database)

    async def late() -> None:
        async with acting(crm) as act:
            await make(act, other, opportunity)

    async with acting(crm) as act:
        await order(act, customer, opportunity)
        second = asyncio.create_task(late())
        await asyncio.wait_for(waits(database), 10)
    with pytest.raises(BadUserInput, match="another customer"):
        await second
    assert await customer_of(database, opportunity) == customer


async def test_an_activity_meanwhile_is_waited_for_and_meets_no_deadlock(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    opportunity = await deal(database)

    async def late() -> None:
        async with acting(crm) as act:
            await order(act, customer, opportunity)

    async with acting(crm) as act:  # as a task that is made for it
        await records.visible(act, Opportunity, opportunity, field="opportunityId")
        second = asyncio.create_task(late())
        await asyncio.wait_for(waits(database), 10)
        await opportunities.touched(act, opportunity)
    await second
    assert await customer_of(database, opportunity) == customer


async def test_whoever_comes_all_at_once_they_agree(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    async def named(act: Act, whose: UUID, opportunity: UUID) -> None:
        await opportunities.update(act, id=opportunity, customer_id=whose)

    async def imported(act: Act, whose: UUID, opportunity: UUID) -> None:
        row = [f"{whose}", whose, opportunity, "CALL", "Hello", NOW]
        if (await activities.interactions.write_many(act, CALL, [row], source="old")).refused:
            raise BadUserInput("refused")

    async def attempt(make: Any, whose: UUID, opportunity: UUID) -> None:
        async with acting(crm) as act:
            await make(act, whose, opportunity)

    for _ in range(4):
        opportunity = await deal(database)
        acts = [
            attempt(make, whose, opportunity) for make in (order, call, named, imported) for whose in (customer, other)
        ]
        answers = await asyncio.gather(*acts, return_exceptions=True)
        assert [each for each in answers if not isinstance(each, BadUserInput | Conflict | None)] == []
        assert 1 <= answers.count(None) <= 4
        assert await customer_of(database, opportunity) in (customer, other)
        assert [row[1] for row in await told(database) if row[0] == opportunity] == ["opportunity.updated"]


async def test_many_at_once_give_customers_and_those_of_another_are_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    free, mine = [await deal(database) for _ in range(3)], await deal(database, customer)
    amounts = (Decimal("4.00"), ZERO, ZERO, ZERO)
    rows = [[f"o-{n}", customer, each, "USD", f"N-{n}", *amounts] for n, each in enumerate([free[0], free[0], mine])]
    rows += [["o-8", other, free[0], "USD", "N-8", *amounts], ["o-9", other, mine, "USD", "N-9", *amounts]]
    async with acting(crm) as act:
        written = await bulk.orders.write_many(act, ORDER, rows, source="old")
    assert [refusal.place for refusal in written.refused] == [3, 4]
    assert {refusal.columns for refusal in written.refused} == {("customer_id", "opportunity_id")}
    assert "orders_opportunity_customer" in written.refused[0].reason
    change = {"customer_id": [None, str(customer)]}
    assert await told(database) == [(free[0], "opportunity.updated", customer, change)]
    row = await database.fetchrow("SELECT version, stale_known FROM opportunities WHERE id = $1", free[0])
    assert tuple(row) == (2, False)  # the next sweep scores it as a customer's
    async with acting(crm) as act:
        calls = [["i-1", other, free[1], "CALL", "Hello", NOW], ["i-2", other, None, "CALL", "Hello", NOW]]
        assert (await activities.interactions.write_many(act, CALL, calls, source="old")).inserted == 2
        came = [["l-1", other, free[2], "Ann"], ["l-2", None, free[0], "Bob"]]
        assert (await leads.leads.write_many(act, LEAD, came, source="old", history=True)).inserted == 2
    assert [await customer_of(database, each) for each in free] == [customer, other, other]
    gaps = await database.fetch("SELECT kept->>'type' AS type FROM events WHERE kind = 'gap.recorded' ORDER BY id")
    assert [row["type"] for row in gaps] == ["Lead", "Opportunity"]


async def test_imported_again_without_a_customer_an_opportunity_keeps_that_of_its_orders(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, other: UUID
) -> None:
    columns, row = ("name", "customer_id"), ["d-1", "Deal", None]
    async with acting(crm) as act:
        written = await deals.opportunities.write_many(act, columns, [row], source="old")
        await order(act, customer, written.changes[0].id)
    async with acting(crm) as act:
        again = await deals.opportunities.write_many(act, columns, [row], source="old")
        assert (again.changes, again.refused) == ([], [])
        moved = await deals.opportunities.write_many(act, columns, [["d-1", "Deal", other]], source="old")
    assert 'still referenced from table "orders"' in moved.refused[0].reason
    assert await customer_of(database, written.changes[0].id) == customer
