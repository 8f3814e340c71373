"""What people are paid besides commissions: their salaries, and entries that hang on no deal (docs/commissions.md, "Payroll").

A salary never changes: another one follows it, and of the one before only its last day is set, or that it was taken back.
An entry never changes either: it is reversed, once, by another one of the same amount with the other sign.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    WITHOUT_OVERLAPS,
    AmountField,
    CompositeKey,
    DayRangeField,
    Editable,
    Record,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    unique,
)


class SalaryPeriod(StrEnum):
    """What a salary's amount is for."""

    MONTH = "MONTH"
    YEAR = "YEAR"


class PayEntryKind(StrEnum):
    """What an entry is for. DRAW: paid ahead of commissions. RECOVERY: taken back of draws. GUARANTEE: what lacks to what was promised."""

    SALARY = "SALARY"
    BONUS = "BONUS"
    DRAW = "DRAW"
    RECOVERY = "RECOVERY"
    GUARANTEE = "GUARANTEE"
    MANUAL = "MANUAL"


SIGNED = "amount <> 0 AND (kind = 'MANUAL' OR (amount < 0) = ((kind = 'RECOVERY') = (reverses_id IS NULL)))"


class Salary(Editable):
    """What somebody is paid for a month or a year from a day on, whatever they sell."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="salaries", on_delete=fields.RESTRICT)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    period = fields.CharField(max_length=10)
    starts_on = fields.DateField()
    ends_on: Any = fields.DateField(null=True)
    days = DayRangeField(null=True)
    reason: Any = fields.TextField(null=True)
    cancelled_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "salaries"
        stored = {"days": "CASE WHEN cancelled_at IS NULL THEN daterange(starts_on, ends_on, '[]') END"}
        constraints = [
            origin_unique("salaries"),
            unique("salaries_apart", "user_id", f"days{WITHOUT_OVERLAPS}"),
            check("salaries_days", "starts_on <= ends_on"),
            check("salaries_period", one_of("period", SalaryPeriod)),
            check("salaries_amount_positive", "amount >= 0"),
            check("salaries_reason_length", "length(reason) BETWEEN 1 AND 1000"),
            *amounts("salaries", "amount"),
        ]
        indexes = [
            index("salaries_user", "user_id", "starts_on", "id"),
            index("salaries_starts", "starts_on", "id"),
            index("salaries_created", "created_at", "id"),
        ]


class PayEntry(Record):
    """What somebody is paid, or is taken from them, on a day, whatever they sell. `reverses`: the entry that it undoes."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="pay_entries", on_delete=fields.RESTRICT)
    kind = fields.CharField(max_length=10)
    amount = AmountField()
    currency = fields.CharField(max_length=3)
    effective_on = fields.DateField()
    reason = fields.TextField()
    reverses: Any = fields.ForeignKeyField(
        "crm.PayEntry", related_name="reversals", null=True, on_delete=fields.RESTRICT
    )
    reversed_amount: Any = AmountField(null=True)
    is_reversal = fields.BooleanField(null=True)
    reverses_reversal = fields.BooleanField(null=True)

    class Meta:
        table = "pay_entries"
        stored = {
            "reversed_amount": "-amount",
            "is_reversal": "reverses_id IS NOT NULL",
            "reverses_reversal": "CASE WHEN reverses_id IS NOT NULL THEN false END",
        }
        constraints = [
            unique("pay_entries_reversed_once", "reverses_id"),
            unique(
                "pay_entries_as_reversed", "id", "user_id", "kind", "currency", "effective_on", "amount", "is_reversal"
            ),
            check("pay_entries_kind", one_of("kind", PayEntryKind)),
            check("pay_entries_signed", SIGNED),
            check("pay_entries_reason_length", "length(reason) BETWEEN 1 AND 1000"),
            *amounts("pay_entries", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "pay_entries_reversal",
                ("reverses_id", "user_id", "kind", "currency", "effective_on", "reversed_amount", "reverses_reversal"),
                "pay_entries",
                ("id", "user_id", "kind", "currency", "effective_on", "amount", "is_reversal"),
            ),
        )
        indexes = [
            index("pay_entries_user", "user_id", "effective_on", "id"),
            index("pay_entries_effective", "effective_on", "id"),
            index("pay_entries_created", "created_at", "id"),
        ]
