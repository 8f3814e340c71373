"""Anchors over the ends of chains, and the job that writes them."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.ledger import anchors, book
from tests.conftest import NOW
from tests.domain import work
from tests.ledger.conftest import acting, add_customer, receivable, sale


async def write(crm: db.Database, most: int = anchors.MOST) -> int:
    """How many heads are in the new anchor."""
    async with acting(crm) as act:
        anchor = await anchors.write(act.tx, now=NOW, most=most)
    return anchor.heads if anchor else 0


async def sell(crm: db.Database, customer: UUID, key: str) -> None:
    async with acting(crm) as act:
        await book.post(act, [sale(customer, receivable(), "1.00", key=key)])


async def test_an_anchor_has_the_heads_that_moved_since_the_last_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    assert await write(crm) == 0
    other = await add_customer(database, "Other")
    await sell(crm, customer, "first")
    await sell(crm, other, "first")
    assert await write(crm) == 2
    assert await write(crm) == 0
    await sell(crm, other, "second")
    assert await write(crm) == 1
    rows = await database.fetch("SELECT anchor_id, owner_id, lane, seq FROM anchor_heads ORDER BY 1, 2")
    assert set(map(tuple, rows)) == {(1, customer, 0, 1), (1, other, 0, 1), (2, other, 0, 2)}
    rows = await database.fetch("SELECT id, previous, hash, heads, made_at FROM anchors ORDER BY id")
    assert [(row["id"], row["heads"], row["made_at"]) for row in rows] == [(1, 2, NOW), (2, 1, NOW)]
    assert [row["previous"] for row in rows] == [b"", rows[0]["hash"]]


async def test_what_is_too_much_for_one_anchor_goes_into_the_next(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await sell(crm, customer, "first")
    await sell(crm, await add_customer(database, "Other"), "first")
    assert [await write(crm, 1) for _ in range(3)] == [1, 1, 0]


async def test_of_two_at_once_one_writes(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await sell(crm, customer, "first")
    async with acting(crm) as act:
        assert await anchors.write(act.tx, now=NOW) is not None
        second = asyncio.create_task(write(crm))
        await asyncio.sleep(0.1)
        assert not second.done()
    assert await second == 0
    assert await database.fetchval("SELECT count(*) FROM anchors") == 1


async def test_it_waits_for_no_writer_and_no_writer_for_it(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await sell(crm, customer, "first")
    async with asyncio.timeout(5), acting(crm) as writer:
        await book.post(writer, [sale(customer, receivable(), "1.00", key="second")])
        async with acting(crm) as act:
            assert await anchors.write(act.tx, now=NOW) is not None
            await sell(crm, customer, "third")
    assert await write(crm) == 2


async def test_the_job_writes_an_anchor(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    await sell(crm, customer, "first")
    done = await work.run(crm, database, kinds.LEDGER_ANCHOR, now=NOW)
    hash = await database.fetchval("SELECT encode(hash, 'hex') FROM anchors")
    assert done == {"heads": 1, "anchor": f"1:{hash}"}
    assert await work.run(crm, database, kinds.LEDGER_ANCHOR, now=NOW) == {"heads": 0, "anchor": None}
