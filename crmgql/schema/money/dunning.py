"""Mutations that send invoices, credit notes and statements of account, and of reminders."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import dunning, mailing
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import CurrencyCode, DateText, EmailAddress

TEMPLATES = (
    "The texts are templates: {{ invoice.number }}, {{ invoice.amount }}, {{ invoice.due }}, {{ invoice.days }}, {{ customer.name }}, "
    "{{ company.name }}, {% if … %}."
)


@input
class InvoiceSendInput:
    """`to`: left out, the customer's address, else that of its primary contact."""

    id: strawberry.ID
    to: EmailAddress | None = UNSET


@input
class CreditNoteSendInput:
    """`to`: left out, the customer's address, else that of its primary contact."""

    id: strawberry.ID
    to: EmailAddress | None = UNSET


@input
class CustomerStatementSendInput:
    """The first day and the last, which is today if it is left out. `currency`: left out, the customer's own. `to`: left out, the
    customer's address, else that of its primary contact."""

    id: strawberry.ID
    since: DateText
    until: DateText | None = UNSET
    currency: CurrencyCode | None = UNSET
    to: EmailAddress | None = UNSET


@input
class DunningStopInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


mutations.table(
    "Invoice",
    Row(
        "invoiceSend",
        "E-mails an issued invoice as a PDF, in the customer's language. Each call sends it again.",
        mailing.send,
        input=InvoiceSendInput,
    ),
    Row(
        "invoiceStopDunning",
        "Stops reminders of an invoice, as while the customer disputes it.",
        dunning.stop_invoice,
        input=DunningStopInput,
    ),
    Row("invoiceResumeDunning", "Lets reminders of an invoice be sent again.", dunning.resume_invoice),
)

mutations.table(
    "CreditNote",
    Row(
        "creditNoteSend",
        "E-mails a credit note as a PDF, in the customer's language. Each call sends it again.",
        mailing.send_credit_note,
        input=CreditNoteSendInput,
    ),
)

mutations.table(
    "Customer",
    Row(
        "customerStatementSend",
        "E-mails a customer's statement of account as a PDF, in the customer's language. Each call sends it again.",
        mailing.send_statement,
        input=CustomerStatementSendInput,
        asks=("payment.write",),
    ),
    Row(
        "customerStopDunning",
        "Stops reminders of all of a customer's invoices.",
        dunning.stop_customer,
        input=DunningStopInput,
        asks=("payment.write",),
    ),
    Row(
        "customerResumeDunning",
        "Lets reminders of a customer's invoices be sent again.",
        dunning.resume_customer,
        asks=("payment.write",),
    ),
)

mutations.table(
    "DunningLevel",
    Row(
        "dunningLevelCreate",
        "Makes a level of reminders. Higher levels come later; without any level nobody is reminded.",
        dunning.create_level,
        input=inputs.create(dunning.FACTS, optional="active", doc=TEMPLATES),
    ),
    Row(
        "dunningLevelUpdate",
        "Changes what the input names; an inactive level sends nothing.",
        dunning.update_level,
        input=inputs.update(dunning.FACTS, doc=TEMPLATES),
    ),
)
