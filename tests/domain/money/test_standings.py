"""Standings: what customers owe and have, kept at each commit, whoever writes; and credit limits, which they hold."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmgql import db
from crmgql.domain.money import bulk, standings
from crmgql.domain.sales import bulk as sales
from crmgql.domain.sales import credit, orders
from crmgql.errors import CreditLimit, CrmError, IllegalTransition
from crmgql.ledger import book
from crmgql.ledger.postings import Item
from crmgql.ledger.rules import RULES
from crmgql.models import Purpose
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_allocations import undo
from tests.domain.money.test_receipts import COLUMNS, RECEIVED, pay
from tests.domain.sales.test_revenue import AMOUNTS, FOUR, confirmed, draft
from tests.ledger.conftest import acting, add_customer, sale

STANDINGS = """
SELECT currency, outstanding, overdue, credit_balance, unearned, lifetime_value, oldest_due_on - company_today() AS oldest
FROM customer_standings WHERE customer_id = $1 ORDER BY currency"""
(RULE,) = [rule for rule in RULES if rule.name == "standings"]
WRITTEN = [
    f"SELECT pg_stat_get_xact_tuples_{change}('{table}'::regclass)"
    for change, table in (
        ("updated", "customer_standings"),
        ("inserted", "standing_moves"),
        ("deleted", "standing_moves"),
    )
]
ALL = (UUID(int=0), UUID(int=2**128 - 1), 10)


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def standing(database: asyncpg.Connection, customer: UUID, currency: str = "USD") -> dict[str, str]:
    """What is not zero, or missing, of a customer's standing."""
    rows = {row["currency"]: row for row in await database.fetch(STANDINGS, customer)}
    return {name: str(value) for name, value in rows[currency].items() if value and name != "currency"}


async def move(crm: db.Database, verb: str, order: UUID) -> None:
    async with acting(crm) as act:
        await orders.move(act, verb, id=order)


async def bill(crm: db.Database, customer: UUID, amount: str, due: int, key: str) -> UUID:
    """Something that is owed, and due so many days from today by the database's clock."""
    async with acting(crm) as act:
        today = await act.tx.connection.fetchval("SELECT company_today()")
        item = Item(Purpose.RECEIVABLE, "USD", due_on=today + timedelta(days=due))
        await book.post(act, [sale(customer, item, amount, key=key)])
        return item.id


async def test_a_customer_has_one_from_the_start(database: asyncpg.Connection, customer: UUID) -> None:
    assert await standing(database, customer) == {}
    await database.execute("UPDATE customers SET currency = 'EUR' WHERE id = $1", customer)
    assert await standing(database, customer, "EUR") == {}


async def test_it_follows_orders_and_payments(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    assert await standing(database, customer) == {"outstanding": "10.00", "lifetime_value": "10.00"}
    await pay(crm, "12.00", order_id=order)
    await pay(crm, "3.00", customer_id=customer)
    have = {"credit_balance": "2.00", "unearned": "3.00"}
    assert await standing(database, customer) == {"lifetime_value": "10.00", **have}
    await confirmed(crm, customer, "5.01", currency="EUR")
    assert await standing(database, customer, "EUR") == {"outstanding": "5.01", "lifetime_value": "5.01"}
    await undo(crm, await database.fetchval("SELECT id FROM allocations"))
    have["unearned"] = "13.00"
    # The credit names the order.
    assert await standing(database, customer) == {"outstanding": "8.00", "lifetime_value": "10.00", **have}


async def test_credit_covers_no_more_than_its_own_order(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order, other = await confirmed(crm, customer, "10.00"), await confirmed(crm, customer, "5.00")
    await pay(crm, "22.00", order_id=order)
    assert (await standing(database, customer))["outstanding"] == "5.00"
    await undo(crm, await database.fetchval("SELECT id FROM allocations"))
    assert (await standing(database, customer))["outstanding"] == "5.00"
    await move(crm, "hold", order)
    assert (await standing(database, customer))["outstanding"] == "5.00"
    await pay(crm, "1.00", order_id=other)
    assert (await standing(database, customer))["outstanding"] == "4.00"
    assert await database.fetch(RULE.sql, *ALL) == []


async def test_a_cancelled_order_leaves_nothing(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    order = await confirmed(crm, customer, "10.00")
    await move(crm, "cancel", order)
    assert await standing(database, customer) == {}


@pytest.mark.parametrize("after", ["process", "cancel"])
async def test_an_order_on_hold_does_not_count(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, after: str
) -> None:
    order, _ = await confirmed(crm, customer, "10.00"), await confirmed(crm, customer, "1.00")
    await move(crm, "hold", order)
    assert await standing(database, customer) == {"outstanding": "1.00", "lifetime_value": "1.00"}
    await pay(crm, "4.00", order_id=order)
    assert await standing(database, customer) == {"outstanding": "1.00", "lifetime_value": "1.00"}
    if after == "process":
        await move(crm, after, order)
        assert await standing(database, customer) == {"outstanding": "7.00", "lifetime_value": "11.00"}
        return
    await undo(crm, await database.fetchval("SELECT id FROM allocations"))
    await move(crm, after, order)
    assert await standing(database, customer) == {"outstanding": "1.00", "lifetime_value": "1.00", "unearned": "4.00"}


async def test_what_was_due_is_overdue(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    for number, due in enumerate((-40, -1, 0, 5)):
        await bill(crm, customer, f"{10**number}.00", due, f"bill {due}")
    assert await standing(database, customer) == {
        "outstanding": "1111.00",
        "overdue": "11.00",
        "oldest": "-40",
    }


async def test_days_that_pass_are_counted_once(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """The job's day is that of the act; here it is three days on."""
    for number, due in enumerate((1, 2, 9)):
        await bill(crm, customer, f"{10**number}.00", due, f"bill {due}")
    assert "overdue" not in await standing(database, customer)
    today = await database.fetchval("SELECT company_today()")
    counted = [await database.fetchval(standings.DUE, today + timedelta(days=3), 10) for _ in range(2)]
    assert counted == [1, 0]
    assert (await standing(database, customer))["overdue"] == "11.00"
    assert await database.fetch(RULE.sql, *ALL) == []


@pytest.mark.parametrize("verb", ["INSERT", "UPDATE", "DELETE"])
async def test_the_application_writes_none_by_itself(database: asyncpg.Connection, customer: UUID, verb: str) -> None:
    await database.execute("SET ROLE crmgql_app")
    sql = {
        "INSERT": "INSERT INTO customer_standings SELECT * FROM customer_standings",
        "UPDATE": "UPDATE customer_standings SET outstanding = 1",
        "DELETE": "DELETE FROM customer_standings",
    }[verb]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(sql)


@pytest.mark.parametrize(
    "column", ["owed", "booked", "credit_balance", "unearned", "outstanding", "overdue", "lifetime_value"]
)
async def test_verify_finds_one_that_is_wrong(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, column: str
) -> None:
    await confirmed(crm, customer, "10.00")
    await database.execute(f"UPDATE customer_standings SET {column} = {column} + 1 WHERE customer_id = $1", customer)
    (found,) = await database.fetch(RULE.sql, *ALL)
    assert found["owner_id"] == customer
    await database.execute(f"UPDATE customer_standings SET {column} = {column} - 1 WHERE customer_id = $1", customer)


async def test_verify_finds_one_that_is_missing(database: asyncpg.Connection, customer: UUID) -> None:
    transaction = database.transaction()
    await transaction.start()
    await database.execute("DELETE FROM customer_standings")
    (found,) = await database.fetch(RULE.sql, *ALL)
    await transaction.rollback()
    assert found["owner_id"] == customer


async def test_twenty_writers_at_once_leave_it_right(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    placed = [await confirmed(crm, customer, "10.00") for _ in range(20)]
    await asyncio.gather(*(pay(crm, "1.25", order_id=order) for order in placed))
    assert await standing(database, customer) == {"outstanding": "175.00", "lifetime_value": "200.00"}


async def test_a_transaction_moves_a_standing_once(crm: db.Database, database: asyncpg.Connection) -> None:
    """However many of a customer's orders or payments are in it: its cost is linear. Imports check each batch by itself."""

    async def written(count: int) -> list[int]:
        customer = await add_customer(database)
        await limit(database, customer, "1000000.00")
        async with acting(crm) as act:
            before = [await act.tx.connection.fetchval(sql) for sql in WRITTEN]
            columns = ("customer_id", "status", "currency", *AMOUNTS)
            for half in range(2):
                rows = [[f"o-{n}", customer, "DELIVERED", "USD", *FOUR] for n in range(half, count, 2)]
                made = await sales.orders.write_many(act, columns, rows, source=f"{count} {half}")
                values = {"customer_id": customer, **RECEIVED}
                paid = [
                    [f"p-{each.id}", *({**values, "order_id": each.id}.get(column) for column in COLUMNS)]
                    for each in made.changes
                ]
                assert (await bulk.payments.write_many(act, COLUMNS, paid, source=f"{count} {half}")).refused == []
            return [await act.tx.connection.fetchval(sql) - n for sql, n in zip(WRITTEN, before, strict=True)]

    few, many = await written(4), await written(600)
    assert few == many
    assert few[0] == 4  # two batches of orders, two of payments
    assert await database.fetchval("SELECT count(*) FROM standing_moves") == 0
    assert await database.fetch(RULE.sql, *ALL) == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["confirm", "hold", "process", "cancel", "pay", "undo"]), st.integers(0, 3)), max_size=12
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_whatever_happens_it_is_what_the_books_say(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, steps: list[tuple[str, int]]
) -> None:
    placed: list[UUID] = []
    for step, number in steps:
        try:
            if step == "confirm" or not placed:
                placed.append(await confirmed(crm, customer, f"{number}.50"))
            elif step == "pay":
                await pay(crm, "1.00", order_id=placed[number % len(placed)])
            elif step == "undo":
                made = await database.fetch("SELECT id FROM allocations ORDER BY id")
                await undo(crm, made[number % len(made)][0] if made else placed[0])
            else:
                await move(crm, step, placed[number % len(placed)])
        except CrmError:
            pass
        assert await database.fetch(RULE.sql, *ALL) == []


# Credit limits.


async def limit(database: asyncpg.Connection, customer: UUID, amount: str, policy: str = "REFUSE") -> None:
    sql = "UPDATE customers SET credit_limit_amount = $2, credit_policy = $3 WHERE id = $1"
    await database.execute(sql, customer, Decimal(amount), policy)


async def approve(crm: db.Database, order: UUID, **more: Any) -> None:
    async with acting(crm) as act:
        await credit.approve(act, id=order, reason="Paid on the phone.", **more)


async def test_no_order_leads_past_the_limit(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await limit(database, customer, "25.00")
    first = await confirmed(crm, customer, "20.00")
    await confirmed(crm, customer, "5.00")
    with pytest.raises(CreditLimit, match=r"25\.01 USD would be outstanding, and the credit limit is 25\.00 USD"):
        await confirmed(crm, customer, "0.01")
    await confirmed(crm, customer, "100.00", currency="EUR")  # the limit is in the customer's own currency
    await pay(crm, "20.00", order_id=first)
    await confirmed(crm, customer, "20.00")


async def test_what_credit_for_an_order_covers_is_not_outstanding(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "12.00", order_id=order)
    await undo(crm, await database.fetchval("SELECT id FROM allocations"))
    await limit(database, customer, "9.00")
    await confirmed(crm, customer, "1.00")
    with pytest.raises(CreditLimit, match=r"9\.01 USD would be"):
        await confirmed(crm, customer, "0.01")


async def test_nothing_but_a_confirmation_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "1.00")
    await pay(crm, "1.00", order_id=order)
    await limit(database, customer, "0.00")
    await undo(crm, await database.fetchval("SELECT id FROM allocations"))
    assert (await standing(database, customer))["outstanding"] == "1.00"


async def test_an_approval_lifts_it_up_to_the_total(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await limit(database, customer, "5.00")
    async with acting(crm) as act:
        order = await draft(act, customer, "10.00")
    await approve(crm, order)
    await database.execute("UPDATE orders SET tax_amount = 1.00, total_amount = 11.00 WHERE id = $1", order)
    with pytest.raises(CreditLimit):
        await move(crm, "confirm", order)
    await approve(crm, order)
    await move(crm, "confirm", order)
    assert (await standing(database, customer))["outstanding"] == "11.00"
    event = await database.fetchrow(
        "SELECT payload FROM events WHERE kind = 'order.creditApproved' ORDER BY id DESC LIMIT 1"
    )
    assert '"11.00"' in event["payload"]


async def test_a_cancelled_order_is_not_approved(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "1.00")
    await move(crm, "cancel", order)
    with pytest.raises(IllegalTransition):
        await approve(crm, order)


async def test_who_is_to_be_warned_is_told(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await limit(database, customer, "15.00", "WARN")
    await confirmed(crm, customer, "15.00")
    told = ("SELECT count(*) FROM events WHERE kind = $1", "order.creditLimitPassed")
    assert await database.fetchval(*told) == 0
    await confirmed(crm, customer, "0.01")
    assert await database.fetchval(*told) == 1


async def test_two_orders_at_once_pass_it_only_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await limit(database, customer, "15.00")
    found = await asyncio.gather(*(confirmed(crm, customer, "10.00") for _ in range(5)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["CreditLimit"] * 4 + ["UUID"]
    assert (await standing(database, customer))["outstanding"] == "10.00"
