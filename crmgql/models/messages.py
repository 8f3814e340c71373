"""Notifications and e-mails."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import CompositeKey, Record, check, index, one_of, partial, unique


class EmailStatus(StrEnum):
    """SKIPPED: not sent for a reason that is in `error`, such as an opted-out lead or no SMTP server."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class Notification(Record):
    """One thing one person should know. With the same `dedupe_key` a person is notified once."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="notifications", on_delete=fields.RESTRICT)
    kind = fields.CharField(max_length=60)
    title = fields.CharField(max_length=200)
    body: Any = fields.CharField(max_length=2000, null=True)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    lead: Any = fields.ForeignKeyField("crm.Lead", related_name=False, null=True, on_delete=fields.RESTRICT)
    opportunity: Any = fields.ForeignKeyField(
        "crm.Opportunity", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    dedupe_key: Any = fields.CharField(max_length=200, null=True)
    occurred_at = fields.DatetimeField()
    read_at: Any = fields.DatetimeField(null=True)
    emailed_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "notifications"
        constraints = [unique("notifications_once", "user_id", "dedupe_key", where="dedupe_key IS NOT NULL")]
        indexes = [
            index("notifications_user", "user_id", "id"),
            index("notifications_customer", "customer_id", "id"),
            index("notifications_lead", "lead_id", "id"),
            index("notifications_opportunity", "opportunity_id", "id"),
            partial("notifications_unread", "read_at IS NULL", "user_id", "id"),
            partial("notifications_to_email", "emailed_at IS NULL AND read_at IS NULL", "occurred_at"),
            index("notifications_created", "created_at", "id"),
        ]


ENCLOSED = (
    "num_nonnulls(invoice_id, credit_note_id, statement_since) <= CASE WHEN customer_id IS NULL THEN 0 ELSE 1 END"
)
STATEMENT = (
    "num_nonnulls(statement_since, statement_until, statement_currency) IN (0, 3) AND statement_since <= statement_until"
    " AND (statement_currency IS NULL OR currency_scale(statement_currency) IS NOT NULL)"
)


class EmailMessage(Record):
    """A message to be sent, or that was. It is written with what wanted it; a job sends it.

    The invoice, the credit note or the statement of account (of its customer, for some days, in a currency) that it is about goes with it
    as a PDF, which is made when it is sent.
    """

    to_address = fields.CharField(max_length=254)
    subject = fields.CharField(max_length=300)
    body = fields.TextField()
    status = fields.CharField(max_length=10, db_default="PENDING")
    error: Any = fields.CharField(max_length=500, null=True)
    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="emails", null=True, on_delete=fields.RESTRICT)
    user: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name="emails", null=True, on_delete=fields.RESTRICT)
    credit_note: Any = fields.ForeignKeyField(
        "crm.CreditNote", related_name="emails", null=True, on_delete=fields.RESTRICT
    )
    statement_since: Any = fields.DateField(null=True)
    statement_until: Any = fields.DateField(null=True)
    statement_currency: Any = fields.CharField(max_length=3, null=True)
    dedupe_key: Any = fields.CharField(max_length=200, null=True)
    sent_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "email_messages"
        constraints = [
            check("email_messages_status", one_of("status", EmailStatus)),
            check("email_messages_sent", "(sent_at IS NOT NULL) = (status = 'SENT')"),
            check("email_messages_body_length", "length(body) <= 100000"),
            check("email_messages_enclosed", ENCLOSED),
            check("email_messages_statement", STATEMENT),
            unique("email_messages_once", "dedupe_key", where="dedupe_key IS NOT NULL"),
        ]
        composite_keys = (
            CompositeKey("email_messages_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
            CompositeKey(
                "email_messages_credit_note", ("customer_id", "credit_note_id"), "credit_notes", ("customer_id", "id")
            ),
        )
        indexes = [
            index("email_messages_lead", "lead_id", "id"),
            index("email_messages_user", "user_id", "id"),
            index("email_messages_customer", "customer_id", "id"),
            index("email_messages_of_invoice", "invoice_id", "id"),
            index("email_messages_of_credit_note", "credit_note_id", "id"),
            index("email_messages_created", "created_at", "id"),
        ]
