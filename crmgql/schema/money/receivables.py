"""What customers owed on a day, and a customer's statement of account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from crmgql.domain.money import receivables
from crmgql.engine import scalars
from crmgql.engine.computed import Ask, computed
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, list_of, object_type, optional
from crmgql.models.names import PREFIXES, api_id

OWED = (
    Field("currency", scalars.CurrencyCode),
    Field("outstanding", lazy("Money"), "What was owed."),
    Field("overdue", lazy("Money"), "What of it was due before the day."),
    Field("ageing", list_of(lazy("AgeingAmount")), "What was owed, by how long it was due: all buckets."),
)
object_type(
    "ReceivablesTotal",
    [*OWED, Field("customers", int, "How many owed something.")],
    "What all customers owed in a currency.",
)
object_type(
    "ReceivablesOfCustomer",
    [Field("customerId", strawberry.ID), Field("name", str), *OWED],
    "What a customer owed in a currency.",
)
object_type(
    "Receivables",
    [
        Field("asOf", scalars.DateText),
        Field("knownAt", optional(scalars.DateTimeText), "Null: all that is known now."),
        Field("totals", list_of(lazy("ReceivablesTotal")), "An entry per currency."),
        Field("customers", list_of(lazy("ReceivablesOfCustomer")), "A page; by currency, those that owed most first."),
    ],
    "What customers owed on a day, as far as you may see it.",
)
object_type(
    "AccountMovement",
    [
        Field("day", scalars.DateText),
        Field("kind", str, "What happened, such as order.confirmed or payment.received."),
        Field("documentType", str),
        Field("documentId", optional(strawberry.ID)),
        Field("documentName", optional(str), "An order's number, a payment's reference."),
        Field("amount", lazy("Money"), "More owed, or as a minus, less."),
        Field("balance", lazy("Money"), "What is owed after it."),
    ],
    "What changed a customer's balance.",
)
object_type(
    "AccountStatement",
    [
        Field("customerId", strawberry.ID),
        Field("name", str),
        Field("currency", scalars.CurrencyCode),
        Field("since", scalars.DateText),
        Field("until", scalars.DateText),
        Field("opening", lazy("Money")),
        Field("movements", list_of(lazy("AccountMovement"))),
        Field("closing", lazy("Money")),
    ],
    "What a customer owes, less what it paid ahead and has as credit, from day to day; as a minus, it has more than it owes.",
)
CUSTOMER = Argument("customerId", strawberry.ID)
CURRENCY = Argument("currency", scalars.CurrencyCode)


@computed(
    "receivables",
    lazy("Receivables"),
    arguments=(
        Argument("asOf", scalars.DateText, None, "The day; today unless another is given."),
        Argument("knownAt", scalars.DateTimeText, None, "Leaves out what was recorded from this time on."),
        CUSTOMER,
        CURRENCY,
        Argument("first", int, None, f"How many customers; 20 unless given, at most {receivables.MOST}."),
        Argument("skip", int, None, "How many customers to leave out before."),
    ),
    calls=receivables.ageing,
)
async def owed(ask: Ask, **values: Any) -> Any:
    """What customers owed on a day, by how long it was due, as the books say it now or said it at a time."""
    found = await receivables.ageing(ask.database, ask.viewer, **values)
    customers = [{**row, "customerId": api_id("Customer", row["customerId"])} for row in found["customers"]]
    return {**found, "customers": customers}


@computed(
    "customerStatement",
    lazy("AccountStatement"),
    arguments=(
        Argument("customerId", strawberry.ID, REQUIRED),
        Argument("since", scalars.DateText, REQUIRED, "The first day."),
        Argument("until", scalars.DateText, None, "The last day; today unless another is given."),
        CURRENCY,
    ),
    calls=receivables.statement,
)
async def account(ask: Ask, **values: Any) -> Any:
    """A customer's statement of account: what was owed before, what changed that day by day, what it came to."""
    found = await receivables.statement(ask.database, ask.viewer, **values)
    movements = [{**row, "documentId": _id(row["documentType"], row["documentId"])} for row in found["movements"]]
    return {**found, "customerId": api_id("Customer", found["customerId"]), "movements": movements}


def _id(record: str, id: UUID) -> str | None:
    """A document's id; null for what the API has no type for."""
    return api_id(record, id) if record in PREFIXES else None
