"""Many payments at once, and many exchange rates."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from crmgql.domain.money import receipts
from crmgql.domain.money.payments import MOVES
from crmgql.events.outbox import Entry
from crmgql.models import FxRate, Payment
from crmgql.records import money
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change, Refusal
from crmgql.records.records import Act, Row
from crmgql.records.upserts import STAGE, Upsert

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


RATE = ("currency", "base_currency", "effective_on", "rate")
# A rate that is that of its day already is not written again, nor is one of the base currency, which is always 1.
ADD_RATES = f"""
INSERT INTO fx_rates AS t (source, created_at, currency, base_currency, effective_on, rate)
SELECT $1, $2, s.currency, books.currency, s.effective_on, trim_scale(s.rate)
FROM {STAGE} s CROSS JOIN books
WHERE s.n BETWEEN $3 AND $4 AND s.currency <> books.currency AND s.rate IS DISTINCT FROM (
    SELECT rate FROM fx_rates there
    WHERE there.base_currency = books.currency AND there.currency = s.currency AND there.effective_on = s.effective_on
    ORDER BY id DESC LIMIT 1)
ORDER BY s.n
RETURNING new.id, true AS is_new, {", ".join(f"new.{name}" for name in RATE)}, {", ".join(f"old.{name} AS was_{name}" for name in RATE)}"""


class _FxRates(Writer):
    """A rate is known by its currency and day, in the base currency of the books; the external id only tells rows apart."""

    derived = frozenset({"base_currency"})

    def check(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Refusal]:
        refused = {refusal.place: refusal for refusal in super().check(columns, rows)}
        at = {column: place for place, column in enumerate(columns, start=1)}
        seen: set[tuple[Any, Any]] = set()
        for number, row in enumerate(rows):
            currency, day = row[at["currency"]], row[at["effective_on"]]
            if number in refused:
                continue
            if not money.is_code(currency):
                refused[number] = Refusal(
                    number, ("currency",), f"currency: {currency!r} is not a currency code such as USD"
                )
            elif (currency, day) in seen:
                reason = f"effective_on: another row says what {currency} is worth on {day}"
                refused[number] = Refusal(number, ("currency", "effective_on"), reason)
            seen.add((currency, day))
        return sorted(refused.values(), key=lambda refusal: refusal.place)

    def upsert(self, columns: Sequence[str], mapped: Set[str]) -> Upsert:
        return Upsert(ADD_RATES, RATE)

    def kind_of(self, change: Change) -> tuple[str, Row]:
        return self.created, {column: change.row[column] for column in RATE}


fx_rates = _FxRates(FxRate, "rate.set")
payments = _Payments(Payment, "payment.received", "payment.updated")
