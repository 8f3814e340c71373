"""Digests: one e-mail a person with what they have not read, and nothing twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from crmgql.domain.jobs import kinds
from crmgql.domain.messages import digests
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain.work import insert, run, user

BEFORE = NOW - timedelta(minutes=10)


async def news(database, user_id: Any, title: str = "Notice", **values: Any) -> Any:
    given = {"kind": "lead.assigned", "occurred_at": BEFORE, "user_id": user_id, "title": title, **values}
    return await insert(database, "notifications", **given)


async def digest(crm, database, now=NOW) -> int:
    return (await run(crm, database, kinds.NOTIFICATIONS_DIGEST, now=now))["emails"]


async def written(database) -> list[Any]:
    return await database.fetch("SELECT * FROM email_messages ORDER BY to_address")


async def test_each_gets_one_email_with_everything(crm, database) -> None:
    ann = await user(database, "Ann", email="ann@example.com")
    bob = await user(database, "Bob", email="bob@example.com")
    await news(database, ann, "Lead one")
    await news(database, ann, "Deal\nsleeps", kind="opportunity.stale")
    await news(database, ann, "Lead two")
    await news(database, bob, "Lead three")
    assert await digest(crm, database) == 2
    to_ann, to_bob = await written(database)
    assert to_ann["subject"] == "3 things to know"
    assert to_ann["body"] == (
        "Hello Ann,\n\nLead assigned:\n- Lead one\n- Lead two\n\nOpportunity stale:\n- Deal sleeps\n"
    )
    assert (to_ann["user_id"], to_ann["status"]) == (ann, "PENDING")
    assert (to_bob["subject"], to_bob["to_address"]) == ("Lead three", "bob@example.com")
    asked = await database.fetch("SELECT arguments->>'email_id' AS id FROM jobs WHERE kind = 'email.send'")
    assert {row["id"] for row in asked} == {str(to_ann["id"]), str(to_bob["id"])}
    told = await database.fetchval("SELECT count(*) FROM events WHERE kind = 'email.written'")
    assert told == await database.fetchval("SELECT count(*) FROM audit_entries WHERE action = 'email.written'") == 2


async def test_nothing_is_said_twice(crm, database) -> None:
    ann = await user(database, email="ann@example.com")
    await news(database, ann)
    assert await digest(crm, database) == 1
    assert await digest(crm, database, NOW + timedelta(hours=1)) == 0
    await news(database, ann, "More")
    assert await digest(crm, database, NOW + timedelta(hours=2)) == 1
    assert [row["subject"] for row in await written(database)] == ["Notice", "More"]


async def test_two_at_once_say_it_once(crm, database) -> None:
    for number in range(20):
        await news(database, await user(database, email=f"u{number}@example.com"))

    async def one() -> int:
        async with crm.transaction() as tx:
            return await digests.write(Act(tx, system(lambda: NOW)), limit=20)

    counts = await asyncio.gather(one(), one(), one())
    assert sum(counts) == len(await written(database)) == 20


@pytest.mark.parametrize(
    ("person", "values"),
    [
        ({"email": None}, {}),
        ({"active": False}, {}),
        ({}, {"read_at": NOW}),
        ({}, {"emailed_at": NOW}),
        ({}, {"occurred_at": NOW - timedelta(seconds=119)}),
        ({}, {"occurred_at": NOW - timedelta(days=8)}),
    ],
)
async def test_what_nobody_is_emailed(crm, database, person: dict[str, Any], values: dict[str, Any]) -> None:
    await news(database, await user(database, **{"email": "ann@example.com", **person}), **values)
    assert await digest(crm, database) == 0
    assert await written(database) == []


async def test_news_waits_two_minutes(crm, database) -> None:
    await news(database, await user(database, email="ann@example.com"), occurred_at=NOW)
    assert await digest(crm, database, NOW + timedelta(seconds=119)) == 0
    assert await digest(crm, database, NOW + timedelta(seconds=120)) == 1


async def test_of_very_much_only_the_number(crm, database, monkeypatch) -> None:
    """And no more than what is shown is read into memory."""
    read: list[int] = []
    real = digests.text
    monkeypatch.setattr(digests, "text", lambda rows: read.append(len(rows)) or real(rows))
    ann = await user(database, email="ann@example.com")
    for number in range(digests.LINES + 7):
        await news(database, ann, f"Notice {number} {'x' * 190}"[:200])
    await digest(crm, database)
    (email,) = await written(database)
    assert read == [digests.LINES]
    assert email["subject"] == "57 things to know"
    assert email["body"].count("\n- ") == 50
    assert email["body"].endswith("\n\nand 7 more.\n")


async def test_batches_reach_everybody(crm, database) -> None:
    people = [await user(database, email=f"u{number}@example.com") for number in range(7)]
    for person in people:
        await news(database, person)
    counts = []
    while not counts or counts[-1]:
        async with crm.transaction() as tx:
            counts.append(await digests.write(Act(tx, system(lambda: NOW)), limit=3))
    assert counts == [3, 3, 1, 0]


@pytest.mark.parametrize(
    ("kind", "words"), [("lead.followUp", "Lead follow up"), ("pool.warned", "Pool warned"), ("x", "X"), ("", "")]
)
def test_kinds_in_words(kind: str, words: str) -> None:
    assert digests.heading(kind) == words
