"""What people are paid besides commissions: their salaries (docs/commissions.md, "Payroll").

A salary never changes: another one follows it, and of the one before only its last day is set, or that it was taken back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    WITHOUT_OVERLAPS,
    AmountField,
    DayRangeField,
    Editable,
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
