"""Writing events: both rows or none, one statement for many, nothing that is not declared."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from crmgql import db
from crmgql.events import outbox
from crmgql.events.declarations import NotDeclared
from crmgql.events.outbox import Entry
from crmgql.schema import build
from tests.conftest import NOW, viewer

LEAD = uuid4()
ROOT = viewer(UUID(int=0), "ADMIN")
COUNT = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM audit_entries)"


async def record(crm: db.Database, *entries: Entry) -> None:
    assert build.built()
    async with crm.transaction() as tx:
        await outbox.record_many(tx, ROOT, entries)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Entry("lead.vanished", ("Lead", LEAD)), "No kind"),
        (Entry("lead.created", ("Customer", LEAD), payload={"version": 1}), "is about a Lead"),
        (Entry("lead.created", ("Lead", LEAD), payload={"version": 1, "colour": "red"}), "colour"),
        (Entry("lead.created", ("Lead", LEAD), changes={"colour": (None, "red")}, payload={"version": 1}), "colour"),
        (Entry("user.created", ("User", LEAD), changes={"password_hash": (None, "x")}, payload={"version": 1}), "hash"),
        (Entry("order.created", ("Order", LEAD), payload={"version": 1}), "carries a customer always"),
        (Entry("product.created", ("Product", LEAD), uuid4(), payload={"version": 1}), "carries a customer never"),
    ],
)
async def test_what_is_not_declared_is_not_written(
    crm: db.Database, database: asyncpg.Connection, entry: Entry, said: str
) -> None:
    fine = Entry("lead.updated", ("Lead", LEAD), payload={"version": 2})
    with pytest.raises(NotDeclared, match=said):
        await record(crm, fine, entry)
    assert tuple(await database.fetchrow(COUNT)) == (0, 0)


async def test_an_event_and_its_audit_row_share_an_id(crm: db.Database, database: asyncpg.Connection) -> None:
    changes = {"status": ("NEW", "QUALIFIED"), "score": (1, 2)}
    payload = {"version": 2, "from": "NEW", "to": "QUALIFIED"}
    await record(crm, Entry("lead.qualified", ("Lead", LEAD), changes=changes, payload=payload))
    event = await database.fetchrow("SELECT * FROM events")
    audit = await database.fetchrow("SELECT * FROM audit_entries")
    assert event["id"] == audit["id"]
    assert (event["kind"], event["subject_type"], event["subject_id"]) == ("lead.qualified", "Lead", LEAD)
    assert orjson.loads(event["payload"]) == payload
    assert orjson.loads(audit["changes"]) == {"status": ["NEW", "QUALIFIED"], "score": [1, 2]}
    assert event["occurred_at"] == audit["occurred_at"] == NOW


class Counting:
    """A connection that notes what is executed."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.statements = connection, list[str]()

    async def execute(self, sql: str, *values: Any) -> Any:
        self.statements.append(sql)
        return await self.connection.execute(sql, *values)


async def test_many_are_written_by_one_statement_in_their_order(crm: db.Database, database: asyncpg.Connection) -> None:
    assert build.built()
    ids = [uuid4() for _ in range(500)]
    entries = [Entry("lead.updated", ("Lead", id), payload={"version": n}) for n, id in enumerate(ids)]
    async with crm.transaction() as tx:
        counting = Counting(tx.connection)
        await outbox.record_many(db.Transaction(counting, tx.zone), ROOT, entries)  # type: ignore[arg-type]
    assert counting.statements == [outbox.RECORD]
    rows = await database.fetch("SELECT subject_id FROM events ORDER BY id")
    assert [row["subject_id"] for row in rows] == ids


async def test_no_entries_are_no_statement(crm: db.Database, database: asyncpg.Connection) -> None:
    await record(crm)
    assert tuple(await database.fetchrow(COUNT)) == (0, 0)
