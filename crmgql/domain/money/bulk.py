"""Many payments at once."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql.domain.money import receipts
from crmgql.domain.money.payments import MOVES
from crmgql.events.outbox import Entry
from crmgql.models import Payment
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change
from crmgql.records.records import Act, Row

EVENTS = {"PENDING": "payment.expected", **MOVES.events}
"""The event of a payment that is made in a status or moves to it."""


FIXED = {"customer_id", "order_id", "amount", "currency"}


class _Payments(Writer):
    returned = ("amount", "currency", "status")

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        """What is received is posted and allocated; what is posted can't become another payment."""
        other = [each.id for each in changes if not each.new and FIXED & each.changes.keys()]
        await receipts.follow(act, [each.id for each in changes], changed=other)
        return ()

    def kind_of(self, change: Change) -> tuple[str, Row]:
        if "status" in change.changes:
            return EVENTS[change.row["status"]], {"amount": (change.row["amount"], change.row["currency"])}
        return super().kind_of(change)


payments = _Payments(Payment, "payment.received", "payment.updated")
