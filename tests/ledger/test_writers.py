"""Twenty writers at once, on the same few items: never more is taken than there is, and the chains hold."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest_asyncio

from crmgql import db
from crmgql.errors import CrmError
from crmgql.ledger import anchors, book, verify
from crmgql.ledger.postings import Entry, Item
from crmgql.models import Purpose
from crmgql.records.records import COLLIDED
from tests.conftest import NOW, connect
from tests.ledger.books import CLEARING
from tests.ledger.conftest import acting, add_customer, entry, receivable, sale, usd

WRITERS, TURNS, TRIES = 20, 8, 4


@pytest_asyncio.fixture
async def busy(database_url: str) -> AsyncIterator[db.Database]:
    """A database with a connection for each writer."""
    opened = await connect(database_url, pool_size=WRITERS)
    yield opened
    await opened.close()


class TooMuch(CrmError):
    """More than an item has."""

    def __init__(self) -> None:
        super().__init__("More than it has.")


async def post(crm: db.Database, *entries: Entry) -> str:
    """Posts them together; what collides with others is done again, as verbs are."""
    for _ in range(TRIES):
        try:
            async with acting(crm) as act:
                await book.post(act, entries, refusals={"open_items_not_over": TooMuch})
        except COLLIDED:
            continue
        except TooMuch:
            return "refused"
        return "posted"
    return "collided"


async def test_what_many_take_at_once_is_never_more_than_there_is(
    busy: db.Database, database: asyncpg.Connection
) -> None:
    customers = [await add_customer(database, name) for name in ("One", "Two", "Three")]
    owed: dict[UUID, Item] = {each: receivable() for each in customers}
    paid = {each: Item(Purpose.UNEARNED, "USD") for each in customers}
    for each in customers:
        receipt = entry("receipt", each, usd(paid[each].account, CLEARING, "50.00"), key="receipt", items=[paid[each]])
        await post(busy, sale(each, owed[each], "40.00"), receipt)
    ends: Counter[str] = Counter()

    async def write(number: int) -> None:
        chance = random.Random(number)
        for turn in range(TURNS):
            chosen = chance.sample(customers, 2)  # two writers may want the same two the other way round
            taken = [
                entry(
                    "allocation",
                    each,
                    usd(owed[each].account, paid[each].account, f"{chance.randint(1, 150) / 100:.2f}"),
                    key=f"{number} {turn}",
                )
                for each in chosen
            ]
            ends[await post(busy, *taken)] += 1

    await asyncio.gather(*(write(number) for number in range(WRITERS)), *(anchor(busy) for _ in range(5)))
    assert ends["collided"] == 0
    assert ends["posted"] > 2 * WRITERS
    assert ends["refused"] > 0
    for each in customers:
        rest, settled = await database.fetchrow("SELECT open, settled FROM open_items WHERE id = $1", owed[each].id)
        given = await database.fetchval("SELECT sum(amount) FROM postings WHERE credit_item_id = $1", owed[each].id)
        assert 0 <= rest == 40 - given
        assert settled == given
    async with database.transaction():
        found = await verify.check(database)
    assert [str(each) for each in found.broken] == []
    assert found.entries == 2 * ends["posted"] + 6
    assert found.lanes > len(customers)


async def anchor(crm: db.Database) -> None:
    await asyncio.sleep(0.1)
    async with acting(crm) as act:
        await anchors.write(act.tx, now=NOW)


async def test_the_same_from_many_is_posted_once(
    busy: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    item = receivable()
    ends = await asyncio.gather(*(post(busy, sale(customer, item, "1.00")) for _ in range(WRITERS)))
    assert set(ends) == {"posted"}
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 1
    async with database.transaction():
        assert (await verify.check(database)).is_whole


async def test_writers_over_the_same_customers_wait_and_never_collide(
    busy: db.Database, database: asyncpg.Connection
) -> None:
    """What a commit counts it locks in one order, whatever the order in which it was written."""
    customers = [await add_customer(database, f"Shop {n}") for n in range(10)]

    async def write(number: int) -> None:
        chance = random.Random(number)
        for turn in range(4):
            async with acting(busy) as act:
                for half in range(2):
                    shuffled = chance.sample(customers, len(customers))
                    await book.post(
                        act, [sale(each, receivable(), "1.00", key=f"{number} {turn} {half}") for each in shuffled[:7]]
                    )

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    entries = WRITERS * 4 * 2 * 7
    assert await database.fetchval("SELECT sum(outstanding) FROM customer_standings") == entries
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == entries
    assert await database.fetchval("SELECT count(*) FROM commit_checks") == 0
