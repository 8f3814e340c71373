"""Periods of the books: closed from the earliest on, reopened from the latest on, never overlapping."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import pytest
import pytest_asyncio

from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.models import Purpose
from crmgql.records.records import Act
from tests.ledger.conftest import entry, usd
from tests.schema.world import World, uuid_of

JULY = {"firstOn": "2026-07-01", "lastOn": "2026-07-31"}
AUGUST = {"firstOn": "2026-08-01", "lastOn": "2026-08-31"}
OCTOBER = {"firstOn": "2026-10-01", "lastOn": "2026-10-31"}
FEES = usd(Account(Purpose.CLEARING), Account(Purpose.FEES), "1.00")
SHOWN = "id firstOn lastOn status closedAt version"


@pytest_asyncio.fixture(autouse=True)
async def closed_until_june(world: World) -> None:
    await world.database.execute("DELETE FROM accounting_periods")
    await closed(world, "periodClose", lastOn="2026-06-30")


async def closed(world: World, verb: str, **given: Any) -> str:
    return (await world.do(verb, "FINANCE", **given)).done["id"]  # type: ignore[no-any-return]


async def refused(world: World, verb: str, who: str = "FINANCE", **given: Any) -> tuple[str | None, str | None, str]:
    before = await world.counts()
    answer = await world.do(verb, who, **given)
    assert await world.counts() == before
    (said,) = answer.rejections + answer.errors
    return answer.code, said.get("field"), said["message"]


async def status(world: World, id: str) -> str:
    return (await world.row("accounting_periods", id))["status"]  # type: ignore[no-any-return]


async def test_days_become_a_period_that_is_soft_closed_then_closed_and_told(world: World) -> None:
    answer = await world.do("periodSoftClose", "FINANCE", show=SHOWN, **JULY)
    id = answer.done["id"]
    said = {"status": "SOFT_CLOSED", "closedAt": "2026-11-01T12:00:00+00:00", "version": 1}
    assert answer.done == {"id": id, **JULY, **said}
    assert await closed(world, "periodClose", **JULY) == id
    assert await world.told(id) == ["period.softClosed", "period.closed"]
    payload = await world.database.fetchval(
        "SELECT payload FROM events WHERE subject_id = $1 ORDER BY id DESC LIMIT 1", uuid_of(id)
    )
    assert json.loads(payload) == {**JULY, "status": "CLOSED", "version": 2}
    listed = await world.ask("{ accountingPeriods(first: 1) { nodes { firstOn status } } }", world.viewer("SUPPORT"))
    assert listed["data"] == {"accountingPeriods": {"nodes": [{"firstOn": "2026-07-01", "status": "CLOSED"}]}}


async def test_earlier_days_close_first(world: World) -> None:
    july = await closed(world, "periodSoftClose", **JULY)
    code, field, message = await refused(world, "periodClose", **AUGUST)
    assert (code, field) == ("PERIOD_OPEN", "id")
    assert message.startswith("2026-07-31 is not closed")
    august = await closed(world, "periodSoftClose", **AUGUST)
    code, _, message = await refused(world, "periodSoftClose", **OCTOBER)
    assert code == "PERIOD_OPEN"
    assert message.startswith("2026-09-30 is not soft closed or closed")
    assert (await refused(world, "periodClose", id=august))[0] == "PERIOD_OPEN"
    await closed(world, "periodClose", id=july)
    await closed(world, "periodClose", id=august)


async def test_the_first_period_begins_with_all_days(world: World) -> None:
    await world.database.execute("DELETE FROM accounting_periods")
    code, _, message = await refused(world, "periodClose", **JULY)
    assert code == "PERIOD_OPEN"
    assert message.startswith("2026-06-30 is not closed; leave firstOn out")
    answer = await world.do("periodSoftClose", "FINANCE", show=SHOWN, lastOn="2026-07-31")
    assert answer.done["firstOn"] == "1000-01-01"


async def test_days_follow_the_period_before(world: World) -> None:
    july = await closed(world, "periodSoftClose", lastOn="2026-07-31")
    assert (await world.row("accounting_periods", july))["first_on"] == date(2026, 7, 1)
    assert await closed(world, "periodClose", lastOn="2026-07-31") == july
    august = await closed(world, "periodClose", lastOn="2026-08-31")
    assert (await world.row("accounting_periods", august))["first_on"] == date(2026, 8, 1)
    code, field, message = await refused(world, "periodClose", lastOn="2026-08-30")
    assert (code, field) == ("PERIODS_OVERLAP", "firstOn")
    assert message.startswith("2026-08-01 to 2026-08-31 is closed")


async def test_the_latest_days_are_reopened_first_and_closed_ones_by_who_may(world: World) -> None:
    july, august = await closed(world, "periodClose", **JULY), await closed(world, "periodClose", **AUGUST)
    why = {"reason": "The bank sent another statement."}
    assert (await refused(world, "periodReopen", id=august, **why))[0] == "FORBIDDEN"
    code, _, message = await refused(world, "periodReopen", "ADMIN", id=july, **why)
    assert code == "PERIOD_CLOSED"
    assert message.startswith("2026-08-01 to 2026-08-31 is closed")
    assert (await world.do("periodReopen", id=august, toAdjust=True, **why)).done
    assert await status(world, august) == "SOFT_CLOSED"
    assert (await refused(world, "periodReopen", "ADMIN", id=july, **why))[0] == "PERIOD_CLOSED"
    assert (await world.do("periodReopen", "FINANCE", id=august, **why)).done
    assert (await world.changes(august)).keys() == {"status", "closed_at"}
    assert (await world.do("periodReopen", "ADMIN", **JULY, reason="So.")).done
    changes = await world.changes(july)
    assert changes["status_reason"] == [None, "So."]
    assert changes["status"] == ["CLOSED", "OPEN"]
    assert (await refused(world, "periodReopen", "ADMIN", id=july, reason="Again."))[0] == "ILLEGAL_TRANSITION"
    await closed(world, "periodSoftClose", id=july)
    assert (await world.row("accounting_periods", july))["status_reason"] is None


@pytest.mark.parametrize(
    ("given", "code", "field", "words"),
    [
        ({}, "BAD_USER_INPUT", "id", "by its last day"),
        ({"firstOn": "2026-07-01"}, "BAD_USER_INPUT", "id", "by its last day"),
        ({"firstOn": "2026-07-02", "lastOn": "2026-07-01"}, "BAD_USER_INPUT", "lastOn", "before the first"),
        ({"firstOn": "2026-10-15", "lastOn": "2026-11-01"}, "BAD_USER_INPUT", "lastOn", "today is 2026-11-01"),
        ({"firstOn": "0026-10-15", "lastOn": "2026-10-01"}, "BAD_USER_INPUT", "firstOn", "year"),
        ({**AUGUST, "expectedVersion": 1}, "VERSION_CONFLICT", "expectedVersion", "no period yet"),
    ],
)
async def test_what_can_be_no_period_is_refused(
    world: World, given: dict[str, Any], code: str, field: str, words: str
) -> None:
    for verb in ("periodSoftClose", "periodClose"):
        found = await refused(world, verb, **given)
        assert found[:2] == (code, field)
        assert words in found[2]


async def test_days_without_a_period_are_open_already(world: World) -> None:
    code, field, _ = await refused(world, "periodReopen", **JULY, reason="So.")
    assert (code, field) == ("ILLEGAL_TRANSITION", "lastOn")
    assert (await refused(world, "periodReopen", **JULY, reason=" "))[:2] == ("BAD_USER_INPUT", "reason")


@pytest.mark.parametrize(
    "days", [("2026-07-31", "2026-08-31"), ("2026-07-10", "2026-07-12"), ("2026-07-01", "2026-08-31")]
)
async def test_two_periods_never_overlap(world: World, days: tuple[str, str]) -> None:
    await closed(world, "periodClose", **JULY)
    code, field, message = await refused(world, "periodClose", firstOn=days[0], lastOn=days[1])
    assert (code, field) == ("PERIODS_OVERLAP", "firstOn")
    assert message.startswith("2026-07-01 to 2026-07-31 is closed")


async def test_two_who_close_the_same_days_at_once_make_one_period(world: World) -> None:
    answers = await asyncio.gather(*(world.do("periodClose", "FINANCE", **JULY) for _ in range(4)))
    assert sorted(answer.code or "" for answer in answers) == ["", *["ILLEGAL_TRANSITION"] * 3]
    assert await world.database.fetchval("SELECT count(*) FROM accounting_periods") == 2


async def test_closing_waits_for_who_posts_and_who_comes_later_is_refused(world: World) -> None:
    fee = entry("fee", None, FEES, key="first", effective_on=date(2026, 7, 7))
    async with world.engine.database.transaction() as tx:
        await book.post(Act(tx, world.viewer("SUPPORT")), [fee])
        closing = asyncio.create_task(world.do("periodClose", "FINANCE", **JULY))
        await asyncio.sleep(0.2)
        assert not closing.done()
    assert (await closing).done
    payment = {"orderId": await world.order("CONFIRMED"), "amount": {"amount": "1.00", "currency": "EUR"}}
    answer = await world.do("paymentRecord", **payment, method="CASH", receivedAt="2026-07-07T12:00:00Z")
    assert answer.code == "PERIOD_CLOSED"
    assert "2026-08-01" in answer.rejections[0]["message"]


async def test_who_may_adjust_posts_to_soft_closed_days(world: World) -> None:
    await closed(world, "periodSoftClose", **JULY)
    order = await world.order("CONFIRMED")

    async def pay(who: Any, day: str) -> str | None:
        amount = {"amount": "1.00", "currency": "EUR"}
        return (
            await world.do(
                "paymentRecord", who, orderId=order, amount=amount, method="CASH", receivedAt=f"{day}T12:00:00Z"
            )
        ).code

    assert await pay("INTEGRATION", "2026-07-07") == "PERIOD_CLOSED"
    narrow = world.viewer("FINANCE", scopes=frozenset({"payments:write", "payments:read", "orders:read"}))
    assert await pay(narrow, "2026-07-07") == "PERIOD_CLOSED"
    assert await pay("FINANCE", "2026-07-07") is None
    assert await pay("FINANCE", "2026-08-07") is None
    rows = await world.database.fetch(
        "SELECT effective_on, bool_and(is_adjusting) AS marked, bool_or(is_adjusting) AS some FROM ledger_entries"
        " WHERE kind = 'payment.received' GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [(date(2026, 7, 7), True, True), (date(2026, 8, 7), False, False)]
