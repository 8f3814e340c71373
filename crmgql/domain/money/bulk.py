"""Many payments at once, many invoices, credit notes, allocations, and many exchange rates."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, ClassVar

from crmgql.domain.money import issuing, receipts, settling, taking_back
from crmgql.domain.money.invoices import ADDRESS
from crmgql.domain.money.payments import MOVES
from crmgql.events.outbox import Entry
from crmgql.models import Allocation, CreditNote, FxRate, Invoice, Payment
from crmgql.models.invoices import PARTICULARS, SEQUENCE
from crmgql.records import money
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change, Refusal
from crmgql.records.records import Act, Row
from crmgql.records.upserts import STAGE, Upsert

EVENTS = {"PENDING": "payment.expected", **MOVES.events}
"""The event of a payment that is made in a status or moves to it."""


FIXED = {"customer_id", "order_id", "invoice_id", "amount", "currency"}
KEPT = FIXED | {"provider", "received_at"}
"""What the books say of a payment that is expected, and of one that is received."""


class _Payments(Writer):
    derived = frozenset({"suspense"})
    returned = ("amount", "currency", "status")

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        """What is received is posted and allocated; what is posted can't become another payment."""
        other = [each.id for each in changes if not each.new and _fixed(each) & each.changes.keys()]
        return await receipts.follow(act, [each.id for each in changes], changed=other)

    def kind_of(self, change: Change) -> tuple[str, Row]:
        if "status" in change.changes:
            return EVENTS[change.row["status"]], {"amount": (change.row["amount"], change.row["currency"])}
        return super().kind_of(change)


def _fixed(change: Change) -> set[str]:
    """One that becomes received gets its day by that."""
    return KEPT if change.row["status"] == "RECEIVED" and "status" not in change.changes else FIXED


OWN = {
    name: f"(SELECT {name.removeprefix('issuer_')} FROM companies)" for name in PARTICULARS if name.startswith("issuer")
}
RECIPIENT = "(SELECT {0} FROM customers c WHERE c.id = s.customer_id)"


class _Invoices(Writer):
    """Invoices as they were issued elsewhere, each due on one day. What is there is never changed.

    One of an order gives what is owed of it its due date; one without is owed, and revenue, from its own day.
    """

    zero = frozenset({"shipping_amount", "tax_amount", "discount_amount"})
    derived = frozenset(
        {
            *("total_amount", "credited_amount", "credited_tax_amount", "status", "payment_terms", "order_revision"),
            *(*SEQUENCE, "before", *PARTICULARS),
        }
    )
    returned = ("total_amount", "currency", "number", "issued_on", "due_on")

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        return {
            "status": "'ISSUED'",
            "total_amount": "s.subtotal_amount + s.shipping_amount + s.tax_amount - s.discount_amount",
            **OWN,
            "recipient_name": RECIPIENT.format("name"),
            "recipient_address": RECIPIENT.format(f"left({ADDRESS.format('c')}, 1000)"),
            "recipient_tax_id": RECIPIENT.format("tax_id"),
        }

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        await issuing.follow(act, [change.id for change in changes])
        return ()

    def kind_of(self, change: Change) -> tuple[str, Row]:
        payload = {name: change.row[name] for name in ("number", "issued_on", "due_on")}
        return self.created, {"amount": (change.row["total_amount"], change.row["currency"]), **payload}


# Parameters: credit notes. An imported one is of its invoice as a whole, as it has no lines.
WHOLE = """
INSERT INTO credit_note_lines (customer_id, credit_note_id, position, description, currency, net_amount)
SELECT n.customer_id, n.id, 1, left('Invoice ' || i.number, 300), n.currency, n.net_amount
FROM credit_notes n JOIN invoices i ON i.customer_id = n.customer_id AND i.id = n.invoice_id WHERE n.id = ANY ($1)"""


class _CreditNotes(Writer):
    """Credit notes as they were issued elsewhere, each of its invoice as a whole. What is there is never changed."""

    zero = frozenset({"tax_amount"})
    derived = frozenset({"total_amount", *SEQUENCE, "before", *PARTICULARS})
    returned = ("total_amount", "currency", "number", "issued_on", "invoice_id")
    reasons: ClassVar = {
        "invoices_credited": (("net_amount", "tax_amount"), "more would be credited than the invoice"),
        "credit_notes_issued": (("number",), "number: is blank"),
        "credit_notes_number": (("number",), "number: another credit note has it"),
    }

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        return {
            "total_amount": "s.net_amount + s.tax_amount",
            **OWN,
            "recipient_name": RECIPIENT.format("name"),
            "recipient_address": RECIPIENT.format(f"left({ADDRESS.format('c')}, 1000)"),
            "recipient_tax_id": RECIPIENT.format("tax_id"),
        }

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        ids = [change.id for change in changes]
        await act.tx.connection.execute(WHOLE, ids)
        return await taking_back.follow(act, ids)

    def kind_of(self, change: Change) -> tuple[str, Row]:
        payload = {name: change.row[name] for name in ("number", "issued_on", "invoice_id")}
        return self.created, {"amount": (change.row["total_amount"], change.row["currency"]), **payload}


SETTLED = (
    "customer_id",
    "payment_id",
    "credit_note_id",
    "order_id",
    "invoice_id",
    "currency",
    "amount",
    "paid_currency",
    "paid_amount",
    "allocated_on",
)
# Allocations that are not there yet. They are written after they are posted, so here nothing is.
NEW_ALLOCATIONS = """
SELECT uuidv7() AS id, true AS is_new, $2::timestamptz AS at, s.customer_id, {new}, {old}
FROM {stage} s WHERE s.n BETWEEN $3 AND $4
    AND NOT EXISTS (SELECT FROM allocations there WHERE there.source = $1 AND there.external_id = s.external_id)
ORDER BY s.n"""


class _Allocations(Writer):
    """Allocations as they were made elsewhere. What is there is never changed."""

    derived = frozenset({"undoes", "dispute", "item_id", "source_item_id", "rate_id", "paid_rate_id", "entry_id"})
    filled = frozenset({"paid_amount", "paid_currency", "allocated_on"})

    def upsert(self, columns: Sequence[str], mapped: Set[str]) -> Upsert:
        names = ("external_id", *columns)
        parts = {"new": "s.{0}", "old": "NULL AS was_{0}"}
        lists = {part: ", ".join(form.format(name) for name in names) for part, form in parts.items()}
        return Upsert(NEW_ALLOCATIONS.format(stage=STAGE, **lists), names)

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        return await settling.settle(act, [_settled(change) for change in changes])

    async def entries(self, act: Act, changes: Sequence[Change]) -> list[Entry]:
        """Each part of one has its own, from whoever posts it."""
        return []


def _settled(change: Change) -> Row:
    row = {name: change.row.get(name) for name in (*SETTLED, "external_id")}
    return row | {"source": change.changes["source"][1]}


RATE = ("currency", "base_currency", "effective_on", "rate")
# A rate that is that of its day already is not written again, nor one of the books' own currency, or for other books.
ADD_RATES = """
INSERT INTO fx_rates AS t (source, created_at, currency, base_currency, effective_on, rate)
SELECT $1, $2, s.currency, books.currency, s.effective_on, trim_scale(s.rate)
FROM {stage} s CROSS JOIN books
WHERE s.n BETWEEN $3 AND $4 AND s.currency <> books.currency AND {base} = books.currency
AND s.rate IS DISTINCT FROM (
    SELECT rate FROM fx_rates there
    WHERE there.base_currency = books.currency AND there.currency = s.currency AND there.effective_on = s.effective_on
    ORDER BY id DESC LIMIT 1)
ORDER BY s.n
RETURNING new.id, true AS is_new, {new}, {old}"""
NEW, OLD = (", ".join(form.format(name) for name in RATE) for form in ("new.{0}", "old.{0} AS was_{0}"))


class _FxRates(Writer):
    """A rate is known by its currency and day, in the base currency of the books; the external id only tells rows apart.

    Rows that name another base currency are for other books, and left alone.
    """

    filled = frozenset({"base_currency"})

    def check(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Refusal]:
        refused = {refusal.place: refusal for refusal in super().check(columns, rows)}
        at = {column: place for place, column in enumerate(columns, start=1)}
        codes = [column for column in ("currency", "base_currency") if column in at]
        seen: set[tuple[Any, ...]] = set()
        for number, row in enumerate(rows):
            if number in refused:
                continue
            known = tuple(row[at[column]] for column in (*codes, "effective_on"))
            wrong = [column for column in codes if row[at[column]] is not None and not money.is_code(row[at[column]])]
            if wrong:
                text = row[at[wrong[0]]]
                refused[number] = Refusal(
                    number, (wrong[0],), f"{wrong[0]}: {text!r} is not a currency code such as USD"
                )
            elif known in seen:
                reason = f"effective_on: another row says what {known[0]} is worth on {known[-1]}"
                refused[number] = Refusal(number, ("currency", "effective_on"), reason)
            seen.add(known)
        return sorted(refused.values(), key=lambda refusal: refusal.place)

    def upsert(self, columns: Sequence[str], mapped: Set[str]) -> Upsert:
        base = "coalesce(s.base_currency, books.currency)" if "base_currency" in columns else "books.currency"
        return Upsert(ADD_RATES.format(stage=STAGE, base=base, new=NEW, old=OLD), RATE)

    def kind_of(self, change: Change) -> tuple[str, Row]:
        return self.created, {column: change.row[column] for column in RATE}


allocations = _Allocations(Allocation, "allocation.made")
credit_notes = _CreditNotes(CreditNote, "creditNote.issued")
fx_rates = _FxRates(FxRate, "rate.set")
invoices = _Invoices(Invoice, "invoice.issued")
payments = _Payments(Payment, "payment.received", "payment.updated")
