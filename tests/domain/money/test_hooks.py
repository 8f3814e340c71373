"""What providers say becomes payments: whatever comes how often and in which order, once, and nothing is lost."""

from __future__ import annotations

import asyncio
import re
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
from crmgql.domain.jobs import kinds
from crmgql.domain.money import payments, periods, providers, suspense
from crmgql.domain.money.hooks import accounts, events, following
from crmgql.domain.money.providers.facts import Kind
from crmgql.domain.money.providers.refusals import SignatureWrong
from crmgql.domain.sales import orders
from crmgql.domain.webhooks.keys import KEYS
from crmgql.errors import BadUserInput, IllegalTransition, Unavailable
from crmgql.models import PaymentProvider, ProviderEventKind
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.hooked import EVENTS, PAYMENTS, deliver, follow, retry, set_up, statuses, told
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import NOW, Post
from tests.domain.sales.test_revenue import balances, confirmed, draft
from tests.ledger.conftest import acting, add_customer

STATE = """
SELECT p.provider_reference, p.status, p.amount, p.order_id IS NOT NULL AS is_of_order, p.received_at,
    (SELECT sum(amount) FROM allocations a WHERE a.payment_id = p.id) AS allocated
FROM payments p ORDER BY p.provider_reference"""


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, roles=["FINANCE"])


def intent(
    status: str, *, at: int = 0, number: str = "1", amount: int = 9900, order: str | None = "A-1", **event: Any
) -> Post:
    thing = {
        "id": f"pi_{number}",
        "object": "payment_intent",
        "amount": amount,
        "currency": "usd",
        "latest_charge": f"ch_{number}",
    }
    thing |= {"payment_method_types": ["card"], "amount_received": amount, "amount_capturable": amount}
    thing |= {"metadata": {"order_id": order}} if order else {}
    given = {"id": f"evt_{status}_{number}", "created": int(posts.TIME) + at, **event}
    return posts.stripe(f"payment_intent.{status}", thing, **given)


def charge(kind: str, *, at: int = 0, number: str = "1", amount: int = 9900, fee: int = 0, **thing: Any) -> Post:
    given = {
        "id": f"ch_{number}",
        "object": "charge",
        "payment_intent": f"pi_{number}",
        "amount": amount,
        "currency": "usd",
    }
    given |= {"amount_captured": amount, "captured": True, **thing}
    if fee:
        given["balance_transaction"] = {
            "id": f"txn_{number}",
            "fee": fee,
            "currency": "usd",
            "created": int(posts.TIME) + at,
        }
    return posts.stripe(f"charge.{kind}", given, id=f"evt_charge_{kind}_{number}", created=int(posts.TIME) + at)


def captures() -> Post:
    parts = [
        posts.adyen_item(
            "CAPTURE", pspReference=f"CAP{n}", originalReference="PSP1", amount={"value": value, "currency": "USD"}
        )
        for n, value in enumerate((6000, 3900), 1)
    ]
    return posts.adyen_post(*parts)


async def order_of(crm: db.Database, customer: UUID, *prices: str, number: str = "A-1") -> UUID:
    return await confirmed(crm, customer, *prices, number=number)


async def rows(database: asyncpg.Connection, sql: str = STATE) -> list[dict[str, Any]]:
    return [dict(row) for row in await database.fetch(sql)]


async def one(database: asyncpg.Connection) -> dict[str, Any]:
    (payment,) = await rows(database, PAYMENTS)
    return payment


async def test_a_charge_settles_its_order(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await set_up(crm)
    order = await order_of(crm, customer, "99.00")
    arrived = await deliver(crm, intent("succeeded"))
    assert (arrived.answer.status, len(arrived.event_ids)) == (200, 1)
    assert await rows(database) == []  # nothing is acted on before the job
    await follow(crm, database)
    payment = await one(database)
    assert (payment["status"], payment["order_id"], payment["amount"]) == ("RECEIVED", order, Decimal("99.00"))
    assert (payment["provider"], payment["provider_reference"], payment["reference"]) == ("stripe", "pi_1", "A-1")
    assert (payment["method"], payment["received_at"]) == ("CREDIT_CARD", NOW)
    assert await balances(database) == {"CLEARING": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}
    (event,) = await rows(database, EVENTS)
    assert (event["status"], event["payment_id"], event["order_id"]) == ("DONE", payment["id"], order)
    assert await database.fetchval("SELECT body FROM provider_posts") == intent("succeeded").body


async def test_the_same_charge_five_times_two_at_once_is_one_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    pair = await asyncio.gather(*(deliver(crm, intent("succeeded")) for _ in range(2)))
    again = [await deliver(crm, intent("succeeded", pending_webhooks=n)) for n in range(3)]
    assert [each.answer.status for each in [*pair, *again]] == [200] * 5
    assert sorted(len(each.event_ids) for each in [*pair, *again]) == [0, 0, 0, 0, 1]
    await deliver(crm, charge("succeeded"))
    ids = [row["id"] for row in await database.fetch(EVENTS)]

    async def followed(id: UUID) -> None:
        async with acting(crm) as act:
            await following.follow(act, id)

    await asyncio.gather(*map(followed, ids * 2))
    await follow(crm, database)
    assert [row["status"] for row in await rows(database)] == ["RECEIVED"]
    assert await database.fetchval("SELECT count(*) FROM ledger_entries WHERE kind = 'payment.received'") == 1


async def test_two_references_are_two_payments_and_the_order_is_overpaid(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    await told(crm, database, [intent("succeeded"), intent("succeeded", number="2")])
    assert len(await rows(database)) == 2
    assert (await balances(database))["CREDIT"] == ("-99.00", "-99.00")


HISTORY = [
    intent("created"),
    intent("processing", at=1),
    intent("payment_failed", at=2),
    charge("failed", at=2),
    intent("succeeded", at=9),
    charge("succeeded", at=9, fee=317),
]


@pytest.mark.parametrize("history", [HISTORY[:5], [*HISTORY[1:3], *HISTORY[4:]]], ids=["attempts", "fee"])
async def test_whatever_the_order_the_rows_are_the_same(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, history: Sequence[Post]
) -> None:
    await set_up(crm)
    found = set()
    for number, given in enumerate(permutations(history)):
        if number % 7:  # each seventh, of them all kinds of beginnings and ends
            continue
        one_ = await add_customer(database, f"Shop {number}")
        await order_of(crm, one_, "99.00", number=f"A-{number}")
        await told(crm, database, [renumbered(post, number) for post in given])
        payments_ = await database.fetch(
            f"SELECT * FROM ({STATE}) s WHERE provider_reference LIKE $1", f"pi_{number}_%"
        )
        own = await database.fetch(
            "SELECT replace(purpose, 'TRANSFER', 'CLEARING') AS purpose, sum(debit) - sum(credit) AS balance FROM balances"
            " WHERE owner_id = $1 GROUP BY 1 HAVING sum(debit) <> sum(credit) ORDER BY 1",  # what came first lay in suspense
            one_,
        )
        facts = [tuple(row)[1:] for row in payments_], [tuple(row) for row in own]
        found.add(str(facts))
    assert len(found) == 1, found
    assert "'RECEIVED'" in found.pop()
    assert set((await statuses(database)).values()) <= {"DONE", "OUTDATED", "NOTED"}


def renumbered(post: Post, number: int) -> Post:
    """The same of another payment, for another order."""
    body = re.sub(r'"(evt|pi|ch|txn|re|dp)_', rf'"\1_{number}_', post.body.decode())
    return posts.signed(body.replace('"A-1"', f'"A-{number}"').encode())


async def test_what_is_on_its_way_is_expected_and_fails_or_comes(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    await told(crm, database, [intent("created")])
    assert await rows(database) == []
    await told(crm, database, [intent("processing", at=1)])
    assert (await one(database))["status"] == "PENDING"
    await told(crm, database, [intent("canceled", at=2)])
    assert (await one(database))["status"] == "FAILED"
    await told(crm, database, [intent("succeeded", at=3)])
    assert (await one(database))["status"] == "RECEIVED"
    await told(crm, database, [intent("requires_action", at=4)])
    assert (await one(database))["status"] == "RECEIVED"
    assert (await statuses(database))["payment_intent.requires_action"] == "OUTDATED"
    assert await balances(database) == {"CLEARING": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}


async def test_less_than_was_authorised_is_captured(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    held = intent("amount_capturable_updated")
    await told(crm, database, [held, intent("succeeded", at=5, amount=5000)])
    assert [(row["provider_reference"], row["status"], str(row["amount"])) for row in await rows(database)] == [
        ("pi_1", "RECEIVED", "50.00"),
        ("pi_1 expected", "CANCELLED", "99.00"),
    ]
    assert (await balances(database))["RECEIVABLE"] == ("49.00", "49.00")


async def test_captures_of_one_payment_are_payments(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm, "adyen")
    await order_of(crm, customer, "99.00")
    held = posts.adyen_item("AUTHORISATION", amount={"value": 9900, "currency": "USD"})
    await told(crm, database, [posts.adyen_post(held)])
    assert (await one(database))["status"] == "PENDING"
    await told(crm, database, [captures()])
    found = [(row["provider_reference"], row["status"], str(row["amount"])) for row in await rows(database)]
    assert ("PSP1", "RECEIVED", "60.00") in found
    assert ("CAP2", "RECEIVED", "39.00") in found
    assert await balances(database) == {"CLEARING": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}


async def test_what_the_provider_calls_unsuccessful_moves_no_money(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm, "adyen")
    await order_of(crm, customer, "99.00")
    amount = {"value": 9900, "currency": "USD"}
    refused = [posts.adyen_item(code, success="false", amount=amount) for code in ("AUTHORISATION", "OFFER_CLOSED")]
    capture = posts.adyen_item("CAPTURE", success="false", pspReference="CAP1", originalReference="PSP1", amount=amount)
    await told(crm, database, [posts.adyen_post(*refused, capture)])
    assert await rows(database) == []
    assert await balances(database) == {"RECEIVABLE": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}


async def test_a_charge_before_its_order_waits_and_settles_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await told(crm, database, [intent("succeeded"), charge("succeeded", fee=317)])
    found = sorted((row["kind"], row["status"]) for row in await rows(database, EVENTS))
    assert found == [("FEE", "WAITING"), ("PAYMENT_SUCCEEDED", "OUTDATED"), ("PAYMENT_SUCCEEDED", "WAITING")]
    assert "A-1" in (await database.fetchval("SELECT string_agg(reason, ' ') FROM provider_events"))
    assert await rows(database) == []
    assert await balances(database) == {"CLEARING": ("99.00", "99.00"), "SUSPENSE": ("-99.00", "-99.00")}
    assert (await retry(crm, database, after=timedelta(seconds=30)))["tried"] == 0
    await order_of(crm, customer, "99.00")
    assert (await retry(crm, database, after=timedelta(minutes=2)))["tried"] > 0
    assert (await one(database))["status"] == "RECEIVED"
    assert await balances(database) == {
        "CLEARING": ("95.83", "95.83"),
        "FEES": ("3.17", "3.17"),
        "REVENUE": ("-99.00", "-99.00"),
    }
    found = sorted((row["kind"], row["status"]) for row in await rows(database, EVENTS))
    assert found == [("FEE", "DONE"), ("PAYMENT_SUCCEEDED", "DONE"), ("PAYMENT_SUCCEEDED", "OUTDATED")]


async def test_what_lies_in_suspense_can_be_assigned_or_go_back_by_hand(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await told(crm, database, [intent("succeeded", order=None)])
    receipt = await database.fetchval("SELECT id FROM suspense_receipts")
    async with acting(crm) as act:
        await suspense.assign(act, id=receipt, customer_id=customer)
    await retry(crm, database, after=timedelta(minutes=2))
    assert await statuses(database) == {"payment_intent.succeeded": "DONE"}
    payment = await one(database)
    assert (payment["customer_id"], payment["suspense_id"], payment["status"]) == (customer, receipt, "RECEIVED")
    assert await balances(database) == {"CLEARING": ("99.00", "99.00"), "UNEARNED": ("-99.00", "-99.00")}


async def test_what_went_back_out_of_suspense_is_no_payment_any_more(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await told(crm, database, [intent("succeeded")])
    async with acting(crm) as act:
        receipt = await act.tx.connection.fetchval("SELECT id FROM suspense_receipts")
        await suspense.give_back(act, id=receipt, reason="Sent by mistake.")
    await order_of(crm, customer, "99.00")
    await retry(crm, database, after=timedelta(minutes=2))
    assert await statuses(database) == {"payment_intent.succeeded": "NOTED"}
    assert await rows(database) == []


async def test_captures_of_nobody_s_payment_lie_in_suspense_each(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm, "adyen")
    await told(crm, database, [captures()])
    assert await database.fetchval("SELECT count(*) FROM suspense_receipts") == 2
    assert await rows(database) == []
    order = await order_of(crm, customer, "99.00")
    async with acting(crm) as act:
        await events.assign(act, id=(await rows(database, EVENTS))[0]["id"], order_id=order)
    assert [row["suspense_id"] is not None for row in await rows(database, PAYMENTS)] == [True, True]
    assert await database.fetchval("SELECT count(*) FROM open_items WHERE open <> 0") == 0


async def test_a_draft_is_credited_and_settled_when_it_is_confirmed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    async with acting(crm) as act:
        order = await draft(act, customer, "99.00", number="A-1")
    await told(crm, database, [intent("succeeded")])
    assert (await balances(database))["CREDIT"] == ("-99.00", "-99.00")
    async with acting(crm) as act:
        await orders.move(act, "confirm", id=order)
    assert await balances(database) == {"CLEARING": ("99.00", "99.00"), "REVENUE": ("-99.00", "-99.00")}


@pytest.mark.parametrize("named", ["id", "customer", "external id"])
async def test_whose_it_is_by_ids(crm: db.Database, database: asyncpg.Connection, customer: UUID, named: str) -> None:
    await set_up(crm, order_source="shop")
    order = await order_of(crm, customer, "99.00")
    if named == "external id":
        await database.execute("UPDATE customers SET source = 'shop', external_id = 'A-77' WHERE id = $1", customer)
    said = {"id": f"ord_{order.hex}", "customer": f"cus_{customer.hex}", "external id": "A-77"}[named]
    await told(crm, database, [intent("succeeded", order=said)])
    payment = await one(database)
    assert (payment["customer_id"], payment["order_id"]) == (customer, order if named == "id" else None)


async def test_money_for_an_order_in_another_currency_is_the_customers(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await confirmed(crm, customer, "99.00", number="A-1", currency="EUR")
    await told(crm, database, [intent("succeeded")])
    payment = await one(database)
    assert (payment["customer_id"], payment["order_id"], payment["currency"]) == (customer, None, "USD")


async def test_nobody_is_guessed_and_somebody_is_told_and_says_whose_it_is(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, seller: UUID
) -> None:
    await set_up(crm)
    order = await order_of(crm, customer, "99.00", number="B-7")
    await told(crm, database, [intent("succeeded", order=None)])
    assert (await retry(crm, database, after=timedelta(hours=23)))["told"] == 0
    assert (await retry(crm, database, after=timedelta(hours=25)))["told"] == 1
    assert (await retry(crm, database, after=timedelta(hours=50)))["told"] == 0
    notice = await database.fetchrow("SELECT * FROM notifications WHERE user_id = $1", seller)
    assert "99.00 USD" in notice["title"]
    assert notice["body"] == "It names no order."
    (event,) = await rows(database, EVENTS)
    async with acting(crm) as act:
        with pytest.raises(BadUserInput):
            await events.assign(act, id=event["id"])
    async with acting(crm) as act:
        await events.assign(act, id=event["id"], order_id=order)
    payment = await one(database)
    assert (payment["order_id"], payment["status"]) == (order, "RECEIVED")
    assert (await statuses(database)) == {"payment_intent.succeeded": "DONE"}
    async with acting(crm) as act:
        with pytest.raises(IllegalTransition):
            await events.assign(act, id=event["id"], customer_id=customer)


async def test_a_closed_day_or_a_missing_rate_makes_it_wait(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    async with acting(crm) as act:
        period = await periods.close(act, "close", last_on=NOW.date())
    await told(crm, database, [intent("succeeded")])
    (event,) = await rows(database, EVENTS)
    assert event["status"] == "WAITING"
    assert "2026-03-0" in event["reason"]
    assert await rows(database) == []
    async with acting(crm) as act:
        await periods.reopen(act, id=period, reason="A payment came late.")
    await retry(crm, database, after=timedelta(hours=2))
    assert (await one(database))["status"] == "RECEIVED"


async def test_a_fee_waits_for_its_payment(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    """Which has no rate, where the fee needs none."""
    await set_up(crm)
    await told(crm, database, [charge("succeeded", currency="nok", fee=317, metadata={"order": f"cus_{customer.hex}"})])
    assert {row["kind"]: row["status"] for row in await rows(database, EVENTS)} == {
        "PAYMENT_SUCCEEDED": "WAITING",
        "FEE": "WAITING",
    }
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 0


async def test_what_was_recorded_by_hand_is_the_payment(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    order = await order_of(crm, customer, "99.00")
    given: dict[str, Any] = {"method": "CREDIT_CARD", "provider": "stripe", "order_id": order}
    async with acting(crm) as act:
        first = await payments.record(
            act, amount=(Decimal("99.00"), "USD"), provider_reference="ch_1", pending=True, **given
        )
        await payments.record(act, amount=(Decimal("1.00"), "USD"), provider_reference="pi_2", **given)
    await told(crm, database, [intent("succeeded"), intent("succeeded", number="2")])
    found = await rows(database, PAYMENTS)
    assert [(row["status"], str(row["amount"])) for row in found] == [("RECEIVED", "99.00"), ("RECEIVED", "1.00")]
    assert found[0]["id"] == first
    waiting = await database.fetchrow("SELECT * FROM provider_events WHERE status = 'WAITING'")
    assert "1.00 USD" in waiting["reason"]
    assert waiting["reference"] == "pi_2"


async def test_nothing_is_booked_of_the_other_mode_or_of_others(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    strange = posts.stripe("coupon.created", {"id": "c1", "object": "coupon"}, id="evt_9")
    connected = intent("succeeded", number="8", account="acct_other")
    await told(crm, database, [intent("succeeded", livemode=False), strange, connected])
    assert await rows(database) == []
    assert set((await statuses(database)).values()) == {"NOTED"}


async def test_a_replay_books_nothing_twice(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await set_up(crm)
    await order_of(crm, customer, "99.00")
    await told(crm, database, [charge("succeeded", fee=317), intent("succeeded")])
    before = await balances(database)
    for row in await database.fetch(EVENTS):
        async with acting(crm) as act:
            await events.replay(act, id=row["id"])
    await follow(crm, database, now=NOW + timedelta(days=400))
    assert await balances(database) == before
    assert len(await rows(database)) == 1
    assert "RECEIVED" not in (await statuses(database)).values()


async def test_a_post_that_could_not_be_read_is_kept_and_read_later(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    account = await set_up(crm, "wechat", secrets=["f" * 32])
    await confirmed(crm, customer, "10.00", number="A-1", currency="CNY")
    await told(crm, database, [posts.wechat("TRANSACTION.SUCCESS", posts.TRANSACTION)])
    (event,) = await rows(database, EVENTS)
    assert (event["status"], event["kind"]) == ("WAITING", "UNKNOWN")
    async with acting(crm) as act:
        await accounts.rotate_secret(act, id=account, secret=posts.API_KEY)
    await retry(crm, database, after=timedelta(hours=2))
    assert (await one(database))["status"] == "RECEIVED"
    assert sorted((await statuses(database)).values()) == ["DONE", "NOTED"]


async def test_a_job_that_fails_for_good_leaves_its_event_waiting(
    crm: db.Database, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(crm)
    await deliver(crm, intent("succeeded"))

    async def broken(*_: Any) -> None:
        raise RuntimeError("A mistake of ours.")

    with monkeypatch.context() as patched:
        patched.setattr(following, "_act_on", broken)
        for turn in range(kinds.PROVIDER_EVENT_FOLLOW.max_failures):
            await work.work(crm, database, kinds.PROVIDER_EVENT_FOLLOW, now=NOW + timedelta(hours=turn))
    (event,) = await rows(database, EVENTS)
    assert event["status"] == "WAITING"
    assert event["retry_at"] is not None


async def test_what_a_provider_said_can_not_be_changed(crm: db.Database, database: asyncpg.Connection) -> None:
    await set_up(crm)
    await deliver(crm, intent("succeeded"))
    changes = (
        "UPDATE provider_events SET amount = 1.00",
        "UPDATE provider_events SET success = false",
        "DELETE FROM provider_events",
        "TRUNCATE provider_events",
    )
    for sql in (*changes, "UPDATE provider_posts SET body = ''"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await database.execute(sql)
    await database.execute("SET ROLE crmgql_app")
    for sql in changes:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(sql)


async def test_another_secret_is_refused_and_an_old_one_for_as_long_as_was_said(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    account = await set_up(crm)
    new = "whsec_" + "n" * 32
    async with acting(crm) as act:
        await accounts.rotate_secret(act, id=account, secret=new, overlap_h=1)
        until = act.now + timedelta(hours=1)
    (known,) = await accounts.active(crm, "stripe")
    assert known.at(until - timedelta(seconds=1)).shared == (new, posts.SECRET)
    assert known.at(until).shared == (new,)
    stored = await database.fetchval("SELECT secrets_sealed FROM payment_accounts")
    assert "whsec" not in stored
    with pytest.raises(SignatureWrong):
        await deliver(crm, posts.stripe("payment_intent.created", {}, secret="whsec_other"))
    assert await rows(database, EVENTS) == []


async def test_posts_go_after_a_time_and_what_they_say_stays(crm: db.Database, database: asyncpg.Connection) -> None:
    await set_up(crm)
    await deliver(crm, intent("succeeded"))
    await deliver(crm, intent("succeeded", number="2"), now=NOW + timedelta(seconds=200))
    for before, left in ((NOW, 2), (NOW + timedelta(seconds=100), 1)):
        async with crm.transaction() as tx:
            await events.purge_posts(tx, before=before, limit=10)
        assert await database.fetchval("SELECT count(*) FROM provider_posts") == left
    assert len(await rows(database, EVENTS)) == 2


async def test_secrets_of_another_installation_are_not_used(crm: db.Database, database: asyncpg.Connection) -> None:
    await set_up(crm)
    KEYS.use("another secret of 32 bytes or more, for tests")
    with pytest.raises(Unavailable, match="set them again"):
        await accounts.active(crm, "stripe")
    await database.execute("UPDATE payment_accounts SET name = 'Old'")
    async with acting(crm) as act:
        await accounts.create(act, name="New", provider="STRIPE", secrets=["whsec_new"])
    (usable,) = await accounts.active(crm, "stripe")
    assert [each.value for each in usable.secrets] == ["whsec_new"]


def test_the_models_know_the_kinds_and_the_providers() -> None:
    assert [each.value for each in Kind] == [each.value for each in ProviderEventKind]
    assert {each.value.lower() for each in PaymentProvider} == providers.PROVIDERS.keys()


def test_how_long_something_waits() -> None:
    waits = [following.wait(timedelta(minutes=age)) for age in (0, 5, 60, 3000)]
    assert waits == [timedelta(minutes=minutes) for minutes in (1, 1, 6, 60)]
