"""Payments, what settles what, refunds, disputes, suspense, write-offs, invoices, credit notes, rates; the books' periods and entries."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from crmgql import models
from crmgql.engine.declare import any_one, column, derived, many, money, node, one, through
from crmgql.planner import codecs
from crmgql.planner.metadata import Through
from crmgql.schema.customers import aggregates
from crmgql.schema.customers.receivables import zero
from crmgql.schema.money import documents, postings
from crmgql.sql import ast
from crmgql.viewer import Who


def _of_payment(what: ast.Expr, table: str, *where: ast.Expr) -> Callable[[str, ast.Expr], ast.Expr]:
    """A sum over the rows of a table, as `r`, that a payment has; of nothing it is 0."""

    def build(t: str, currency: ast.Expr) -> ast.Expr:
        own = [
            ast.eq(ast.Col("r", "customer_id"), ast.Col(t, "customer_id")),
            ast.eq(ast.Col("r", "payment_id"), ast.Col(t, "id")),
        ]
        total = ast.Func("sum", (what,))
        rows = ast.Select(((total, "total"),), ast.Table(table, "r"), where=ast.all_of([*own, *where]))
        return ast.Func("coalesce", (ast.Subquery(rows), zero(currency)))

    return build


def _money(build: Callable[[str, ast.Expr], ast.Expr], doc: str) -> Any:
    return derived(
        lambda who, t, currency: (build(t, currency), currency), None, doc, needs=("id", "customer_id", "currency")
    )


def _unallocated() -> Any:
    left = aggregates.is_one_of(ast.Col("r", "purpose"), "UNEARNED", "CREDIT")
    doc = "What is left of it: neither allocated nor refunded, nor held by a refund that is under way."
    return _money(_of_payment(ast.Col("r", "free"), "open_items", left), doc)


def _refunded() -> Any:
    done = aggregates.is_one_of(ast.Col("r", "status"), "SUCCEEDED")
    return _money(_of_payment(ast.Col("r", "amount"), "refunds", done), "What of it went back by its refunds.")


@node(models.Payment, order="-createdAt")
class Payment:
    """A payment that was received or is expected; without an order it is a prepayment."""

    amount = money("amount")
    currency = column()
    method = column(enum=models.PaymentMethod)
    status = column(enum=models.PaymentStatus)
    installments = column()
    received_at = column(sort=True)
    reference = column()
    provider = column()
    provider_reference = column()
    unallocated = _unallocated()
    refunded = _refunded()
    customer = one()
    order = one(
        "The order that it was recorded for.",
        deprecated="A payment may settle several orders: `orders` has the one that it was recorded for, and all that it settles.",
    )
    orders = through(
        "Order",
        Through("order_payments", "payment_id", "order_id", "Allocation"),
        "The order that the payment is for, and others of which it settles something.",
        order="-orderedAt",
    )
    invoice = one()
    suspense = one("What it was before anybody knew whose it is.")
    paid_from = one("The payment of another customer, such as the parent company, that passed this on.")
    passed_on = many("Payment", "paid_from", "What it passed on to other customers, such as subsidiaries.", order="-id")
    allocations = many("Allocation", "payment", few=True)
    refunds = many("Refund", "payment", few=True)
    disputes = many("Dispute", "payment", few=True)
    commissions = many("Commission", "payment", order="-earnedAt", few=True)
    provider_events = many("ProviderEvent", "payment", "What its provider says of it.")
    ledger_entries = through(
        "LedgerEntry",
        Through("payment_entries", "payment_id", "entry_id", "Allocation"),
        "What was posted for it, and what moved what is left of it.",
    )


def _is_undone(table: str) -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        same = [
            ast.eq(ast.Col("undoing", "customer_id"), ast.Col(t, "customer_id")),
            ast.eq(ast.Col("undoing", "undoes_id"), ast.Col(t, "id")),
        ]
        return (ast.Exists(ast.Select((), ast.Table(table, "undoing"), where=ast.all_of(same))),)

    return derived(build, codecs.BOOLEAN, "Whether another one undoes it.", needs=("id", "customer_id"))


@node(models.Allocation)
class Allocation:
    """A part of a payment, or of the credit of a credit note, that settles a part of an order, an invoice or a lost dispute. Undoing
    one makes another with the same figures, which `undoes` it: what is settled is the sum of those that neither are undone nor undo another.
    """

    amount = money("amount", "What it settles, in the currency of what was owed.")
    currency = column()
    paid = money("paid_amount", "What the payment gives for it, in the payment's currency.", currency="paid_currency")
    allocated_on = column(doc="The day on which it counts in the books.")
    undone = _is_undone("allocations")
    customer = one()
    order = one()
    invoice = one()
    dispute = one("The lost dispute of which it settles what the customer owed.")
    payment = one()
    credit_note = one()
    undoes = one("The allocation that this one undoes.")


@node(models.SuspenseReceipt, order="-receivedAt")
class SuspenseReceipt:
    """Money that came in and of which nobody knows whose it is, until it becomes a customer's payment or goes back."""

    amount = money("amount")
    currency = column()
    method = column(enum=models.PaymentMethod)
    status = column(enum=models.SuspenseStatus)
    status_reason = column(doc="Why it went back.")
    received_at = column(sort=True)
    ended_at = column(doc="When it was assigned or returned.")
    payer = column(doc="Who paid, as the bank or provider says.")
    reference = column(doc="What whoever paid said.")
    provider = column()
    provider_reference = column()
    payments = many("Payment", "suspense", "The payment that it became.")


@node(models.WriteOff)
class WriteOff:
    """A part of an order, an invoice or a lost dispute that nobody asks for any more. Undoing one makes another with the same figures, which `undoes` it: what
    is written off is the sum of those that neither are undone nor undo another.
    """

    amount = money("amount")
    currency = column()
    account = column(enum=models.WriteOffAccount)
    reason = column(doc="It goes when the customer is erased.")
    written_off_on = column(doc="The day on which it counts in the books.")
    undone = _is_undone("write_offs")
    customer = one()
    order = one()
    invoice = one()
    dispute = one("The lost dispute of which the customer owed it.")
    allocation = one("The allocation that it completes: undoing that undoes it, too.")
    undoes = one("The write-off that this one undoes.")


@node(models.Refund, order="-createdAt")
class Refund:
    """Money that goes back, of a payment or of a customer's credit. Its id is the key that is sent to the provider with each attempt.

    While it is REQUESTED, or UNKNOWN because nobody knows what became of it, its money is held.
    """

    amount = money("amount")
    currency = column()
    method = column(enum=models.PaymentMethod)
    status = column(enum=models.RefundStatus)
    reason = column(filter=False)
    status_reason = column(filter=False, doc="Why it failed, was cancelled or is unknown.")
    provider = column()
    provider_reference = column()
    requested_at = column()
    ended_at = column(doc="When it succeeded, failed or was cancelled.")
    customer = one()
    payment = one()


@node(models.Dispute, order="-createdAt")
class Dispute:
    """A chargeback: the customer's bank took money of a payment back. Won, it is the payment's again; lost, what the payment settled is
    owed again, and what was refunded before is owed as well: that is `outstanding`.
    """

    amount = money("amount")
    fee = money(doc="What the provider took for it.")
    currency = column()
    status = column(enum=models.DisputeStatus)
    reason = column(filter=False)
    provider = column()
    provider_reference = column()
    opened_at = column()
    ended_at = column(doc="When it was won or lost.")
    outstanding = documents.dispute_outstanding()
    customer = one()
    payment = one()
    allocations = many("Allocation", "dispute", "What settled what the customer owes of it.", few=True)
    write_offs = many("WriteOff", "dispute", few=True)


@node(models.FxRate, order="-effectiveOn")
class FxRate:
    """What one unit of a currency is worth in the base currency of the books, from a day on, until a later day has a rate.

    Of several for the same day the newest counts: the one with the largest id.
    """

    currency = column()
    base_currency = column()
    effective_on = column(sort=True)
    rate = column()
    source = column(doc="Who says so, such as MANUAL, ECB, or the source of an import.")


@node(models.AccountingPeriod, order="-firstOn")
class AccountingPeriod:
    """Days of the books that are open, soft closed (adjusting entries only) or closed. Days without a period are open."""

    first_on = column(sort=True)
    last_on = column()
    status = column(enum=models.PeriodStatus)
    closed_at = column(doc="When it was closed or soft closed.")


@node(models.Invoice, order="-createdAt")
class Invoice:
    """An invoice of an order or a part of it, or one without an order. It is a draft until it is issued, and then never changes.

    Whether it is paid is no status: `outstanding` says so.
    """

    number = column()
    status = column(enum=models.InvoiceStatus)
    currency = column()
    subtotal = money()
    shipping = money()
    tax = money()
    discount = money()
    total = money()
    issued_on = column(sort=True)
    due_on = column(sort=True, doc="The day on which the last part is due.")
    payment_terms = column()
    issuer_name = column(doc="As it was when the invoice was issued, like the other particulars.")
    issuer_address = column()
    issuer_tax_id = column()
    recipient_name = column()
    recipient_address = column()
    recipient_tax_id = column()
    note = column(filter=False)
    overdue_on = column(sort=True, doc="The first day on which something of it was overdue, whatever was paid since.")
    dunning_level = column(doc="That of the last reminder.")
    dunned_on = column(sort=True, doc="The day of the last reminder.")
    dunning_stop_reason = column(filter=False, doc="Why nobody is reminded of it. Null: nobody stopped it.")
    outstanding = documents.invoice_outstanding()
    paid = documents.invoice_paid()
    paid_before = documents.invoice_paid_before()
    overdue = documents.invoice_overdue()
    credited = documents.invoice_credited()
    customer = one()
    order = one()
    lines = many("InvoiceLine", "invoice", order="position", few=True)
    instalments = many("Instalment", "invoice", order="position", few=True)
    credit_notes = many("CreditNote", "invoice", few=True)
    allocations = many("Allocation", "invoice", few=True)
    write_offs = many("WriteOff", "invoice", few=True)
    payments = many("Payment", "invoice", "Payments that were for this invoice.", order="-receivedAt", few=True)
    ledger_entries = through(
        "LedgerEntry",
        Through("invoice_entries", "invoice_id", "entry_id", "Allocation"),
        "What was posted for it, and what moved what is owed or credited of it.",
    )
    reminders = many("Reminder", "invoice", few=True)
    emails = many("EmailMessage", "invoice", "E-mails that it went out with, reminders included.")


@node(models.InvoiceLine)
class InvoiceLine:
    """A line of an invoice: an order's line, a part of one, or the order as a whole. `net` is without tax, with shipping, and with
    its part of the invoice's discount taken off."""

    position = column()
    description = column()
    quantity = column()
    currency = column()
    unit_price = money()
    discount = money()
    shipping = money()
    amount = money("line_amount")
    net = money()
    customer = one()
    invoice = one()
    product = one()


@node(models.Instalment, order="-dueOn")
class Instalment:
    """A part of an invoice that is due on a day."""

    position = column()
    due_on = column(sort=True)
    currency = column()
    amount = money("amount")
    paid_before = money(doc="What of it was paid before the invoice was issued.")
    outstanding = documents.instalment_outstanding()
    customer = one()
    invoice = one()


@node(models.Reminder)
class Reminder:
    """A reminder of what was overdue of an invoice."""

    level = column()
    due_on = column(doc="When the oldest part of it was due. For another oldest part the levels begin anew.")
    reminded_on = column(sort=True)
    currency = column()
    amount = money("amount", "What was overdue on its day.")
    customer = one()
    invoice = one()
    email = one()


@node(models.DunningLevel, order="level")
class DunningLevel:
    """A reminder that overdue invoices get, so many days after what is overdue was due. Levels are climbed one a day at most.

    The texts are templates: {{ invoice.number }}, {{ invoice.amount }}, {{ invoice.due }}, {{ invoice.days }}, {{ customer.name }},
    {{ company.name }}, {% if … %}.
    """

    level = column(sort=True)
    after_days = column()
    subject = column()
    body = column(filter=False)
    subject_zh = column(filter=False, doc="For those who read Chinese; without it, the English one.")
    body_zh = column(filter=False)
    active = column()


@node(models.CreditNote)
class CreditNote:
    """What is taken back of an invoice. What was still owed is owed no more; of what was paid the customer has a credit."""

    number = column()
    reason = column()
    currency = column()
    net = money()
    tax = money()
    total = money()
    issued_on = column(sort=True)
    issuer_name = column(doc="As it was when the credit note was issued, like the other particulars.")
    issuer_address = column()
    issuer_tax_id = column()
    recipient_name = column()
    recipient_address = column()
    recipient_tax_id = column()
    credit_left = documents.credit_left()
    customer = one()
    invoice = one()
    lines = many("CreditNoteLine", "credit_note", order="position", few=True)
    allocations = many("Allocation", "credit_note", few=True)


@node(models.CreditNoteLine)
class CreditNoteLine:
    """What is taken back of an invoice's line, or of the invoice as a whole, without tax."""

    position = column()
    description = column()
    quantity = column()
    currency = column()
    net = money()
    customer = one()
    credit_note = one()
    invoice_line = one()


LedgerPhase: Any = StrEnum("LedgerPhase", [(each.name, each.value) for each in models.Phase])  # type: ignore[misc]
AccountPurpose: Any = StrEnum("AccountPurpose", [(each.name, each.value) for each in models.Purpose])  # type: ignore[misc]


@node(models.AccountCode, order="code")
class AccountCode:
    """What the accountant's system calls an account of the books."""

    purpose = column(enum=AccountPurpose)
    code = column(sort=True)
    name = column()
    name_zh = column(doc="Its Chinese name.")


@node(models.LedgerEntry, plural="ledgerEntries", order="-id")
class LedgerEntry:
    """What one event posted to the books: amounts that moved from accounts to others, of one customer or of the company itself."""

    kind = column(doc="The event, such as order.confirmed.")
    phase = column(enum=LedgerPhase, doc="PENDING ones hold money; POSTED or VOIDED ones that `resolvesId` end them.")
    key = column(doc="Unique for its owner: what is posted once.")
    source_type = column()
    source = any_one("source_type", "source_id", "What it is about; null if you may not see it.")
    source_id = postings.source_id()
    effective_on = column(doc="The company's day that it counts on.")
    recorded_at = column()
    adjusting = column("is_adjusting", doc="Whether it was posted to a soft closed day.")
    base_currency = column()
    reverses_id = postings.other("reverses_id", "The entry whose reverse it is.")
    resolves_id = postings.other("resolves_id", "The pending entry that it ends.")
    customer = one("Null for what is no customer's.")
    actor = one()
    postings = postings.postings()
