"""What raw SQL can't do to the books: as the application, which is refused by grants, and as the owner, by triggers and keys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.ledger import book
from crmgql.postgres.connection import ROLE
from tests.ledger.conftest import acting, receivable, sale

CHANGES = {
    "ledger_entries": ("kind = 'other'", "effective_on = effective_on - 1", "recorded_at = now()", "actor_id = NULL"),
    "postings": ("amount = 11.00, base_amount = 11.00", "debit_due_on = '2026-01-01'", "credit = 'TAX'"),
    "open_items": ("due_on = '2026-01-01'", "debited = 11.00, base = 11.00", "customer_id = NULL"),
    "ledger_links": ("digest = ''", "seq = 2"),
    "ledger_heads": ("hash = ''",),
    "balances": ("credit = 11.00, base = -11.00",),
    "anchors": ("hash = ''",),
    "anchor_heads": ("seq = 2",),
}
REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)
ROLES = {"application": asyncpg.InsufficientPrivilegeError, "owner": asyncpg.RestrictViolationError}


@pytest_asyncio.fixture
async def books(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> AsyncIterator[asyncpg.Connection]:
    """A sale of 10.00, anchored."""
    async with acting(crm) as act:
        await book.post(act, [sale(customer, receivable(), "10.00")])
    await database.execute("INSERT INTO anchors (id, previous, hash, heads) VALUES (1, '', '', 1)")
    await database.execute(
        "INSERT INTO anchor_heads (anchor_id, owner_id, lane, seq, hash) SELECT 1, owner_id, lane, seq, hash FROM ledger_heads"
    )
    return database


async def take(connection: asyncpg.Connection, role: str) -> None:
    if role == "application":
        await connection.execute(f"SET ROLE {ROLE}")


async def test_api_and_workers_have_the_lesser_role(crm: db.Database) -> None:
    async with crm.reading() as reading, crm.connection() as writing, crm.following() as following:
        for connection in (reading, writing, following):
            assert await connection.fetchval("SELECT current_user") == ROLE


@pytest.mark.parametrize("role", ROLES)
async def test_nothing_in_the_books_is_changed(books: asyncpg.Connection, role: str) -> None:
    await take(books, role)
    for table, changes in CHANGES.items():
        statements = [f"UPDATE {table} SET {change}" for change in changes]
        for statement in (*statements, f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(ROLES[role]):
                await books.execute(statement)


@pytest.mark.parametrize("role", ROLES)
async def test_what_the_trigger_keeps_is_inserted_by_nobody_else(books: asyncpg.Connection, role: str) -> None:
    await take(books, role)
    for statement in (
        "INSERT INTO ledger_heads SELECT owner_id, 7, 0, '' FROM ledger_heads",
        "INSERT INTO ledger_links SELECT owner_id, 7, 1, entry_id, digest, hash FROM ledger_links",
        "INSERT INTO balances SELECT owner_id, 'BANK', currency, lane, 1, 0, 1, 0, 0 FROM balances LIMIT 1",
        "INSERT INTO open_items (id, owner_id, entry_id, n, opens, purpose, currency, opened_on, debited)"
        " SELECT uuidv7(), owner_id, entry_id, n, opens, purpose, currency, opened_on, 5 FROM open_items",
    ):
        with pytest.raises(ROLES[role]):
            await books.execute(statement)


ENTRY = """
INSERT INTO ledger_entries (id, company_id, customer_id, owner_id, kind, key, request_hash, source_type, source_id,
    effective_on, base_currency, size, opens, phase, resolves_id)
SELECT new.id, company_id, customer_id, owner_id, 'raw', '{key}', request_hash, source_type, source_id, effective_on, '{currency}',
    {size}, {opens}, '{phase}', {resolves} FROM ledger_entries, (SELECT uuidv7() AS id) AS new"""
POSTING = """
INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount)
SELECT owner_id, {entry}, {n}, {size}, phase, effective_on, base_currency, '{debit}', '{credit}', 'USD', {amount}, {amount}
FROM ledger_entries LIMIT 1"""


def raw_entry(
    *,
    key: str = "raw",
    currency: str = "USD",
    size: int = 1,
    opens: int = 0,
    phase: str = "POSTED",
    resolves: str = "NULL::uuid",
) -> str:
    return ENTRY.format(key=key, currency=currency, size=size, opens=opens, phase=phase, resolves=resolves)


def whole(postings: str, **entry: object) -> str:
    """An entry and its postings in one statement, as `book.post` writes them."""
    return f"""
    WITH made AS ({raw_entry(**entry)} RETURNING *)
    INSERT INTO postings (owner_id, entry_id, n, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount)
    SELECT owner_id, id, p.n, size, phase, effective_on, base_currency, p.debit, p.credit, 'USD', p.amount, p.amount
    FROM made, (VALUES {postings}) AS p(n, debit, credit, amount)"""  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ROLES)
async def test_an_entry_is_written_whole_or_not_at_all(books: asyncpg.Connection, role: str) -> None:
    await take(books, role)
    checks = {
        raw_entry(): "does not have its postings",
        whole("(1, 'BANK', 'TAX', 1.00)", size=2): "does not have its postings",
        whole("(1, 'BANK', 'TAX', 1.00)", opens=1): "does not have the items that it opens",
        whole("(2, 'BANK', 'TAX', 1.00)", size=1): "postings_n",
        whole("(1, 'BANK', 'TAX', 0.00)"): "postings_amount",
        whole("(1, 'BANK', 'TAX', -1.00)"): "postings_amount",
        whole("(1, 'BANK', 'TAX', 1.001)"): "postings_amount_scale",
        whole("(1, 'BANK', 'BANK', 1.00)"): "postings_moves",
        whole("(1, 'BANK', 'RECEIVABLE', 1.00)"): "postings_credit_item",
        whole("(1, 'BANK', 'CASH', 1.00)"): "postings_credit",
        whole("(1, 'BANK', 'TAX', 1.00)", currency="EUR"): "base currency",
        whole("(1, 'BANK', 'TAX', 1.00)", phase="VOIDED"): "ledger_entries_",
        whole("(1, 'BANK', 'TAX', 1.00)", key="a\\tb").replace("'a\\tb'", "E'a\\tb'"): "ledger_entries_plain",
    }
    for statement, words in checks.items():
        with pytest.raises(asyncpg.CheckViolationError, match=words):
            await books.execute(statement)
    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_entries_key"):
        await books.execute(whole("(1, 'BANK', 'TAX', 1.00)", key="sale"))
    entry = "(SELECT id FROM ledger_entries LIMIT 1)"
    with pytest.raises(asyncpg.UniqueViolationError):  # nothing is added to an entry later
        await books.execute(POSTING.format(entry=entry, n=1, size=1, debit="BANK", credit="TAX", amount="1.00"))
    with pytest.raises(asyncpg.CheckViolationError, match="postings_n"):
        await books.execute(POSTING.format(entry=entry, n=2, size=1, debit="BANK", credit="TAX", amount="1.00"))
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await books.execute(POSTING.format(entry="uuidv7()", n=1, size=1, debit="BANK", credit="TAX", amount="1.00"))


ITEM = """
INSERT INTO open_items (id, owner_id, customer_id, entry_id, n, opens, purpose, currency, opened_on)
SELECT uuidv7(), owner_id, customer_id, {entry}, {n}, {opens}, 'CREDIT', 'USD', opened_on FROM open_items LIMIT 1"""


@pytest.mark.parametrize("role", ROLES)
async def test_an_item_is_opened_by_its_entry_and_never_added_to_one(books: asyncpg.Connection, role: str) -> None:
    await take(books, role)
    with pytest.raises(asyncpg.UniqueViolationError, match="open_items_of_entry"):
        await books.execute(ITEM.format(entry="entry_id", n=1, opens=1))
    with pytest.raises(asyncpg.CheckViolationError, match="open_items_n"):
        await books.execute(ITEM.format(entry="entry_id", n=2, opens=1))
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="open_items_entry"):
        await books.execute(ITEM.format(entry="uuidv7()", n=1, opens=1))


@pytest.mark.parametrize("role", ROLES)
async def test_nobody_writes_into_the_past(books: asyncpg.Connection, role: str) -> None:
    """What was known at a time is what has an earlier id."""
    await take(books, role)
    entry = whole("(1, 'BANK', 'TAX', 1.00)")
    for backdated in (
        entry.replace("SELECT uuidv7() AS id", "SELECT uuidv7(interval '-1 hour') AS id"),
        entry.replace("base_currency, size,", "base_currency, size, recorded_at,", 1).replace(
            "'USD',\n    1,", "'USD',\n    1, now() - interval '1 hour',", 1
        ),
    ):
        assert backdated != entry
        with pytest.raises(asyncpg.CheckViolationError, match="is not of now"):
            await books.execute(backdated)


@pytest.mark.parametrize("role", ROLES)
async def test_whoever_writes_an_entry_keeps_the_same_books(books: asyncpg.Connection, role: str) -> None:
    await take(books, role)
    await books.execute(whole("(1, 'BANK', 'TAX', 1.00)"))
    assert await books.fetchval("SELECT sum(debit) FROM balances WHERE purpose = 'BANK'") == 1
    assert await books.fetchval("SELECT seq FROM ledger_heads") == 2
    assert await books.fetchval("SELECT count(*) FROM ledger_links") == 2


UNPAID = """
INSERT INTO payments (customer_id, amount, currency, method, status, received_at)
SELECT id, 5.00, 'USD', 'CASH', 'RECEIVED', now() FROM customers LIMIT 1"""


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "evasion",
    [
        "DELETE FROM commit_checks",
        "UPDATE commit_checks SET subject_ids = '{}'",
        "TRUNCATE commit_checks",
        "INSERT INTO commit_checks (kind, source, is_first, customer_ids, subject_ids) VALUES ('payments', '', false, '{}', '{}')",
    ],
)
async def test_what_the_commit_looks_at_is_not_taken_away(books: asyncpg.Connection, role: str, evasion: str) -> None:
    """A payment without its posting, in a transaction that then goes for the note of it."""
    await take(books, role)
    with pytest.raises((*REFUSED, asyncpg.ObjectInUseError)):
        async with books.transaction():
            await books.execute(UNPAID)
            await books.execute(evasion)
    with pytest.raises(asyncpg.CheckViolationError, match="of it is in the books"):
        async with books.transaction():
            await books.execute(UNPAID)
            await books.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert await books.fetchval("SELECT count(*) FROM payments") == 0


async def test_what_is_written_after_a_look_is_looked_at_too(books: asyncpg.Connection) -> None:
    """Having all looked at early takes away nothing of what comes later."""
    with pytest.raises(asyncpg.CheckViolationError):
        async with books.transaction():
            await books.execute("UPDATE customers SET name = 'Other'")
            await books.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await books.execute("SET CONSTRAINTS ALL DEFERRED")
            await books.execute(UNPAID)


@pytest.mark.parametrize("look", ["SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS ALL IMMEDIATE"])
async def test_what_a_savepoint_takes_back_is_looked_at_all_the_same(books: asyncpg.Connection, look: str) -> None:
    """Neither a first note that is rolled back nor a look that is rolled back with its outcome leaves something unseen."""
    with pytest.raises(asyncpg.CheckViolationError, match="of it is in the books"):
        async with books.transaction():
            await books.execute("SAVEPOINT before")
            await books.execute(UNPAID)
            with contextlib.suppress(asyncpg.CheckViolationError):
                await books.execute(look)
            await books.execute("ROLLBACK TO SAVEPOINT before")
            await books.execute(UNPAID)
    assert await books.fetchval("SELECT count(*) FROM payments") == 0


async def test_a_look_that_fails_does_not_make_up_for_the_commit_s(books: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="of it is in the books"):
        async with books.transaction():
            await books.execute(UNPAID)
            await books.execute("SAVEPOINT before")
            with pytest.raises(asyncpg.CheckViolationError):
                await books.execute("SET CONSTRAINTS ALL IMMEDIATE")
            await books.execute("ROLLBACK TO SAVEPOINT before")
    assert await books.fetchval("SELECT count(*) FROM payments") == 0
