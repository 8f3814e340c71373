"""Many leads at once. Nobody is routed, written to or reminded; a lead without an owner waits for `leads.route`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crmgql.domain.leads import lead_contacts
from crmgql.domain.leads.lead_states import MOVES
from crmgql.domain.opportunities import standings
from crmgql.domain.opportunities.bulk import give_customers
from crmgql.domain.pools import pool_items
from crmgql.events.outbox import Entry
from crmgql.models import Lead
from crmgql.models.leads import OPEN_LEAD_STATUSES
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change, touched
from crmgql.records.records import Act, Row

MOVED = {status: MOVES.events[status] for status in (*OPEN_LEAD_STATUSES, "LOST")}
"""The event of a move to each status."""

TIMES = ("received_at", "status_since", "converted_at", "last_activity_at")


class _Leads(Writer):
    derived = frozenset(
        [
            "intake_source",
            "merged_into",
            "routing",
            "accept_by",
            "queue",
            "queue_deadline",
            "pool",
            "protected_until",
            "reclaim_warned_at",
            "normal_email",
            "normal_phone",
            "domain",
        ]
    )
    filled = frozenset({"received_at", "status_since", "last_activity_at"})
    inherits = ("contact", "opportunity")
    returned = ("contact_id", "opportunity_id", "lead_source")

    async def prepare(self, act: Act, columns: Sequence[str], first: int, last: int) -> Sequence[Entry]:
        return await give_customers(act, columns, first, last)

    def computed(self, columns: Sequence[str]) -> Mapping[str, Callable[[Row], Any]]:
        """The normal forms by which duplicates are found, where the columns that they depend on are written."""
        found: dict[str, Callable[[Row], Any]] = {}
        if "email" in columns:
            found["normal_email"] = lambda row: lead_contacts.email(row["email"])
        if "phone" in columns:
            found["normal_phone"] = lambda row: lead_contacts.phone(row["phone"], row.get("country"))
        if "email" in columns or "website" in columns:
            found["domain"] = lambda row: lead_contacts.domain(row.get("email"), row.get("website"))
        return found

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        """A lead's missing times follow from its known ones; without any, they are the time of the writing."""
        known = {name: f"s.{name}" for name in TIMES if name in columns}
        all_known = ", ".join(known.values())
        first, last = (f"{function}({all_known})" if known else "NULL" for function in ("least", "greatest"))
        received = f"coalesce({known.get('received_at', 'NULL')}, {first}, $2::timestamptz)"
        since = ", ".join(known[name] for name in ("status_since", "converted_at") if name in known)
        return {
            "received_at": received,
            "status_since": f"coalesce({since or 'NULL'}, {received})",
            "last_activity_at": f"coalesce({known.get('last_activity_at', 'NULL')}, {last}, $2::timestamptz)",
        }

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        """A time that was blank keeps its old value; a lead in a queue or a pool stays there, without an owner."""
        for name in self.filled & updates.keys():
            updates[name] = f"CASE WHEN EXCLUDED.{name} = $2 THEN t.{name} ELSE EXCLUDED.{name} END"
        if "owner_id" in updates:
            waits = "num_nonnulls(t.queue_id, t.pool_id) > 0"
            updates["owner_id"] = f"CASE WHEN {waits} THEN t.owner_id ELSE EXCLUDED.owner_id END"
        return updates

    def kind_of(self, change: Change) -> tuple[str, Row]:
        if change.new:
            return self.created, {}
        row = change.row
        if "status" in change.changes:
            before, after = change.changes["status"]
            moved: Row = {"from": before, "to": after}
            if after == "CONVERTED" and row["customer_id"] is not None:
                came_of_it = {name: row[name] for name in ("customer_id", "contact_id", "opportunity_id")}
                return "lead.converted", moved | came_of_it
            if after in MOVED:
                return MOVED[after], moved
        if "owner_id" in change.changes and row["owner_id"] is not None:
            return "lead.assigned", {"reason": "IMPORTED"}
        return super().kind_of(change)

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        """An opportunity is scored by where its lead came from."""
        await pool_items.refresh_many(act, pool_items.LEAD, [change.id for change in changes if not change.new])
        scored = {change.row["opportunity_id"] for change in changes if "lead_source" in change.changes} - {None}
        await standings.refresh_later(act, opportunity_ids=sorted(scored | set(touched(changes, "opportunity_id"))))
        return ()


leads = _Leads(Lead, "lead.created", "lead.updated")
