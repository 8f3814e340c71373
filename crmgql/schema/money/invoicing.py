"""Mutations of invoices, credit notes, terms and customers' credit."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import credit_notes, credits, invoices
from crmgql.domain.money.invoicing import Wanted
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input, part
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText, DecimalText


@part(Wanted)
class InvoiceLineInput:
    """A line of the order. Without a quantity it is all that is not invoiced of it."""

    order_line_id: strawberry.ID
    quantity: DecimalText | None = UNSET


@part(credit_notes.Returned)
class CreditNoteLineInput:
    """A line of the invoice: a quantity, an amount without tax, or without either all that is left of it."""

    invoice_line_id: strawberry.ID
    quantity: DecimalText | None = UNSET
    net: MoneyInput | None = UNSET


@input
class InvoiceIssueInput:
    """`issuedOn`: left out, today. `series`: 1 to 10 capital letters and digits; left out, INV."""

    id: strawberry.ID
    issued_on: DateText | None = UNSET
    series: str | None = UNSET
    expected_version: int | None = UNSET


@input
class CustomerSetPaymentTermsInput:
    """Such as `NET 30`, `EOM 10`, or `30% NET 0, 70% NET 60`; without any, the company's hold."""

    id: strawberry.ID
    payment_terms: str | None = UNSET
    expected_version: int | None = UNSET


@input
class CreditApplyInput:
    """`amount`: left out, as much as fits."""

    customer_id: strawberry.ID
    order_id: strawberry.ID | None = UNSET
    invoice_id: strawberry.ID | None = UNSET
    dispute_id: strawberry.ID | None = UNSET
    amount: MoneyInput | None = UNSET


mutations.table(
    "Invoice",
    Row(
        "invoiceCreate",
        "Drafts an invoice of an order: of the lines or the amount that are named, else of all that is not invoiced yet.",
        invoices.create,
        input=inputs.create(
            "order_id payment_terms note",
            also={"lines": list[InvoiceLineInput] | None, "amount": MoneyInput | None},
            required="order_id",
        ),
    ),
    Row(
        "invoiceIssue",
        "Issues a draft: it gets its number and never changes again, and what is owed becomes due by its terms.",
        invoices.issue,
        input=InvoiceIssueInput,
    ),
    Row("invoiceDiscard", "Discards a draft.", invoices.discard),
)

mutations.table(
    "CreditNote",
    Row(
        "creditNoteIssue",
        "Takes back lines of an invoice, an amount with the tax in it, or all that is left. What was paid of it becomes credit.",
        credit_notes.issue,
        input=inputs.create(
            "invoice_id reason",
            also={
                "lines": list[CreditNoteLineInput] | None,
                "amount": MoneyInput | None,
                "issued_on": DateText | None,
                "series": str | None,
            },
        ),
    ),
)

mutations.table(
    "Customer",
    Row(
        "customerSetPaymentTerms",
        "Sets when a customer's invoices are due from now on.",
        invoices.set_terms,
        input=CustomerSetPaymentTermsInput,
        asks=("payment.write",),
    ),
)

mutations.table(
    "Allocation",
    Row(
        "creditApply",
        "Settles an order, an invoice or a lost dispute with the customer's credit, the oldest first. Answers with the first allocation.",
        credits.apply,
        input=CreditApplyInput,
    ),
)
