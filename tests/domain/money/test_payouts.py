"""Payouts: expected, paid, failed, by hand and by what the provider says; and what raw SQL can't do to them."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import payouts
from crmgql.errors import BadUserInput, Conflict, CurrencyMismatch, IllegalTransition, PeriodClosed
from crmgql.ledger import rules
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money import hooked
from tests.domain.money.providers import posts
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting

CARD: dict[str, Any] = {"provider": "stripe", "provider_reference": "pi_1"}
KINDS = "SELECT kind FROM events WHERE subject_type = 'Payout' ORDER BY id"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


def usd(amount: str) -> tuple[Decimal, str]:
    return Decimal(amount), "USD"


async def record(crm: db.Database, net: str, *, reference: str = "po_1", **more: Any) -> UUID:
    async with acting(crm) as act:
        return await payouts.record(act, provider="stripe", reference=reference, net=usd(net), **more)


async def test_a_payout_leaves_the_provider_and_reaches_the_bank(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=order, **CARD)
    id = await record(crm, "9.50", gross=usd("10.00"), fees=usd("0.50"), fees_booked=False, pending=True)
    assert (await balances(database))["CLEARING"] == ("10.00", "10.00")
    async with acting(crm) as act:
        await payouts.receive(act, id=id)
    assert await balances(database) == {
        "BANK": ("9.50", "9.50"),
        "FEES": ("0.50", "0.50"),
        "REVENUE": ("-10.00", "-10.00"),
    }
    async with acting(crm) as act:
        await payouts.fail(act, id=id, reason="The account is closed.")
    assert await balances(database) == {"CLEARING": ("10.00", "10.00"), "REVENUE": ("-10.00", "-10.00")}
    assert [row["kind"] for row in await database.fetch(KINDS)] == ["payout.expected", "payout.paid", "payout.failed"]
    with pytest.raises(IllegalTransition):
        async with acting(crm) as act:
            await payouts.receive(act, id=id)


async def test_the_provider_may_take_money(crm: db.Database, database: asyncpg.Connection) -> None:
    await record(crm, "-3.00", reserve=usd("-3.00"))
    assert await balances(database) == {"BANK": ("-3.00", "-3.00"), "CLEARING": ("3.00", "3.00")}


async def test_what_is_no_payout(crm: db.Database, database: asyncpg.Connection) -> None:
    await record(crm, "1.00")
    for error, given in (
        (Conflict, {}),
        (BadUserInput, {"reference": "po_2", "net": usd("0.00")}),
        (BadUserInput, {"reference": "po_2", "fees": usd("-1.00")}),
        (CurrencyMismatch, {"reference": "po_2", "fees": (Decimal("1.00"), "EUR")}),
        (BadUserInput, {"reference": "po_2", "fees_booked": False}),
        (BadUserInput, {"reference": "po_2", "pending": True, "paid_at": NOW}),
    ):
        with pytest.raises(error):
            async with acting(crm) as act:
                await payouts.record(act, **{"provider": "stripe", "reference": "po_1", "net": usd("1.00"), **given})
    await database.execute(
        "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
        " SELECT id, '1000-01-01', '2200-12-31', 'CLOSED', now() FROM companies"
    )
    with pytest.raises(PeriodClosed):
        await record(crm, "1.00", reference="po_3")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payouts SET status = 'EXPECTED'",
        "UPDATE payouts SET net_amount = 2.00",
        "UPDATE payouts SET fees_booked = false, fees_amount = 1.00",
        "INSERT INTO payouts (provider, reference, currency, net_amount, status, paid_at) VALUES ('stripe', 'po_9', 'USD', 1.00, 'PAID', now())",
        "DELETE FROM payouts",
        "TRUNCATE payouts",
    ],
)
async def test_a_payout_is_what_was_posted(crm: db.Database, database: asyncpg.Connection, statement: str) -> None:
    await record(crm, "1.00")
    with pytest.raises(asyncpg.PostgresError):
        await database.execute(statement)


async def test_a_payout_that_was_changed_past_the_triggers_is_found(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    id = await record(crm, "1.00")
    (rule,) = (each for each in rules.RULES if each.name == "payouts")
    everybody = (UUID(int=0), UUID(int=2**128 - 1), 10)
    assert await database.fetch(rule.sql, *everybody) == []
    await database.execute(
        "SET session_replication_role = replica; UPDATE payouts SET net_amount = 2.00; RESET session_replication_role"
    )
    (row,) = await database.fetch(rule.sql, *everybody)
    assert row["what"] == f"payout {id} is PAID with 2.00: in the books 1.00 reached the bank, and 0 is fees"


def said(kind: str, at: int, **more: Any) -> posts.Post:
    payout = {"id": "po_1", "object": "payout", "amount": 1100, "currency": "usd", **more}
    return posts.stripe(f"payout.{kind}", payout, id=f"evt_{kind}", created=at)


@pytest.mark.parametrize("given", list(permutations(["created", "paid", "failed"])))
async def test_in_whatever_order_the_provider_tells(
    crm: db.Database, database: asyncpg.Connection, given: tuple[str, ...]
) -> None:
    await hooked.set_up(crm)
    at = {"created": 1, "paid": 2, "failed": 3}
    start = int(posts.NOW.timestamp()) - 10
    statuses = {"created": "pending", "paid": "paid", "failed": "failed"}
    await hooked.told(crm, database, [said(kind, start + at[kind], status=statuses[kind]) for kind in given])
    row = await database.fetchrow("SELECT provider, reference, net_amount, status FROM payouts")
    assert row is None if given[0] == "failed" else tuple(row) == ("stripe", "po_1", Decimal("11.00"), "FAILED")
    assert await balances(database) == {}


async def test_a_payout_of_the_provider_is_booked_once(crm: db.Database, database: asyncpg.Connection) -> None:
    await hooked.set_up(crm)
    post = said("paid", int(posts.NOW.timestamp()), status="paid")
    await hooked.told(crm, database, [post, post])
    assert await balances(database) == {"BANK": ("11.00", "11.00"), "CLEARING": ("-11.00", "-11.00")}
    assert set((await hooked.statuses(database)).values()) == {"DONE"}
