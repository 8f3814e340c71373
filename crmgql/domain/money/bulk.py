"""Many payments at once."""

from __future__ import annotations

from crmgql.domain.money.payments import MOVES
from crmgql.models import Payment
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change
from crmgql.records.records import Row

EVENTS = {"PENDING": "payment.expected", **MOVES.events}
"""The event of a payment that is made in a status or moves to it."""


class _Payments(Writer):
    returned = ("amount", "currency", "status")

    def kind_of(self, change: Change) -> tuple[str, Row]:
        if "status" in change.changes:
            return EVENTS[change.row["status"]], {"amount": (change.row["amount"], change.row["currency"])}
        return super().kind_of(change)


payments = _Payments(Payment, "payment.received", "payment.updated")
