"""Many customers and contacts at once."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql.domain.customers import followers
from crmgql.domain.customers.customers import kind_and_payload
from crmgql.domain.pools import pool_items
from crmgql.events.outbox import Entry
from crmgql.models import Contact, Customer
from crmgql.records import records
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change
from crmgql.records.records import Act, Row


class _Customers(Writer):
    derived = frozenset(
        {
            *("pool", "protected_until", "reclaim_warned_at", "payment_terms", "dunning_stop_reason", "timezone"),
            *("merged_into", "merge_reason"),
        }
    )

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        """A customer in a pool stays there, even if its old owner is written again."""
        if "owner_id" in updates:
            updates["owner_id"] = f"CASE WHEN t.pool_id IS NULL THEN {updates['owner_id']} ELSE t.owner_id END"
        return updates

    def kind_of(self, change: Change) -> tuple[str, Row]:
        return super().kind_of(change) if change.new else kind_and_payload(change.changes)

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        await records.check_parents(act, Customer, [change.id for change in changes if "parent_id" in change.changes])
        await pool_items.refresh_many(act, pool_items.CUSTOMER, [change.id for change in changes if not change.new])
        await followers.customers_changed(
            act, {change.id: change.changes.keys() for change in changes if not change.new}
        )
        return ()


class _Contacts(Writer):
    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        await followers.contacts_changed(
            act, {change.id: change.changes.keys() for change in changes if not change.new}
        )
        return ()


customers = _Customers(Customer, "customer.created", "customer.updated")
contacts = _Contacts(Contact, "contact.created", "contact.updated")
