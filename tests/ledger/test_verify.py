"""`audit verify`: books that are as they were posted are whole; a changed value, wherever it is, is found and its place named.

Whoever owns the database can switch its triggers off: that is how they are changed here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import UUID

import asyncpg

from crmgql import db
from crmgql.domain.money import disputes, refunds
from crmgql.ledger import anchor_checks, book, chains, verify
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Posting
from crmgql.models import Purpose
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger import books
from tests.ledger.books import Books
from tests.ledger.conftest import acting, entry, usd

COLUMNS = """
SELECT table_name || '.' || column_name FROM information_schema.columns
WHERE table_schema = 'public' AND is_generated = 'NEVER' AND table_name IN (
    'ledger_entries', 'postings', 'ledger_links', 'ledger_heads', 'balances', 'open_items', 'anchors', 'anchor_heads')"""
CHANGED = "the entry, a posting or an item of it is not what the chain says"
REPEATED = "has another size, phase, day or base currency"
FOLLOWS = "the hash does not follow"
ITEM = "open item"

# table → column → (its new value, which row, what is said)
CHANGES: dict[str, dict[str, tuple[str, str, str]]] = {
    "ledger_entries": {
        "id": ("uuidv7()", "sale", "entry {id}: the chain has an entry here that is not there any more"),
        "company_id": ("uuidv7()", "sale", CHANGED),
        "owner_id": ("'{other}'", "fee", "owner {other} entry {id}: the entry names another customer"),
        "customer_id": ("NULL", "sale", "names another customer than its owner"),
        "kind": ("'order.cancelled'", "sale", CHANGED),
        "phase": ("'PENDING'", "sale", REPEATED),
        "reverses_id": ("'{pending}'", "reverses {reversed}", "is not the reversal of {pending}"),
        "resolves_id": ("'{reversed}'", "posted", "ends {reversed}, which is not pending"),
        "key": ("'another'", "sale", CHANGED),
        "request_hash": ("repeat('a', 64)", "sale", CHANGED),
        "source_type": ("'Order'", "sale", CHANGED),
        "source_id": ("uuidv7()", "sale", CHANGED),
        "effective_on": ("'2026-11-02'", "sale", REPEATED),
        "recorded_at": ("recorded_at - interval '1 microsecond'", "sale", CHANGED),
        "actor_id": ("uuidv7()", "sale", CHANGED),
        "is_adjusting": ("true", "sale", CHANGED),
        "base_currency": ("'EUR'", "sale", "is in base currency EUR, and the books are in USD"),
        "size": ("2", "sale", "the entry has 2 postings, and 1 are there"),
        "opens": ("2", "sale", "the entry opens 2 items, and 1 are there"),
    },
    "postings": {
        "owner_id": ("'{other}'", "sale", "owner {other} entry {id}: postings without their entry"),
        "entry_id": ("uuidv7()", "sale", "the entry has 1 postings, and 0 are there"),
        "n": ("3", "euros", CHANGED),
        "size": ("3", "sale", REPEATED),
        "phase": ("'PENDING'", "sale", REPEATED),
        "effective_on": ("'2026-11-02'", "sale", REPEATED),
        "base_currency": ("'EUR'", "sale", REPEATED),
        "debit": ("'COST'", "fee", CHANGED),
        "credit": ("'TAX'", "fee", CHANGED),
        "currency": ("'EUR'", "fee", CHANGED),
        "amount": ("amount + 0.01", "fee", CHANGED),
        "base_amount": ("base_amount + 0.01", "fee", CHANGED),
        "debit_item_id": ("uuidv7()", "sale", CHANGED),
        "credit_item_id": ("uuidv7()", "receipt", CHANGED),
        "debit_due_on": ("'2026-12-02'", "sale", CHANGED),
        "credit_due_on": ("'2026-12-02'", "receipt", CHANGED),
    },
    "ledger_links": {
        "owner_id": ("'{other}'", "fee", "owner {owner} entry {id}: the entry is in no chain"),
        "lane": ("5", "sale", "owner {owner} lane 5 seq 1: the chain has no head"),
        "seq": ("99", "sale", "owner {owner} lane 0 seq 2: 1 of the chain's links before this one are missing"),
        "entry_id": ("uuidv7()", "sale", "the chain has an entry here that is not there any more"),
        "digest": ("sha256(digest)", "sale", CHANGED),
        "hash": ("sha256(hash)", "sale", FOLLOWS),
    },
    "ledger_heads": {
        "owner_id": ("uuidv7()", "lane = 0", "the chain has no head"),
        "lane": ("5", "lane = 0", "lane 5 seq {last}: the head is at {last}, and the chain ends at 0"),
        "seq": ("seq + 1", "lane = 0", "owner {owner} lane 0 seq {next}: the head is at {next}, and the chain ends at {last}"),
        "hash": ("sha256(hash)", "lane = 0", "the head's hash is not that of the chain's last link"),
    },
    "balances": {
        "owner_id": ("uuidv7()", "purpose = 'BANK'", "owner {owner}: balance BANK in USD: debit is 0, its postings say 1.00"),
        "purpose": ("'COST'", "purpose = 'BANK'", "balance COST in USD: "),
        "currency": ("'KWD'", "purpose = 'BANK'", "balance BANK in KWD: "),
        "lane": ("77", "purpose = 'BANK'", "a part of it is of a lane that does not exist"),
        "debit": ("debit + 1", "purpose = 'BANK'", "balance BANK in USD: debit is 2.00, its postings say 1.00"),
        "credit": ("credit + 1", "purpose = 'BANK'", "credit is 1.00, its postings say 0.00"),
        "base": ("base + 1", "purpose = 'BANK'", "the balances add up to 1.00 in base currency, not to 0"),
        "pending_debit": ("pending_debit + 1", "purpose = 'BANK'", "pending_debit is 1.00, its postings say 0"),
        "pending_credit": ("pending_credit + 1", "purpose = 'CLEARING'", "pending_credit is 8.00, its postings say 7.00"),
    },
    "open_items": {
        "id": ("uuidv7()", "purpose = 'UNEARNED'", "postings name it, and it is not there"),
        "owner_id": ("'{other}'", "purpose = 'UNEARNED'", "owner_id is {other}, its postings say {owner}"),
        "customer_id": ("NULL", "purpose = 'UNEARNED'", "customer_id is None, its postings say {owner}"),
        "purpose": ("'CREDIT'", "purpose = 'UNEARNED'", "purpose is CREDIT, its postings say UNEARNED"),
        "currency": ("'EUR'", "purpose = 'UNEARNED'", "currency is EUR, its postings say USD"),
        "entry_id": ("uuidv7()", "purpose = 'UNEARNED'", "open items without their entry"),
        "n": ("2", "purpose = 'UNEARNED'", CHANGED),
        "opens": ("2", "purpose = 'UNEARNED'", "has another customer or day than the entry that opens it"),
        "opened_on": ("'2026-10-31'", "purpose = 'UNEARNED'", "has another customer or day than the entry that opens it"),
        "order_id": ("uuidv7()", "purpose = 'UNEARNED'", CHANGED),
        "payment_id": ("uuidv7()", "purpose = 'UNEARNED'", CHANGED),
        "invoice_id": ("uuidv7()", "purpose = 'UNEARNED'", CHANGED),
        "credit_note_id": ("uuidv7()", "purpose = 'UNEARNED'", CHANGED),
        "dispute_id": ("uuidv7()", "purpose = 'UNEARNED'", CHANGED),
        "suspense_id": ("uuidv7()", "purpose = 'UNEARNED'", CHANGED),
        "due_on": ("'2026-12-02'", "due_on IS NOT NULL", "due_on is 2026-12-02, its postings say 2026-12-01"),
        "debited": ("debited + 1", "currency = 'EUR'", "debited is 51.00, its postings say 50.00"),
        "credited": ("credited + 1", "purpose = 'UNEARNED'", "credited is 51.00, its postings say 50.00"),
        "debiting": ("debiting + 1", "purpose = 'UNEARNED'", "debiting is 8.00, its postings say 7.00"),
        "crediting": ("crediting + 1", "currency = 'EUR'", "crediting is 1.00, its postings say 0"),
        "settled": ("settled + 1", "currency = 'EUR'", "settled is 1, its postings say 0"),
        "base": ("base + 1", "currency = 'EUR'", "base is 56.00, its postings say 55.00"),
    },
    "anchors": {
        "id": ("2", "id = 1", "anchor 2: 1 anchors before it are missing"),
        "made_at": ("made_at - interval '1 microsecond'", "id = 1", "anchor 1: its hash is not that of its line"),
        "previous": ("sha256(hash)", "id = 1", "anchor 1: it does not follow the one before it"),
        "hash": ("sha256(hash)", "id = 1", "anchor 1: its hash is not that of its line"),
        "heads": ("heads + 1", "id = 1", "anchor 1: it has 5 heads, and 4 are there"),
    },
    "anchor_heads": {
        "anchor_id": ("2", "owner_id = '{owner}'", "anchor 2: it is missing, and its heads are there"),
        "owner_id": ("uuidv7()", "owner_id = '{other}'", "anchor 1 saw another hash here"),
        "lane": ("77", "owner_id = '{other}'", "lane 77 seq 2: anchor 1 saw another hash here"),
        "seq": ("seq - 1", "owner_id = '{other}'", "lane 0 seq 1 entry"),
        "hash": ("sha256(hash)", "owner_id = '{other}'", "lane 0 seq 2 entry"),
    },
}  # fmt: skip
IN_THE_WAY = ("ledger_entries_owner", "postings_n", "open_items_owner", "open_items_n")
"""Checks that the owner of the tables drops too."""


async def broken(connection: asyncpg.Connection, kept: dict[int, str] | None = None) -> list[str]:
    """What verify says in the connection's own transaction, in small batches, so that places lie at their edges too."""
    settings = connection.transaction()
    await settings.start()
    told = (await verify.check(connection, batch=5)).broken + (await anchor_checks.check(connection, kept)).broken
    await settings.rollback()
    return [str(each) for each in told]


@asynccontextmanager
async def tampering(database: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction without triggers, that is rolled back."""
    transaction = database.transaction()
    await transaction.start()
    await database.execute("SET LOCAL session_replication_role = replica")
    try:
        yield
    finally:
        await transaction.rollback()


async def test_books_as_they_were_posted_are_whole(crm: db.Database, database: asyncpg.Connection) -> None:
    await books.keep(crm, database)
    for batch in (1, 2, 3, verify.BATCH):
        async with database.transaction():
            found = await verify.check(database, batch=batch)
            assert [str(each) for each in found.broken] == []
            assert (found.entries, found.postings, found.links, found.lanes) == (15, 16, 15, 4)
            anchors = await anchor_checks.check(database)
    assert (anchors.count, anchors.broken) == (1, [])


async def test_who_may_only_read_may_verify(crm: db.Database, database: asyncpg.Connection) -> None:
    await books.keep(crm, database)
    await database.execute("CREATE ROLE auditor; GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor")
    try:
        async with database.transaction(readonly=True, isolation="repeatable_read"):
            await database.execute("SET LOCAL ROLE auditor")
            assert await broken(database) == []
    finally:
        await database.execute("DROP OWNED BY auditor; DROP ROLE auditor")


async def test_each_changed_value_is_found_and_its_place_named(crm: db.Database, database: asyncpg.Connection) -> None:
    made = await books.keep(crm, database)
    columns = {f"{table}.{column}" for table, changes in CHANGES.items() for column in changes}
    assert columns == {row[0] for row in await database.fetch(COLUMNS)}
    head = await database.fetchval("SELECT seq FROM ledger_heads WHERE owner_id = $1 AND lane = 0", made.customer)
    words = {"owner": made.customer, "other": made.other, "pending": made.pending, "reversed": made.reversed}
    words |= {"last": head, "next": head + 1}
    missed = []
    for table, changes in CHANGES.items():
        for column, (value, which, said) in changes.items():
            async with tampering(database):
                for check in IN_THE_WAY:
                    await database.execute(f"ALTER TABLE {check.rsplit('_', 1)[0]} DROP CONSTRAINT {check}")
                where, id = await row_of(database, table, which.format(**words), made)
                done = await database.execute(f"UPDATE {table} SET {column} = {value.format(**words)} WHERE {where}")
                assert done == "UPDATE 1", (table, column, done)
                told = await broken(database)
            if not any(said.format(**words, id=id) in each for each in told):
                missed.append((table, column, said.format(**words, id=id), told))
    assert missed == []


async def row_of(database: asyncpg.Connection, table: str, which: str, made: Books) -> tuple[str, str]:
    """A condition for one row, and the entry that it belongs to. `which`: the key of an entry, or a condition."""
    if " = " in which or " IS " in which:
        owner = "true" if table.startswith("anchor") else f"owner_id = '{made.customer}'"
        return f"ctid = (SELECT min(ctid) FROM {table} WHERE {owner} AND {which})", ""
    id = await database.fetchval("SELECT id FROM ledger_entries WHERE key = $1 AND owner_id = $2", which, made.customer)
    name = "id" if table == "ledger_entries" else "entry_id"
    return f"{name} = '{id}'" + (" AND n = 2" if which == "euros" else ""), str(id)


async def test_what_is_taken_out_or_moved_is_found(crm: db.Database, database: asyncpg.Connection) -> None:
    made = await books.keep(crm, database)
    chain = f"owner_id = '{made.customer}' AND lane = 0"
    last = await database.fetchval(f"SELECT max(seq) FROM ledger_links WHERE {chain}")
    sale = await database.fetchval("SELECT id FROM ledger_entries WHERE key = 'sale' AND owner_id = $1", made.customer)
    taken = {
        f"DELETE FROM ledger_links WHERE {chain} AND seq = {last}": f"the head is at {last}, and the chain ends at {last - 1}",
        f"DELETE FROM ledger_links WHERE {chain} AND seq = 2": "lane 0 seq 3: 1 of the chain's links before this one are missing",
        f"DELETE FROM ledger_heads WHERE {chain}": f"lane 0 seq {last}: the chain has no head",
        f"DELETE FROM ledger_entries WHERE id = '{sale}'": f"entry {sale}: the chain has an entry here that is not there",
        f"DELETE FROM postings WHERE entry_id = '{sale}'": "the entry has 1 postings, and 0 are there",
        f"DELETE FROM balances WHERE {chain}": "balance REVENUE in USD: credit is ",
        f"DELETE FROM open_items WHERE owner_id = '{made.customer}'": "postings name it, and it is not there",
        "DELETE FROM anchors": "anchor 1: it is missing, and its heads are there",
        "DELETE FROM anchor_heads": "anchor 1: it has 4 heads, and 0 are there",
        f"DELETE FROM open_items WHERE entry_id = '{sale}'": "the entry opens 1 items, and 0 are there",
        f"INSERT INTO open_items (id, owner_id, customer_id, entry_id, n, opens, purpose, currency, opened_on) SELECT uuidv7(), owner_id, customer_id, entry_id, 2, opens, purpose, currency, opened_on FROM open_items WHERE entry_id = '{sale}'": "the entry opens 1 items, and 2 are there",
        f"INSERT INTO postings SELECT owner_id, entry_id, 2, size, phase, effective_on, base_currency, debit, credit, currency, amount, base_amount, debit_item_id, credit_item_id FROM postings WHERE entry_id = '{sale}'": "the entry has 1 postings, and 2 are there",
    }  # fmt: skip
    for sql, said in taken.items():
        async with tampering(database):
            await database.execute("ALTER TABLE postings DROP CONSTRAINT postings_n")
            await database.execute("ALTER TABLE open_items DROP CONSTRAINT open_items_n")
            await database.execute(sql)
            told = await broken(database)
        assert any(said in each for each in told), (sql, told)


async def test_rows_that_change_places_are_found(crm: db.Database, database: asyncpg.Connection) -> None:
    made = await books.keep(crm, database)
    swap = """
    UPDATE ledger_links AS link SET {0} FROM ledger_links AS other WHERE link.owner_id = other.owner_id AND link.lane <> other.lane
        AND link.seq = 1 AND other.seq = 1 AND link.owner_id = $1"""
    whole = "entry_id = other.entry_id, digest = other.digest, hash = other.hash"
    async with tampering(database):
        await database.execute("ALTER TABLE ledger_links DROP CONSTRAINT ledger_links_entry")
        assert await database.execute(swap.format(whole), made.customer) == "UPDATE 2"
        told = await broken(database)
    # A lane of one link has a head, too: the hash of the first link goes on into the second of the other.
    assert sum("does not follow" in each or "the head's hash" in each for each in told) == 2
    async with tampering(database):
        await database.execute("ALTER TABLE ledger_links DROP CONSTRAINT ledger_links_entry")
        await database.execute(swap.format("entry_id = other.entry_id"), made.customer)
        told = await broken(database)
    assert sum("is not what the chain says" in each for each in told) == 2


async def test_a_digest_and_a_hash_keep_their_lengths(crm: db.Database, database: asyncpg.Connection) -> None:
    """Links are compared one behind the other: what one of them has too much of and another too little is found all the same."""
    made = await books.keep(crm, database)
    chain = f"owner_id = '{made.customer}' AND lane = 0"
    longer = "substr(digest, 1, 31)", "digest || '\\x00'"
    for column in ("digest", "hash"):
        async with tampering(database):
            for seq, value in enumerate(longer, start=1):
                change = value.replace("digest", column)
                await database.execute(f"UPDATE ledger_links SET {column} = {change} WHERE {chain} AND seq = {seq}")
            assert any("lane 0 seq 1" in each for each in await broken(database))
    async with tampering(database):
        await database.execute("ALTER TABLE ledger_links DROP CONSTRAINT ledger_links_pkey CASCADE")
        await database.execute(f"UPDATE ledger_links SET seq = 1 WHERE {chain} AND seq = 2")
        assert any("lane 0 seq 1" in each for each in await broken(database))


async def test_an_item_that_is_given_another_document_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Which document an item is of is hashed, and is that of the entry that opens it."""
    assert build.built()
    await work.user(database)
    first, second = [await confirmed(crm, customer, price) for price in ("10.00", "20.00")]
    one, other = [await pay(crm, price, customer_id=customer) for price in ("5.00", "6.00")]
    for column, was, becomes in (("order_id", first, second), ("payment_id", one, other)):
        for value in (f"'{becomes}'", "NULL", "uuidv7()"):
            async with tampering(database):
                await database.execute(f"UPDATE open_items SET {column} = {value} WHERE {column} = $1", was)
                told = await broken(database)
            assert any("names another document than the entry that opens it" in each for each in told)
            assert any(CHANGED in each for each in told)
    async with database.transaction():
        assert await broken(database) == []


async def test_what_is_posted_beside_orders_and_payments_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    """Whoever may post may post more than there is, of money with a trigger switched off: chains and sums are right then, and the
    documents are not."""
    assert build.built()
    await work.user(database)
    order, payment = await confirmed(crm, customer, "10.00"), await pay(crm, "5.00", customer_id=customer)
    items = {
        row["purpose"]: Account(Purpose(row["purpose"]), row["id"])
        for row in await database.fetch("SELECT purpose, id FROM open_items")
    }
    await database.execute("ALTER TABLE postings DISABLE TRIGGER postings_money")
    async with acting(crm) as act:
        sold = usd(Account(Purpose.REVENUE), items["RECEIVABLE"], "1.00")
        received = usd(items["UNEARNED"], Account(Purpose.BANK), "2.00")
        await book.post(act, [entry("more", customer, each, key=each.source.purpose) for each in (sold, received)])
        later = usd(Account(Purpose.DEFERRED), Account(Purpose.REVENUE), "3.00")
        await book.post(act, [entry("later", customer, later, key="later", source=("Order", order))])
    async with database.transaction():
        told = await broken(database)
    assert told == [
        f"owner {customer}: order {order}: its newest revenue record does not have the figures that were posted",
        f"owner {customer}: order {order}: 0 of it waits to become revenue, and 3.00 of it is deferred in the books",
        f"owner {customer}: payment {payment}: 5.00 of it is received, and 7.00 of it is in the books",
    ]


async def test_a_refund_that_is_not_what_was_posted_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    assert build.built()
    await work.user(database)
    payment = await pay(crm, "5.00", customer_id=customer)
    async with acting(crm) as act:
        given = [(Decimal(amount), "USD") for amount in ("1.00", "2.00")]
        held, gone = [await refunds.request(act, payment_id=payment, amount=each) for each in given]
        await refunds.succeed(act, id=gone)
    for change, what in (
        (
            f"SET amount = 3.00 WHERE id = '{gone}'",
            f"refund {gone} is SUCCEEDED with 3.00: 2.00 of it is in the books, and 0",
        ),
        (
            f"SET status = 'UNKNOWN', ended_at = NULL WHERE id = '{gone}'",
            f"refund {gone} is UNKNOWN with 2.00: 2.00 of it",
        ),
        (
            f"SET payment_id = NULL WHERE id = '{held}'",
            f"refund {held} is REQUESTED with 1.00: 0 of it is in the books, and 1.00",
        ),
        (f"SET provider = 'stripe' WHERE id = '{held}'", f"refund {held} is REQUESTED with 1.00"),
        (f"SET status = 'FAILED', ended_at = now() WHERE id = '{held}'", f"refund {held} is FAILED with 1.00"),
    ):
        async with tampering(database):
            await database.execute(f"UPDATE refunds {change}")
            (told,) = await broken(database)
            assert told.startswith(f"owner {customer}: {what}"), told
    async with tampering(database):
        await database.execute("DELETE FROM refunds WHERE id = $1", held)
        (told,) = await broken(database)
        assert f"refund {held} is not there with 0" in told
    async with database.transaction():
        assert await broken(database) == []


async def test_a_dispute_that_is_not_what_was_posted_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    assert build.built()
    await work.user(database)
    payment = await pay(crm, "5.00", customer_id=customer)
    async with acting(crm) as act:
        id = await disputes.open(act, payment_id=payment, amount=(Decimal("2.00"), "USD"), fee=(Decimal("0.50"), "USD"))
    books = "in the books 2.00 is opened, 0 won, 0 lost, with a fee of 0.50"
    for change, what in (
        ("SET amount = 3.00", f"OPEN with 3.00: {books}"),
        ("SET fee_amount = NULL", f"OPEN with 2.00: {books}"),
        ("SET status = 'WON', ended_at = now()", f"WON with 2.00: {books}"),
        ("SET status = 'LOST', ended_at = now()", f"LOST with 2.00: {books}"),
    ):
        async with tampering(database):
            await database.execute(f"UPDATE disputes {change}")
            assert await broken(database) == [f"owner {customer}: dispute {id} is {what}"]
    async with tampering(database):
        await database.execute("DELETE FROM disputes")
        told = await broken(database)
        assert any(f"dispute {id} is not there with 0" in each for each in told), told
    async with database.transaction():
        assert await broken(database) == []


async def test_what_is_left_between_two_currencies_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    bank, exchange = Account(Purpose.BANK), Account(Purpose.EXCHANGE)
    even, uneven = (Decimal("1.00"), Decimal("1.00")), (Decimal("1.00"), Decimal("1.25"))
    await database.execute("ALTER TABLE postings DISABLE TRIGGER postings_exchange")
    async with acting(crm) as act:
        entries = [
            entry(
                "exchange",
                customer,
                Posting(bank, exchange, "EUR", Decimal("0.80"), paid),
                Posting(exchange, bank, "JPY", Decimal(100), got),
                key=str(got),
            )
            for paid, got in (even, uneven)
        ]
        _, wrong = await book.post(act, entries)
    async with database.transaction():
        told = await broken(database)
    assert told == [f"owner {customer} entry {wrong.id}: the entry leaves -0.25 between two currencies, not 0"]


async def test_a_chain_that_was_computed_anew_is_told_by_its_anchor_alone(
    crm: db.Database, database: asyncpg.Connection
) -> None:
    made = await books.keep(crm, database)
    async with database.transaction():
        kept = (await anchor_checks.check(database)).last
    assert kept is not None
    hash = kept.removeprefix("1:")
    async with tampering(database):
        await forge(database, made)
        told = await broken(database)
        assert len(told) == 1
        assert re.search(rf"owner {made.customer} lane 0 seq \d+ entry \S+: anchor 1 saw another hash here", told[0])
        await database.execute("DELETE FROM anchor_heads; DELETE FROM anchors")
        assert await broken(database) == []
        assert await broken(database, {1: hash}) == ["anchor 1: it was kept elsewhere, and is missing here"]
    async with database.transaction():
        assert await broken(database, {1: hash}) == []
        (told_of,) = await broken(database, {1: hash[::-1]})
        assert told_of.endswith(f"that of the one that was kept is {hash[::-1]}")


async def forge(database: asyncpg.Connection, made: Books) -> None:
    """Says that the first entry was another kind of event, and computes its chain anew."""
    chain = "owner_id = $1 AND lane = 0"
    links = await database.fetch(f"SELECT seq, entry_id FROM ledger_links WHERE {chain} ORDER BY seq", made.customer)
    await database.execute("UPDATE ledger_entries SET kind = 'gift' WHERE id = $1", links[0]["entry_id"])
    hash = b""
    for link in links:
        entry = f"SELECT {chains.entry_columns('e')} FROM ledger_entries AS e WHERE id = '{link['entry_id']}'"
        of_entry = f"WHERE entry_id = '{link['entry_id']}' ORDER BY n"
        (line,) = await verify.copied(database, entry)
        parts = await verify.copied(database, f"SELECT {chains.posting_columns('p')} FROM postings AS p {of_entry}")
        parts += await verify.copied(database, f"SELECT {chains.item_columns('i')} FROM open_items AS i {of_entry}")
        digest = chains.digest(line.rstrip(b"\n"), [each.rstrip(b"\n") for each in parts])
        hash = chains.link(hash, digest)
        values = (made.customer, link["seq"], digest, hash)
        await database.execute(f"UPDATE ledger_links SET digest = $3, hash = $4 WHERE {chain} AND seq = $2", *values)
    await database.execute(f"UPDATE ledger_heads SET hash = $2 WHERE {chain}", made.customer, hash)
