"""What is posted, what it does to balances and items, and what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.errors import BadUserInput, IdempotencyConflict, PeriodClosed, ResolvedAlready, ReversedAlready
from crmgql.ledger import book, chains
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Item
from crmgql.models import Phase, Purpose
from tests.ledger.conftest import DAY, acting, entry, receivable, sale, usd

BALANCES = """
SELECT purpose, sum(debit) AS debit, sum(credit) AS credit, sum(base) AS base, sum(pending_debit) AS pending_debit,
    sum(pending_credit) AS pending_credit FROM balances WHERE owner_id = $1 GROUP BY purpose"""
BANK, REVENUE = Account(Purpose.BANK), Account(Purpose.REVENUE)


async def post(crm: db.Database, *entries: Entry) -> list[book.Posted]:
    async with acting(crm) as act:
        return await book.post(act, entries)


async def balances(database: asyncpg.Connection, owner: UUID) -> dict[str, tuple[str, ...]]:
    rows = await database.fetch(BALANCES, owner)
    return {row[0]: tuple(map(str, row.values()))[1:] for row in rows}


async def test_a_sale_is_owed_and_earned(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    item = receivable()
    (posted,) = await post(crm, sale(customer, item, "10.00"))
    assert not posted.is_replay
    assert await balances(database, customer) == {
        "RECEIVABLE": ("10.00", "0.00", "10.00", "0.00", "0.00"),
        "REVENUE": ("0.00", "10.00", "-10.00", "0.00", "0.00"),
    }
    row = await database.fetchrow("SELECT * FROM open_items")
    assert (row["id"], row["open"], row["free"], row["settled"], row["base"]) == (item.id, 10, 10, 0, 10)


class Counting:
    """A connection that counts what it is asked."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.statements = 0

    async def fetch(self, *args: object) -> list[asyncpg.Record]:
        self.statements += 1
        return await self.connection.fetch(*args)


async def test_many_entries_cost_as_many_statements_as_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    for count in (1, 499):
        entries = [sale(customer, receivable(), "1.00", key=f"{count} {n}") for n in range(count)]
        async with acting(crm) as act:
            counting = Counting(act.tx.connection)
            await book.post(replace(act, tx=replace(act.tx, connection=counting)), entries)
            assert counting.statements == 1
    assert (await balances(database, customer))["REVENUE"][1] == "500.00"


async def test_the_same_again_is_a_replay_and_another_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    (first,) = await post(crm, sale(customer, receivable(), "10.00"))
    again, new = await post(crm, sale(customer, receivable(), "10.00"), sale(customer, receivable(), "1.00", key="new"))
    assert again == book.Posted(first.id, True)
    assert not new.is_replay
    with pytest.raises(IdempotencyConflict):
        await post(crm, sale(customer, receivable(), "12.00"), sale(customer, receivable(), "1.00", key="third"))
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 2
    assert await database.fetchval("SELECT count(*) FROM open_items") == 2


async def test_what_is_taken_is_at_most_what_is_open(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    item = receivable()
    await post(crm, sale(customer, item, "10.00"))
    with pytest.raises(asyncpg.CheckViolationError, match="open_items_not_over"):
        await post(crm, entry("payment", customer, usd(item.account, BANK, "10.01"), key="much"))
    with pytest.raises(BadUserInput, match=r"10\.00 at most"):
        async with acting(crm) as act:
            refusals = {"open_items_not_over": lambda: BadUserInput("10.00 at most.")}
            much = entry("payment", customer, usd(item.account, BANK, "10.01"), key="much")
            await book.post(act, [much], refusals=refusals)
    await post(crm, entry("payment", customer, usd(item.account, BANK, "10.00"), key="right"))
    row = await database.fetchrow("SELECT * FROM open_items")
    assert (row["open"], row["settled"], row["base"]) == (0, 10, 0)


async def test_what_is_pending_holds_its_items_until_it_ends(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    item = receivable()
    await post(crm, sale(customer, item, "10.00"))

    def asked(amount: str, key: str) -> Entry:
        return entry("asked", customer, usd(item.account, BANK, amount), key=key, phase=Phase.PENDING)

    first, second = await post(crm, asked("6.00", "first"), asked("4.00", "second"))
    row = await database.fetchrow("SELECT open, free FROM open_items")
    assert (row["open"], row["free"]) == (10, 0)
    assert (await balances(database, customer))["BANK"] == ("0.00", "0.00", "0.00", "10.00", "0.00")
    with pytest.raises(asyncpg.CheckViolationError, match="open_items_not_over"):
        await post(crm, asked("0.01", "third"))

    posted = entry("posted", customer, usd(item.account, BANK, "5.00"), key="posted", resolves_id=first.id)
    voided = entry("voided", customer, key="voided", phase=Phase.VOIDED, resolves_id=second.id)
    await post(crm, posted, voided)
    row = await database.fetchrow("SELECT open, free FROM open_items")
    assert (row["open"], row["free"]) == (5, 5)
    assert (await balances(database, customer))["BANK"] == ("5.00", "0.00", "5.00", "0.00", "0.00")
    for again in (replace(voided, key="again"), replace(voided, resolves_id=first.id, key="both")):
        with pytest.raises(ResolvedAlready):
            await post(crm, again)


async def test_only_what_is_pending_can_end(crm: db.Database, customer: UUID) -> None:
    (made,) = await post(crm, sale(customer, receivable(), "10.00"))
    with pytest.raises(asyncpg.CheckViolationError, match="not pending"):
        await post(crm, entry("voided", customer, key="voided", phase=Phase.VOIDED, resolves_id=made.id))


async def test_a_reversal_takes_everything_back_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    (made,) = await post(crm, sale(customer, receivable(), "10.00"))
    async with acting(crm) as act:
        back = await book.reversals(act, {made.id: DAY}, kind="order.cancelled")
        (reversal,) = await book.post(act, back)
    assert {purpose: values[2] for purpose, values in (await balances(database, customer)).items()} == {
        "RECEIVABLE": "0.00",
        "REVENUE": "0.00",
    }
    for again in (back[0], replace(back[0], key="another")):
        with pytest.raises(ReversedAlready):
            await post(crm, again)
        twice = await book.reversals(act, {reversal.id: DAY}, kind="back")
    with pytest.raises(asyncpg.CheckViolationError, match="not the reversal"):
        await post(crm, *twice)
    half = replace(back[0], postings=[usd(BANK, REVENUE, "10.00")], key="half")
    (other,) = await post(crm, sale(customer, receivable(), "10.00", key="other"))
    with pytest.raises(asyncpg.CheckViolationError, match="not the reversal"):
        await post(crm, replace(half, reverses_id=other.id))


async def test_one_of_many_reversals_at_once_succeeds(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    (made,) = await post(crm, sale(customer, receivable(), "10.00"))

    async def reverse(n: int) -> None:
        async with acting(crm) as act:
            (back,) = await book.reversals(act, {made.id: DAY}, kind="back")
            await book.post(act, [replace(back, key=f"by {n}")])

    results = await asyncio.gather(*(reverse(n) for n in range(8)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["NoneType", *["ReversedAlready"] * 7]


async def test_what_is_the_companys_own_has_its_own_accounts(crm: db.Database, database: asyncpg.Connection) -> None:
    await post(crm, entry("payout", None, usd(Account(Purpose.CLEARING), BANK, "7.00"), key="payout"))
    company = await database.fetchval("SELECT id FROM companies")
    assert set(await balances(database, company)) == {"BANK", "CLEARING"}


async def test_closed_days_take_no_entries_and_soft_closed_ones_adjusting_ones(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    insert = "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
    insert += " SELECT id, $1, $2, $3, now() FROM companies"
    await database.execute(insert, date(2026, 11, 1), date(2026, 11, 30), "CLOSED")
    await database.execute(insert, date(2026, 12, 1), date(2026, 12, 31), "SOFT_CLOSED")
    with pytest.raises(PeriodClosed, match=r"closed on 2026-11-01; the first open day is 2027-01-01"):
        await post(crm, sale(customer, receivable(), "1.00", is_adjusting=True))
    december = {"effective_on": date(2026, 12, 31)}
    with pytest.raises(PeriodClosed, match="soft closed on 2026-12-31"):
        await post(crm, sale(customer, receivable(), "1.00", **december))
    await post(crm, sale(customer, receivable(), "1.00", is_adjusting=True, **december))
    with pytest.raises(asyncpg.ExclusionViolationError):
        await database.execute(insert, date(2026, 12, 31), date(2027, 1, 31), "CLOSED")


async def test_a_period_closes_when_those_who_post_to_it_are_done(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    insert = "INSERT INTO accounting_periods (company_id, first_on, last_on, status, closed_at)"
    insert += " SELECT id, '2026-11-01', '2026-11-30', 'CLOSED', now() FROM companies"
    async with acting(crm) as act:
        await book.post(act, [sale(customer, receivable(), "1.00")])
        closing = asyncio.create_task(database.execute(insert))
        await asyncio.sleep(0.2)
        assert not closing.done()
    await closing
    with pytest.raises(PeriodClosed):
        await post(crm, sale(customer, receivable(), "1.00", key="late"))


async def test_the_chain_is_what_python_computes(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    item = Item(Purpose.RECEIVABLE, "USD", due_on=date(2026, 12, 1))
    (made,) = await post(crm, sale(customer, item, "10.00", key="a key: “quoted”, 键"))
    await post(crm, entry("asked", customer, usd(item.account, BANK, "6.00"), key="asked", phase=Phase.PENDING))
    sql = f"SELECT {chains.entry_columns('e')} FROM ledger_entries e ORDER BY id"
    parts = (
        f"SELECT {chains.posting_columns('p')} FROM postings p WHERE entry_id = $1 ORDER BY n",
        f"SELECT {chains.item_columns('i')} FROM open_items i WHERE entry_id = $1 ORDER BY n",
    )
    hash = b""
    for row in await database.fetch("SELECT id FROM ledger_entries ORDER BY id"):
        lines = (await copied(database, sql)).splitlines()
        line = next(each for each in lines if each.startswith(str(row["id"]).encode()))
        of_entry = [await copied(database, each.replace("$1", f"'{row['id']}'")) for each in parts]
        digest = chains.digest(line, b"".join(of_entry).splitlines())
        hash = chains.link(hash, digest)
        link = await database.fetchrow("SELECT digest, hash FROM ledger_links WHERE entry_id = $1", row["id"])
        assert tuple(link) == (digest, hash)
    assert await database.fetchval("SELECT hash FROM ledger_heads") == hash
    assert made.id is not None


async def copied(database: asyncpg.Connection, sql: str) -> bytes:
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(data)

    await database.copy_from_query(sql, output=take)
    return b"".join(parts)


async def test_writers_of_one_customer_do_not_wait_for_each_other(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await post(crm, sale(customer, receivable(), "1.00", key="first"))
    async with acting(crm) as one, acting(crm) as other:
        await book.post(one, [sale(customer, receivable(), "2.00", key="one")])
        async with asyncio.timeout(5):
            await book.post(other, [sale(customer, receivable(), "4.00", key="other")])
    assert await database.fetchval("SELECT count(*) FROM ledger_heads") == 2
    assert (await balances(database, customer))["REVENUE"][1] == "7.00"


async def test_first_writers_of_one_customer_do_not_wait_for_each_other(crm: db.Database, customer: UUID) -> None:
    async with acting(crm) as one, acting(crm) as other:
        await book.post(one, [sale(customer, receivable(), "2.00", key="one")])
        async with asyncio.timeout(5):
            await book.post(other, [sale(customer, receivable(), "4.00", key="other")])


async def test_the_base_currency_follows_the_company_until_something_is_posted(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await database.execute("UPDATE companies SET default_currency = 'EUR'")
    assert await database.fetchval("SELECT currency FROM books") == "EUR"
    await database.execute("UPDATE companies SET default_currency = 'USD'")
    await post(crm, sale(customer, receivable(), "1.00"))
    await database.execute("UPDATE companies SET default_currency = 'EUR'")
    assert await database.fetchval("SELECT currency FROM books") == "USD"
