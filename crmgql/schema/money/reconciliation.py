"""Payouts, what reconciliation finds, and how much of all money is explained."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql import models
from crmgql.domain.money import explained, payouts, reconciliation
from crmgql.engine import inputs, mutations
from crmgql.engine.computed import Ask, computed
from crmgql.engine.declare import any_one, column, many, money, node, one
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import CurrencyCode, DateText, DateTimeText
from crmgql.engine.strawberries import Field, lazy, list_of, object_type, optional


@node(models.Payout, order="-createdAt")
class Payout:
    """What a payment provider pays into our bank: charges less refunds and fees, and what it keeps back or gives free."""

    provider = column()
    reference = column()
    currency = column()
    gross = money(doc="All charges; null if nobody has said so, as for the other parts.")
    refunds = money()
    fees = money()
    reserve = money(doc="What the provider keeps back, as a minus, or gives free.")
    net = money(doc="What reaches the bank; as a minus, what the provider takes.")
    fees_booked = column(doc="Whether its fees are in the books payment by payment; if not, they are booked with it.")
    arrives_on = column(sort=True)
    status = column(enum=models.PayoutStatus)
    status_reason = column(filter=False, doc="Why it failed.")
    paid_at = column()
    bank_lines = many("BankLine", "payout", "The line that brought it, and one that took it back, if the bank did.")


@node(models.ReconciliationRun, order="-id")
class ReconciliationRun:
    """One time that orders, the books, payments and payouts were held against each other."""

    reconciled_on = column(doc="The company's day.")
    finished_at = column(doc="Null while it is under way.")
    customers = column(doc="How many were looked at.")
    found = column(doc="How much there was to look at, old and new.")
    opened = column(doc="How much of it was new.")
    closed = column(doc="How much of what was open before was gone.")
    exceptions = many("ReconciliationException", "run", "What this run found that was new then.")


@node(models.ReconciliationException, order="-foundAt")
class ReconciliationException:
    """Something that somebody should look at, found by reconciliation: one while it lasts. It closes by itself when it is gone."""

    run = one("The run that found it, the last time that it was new.")
    kind = column(enum=models.ReconciliationKind)
    amount = money("amount", "What it is about; as a minus, too little.")
    currency = column()
    finding = column(filter=False, doc="In words.")
    subject_type = column()
    subject = any_one("subject_type", "subject_id", "What it is about; null if you may not see it.")
    customer = one("Null for what is no customer's.")
    status = column(enum=models.ReconciliationStatus)
    found_at = column(sort=True)
    closed_at = column()
    closed_by = one("Null where it was gone by itself.")
    reason = column(filter=False, doc="Why somebody closed it.")


@input
class PayoutReceiveInput:
    id: strawberry.ID
    paid_at: DateTimeText | None = UNSET
    expected_version: int | None = UNSET


@input
class PayoutFailInput:
    id: strawberry.ID
    reason: str | None = UNSET
    expected_version: int | None = UNSET


@input
class ReconciliationExceptionCloseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


mutations.table(
    "Payout",
    Row(
        "payoutRecord",
        "Records a payout that reached the bank, or is expected.",
        payouts.record,
        input=inputs.create(
            "provider reference net gross refunds fees reserve fees_booked arrives_on paid_at",
            also={"pending": bool | None},
        ),
    ),
    Row("payoutReceive", "Marks an expected payout as paid.", payouts.receive, input=PayoutReceiveInput),
    Row(
        "payoutFail",
        "Marks a payout as failed, also one that was paid and went back.",
        payouts.fail,
        input=PayoutFailInput,
    ),
)

mutations.table(
    "ReconciliationException",
    Row(
        "reconciliationExceptionClose",
        "Closes what was found, with the reason; it stays closed as long as its amount is the same.",
        reconciliation.close,
        input=ReconciliationExceptionCloseInput,
    ),
)

MONEY = lazy("Money")
object_type(
    "MoneyExplained",
    [
        Field("currency", CurrencyCode),
        Field(
            "received", MONEY, "All money that came in: allocated + credit + unearned + refunded + disputed + suspense."
        ),
        Field("allocated", MONEY, "What of it settles something, less what was credited of that."),
        Field("credit", MONEY, "What customers may use or get back, credit notes included."),
        Field("unearned", MONEY, "What customers paid ahead, or what is not allocated yet."),
        Field("refunded", MONEY, "What went back."),
        Field("disputed", MONEY, "What was lost to the customers' banks."),
        Field("suspense", MONEY, "What nobody knows whose it is."),
        Field("clearing", MONEY, "What lies at payment providers by the books."),
        Field(
            "explainedShare",
            optional(float),
            "What of the received is neither unearned nor in suspense, 1 for all of it.",
        ),
        Field(
            "oldestUnexplainedOn",
            optional(DateText),
            "Since when the oldest unearned money or money in suspense waits.",
        ),
    ],
    "What became of the money in one currency.",
)


@computed("moneyExplained", list_of(lazy("MoneyExplained")), calls=explained.money_explained)
async def money_explained(ask: Ask, **values: Any) -> Any:
    """How much of all money that came in is explained, by currency. It takes the permission `reconciliation.read`."""
    return await explained.money_explained(ask.database, ask.viewer, **values)
