"""What holds for the whole company: its day, its currency, the days on which it works."""

from __future__ import annotations

from typing import Any

from tortoise import fields

from crmgql.models.base import Editable, NumberField, TextArrayField, check, index, origin_unique, unique

COMMITTED = "'{CONFIRMED,PROCESSING,INVOICED,SHIPPED,DELIVERED,UNAVAILABLE}'::text[]"
LAST_DAY = (
    "CASE WHEN fiscal_year_start_month = 2 THEN 28 WHEN fiscal_year_start_month IN (4, 6, 9, 11) THEN 30 ELSE 31 END"
)
"""Of the month in every year: a fiscal year never starts on 29 February."""


class Company(Editable):
    """The company. `timezone` says when its days begin, `first_day_of_week` is an ISO weekday, Monday is 1.

    `revenue_statuses`: the statuses in which reports count an order. `write_off_tolerances`: by currency the amount, as text, up to
    which what is left open of an order is written off by itself. `low_margin_percent`: of an order that brings less, somebody is
    told. `payout_days`: so long after its day a payout is not late.
    """

    name = fields.CharField(max_length=200)
    timezone = fields.CharField(max_length=60, db_default="UTC")
    first_day_of_week = fields.IntField(db_default=1)
    fiscal_year_start_month = fields.IntField(db_default=1)
    fiscal_year_start_day = fields.IntField(db_default=1)
    default_currency = fields.CharField(max_length=3, db_default="USD")
    locale = fields.CharField(max_length=35, db_default="en-US")
    write_off_tolerances: Any = fields.JSONField(db_default={})
    address: Any = fields.CharField(max_length=1000, null=True)
    tax_id: Any = fields.CharField(max_length=50, null=True)
    payment_terms = fields.CharField(max_length=200, db_default="NET 30")
    revenue_statuses = TextArrayField(db_default=["CONFIRMED", "PROCESSING", "INVOICED", "SHIPPED", "DELIVERED"])

    low_margin_percent: Any = NumberField(null=True)
    payout_days = fields.IntField(db_default=3)

    class Meta:
        table = "companies"
        constraints = [
            origin_unique("companies"),
            unique("companies_only_one", "(true)"),
            check("companies_first_day_of_week", "first_day_of_week BETWEEN 1 AND 7"),
            check("companies_fiscal_year_start_month", "fiscal_year_start_month BETWEEN 1 AND 12"),
            check("companies_fiscal_year_start_day", f"fiscal_year_start_day BETWEEN 1 AND {LAST_DAY}"),
            check(
                "companies_revenue_statuses", f"revenue_statuses <@ {COMMITTED} AND cardinality(revenue_statuses) > 0"
            ),
            check("companies_low_margin", "low_margin_percent BETWEEN 0 AND 100 AND scale(low_margin_percent) <= 2"),
            check("companies_payout_days", "payout_days BETWEEN 0 AND 90"),
            check("companies_default_currency_known", "currency_scale(default_currency) IS NOT NULL"),
        ]
        indexes = [index("companies_created", "created_at", "id")]


class BusinessCalendar(Editable):
    """Days that count. `working_days` are ISO weekdays, Monday is 1; `holidays` are dates such as 2026-12-25."""

    name = fields.CharField(max_length=100)
    timezone = fields.CharField(max_length=60, db_default="UTC")
    working_days: Any = fields.JSONField(db_default={"days": [1, 2, 3, 4, 5]})
    holidays: Any = fields.JSONField(db_default={"dates": []})

    class Meta:
        table = "business_calendars"
        constraints = [origin_unique("business_calendars"), unique("business_calendars_name", "name")]
        indexes = [index("business_calendars_created", "created_at", "id")]
