"""Payments and exchange rates."""

from datetime import date

from crmgql.events.declarations import ALWAYS, SOMETIMES, Changed, Exact, Kind, Money, Payload, record_id


class PaymentMoved(Changed):
    """The payment's amount."""

    amount: Money


class PaymentAllocated(Changed):
    """How much was allocated, all in all; `allocation.made` tells of each part."""

    amount: Money


class AllocationMade(Payload):
    """How much of what payment, in its currency (`paid`), or of what credit note's credit, settles how much of what order or invoice,
    or both, or of what lost dispute, in theirs: `amount`."""

    amount: Money
    paid: Money
    order_id: record_id("Order") | None = None  # type: ignore[valid-type]
    invoice_id: record_id("Invoice") | None = None  # type: ignore[valid-type]
    dispute_id: record_id("Dispute") | None = None  # type: ignore[valid-type]
    payment_id: record_id("Payment") | None = None  # type: ignore[valid-type]
    credit_note_id: record_id("CreditNote") | None = None  # type: ignore[valid-type]


class AllocationUndone(AllocationMade):
    """The allocation that is undone, and its figures."""

    undoes_id: record_id("Allocation")  # type: ignore[valid-type]


class InvoiceMoved(Changed):
    """What the invoice comes to."""

    amount: Money


class InvoiceIssued(InvoiceMoved):
    """Its number and days; the last part of it is due on `dueOn`."""

    number: str
    issued_on: date
    due_on: date


class DocumentSent(Changed):
    """The e-mail that it went out with."""

    email_id: record_id("EmailMessage")  # type: ignore[valid-type]


class StatementSent(DocumentSent):
    """Its days, both included, and its currency."""

    since: date
    until: date
    currency: str


class InvoiceOverdue(Changed):
    """What is owed of it and was due before today, and when the oldest part of that was due."""

    amount: Money
    due_on: date


class InvoiceDunned(InvoiceOverdue):
    """The level of the reminder."""

    level: int


class DunningLevelMoved(Changed):
    """The level's number, and how many days after the due day it is sent."""

    level: int
    after_days: int


class CreditNoteIssued(Changed):
    """What the credit note comes to, its number and the invoice."""

    amount: Money
    number: str
    issued_on: date
    invoice_id: record_id("Invoice")  # type: ignore[valid-type]


class SuspenseMoved(Changed):
    """How much it is."""

    amount: Money


class SuspenseAssigned(SuspenseMoved):
    """The payment that it became."""

    payment_id: record_id("Payment")  # type: ignore[valid-type]


class WriteOffMade(Payload):
    """How much of the order or the invoice, or both, or of the lost dispute is written off, to which account."""

    amount: Money
    order_id: record_id("Order") | None = None  # type: ignore[valid-type]
    invoice_id: record_id("Invoice") | None = None  # type: ignore[valid-type]
    dispute_id: record_id("Dispute") | None = None  # type: ignore[valid-type]
    account: str


class WriteOffUndone(WriteOffMade):
    """The write-off that is undone, and its figures."""

    undoes_id: record_id("WriteOff")  # type: ignore[valid-type]


class RefundMoved(Changed):
    """How much goes back, of which payment (null: of the customer's credit), how, and by whom. The subject's id is the key of the
    refund: send it to the provider with each attempt, and the money goes back once."""

    amount: Money
    payment_id: record_id("Payment") | None = None  # type: ignore[valid-type]
    method: str
    provider: str | None = None


class DisputeMoved(Changed):
    """How much of which payment was taken back, and what the provider took for it."""

    amount: Money
    payment_id: record_id("Payment")  # type: ignore[valid-type]
    fee: Money | None = None


class DisputeLost(DisputeMoved):
    """`owed`: what the customer has twice, as it was refunded, too."""

    owed: Money | None = None


class RateSet(Payload):
    """What one unit of the currency is worth in the base currency, from the day on."""

    currency: str
    base_currency: str
    effective_on: date
    rate: Exact


class PeriodMoved(Changed):
    """The period's days, and what they are from now on."""

    first_on: date
    last_on: date
    status: str


class AccountCoded(Changed):
    """What the accountant's system calls an account."""

    purpose: str
    code: str
    name: str


class YearClosed(Changed):
    """The fiscal year that begins in `year`, and its days."""

    year: int
    first_on: date
    last_on: date


class RevaluationMade(Changed):
    """The day, and what items gained or, as a minus, lost in base currency since they were revalued for it the last time."""

    on: date
    difference: Money


class PayoutMoved(Changed):
    """What reached the bank, or should; as a minus, what the provider took."""

    amount: Money


class ExceptionMoved(Changed):
    """What was found: its kind, in words, and the amount that it is about."""

    found: str
    finding: str
    amount: Money | None = None


KINDS = (
    Kind("payment.expected", "Payment", "A payment is expected.", PaymentMoved, ALWAYS),
    Kind("payment.received", "Payment", "A payment was received.", PaymentMoved, ALWAYS),
    Kind("payment.failed", "Payment", "An expected payment failed.", PaymentMoved, ALWAYS),
    Kind("payment.cancelled", "Payment", "An expected payment was cancelled.", PaymentMoved, ALWAYS),
    Kind("payment.allocated", "Payment", "Somebody allocated what was left of a payment.", PaymentAllocated, ALWAYS),
    Kind(
        "payment.gaveBack",
        "Payment",
        "Somebody gave what was left of a payment back to the one that it was passed on from.",
        PaymentMoved,
        ALWAYS,
    ),
    Kind("payment.updated", "Payment", "A payment's reference changed.", customer=ALWAYS),
    Kind(
        "allocation.made",
        "Allocation",
        "A part of a payment settles a part of an order, an invoice or a lost dispute.",
        AllocationMade,
        ALWAYS,
    ),
    Kind("allocation.undone", "Allocation", "An allocation was undone, by another one.", AllocationUndone, ALWAYS),
    Kind(
        "writeOff.made",
        "WriteOff",
        "A part of an order, an invoice or a lost dispute was written off.",
        WriteOffMade,
        ALWAYS,
    ),
    Kind("writeOff.undone", "WriteOff", "A write-off was undone, by another one.", WriteOffUndone, ALWAYS),
    Kind("suspense.received", "SuspenseReceipt", "Money came in of which nobody knows whose it is.", SuspenseMoved),
    Kind("suspense.assigned", "SuspenseReceipt", "Money in suspense became a customer's payment.", SuspenseAssigned),
    Kind("suspense.returned", "SuspenseReceipt", "Money in suspense went back to whoever sent it.", SuspenseMoved),
    Kind("invoice.drafted", "Invoice", "An invoice was drafted.", InvoiceMoved, ALWAYS),
    Kind("invoice.issued", "Invoice", "An invoice was issued, or imported as issued.", InvoiceIssued, ALWAYS),
    Kind("invoice.discarded", "Invoice", "A draft of an invoice was discarded.", InvoiceMoved, ALWAYS),
    Kind("invoice.sent", "Invoice", "The mail server accepted an e-mail with the invoice.", DocumentSent, ALWAYS),
    Kind(
        "invoice.overdue",
        "Invoice",
        "Something of an invoice has become overdue, for the first time.",
        InvoiceOverdue,
        ALWAYS,
    ),
    Kind("invoice.dunned", "Invoice", "A reminder of an overdue invoice was written.", InvoiceDunned, ALWAYS),
    Kind("invoice.dunningStopped", "Invoice", "Somebody stopped reminders of an invoice.", customer=ALWAYS),
    Kind("invoice.dunningResumed", "Invoice", "Reminders of an invoice are sent again.", customer=ALWAYS),
    Kind(
        "customer.dunningStopped", "Customer", "Somebody stopped reminders of a customer's invoices.", customer=ALWAYS
    ),
    Kind("customer.dunningResumed", "Customer", "Reminders of a customer's invoices are sent again.", customer=ALWAYS),
    Kind("dunningLevel.created", "DunningLevel", "Somebody made a level of reminders.", DunningLevelMoved),
    Kind("dunningLevel.updated", "DunningLevel", "Somebody changed a level of reminders.", DunningLevelMoved),
    Kind("creditNote.issued", "CreditNote", "A credit note was issued.", CreditNoteIssued, ALWAYS),
    Kind(
        "creditNote.sent",
        "CreditNote",
        "The mail server accepted an e-mail with the credit note.",
        DocumentSent,
        ALWAYS,
    ),
    Kind(
        "customer.statementSent",
        "Customer",
        "The mail server accepted an e-mail with the customer's statement of account.",
        StatementSent,
        ALWAYS,
    ),
    Kind("refund.requested", "Refund", "Somebody asked for a refund: its money is held, send it.", RefundMoved, ALWAYS),
    Kind("refund.succeeded", "Refund", "The money of a refund went back.", RefundMoved, ALWAYS),
    Kind("refund.failed", "Refund", "A refund failed, or came back.", RefundMoved, ALWAYS),
    Kind(
        "refund.unknown", "Refund", "Nobody knows what became of a refund: ask again by its key.", RefundMoved, ALWAYS
    ),
    Kind("refund.cancelled", "Refund", "A refund was cancelled before it was sent.", RefundMoved, ALWAYS),
    Kind("dispute.opened", "Dispute", "A customer's bank took money of a payment back.", DisputeMoved, ALWAYS),
    Kind("dispute.won", "Dispute", "A dispute was won: the money is back.", DisputeMoved, ALWAYS),
    Kind("dispute.lost", "Dispute", "A dispute was lost: what the payment settled is owed again.", DisputeLost, ALWAYS),
    Kind("payout.expected", "Payout", "A payment provider is going to pay out.", PayoutMoved),
    Kind("payout.paid", "Payout", "A payment provider's payout reached the bank.", PayoutMoved),
    Kind(
        "payout.released",
        "Payout",
        "A payout is expected again: what was said to be it was something else.",
        PayoutMoved,
    ),
    Kind("payout.failed", "Payout", "A payment provider's payout did not arrive, or went back.", PayoutMoved),
    Kind(
        "reconciliationException.found",
        "ReconciliationException",
        "Records of money disagree, or somebody should look at some; it is told of once while it lasts.",
        ExceptionMoved,
        SOMETIMES,
    ),
    Kind(
        "reconciliationException.closed",
        "ReconciliationException",
        "What reconciliation found is gone, or somebody closed it.",
        ExceptionMoved,
        SOMETIMES,
    ),
    Kind("account.coded", "AccountCode", "The code or the name of an account of the books was set.", AccountCoded),
    Kind("rate.set", "FxRate", "An exchange rate was set.", RateSet),
    Kind("period.softClosed", "AccountingPeriod", "Days of the books take adjusting entries only.", PeriodMoved),
    Kind("period.closed", "AccountingPeriod", "Days of the books take no more entries.", PeriodMoved),
    Kind("period.reopened", "AccountingPeriod", "Closed days of the books take entries again.", PeriodMoved),
    Kind(
        "year.closed",
        "AccountingPeriod",
        "The results of a fiscal year were moved to what is retained; the subject is the period of its last day.",
        YearClosed,
    ),
    Kind(
        "revaluation.made",
        "AccountingPeriod",
        "Open items in foreign currencies were revalued at the end of the period.",
        RevaluationMade,
    ),
)
