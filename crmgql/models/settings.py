"""What holds for the whole company: the days on which it works."""

from __future__ import annotations

from typing import Any

from tortoise import fields

from crmgql.models.base import Editable, index, origin_unique, unique


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
