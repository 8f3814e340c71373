"""Exports: asked for, written chunk by chunk, handed out, dropped.

Enters: a document (what is wanted of each record), a filter. Leaves: JSON Lines of all records that the owner sees at one
moment, and the cursor of the feed at which they are whole. Always holds: an export that is finished is of one snapshot, and
nobody fetches it who has fewer rights than it was written with.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import orjson

from crmgql import access
from crmgql.db import Transaction
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.streams import packed
from crmgql.errors import Conflict, CrmError, Forbidden, NotFound, Unavailable
from crmgql.events import outbox
from crmgql.models import Export
from crmgql.records import checks, purges, records
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer, Who

LONGEST = 16_384
"""Characters of a document."""

MOST_WAITING = 5
"""Exports of one person that are not finished."""

UNFINISHED = """
SELECT count(*) FROM exports e JOIN jobs j ON j.id = e.job_id
WHERE e.owner_id = $1 AND j.status IN ('PENDING', 'RUNNING', 'WAITING')"""
SET_JOB = "UPDATE exports SET job_id = $2 WHERE id = $1"
READ = """
SELECT e.*, u.roles AS owner_roles, u.active FROM exports e JOIN users u ON u.id = e.owner_id WHERE e.id = $1"""
CLEAR = "DELETE FROM export_chunks WHERE export_id = $1"
START = """
UPDATE exports SET started_at = $2, finished_at = NULL, expires_at = NULL, roles = $3, record_count = 0, size_bytes = 0
WHERE id = $1"""
ADD = "INSERT INTO export_chunks (export_id, number, body) VALUES ($1, $2, $3)"
FINISH = """
UPDATE exports SET finished_at = $2, expires_at = $3, cursor = $4, record_count = $5, size_bytes = $6, crc32 = $7
WHERE id = $1"""
ERASED_SINCE = "SELECT EXISTS (SELECT FROM erasures WHERE created_at >= $1)"
CHUNK = "SELECT body FROM export_chunks WHERE export_id = $1 AND number = $2"
PAST = """(expires_at < $1 OR (finished_at IS NULL AND created_at < $1 - interval '13 days' AND NOT EXISTS (
    SELECT FROM jobs j WHERE j.id = exports.job_id AND j.status IN ('PENDING', 'RUNNING', 'WAITING'))))"""
"""Finished long enough ago, or given up: sooner than their jobs are deleted."""
PURGE_CHUNKS = purges.sql(
    "export_chunks", f"export_id IN (SELECT id FROM exports WHERE {PAST})", order="export_id, number"
)
PURGE = purges.sql(
    "exports", f"{PAST} AND NOT EXISTS (SELECT FROM export_chunks c WHERE c.export_id = exports.id)", order="expires_at"
)


class ExportNotReady(CrmError):
    """It is still being written, or was not finished; its job says which."""

    code = "EXPORT_NOT_READY"


class Exporting(Protocol):
    """What the engine does with an export's document."""

    async def check(self, text: str, where: dict[str, Any] | None, viewer: Viewer) -> str:
        """The type of the records. Raises `BadUserInput`, `Forbidden`, `MaxCostExceeded`."""


class Documents(Protocol):
    """What the engine does with documents that are kept."""

    @property
    def exporting(self) -> Exporting: ...


async def create(act: Act, documents: Documents, *, document: str, filter: dict[str, Any] | None = None) -> UUID:
    """Asks for an export. Raises `Conflict` for one too many, and what `Exporting.check` raises."""
    access.require_write(act.viewer, "Export")
    checks.check_text(document, "document", longest=LONGEST, required=True)
    owner_id = act.viewer.actor_id
    if owner_id is None:
        raise Forbidden("The system has no rights of its own to read with.")
    await records.serialize(act, f"exports of {owner_id}")
    if await act.tx.connection.fetchval(UNFINISHED, owner_id) >= MOST_WAITING:
        raise Conflict(f"{MOST_WAITING} exports of yours are being written; wait for one of them.")
    record = await documents.exporting.check(document, filter, act.viewer)
    scopes = act.viewer.who.scopes
    values: Row = {"owner_id": owner_id, "record_type": record, "document": document}
    values |= {} if filter is None else {"filter": filter}
    values |= {} if scopes is None else {"scopes": sorted(scopes)}
    row = await records.insert(act, Export, values)
    id: UUID = row["id"]
    job_id = await jobs.enqueue(act, kinds.EXPORT_WRITE, kinds.ExportOf(export_id=id))
    await act.tx.connection.execute(SET_JOB, id, job_id)
    await _record(act, id, "export.created", {"record_type": (None, record)})
    return id


async def begin(act: Act, id: UUID) -> tuple[Row, Viewer]:
    """The export, without what an earlier attempt wrote of it, and who reads for it: its owner, with the rights of now."""
    row = await act.tx.connection.fetchrow(READ, id)
    if row is None:
        raise NotFound("There is no such export any more.")
    if not row["active"]:
        raise Forbidden("The owner of the export is not active any more.")
    await records.allow_long_statements(act)
    await act.tx.connection.execute(CLEAR, id)
    await act.tx.connection.execute(START, id, act.now, row["owner_roles"])
    scopes = None if row["scopes"] is None else frozenset(row["scopes"])
    viewer = Viewer(row["owner_id"], Who(frozenset(row["owner_roles"]), scopes), clock=act.viewer.clock)
    return {**row, "filter": None if row["filter"] is None else orjson.loads(row["filter"])}, viewer


async def add(act: Act, id: UUID, number: int, body: bytes) -> None:
    """Writes the chunk of this number, from 0 on."""
    await act.tx.connection.execute(ADD, id, number, body)


async def finish(
    act: Act, id: UUID, *, since: datetime, cursor: str, record_count: int, packing: packed.Packing, kept: timedelta
) -> None:
    """From now on it can be fetched. Raises `Unavailable` if somebody was erased since the snapshot: then it is written anew."""
    if await act.tx.connection.fetchval(ERASED_SINCE, since):
        raise Unavailable("A person was erased while the export was written; it is written again.")
    size, crc32 = packing.size_bytes, packing.crc32
    await act.tx.connection.execute(FINISH, id, act.now, act.now + kept, cursor, record_count, size, crc32)
    payload = {"records": record_count, "bytes": size, "cursor": cursor}
    await _record(act, id, "export.finished", {"finished_at": (None, act.now)}, payload)


def require_rights(viewer: Viewer, row: Row) -> None:
    """Raises `NotFound` for somebody else's, `Forbidden` for who has fewer rights than it was written with."""
    if row["owner_id"] != viewer.user_id:
        raise NotFound("There is no such export, or it is not yours.")
    access.require_read(viewer.who, "Export")
    written = Who(frozenset(row["roles"] or ()), None if row["scopes"] is None else frozenset(row["scopes"]))
    if not access.covers(viewer.who, written):
        raise Forbidden("You have fewer rights than when the export was written; make a new one.")


def require_ready(row: Row, now: datetime) -> None:
    """Raises `ExportNotReady`, and `NotFound` for one that is past its time."""
    if row["finished_at"] is None:
        raise ExportNotReady("The export is not finished; its job says how far it is, or why it ended.")
    if row["expires_at"] <= now:
        raise NotFound("The export has expired; make a new one.")


async def purge(tx: Transaction, *, now: datetime, limit: int) -> int:
    """Drops up to so many chunks of exports past their time, and then the exports. Returns the number of rows."""
    chunks: int = await tx.connection.fetchval(PURGE_CHUNKS, now, limit)
    return chunks if chunks == limit else chunks + await tx.connection.fetchval(PURGE, now, limit - chunks)


async def _record(act: Act, id: UUID, kind: str, changes: outbox.Changes, payload: Row | None = None) -> None:
    await outbox.record_event(
        act.tx, act.viewer, kind=kind, subject=("Export", id), customer_id=None, changes=changes, payload=payload or {}
    )
