"""The audit trail's chains: whatever was written by verbs is whole, and a row that is changed, taken out or put in is found.

Whoever owns the database can switch its triggers off: that is how it is changed here.
"""

from __future__ import annotations

import asyncio
from datetime import date
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.domain.customers import customers
from crmgql.events import months, outbox
from crmgql.ledger import anchor_checks, anchors, audits, trails
from crmgql.postgres.connection import ROLE
from crmgql.schema import build
from tests.conftest import NOW, connect
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting, add_customer
from tests.ledger.test_verify import tampering

CHANGED = "an audit row is not what the chain says"
COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'"""
ROWS = {
    "id": ("uuidv7()", "the chain has an audit row here that is not there any more"),
    "created_at": ("created_at - interval '1 microsecond'", CHANGED),
    "actor_id": ("uuidv7()", CHANGED),
    "api_key_id": ("uuidv7()", CHANGED),
    "customer_id": ("NULL", CHANGED),
    "action": ("'customer.created'", CHANGED),
    "subject_id": ("uuidv7()", CHANGED),
    "subject_type": ("'Lead'", CHANGED),
    "kept": ("""'{"city": "\\\\"}'""", CHANGED),
    "personal": ("""'{"name": ["A", "B"]}'""", "are not those that were committed to"),
    "salt": ("sha256(salt)", "are not those that were committed to"),
    "commitment": ("'sha256-1:' || repeat('0', 64)", CHANGED),
    "occurred_at": ("occurred_at - interval '1 microsecond'", CHANGED),
}
LINKS = {
    "owner_id": ("uuidv7()", "the audit trail has no head"),
    "lane": ("-7", "the audit trail has no head"),
    "seq": ("99", "of the audit trail's links before this one are missing"),
    "ids": ("ARRAY[uuidv7()]", "in no chain"),
    "digest": ("sha256(digest)", CHANGED),
    "hash": ("sha256(hash)", "the hash does not follow"),
}


async def broken(connection: asyncpg.Connection) -> list[str]:
    """What is said in the connection's own transaction."""
    settings = connection.transaction()
    await settings.start()
    told = (await audits.check(connection)).broken + await trails.unlinked(connection)
    told += (await anchor_checks.check(connection)).broken
    await settings.rollback()
    return [str(each) for each in told]


@pytest.fixture
async def customer(crm: db.Database, database: asyncpg.Connection) -> UUID:
    """A customer who bought and paid, and was changed, also from and to texts that `COPY` and JSON escape."""
    assert build.built()
    await work.user(database)
    id = await add_customer(database)
    await pay(crm, "4.00", order_id=await confirmed(crm, id, "10.00"))
    async with acting(crm) as act:
        await customers.update(act, id=id, notes="likes tea")
        odd = {"currency": ("C:\\new\ttab\n“quoted”", "\u007f\\\\")}
        entry = outbox.Entry("customer.updated", ("Customer", id), id, odd, {"version": 3})
        await outbox.record_many(act.tx, act.viewer, [entry])
    return id


async def test_what_verbs_write_is_whole(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    async with acting(crm) as act:
        await outbox.record_many(act.tx, act.viewer, [])  # nothing is written, and nothing is linked
        await act.tx.connection.execute(
            "INSERT INTO audit_entries (action, subject_type, subject_id, occurred_at) SELECT 'x', 'y', uuidv7(), now() WHERE false"
        )
    assert await broken(database) == []
    rows = await database.fetchval("SELECT count(*) FROM audit_entries")
    async with database.transaction():
        assert (await audits.check(database)).audited == rows > 4
    links = await database.fetch("SELECT * FROM audit_links ORDER BY owner_id, lane, seq")
    assert {(link["owner_id"], link["lane"]) for link in links} == {(customer, -1)}
    assert sum(len(link["ids"]) for link in links) == rows


async def test_rows_of_several_customers_are_the_companys(crm: db.Database, database: asyncpg.Connection) -> None:
    assert build.built()
    ids = [await add_customer(database, name) for name in ("Acme", "Ajax")]
    entries = [outbox.Entry("customer.updated", ("Customer", id), id, {}, {"version": 2}) for id in ids]
    async with acting(crm) as act:
        await outbox.record_many(act.tx, act.viewer, entries)
        await outbox.record_many(act.tx, act.viewer, entries[:1])
    links = await database.fetch("SELECT owner_id, lane, seq, cardinality(ids) FROM audit_links ORDER BY 4 DESC")
    company = await database.fetchval("SELECT id FROM companies")
    assert [tuple(link) for link in links] == [(company, -1, 1, 2), (ids[0], -1, 1, 1)]
    assert await broken(database) == []


async def test_each_changed_value_is_found(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    for table, changes in (("audit_entries", ROWS), ("audit_links", LINKS)):
        assert {row[0] for row in await database.fetch(COLUMNS, table)} == changes.keys()
        which = "personal IS NOT NULL" if table == "audit_entries" else f"owner_id = '{customer}'"
        for column, (value, said) in changes.items():
            async with tampering(database):
                row = f"(tableoid, ctid) = (SELECT tableoid, ctid FROM {table} WHERE {which} LIMIT 1)"
                assert await database.execute(f"UPDATE {table} SET {column} = {value} WHERE {row}") == "UPDATE 1"
                told = await broken(database)
            assert any(said in each for each in told), (table, column, told)
    assert await broken(database) == []


async def test_what_is_taken_out_or_put_in_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    last = await database.fetchval("SELECT max(seq) FROM audit_links WHERE owner_id = $1", customer)
    put = "INSERT INTO audit_entries (action, subject_type, subject_id, occurred_at) VALUES ('x', 'Customer', uuidv7(), now())"
    taken = {
        "DELETE FROM audit_entries WHERE personal IS NOT NULL": "the chain has an audit row here that is not there",
        put: "the audit row is in no chain",
        "DELETE FROM audit_links WHERE seq = 1": "lane -1 seq 2: 1 of the audit trail's links before this one are missing",
        f"DELETE FROM audit_links WHERE seq = {last}": f"lane -1 seq {last}: the head is at {last}, and the audit trail ends at {last - 1}",
        "DELETE FROM ledger_heads WHERE lane < 0": "the audit trail has no head",
        "UPDATE ledger_heads SET hash = sha256(hash) WHERE lane < 0": "or with another hash",
        "UPDATE audit_entries SET personal = NULL, salt = NULL": "are missing, and nobody erased the person",
    }  # fmt: skip
    for sql, said in taken.items():
        async with tampering(database):
            await database.execute(sql)
            told = await broken(database)
        assert any(said in each for each in told), (sql, told)


async def test_erasing_a_person_leaves_the_chain_whole(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await database.execute("INSERT INTO erasures (id, erased_at) VALUES ($1, now())", customer)
    await database.execute(
        "INSERT INTO tombstones (erasure_id, subject_type, subject_id) VALUES ($1, 'Customer', $1)", customer
    )
    await database.execute("UPDATE audit_entries SET personal = NULL, salt = NULL WHERE personal IS NOT NULL")
    assert (
        await database.fetchval("SELECT count(*) FROM audit_entries WHERE commitment IS NOT NULL AND salt IS NULL") > 0
    )
    assert await broken(database) == []


async def test_a_dropped_month_leaves_its_chains(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    month = await database.fetchval("SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date")
    async with crm.transaction() as tx:
        dropped = await months.drop(tx, "audit_entries", month)
    assert dropped == await database.fetchval("SELECT sum(cardinality(ids)) FROM audit_links")
    assert await broken(database) == []
    async with tampering(database):
        await database.execute("UPDATE audit_links SET digest = sha256(digest) WHERE seq = 1")
        assert any("the hash does not follow" in each for each in await broken(database))
    async with tampering(database):
        await database.execute("DELETE FROM event_checkpoints")
        assert any("that is not there any more" in each for each in await broken(database))


async def test_rows_that_move_into_their_month_are_linked_once(crm: db.Database, database: asyncpg.Connection) -> None:
    """What came before its month was made."""
    early = "INSERT INTO audit_entries (id, action, subject_type, subject_id, occurred_at) SELECT uuidv7_at($1::timestamptz), 'x', 'y', uuidv7(), now()"
    await database.execute(early, NOW.replace(year=2031))
    await database.execute("SELECT event_month('audit_entries', $1)", date(2031, NOW.month, 1))
    assert await database.fetchval("SELECT count(*) FROM audit_links") == 1
    assert await database.fetchval(f"SELECT count(*) FROM audit_entries_2031_{NOW.month:02}") == 1
    assert await broken(database) == []


async def test_an_anchor_covers_the_audit_trail(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    async with acting(crm) as act:
        made = await anchors.write(act.tx, now=NOW)
    heads = await database.fetchval("SELECT count(*) FROM ledger_heads")
    assert made is not None
    assert made.heads == heads == 2
    assert await broken(database) == []
    last = "owner_id = $1 AND lane < 0 AND seq = (SELECT max(seq) FROM audit_links)"
    async with tampering(database):  # the end of the chain is taken away, and its head is mended
        ids = await database.fetchval(f"DELETE FROM audit_links WHERE {last} RETURNING ids", customer)
        await database.execute("DELETE FROM audit_entries WHERE id = ANY ($1)", ids)
        await database.execute(
            "UPDATE ledger_heads AS head SET seq = link.seq, hash = link.hash FROM audit_links AS link"
            " WHERE head.owner_id = link.owner_id AND head.lane = link.lane AND link.seq = (SELECT max(seq) FROM audit_links)"
        )
        (told,) = await broken(database)
    assert "anchor 1 saw another hash here: the chain was computed anew, or its end is missing" in told


async def test_many_writers_of_one_customer_make_whole_chains(
    database_url: str, database: asyncpg.Connection, customer: UUID
) -> None:
    crm = await connect(database_url, pool_size=10)

    async def write(number: int) -> None:
        for turn in range(5):
            async with acting(crm) as act:
                entry = outbox.Entry(
                    "customer.updated",
                    ("Customer", customer),
                    customer,
                    {"currency": (None, f"{number} {turn}")},
                    {"version": 2},
                )
                await outbox.record_many(act.tx, act.viewer, [entry])
                await asyncio.sleep(0.002)

    await asyncio.gather(*(write(number) for number in range(20)))
    await crm.close()
    assert await broken(database) == []
    assert await database.fetchval("SELECT count(DISTINCT lane) FROM ledger_heads WHERE lane < 0") > 1


@pytest.mark.parametrize(
    ("role", "error"), [(ROLE, asyncpg.InsufficientPrivilegeError), (None, asyncpg.RestrictViolationError)]
)
async def test_raw_sql_changes_no_link(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, role: str | None, error: type[Exception]
) -> None:
    part = await database.fetchval("SELECT tableoid::regclass::text FROM audit_entries LIMIT 1")
    if role is not None:
        await database.execute(f"SET ROLE {role}")
        with pytest.raises(error):
            await database.execute(
                f"INSERT INTO {part} (action, subject_type, subject_id, occurred_at) VALUES ('x', 'y', uuidv7(), now())"
            )
    for statement in (
        "UPDATE audit_links SET digest = ''",
        "DELETE FROM audit_links",
        "TRUNCATE audit_links",
        "INSERT INTO audit_links SELECT owner_id, -7, 1, ids, digest, hash FROM audit_links LIMIT 1",
    ):
        with pytest.raises(error):
            await database.execute(statement)
