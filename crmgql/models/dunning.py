"""Levels of dunning, and the reminders that overdue invoices were sent."""

from __future__ import annotations

from typing import Any

from tortoise import fields

from crmgql.models.base import AmountField, CompositeKey, Editable, Record, amounts, check, index, origin_unique, unique


class DunningLevel(Editable):
    """What an overdue invoice is sent so many days after it was due. Levels are climbed one after the other.

    Without a Chinese text who reads Chinese gets the English one.
    """

    level = fields.IntField()
    after_days = fields.IntField()
    subject = fields.CharField(max_length=200)
    body = fields.TextField()
    subject_zh: Any = fields.CharField(max_length=200, null=True)
    body_zh: Any = fields.TextField(null=True)
    active = fields.BooleanField(db_default=True)

    class Meta:
        table = "dunning_levels"
        constraints = [
            origin_unique("dunning_levels"),
            unique("dunning_levels_level", "level"),
            check("dunning_levels_level_range", "level BETWEEN 1 AND 999"),
            check("dunning_levels_after_days", "after_days BETWEEN 1 AND 3650"),
            check("dunning_levels_body_length", "length(body) <= 20000 AND length(body_zh) <= 20000"),
            check("dunning_levels_zh", "(subject_zh IS NULL) = (body_zh IS NULL)"),
        ]
        indexes = [index("dunning_levels_created", "created_at", "id")]


class Reminder(Record):
    """A reminder of what was overdue of an invoice on a day. `due_on`: when the oldest part of that was due; for another oldest part the
    levels begin anew. It never changes."""

    customer: Any = fields.ForeignKeyField("crm.Customer", related_name="reminders", on_delete=fields.RESTRICT)
    invoice: Any = fields.ForeignKeyField("crm.Invoice", related_name="reminders", on_delete=fields.RESTRICT)
    email: Any = fields.ForeignKeyField("crm.EmailMessage", related_name=False, on_delete=fields.RESTRICT)
    level = fields.IntField()
    due_on = fields.DateField()
    reminded_on = fields.DateField()
    currency = fields.CharField(max_length=3)
    amount = AmountField()

    class Meta:
        table = "reminders"
        constraints = [
            unique("reminders_once", "customer_id", "invoice_id", "due_on", "level"),
            unique("reminders_one_a_day", "customer_id", "invoice_id", "reminded_on"),
            check("reminders_amount_positive", "amount > 0"),
            check("reminders_overdue", "due_on < reminded_on"),
            *amounts("reminders", "amount"),
        ]
        composite_keys = (
            CompositeKey("reminders_invoice", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id")),
        )
        indexes = [
            index("reminders_by_invoice", "customer_id", "invoice_id", "id"),
            index("reminders_email", "email_id", "id"),
            index("reminders_created", "created_at", "id"),
        ]
