"""Mutations of payments, allocations, suspense, write-offs, refunds, disputes, rates, periods, codes of accounts. Those of invoices are
in `invoicing`."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import (
    account_codes,
    disputes,
    families,
    payments,
    periods,
    rates,
    refunds,
    revaluation,
    suspense,
    write_offs,
    years,
)
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input, part
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText, DateTimeText
from crmgql.engine.strawberries import lazy, optional


@input
class PaymentReceiveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    received_at: DateTimeText | None = UNSET


@part(write_offs.Short)
class AllocationWriteOffInput:
    """What is written off of the named order, invoice or dispute in the same act."""

    amount: MoneyInput
    reason: str
    account: str | None = strawberry.field(default=UNSET, graphql_type=optional(lazy("WriteOffAccount")))


@input
class PaymentAllocateInput:
    """The order, the invoice or the lost dispute: left out, all that the customer owes in the payment's currency, the oldest first. One of a
    subsidiary, or of a customer further below, is paid for it: it gets a payment that is `paidFrom` this one. `amount`: left out, as much as fits.

    `orderAmount`: of what is owed in another currency, what the amount settles; where one of the two is left out, it follows at
    the day's exchange rates.
    """

    id: strawberry.ID
    order_id: strawberry.ID | None = UNSET
    invoice_id: strawberry.ID | None = UNSET
    dispute_id: strawberry.ID | None = UNSET
    amount: MoneyInput | None = UNSET
    order_amount: MoneyInput | None = UNSET
    write_off: AllocationWriteOffInput | None = UNSET
    expected_version: int | None = UNSET


@input
class PaymentGiveBackInput:
    """`amount`: left out, all that is left."""

    id: strawberry.ID
    amount: MoneyInput | None = UNSET
    expected_version: int | None = UNSET


@input
class PeriodCloseInput:
    """A period's id, or its last day. Without `firstOn` the days follow the period before; the first ones begin with all days."""

    id: strawberry.ID | None = UNSET
    first_on: DateText | None = UNSET
    last_on: DateText | None = UNSET
    expected_version: int | None = UNSET


@input
class AllocationUndoInput:
    id: strawberry.ID


ALLOCATIONS = {"amount": MoneyInput | None, "allocation_ids": list[strawberry.ID] | None}
WHAT = (
    "Of a payment, or of a customer's credit. `amount`: left out, all that the named allocations settle, else all that can be refunded"
    " of the payment. `method`, `provider`: left out, the payment's."
)


@input
class RefundSucceedInput:
    id: strawberry.ID
    provider_reference: str | None = UNSET
    refunded_at: DateTimeText | None = UNSET
    expected_version: int | None = UNSET


@input
class RefundEndInput:
    id: strawberry.ID
    reason: str | None = UNSET
    expected_version: int | None = UNSET


@input
class DisputeEndInput:
    id: strawberry.ID
    ended_at: DateTimeText | None = UNSET
    expected_version: int | None = UNSET


@input
class SuspenseAssignInput:
    """An order or an invoice, or the customer of a prepayment."""

    id: strawberry.ID
    customer_id: strawberry.ID | None = UNSET
    order_id: strawberry.ID | None = UNSET
    invoice_id: strawberry.ID | None = UNSET
    expected_version: int | None = UNSET


@input
class SuspenseReturnInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class WriteOffUndoInput:
    id: strawberry.ID


@input
class PeriodReopenInput:
    """A period's id, or its last day. `toAdjust`: a closed one becomes soft closed."""

    reason: str
    id: strawberry.ID | None = UNSET
    first_on: DateText | None = UNSET
    last_on: DateText | None = UNSET
    to_adjust: bool | None = UNSET
    expected_version: int | None = UNSET


@input
class YearCloseInput:
    """The calendar year in which the fiscal year begins. The version is that of the period of its last day."""

    year: int
    expected_version: int | None = UNSET


@input
class PeriodRevalueInput:
    """The last day of a period, and that period's version."""

    on: DateText
    expected_version: int | None = UNSET


mutations.table(
    "Payment",
    Row(
        "paymentRecord",
        "Records a payment for an order or an invoice, in its currency, or a customer's prepayment.",
        payments.record,
        input=inputs.create(
            "amount method order_id invoice_id customer_id received_at installments reference provider provider_reference",
            also={"pending": bool | None},
            optional="customer_id",
        ),
    ),
    Row("paymentUpdate", "Changes the reference.", payments.update, input=inputs.update("reference")),
    Row("paymentReceive", "Marks a pending payment as received.", payments.move, "receive", input=PaymentReceiveInput),
    Row("paymentFail", "Marks a pending payment as failed.", payments.move, "fail"),
    Row("paymentCancel", "Cancels a pending payment.", payments.move, "cancel"),
    Row(
        "paymentAllocate",
        "Settles what the customer owes with what is left of a received payment: first its unearned rest, then its credit.",
        families.allocate,
        input=PaymentAllocateInput,
    ),
    Row(
        "paymentGiveBack",
        "Gives what is left of a payment that another customer's payment passed on back to that payment.",
        families.give_back,
        input=PaymentGiveBackInput,
    ),
)

mutations.table(
    "Allocation",
    Row(
        "allocationUndo",
        "Takes an allocation back: what it settled is owed again and the payment has its rest again. Answers with the one that undoes it.",
        families.undo,
        input=AllocationUndoInput,
    ),
)

mutations.table(
    "SuspenseReceipt",
    Row(
        "suspenseReceive",
        "Records money that came in and of which nobody knows whose it is.",
        suspense.receive,
        input=inputs.create(
            "amount method received_at payer reference provider provider_reference", optional="received_at"
        ),
    ),
    Row(
        "suspenseAssign",
        "Makes money in suspense a payment of a customer, which settles the order or the invoice if one is named.",
        suspense.assign,
        input=SuspenseAssignInput,
    ),
    Row(
        "suspenseReturn",
        "Records that money in suspense went back to whoever sent it.",
        suspense.give_back,
        input=SuspenseReturnInput,
    ),
)

mutations.table(
    "WriteOff",
    Row(
        "writeOff",
        "Writes off what is open of an order, an invoice or a lost dispute, or an amount of it. More of one of them, all in all, than the"
        " company's tolerance takes the permission `writeOff.approve`.",
        write_offs.write_off,
        input=inputs.create(
            "order_id invoice_id dispute_id amount account reason", required="reason", optional="amount", origin=False
        ),
    ),
    Row(
        "writeOffUndo",
        "Takes a write-off back: what it was of is owed again. Answers with the one that undoes it.",
        write_offs.undo,
        input=WriteOffUndoInput,
    ),
)

mutations.table(
    "Refund",
    Row(
        "refundRequest",
        "Asks for a refund: its money is held until it ends. What is allocated is undone as far as it takes, the named allocations"
        " or else the latest first.",
        refunds.request,
        input=inputs.create(
            "payment_id customer_id", refunds.FACTS, also=ALLOCATIONS, optional="customer_id method", doc=WHAT
        ),
    ),
    Row(
        "refundRecord",
        "Records a refund that has happened already, such as cash that was given back.",
        refunds.record,
        input=inputs.create(
            "payment_id customer_id",
            refunds.FACTS,
            "provider_reference",
            also=ALLOCATIONS | {"refunded_at": DateTimeText | None},
            optional="customer_id method",
            doc=WHAT,
        ),
    ),
    Row("refundSucceed", "Marks a refund as done: the money went back.", refunds.succeed, input=RefundSucceedInput),
    Row(
        "refundFail",
        "Marks a refund as failed: its money is the payment's again, and settles what it settled before.",
        refunds.end,
        "fail",
        input=RefundEndInput,
    ),
    Row(
        "refundMarkUnknown",
        "Marks a refund that was sent and of which nobody knows what became: its money stays held.",
        refunds.mark_unknown,
        input=RefundEndInput,
    ),
    Row("refundCancel", "Cancels a refund that was not sent.", refunds.end, "cancel", input=RefundEndInput),
)

mutations.table(
    "Dispute",
    Row(
        "disputeOpen",
        "Records that the customer's bank took money of a payment back. Without an amount it is all of the payment that is not disputed yet.",
        disputes.open,
        input=inputs.create(
            "payment_id amount fee opened_at", disputes.FACTS, optional="amount opened_at", origin=True
        ),
    ),
    Row("disputeWin", "Marks an open dispute as won: the money is back.", disputes.win, input=DisputeEndInput),
    Row(
        "disputeLose",
        "Marks an open dispute as lost: what the payment settled is owed again, the latest allocations first. What was refunded"
        " already, the customer owes.",
        disputes.lose,
        input=DisputeEndInput,
    ),
)

mutations.table(
    "FxRate",
    Row(
        "fxRateSet",
        "Sets what one unit of a currency is worth in the base currency of the books, from a day on. What was posted already stays as it is.",
        rates.set_rate,
        input=inputs.create("currency effective_on rate source", optional="source", origin=False),
    ),
)

mutations.table(
    "AccountCode",
    Row(
        "accountCodeSet",
        "Sets what the accountant's system calls an account of the books. What was posted stays as it is.",
        account_codes.set_code,
        input=inputs.create("purpose code name name_zh", also={"expected_version": int | None}, origin=False),
    ),
)

mutations.table(
    "AccountingPeriod",
    Row(
        "periodSoftClose",
        "Has days of the books take adjusting entries only; the days before must be soft closed or closed.",
        periods.close,
        "soft_close",
        input=PeriodCloseInput,
    ),
    Row(
        "periodClose",
        "Closes days of the books: nothing is posted to them any more. The days before must be closed.",
        periods.close,
        "close",
        input=PeriodCloseInput,
    ),
    Row(
        "periodReopen",
        "Opens days of the books again, the latest first. For closed ones it takes the permission `period.reopen`.",
        periods.reopen,
        input=PeriodReopenInput,
    ),
    Row(
        "periodRevalue",
        "Revalues what is open in foreign currencies at the rates of a period's last day, and takes it back on the next. Done again, it"
        " posts the difference.",
        revaluation.revalue,
        input=PeriodRevalueInput,
        asks=("period.adjust",),
    ),
    Row(
        "yearClose",
        "Moves what a fiscal year earned and cost to what is retained, on its last day, which must be soft closed. Done again,"
        " it moves what was adjusted since.",
        years.close,
        input=YearCloseInput,
        asks=("period.adjust",),
    ),
)
