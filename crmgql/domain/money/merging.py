"""Customers that turn out to be one: the merged one refers to the survivor, which takes over what it owes and has.

Always holds: of two opposite merges at once one is done and one refused; a merged customer stays merged and readable, with its
history; its subsidiaries are the survivor's.
"""

from __future__ import annotations

from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers, followers
from crmgql.domain.money import handing_over
from crmgql.domain.pools import pool_items, pools
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.models import Customer
from crmgql.models.names import api_id
from crmgql.records import checks, records
from crmgql.records.records import Act, Row

IS_BELOW = """
WITH RECURSIVE above AS (
    SELECT parent_id FROM customers WHERE id = $1
    UNION
    SELECT customers.parent_id FROM above JOIN customers ON customers.id = above.parent_id
)
SELECT true FROM above WHERE parent_id = $2"""
ADOPT = """
UPDATE customers SET parent_id = $2, version = version + 1, updated_at = $3 WHERE parent_id = $1 RETURNING id, version"""


async def merge(act: Act, *, id: UUID, into_id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Merges the customer `id` into another one, which it lives on in; returns that one.

    What is open of it goes on to the survivor: what it owes, with its due days, what of its payments is left, its credit. Raises
    `CustomerMerged`, `BadUserInput` for itself or one below it, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Customer")
    access.require(act.viewer, "customer.merge", "Merging customers", field="id")
    checks.check_text(reason, "reason", longest=1000, required=True)
    merged, survivor = await _lock(act, id, into_id, expected_version)
    if merged["pool_id"] is not None:
        await pools.withdraw(act, pool_items.CUSTOMER, id, reason="Merged.")
    changes = {
        "status": "MERGED",
        "merged_into_id": into_id,
        "merge_reason": reason,
        "owner_id": survivor["owner_id"],
        "pool_id": None,
    }
    after = await records.change(act, Customer, merged, changes, kind="customer.merged", payload={"into_id": into_id})
    await records.change(act, Customer, survivor, {}, kind="customer.absorbed", payload={"merged_id": id}, touch=True)
    await _adopt(act, id, into_id)
    await followers.customers_changed(act, followers.difference(merged, after))
    while await handing_over.hand_over(act, id, into_id) == handing_over.MOST:
        continue
    return into_id


async def _lock(act: Act, id: UUID, into_id: UUID, expected_version: int | None) -> tuple[Row, Row]:
    if id == into_id:
        raise BadUserInput("A customer can't be merged into itself; name another one.", field="intoId")
    await records.visible(act, Customer, id, field="id")
    await records.visible(act, Customer, into_id, field="intoId")
    await records.serialize(act, "customers.parent_id")
    versions = {id: (expected_version, "id"), into_id: (None, "intoId")}
    locked = {
        each: await records.lock(act, Customer, each, expected_version=versions[each][0], field=versions[each][1])
        for each in sorted(versions)
    }
    for customer, field in ((locked[id], "id"), (locked[into_id], "intoId")):
        await customers.require_not_merged(act, customer, field=field)
    if await act.tx.connection.fetchval(IS_BELOW, into_id, id):
        child = api_id("Customer", into_id)
        raise BadUserInput(
            f"{child} is below it; merge {child} into it instead, or give it another parent first.", field="intoId"
        )
    return locked[id], locked[into_id]


async def _adopt(act: Act, id: UUID, into_id: UUID) -> None:
    """The subsidiaries of a merged customer become the survivor's."""
    rows = await act.tx.connection.fetch(ADOPT, id, into_id, act.now)
    changes = {"parent_id": (id, into_id)}
    entries = [
        outbox.Entry("customer.updated", ("Customer", row["id"]), row["id"], changes, {"version": row["version"]})
        for row in rows
    ]
    await outbox.record_many(act.tx, act.viewer, entries)
