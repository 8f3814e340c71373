"""What providers say of refunds and disputes: once, in whatever order, and with the books as the provider says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.money import refunds
from crmgql.models.names import api_id
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.hooked import EVENTS, retry, set_up, told
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import Post
from tests.domain.money.test_hooks import charge, intent, order_of, renumbered, rows
from tests.domain.sales.test_revenue import balances
from tests.ledger.conftest import acting, add_customer

REFUNDS = "SELECT status, amount, provider_reference FROM refunds ORDER BY id"
DISPUTES = "SELECT status, amount, provider_reference FROM disputes ORDER BY id"
PAID = {"CLEARING": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}
BACK = {"CLEARING": ("96.50", "96.50"), "RECEIVABLE": ("2.50", "2.50"), "REVENUE": ("-99.00", "-99.00")}


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, roles=["FINANCE"])


def refund(status: str, *, at: int = 20, amount: int = 250, number: str = "1", key: str | None = None) -> Post:
    thing = {"id": f"re_{number}", "object": "refund", "payment_intent": "pi_1", "charge": "ch_1", "amount": amount}
    event: dict[str, Any] = {
        "id": f"evt_refund_{status}_{number}",
        "created": int(posts.TIME) + at,
        "request": {"idempotency_key": key},
    }
    kind = "refund.created" if status == "pending" else "refund.updated"
    return posts.stripe(kind, {**thing, "currency": "usd", "status": status}, **event)


def in_all(amount: int, *, at: int = 20) -> Post:
    return charge("refunded", at=at, amount_refunded=amount, refunded=amount == 9900)


def dispute(status: str, *, at: int = 30, amount: int = 9900) -> Post:
    thing = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1", "amount": amount}
    kind = {"needs_response": "created"}.get(status, "closed")
    event: dict[str, Any] = {"id": f"evt_dispute_{status}", "created": int(posts.TIME) + at}
    return posts.stripe(f"charge.dispute.{kind}", {**thing, "currency": "usd", "status": status}, **event)


async def found(database: asyncpg.Connection, sql: str) -> list[tuple[str, str]]:
    return [(row["status"], str(row["amount"])) for row in await database.fetch(sql)]


async def paid(crm: db.Database, customer: UUID) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")


async def test_a_refund_before_its_charge_waits_for_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await paid(crm, customer)
    await told(crm, database, [refund("succeeded")])
    (event,) = await rows(database, EVENTS)
    assert (event["status"], event["reason"]) == ("WAITING", "Its payment is not received here yet.")
    await told(crm, database, [intent("succeeded")])
    assert await found(database, REFUNDS) == [("SUCCEEDED", "2.50")]
    assert await balances(database) == BACK
    assert {row["status"] for row in await rows(database, EVENTS)} == {"DONE"}


HISTORIES: dict[str, tuple[Sequence[Post], dict[str, tuple[str, str]]]] = {
    "refund": ([intent("succeeded"), refund("pending", at=15), refund("succeeded"), in_all(250)], BACK),
    "two refunds": (
        [
            intent("succeeded"),
            refund("succeeded", amount=100),
            refund("succeeded", number="2", amount=150),
            in_all(250),
        ],
        BACK,
    ),
    "refund that failed": ([intent("succeeded"), refund("succeeded"), in_all(250), refund("failed", at=40)], PAID),
    "won": (
        [intent("succeeded"), dispute("needs_response"), dispute("under_review", at=32), dispute("won", at=60)],
        PAID,
    ),
    "lost": (
        [intent("succeeded"), dispute("needs_response"), dispute("lost", at=60)],
        {"RECEIVABLE": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")},
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
async def test_whatever_the_order_the_books_are_the_same(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, name: str
) -> None:
    history, expected = HISTORIES[name]
    await set_up(crm)
    for number, given in enumerate(permutations(history)):
        if len(history) > 3 and number % 3:  # of 24 each third, which still begin and end with each
            continue
        if len(history) > 3 and number % 3:  # of 24 each third, which still begin and end with each
            continue
        owner = await add_customer(database, f"Shop {number}")
        await order_of(crm, owner, "99.00", number=f"A-{number}")
        await told(crm, database, [renumbered(post, number) for post in given])
        own = await database.fetch(
            "SELECT purpose, sum(debit) - sum(credit) AS balance FROM balances WHERE owner_id = $1 GROUP BY 1"
            " HAVING sum(debit) <> sum(credit)",
            owner,
        )
        kinds = [post.body.decode().partition('"type": "')[2].partition('"')[0] for post in given]
        assert {row["purpose"]: str(row["balance"]) for row in own} == {
            purpose: amount for purpose, (amount, _) in expected.items()
        }, kinds
    waiting = await database.fetch("SELECT reason FROM provider_events WHERE status IN ('WAITING', 'RECEIVED')")
    assert waiting == []


async def test_a_refund_that_we_asked_for_ends_and_no_other_is_made(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await paid(crm, customer)
    await told(crm, database, [intent("succeeded")])
    payment = await database.fetchval("SELECT id FROM payments")
    ids = []
    for amount in ("2.50", "1.00"):
        async with acting(crm) as act:
            ids.append(await refunds.request(act, payment_id=payment, amount=(Decimal(amount), "USD")))
    key = api_id("Refund", ids[0])
    await told(crm, database, [refund("pending", at=15, key=key), refund("succeeded")])
    assert await found(database, REFUNDS) == [("SUCCEEDED", "2.50"), ("REQUESTED", "1.00")]
    assert await database.fetchval("SELECT provider_reference FROM refunds WHERE id = $1", ids[0]) == "re_1"
    await told(crm, database, [in_all(350, at=50)])  # which must be the other one
    assert await found(database, REFUNDS) == [("SUCCEEDED", "2.50"), ("SUCCEEDED", "1.00")]
    assert (await balances(database))["CLEARING"] == ("95.50", "95.50")


async def test_a_total_grows(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await paid(crm, customer)
    await told(crm, database, [intent("succeeded"), in_all(250), in_all(250), charge_total(400)])
    assert await found(database, REFUNDS) == [("SUCCEEDED", "2.50"), ("SUCCEEDED", "1.50")]


def charge_total(amount: int) -> Post:
    body = in_all(amount, at=60).body.replace(b'"evt_charge_refunded_1"', b'"evt_charge_refunded_again"')
    return posts.signed(body)


async def test_more_than_was_received_waits(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await paid(crm, customer)
    await told(crm, database, [intent("succeeded"), refund("succeeded", amount=9901)])
    waiting = await database.fetchrow("SELECT * FROM provider_events WHERE status = 'WAITING'")
    assert "99.00 USD can be refunded" in waiting["reason"]
    assert await balances(database) == PAID
    assert (await retry(crm, database, after=timedelta(hours=25)))["told"] == 1


async def test_a_capture_that_failed_in_the_end_goes_back(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm, "adyen")
    await order_of(crm, customer, "99.00")
    amount: dict[str, Any] = {"amount": {"value": 9900, "currency": "USD"}}
    held = posts.adyen_item("AUTHORISATION", **amount)
    capture = posts.adyen_item("CAPTURE", pspReference="CAP1", originalReference="PSP1", **amount)
    failed = posts.adyen_item("CAPTURE_FAILED", pspReference="CAP1", originalReference="PSP1", **amount)
    await told(crm, database, [posts.adyen_post(held, capture), posts.adyen_post(failed), posts.adyen_post(capture)])
    assert await found(database, REFUNDS) == [("SUCCEEDED", "99.00")]
    assert await balances(database) == {"RECEIVABLE": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}


async def test_a_dispute_is_one_however_often_it_is_told(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await paid(crm, customer)
    await told(crm, database, [dispute("needs_response"), intent("succeeded"), dispute("needs_response")])
    assert await found(database, DISPUTES) == [("OPEN", "99.00")]
    assert (await balances(database))["DISPUTED"] == ("99.00", "99.00")
    await told(crm, database, [dispute("lost", at=60), dispute("under_review", at=50)])
    assert await found(database, DISPUTES) == [("LOST", "99.00")]
    (late,) = [row for row in await rows(database, EVENTS) if row["event_id"] == "evt_dispute_under_review"]
    assert late["status"] == "OUTDATED"
