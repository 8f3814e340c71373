"""What months may bring."""

from __future__ import annotations

from typing import Any

from crmgql.domain.money import forecasts
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import CurrencyCode, DateText
from crmgql.engine.strawberries import Argument, Field, lazy, list_of, object_type, optional

MONEY = lazy("Money")

object_type(
    "ForecastMonth",
    [
        Field("month", optional(str), "Such as 2026-01; null: open opportunities without an expected close."),
        Field("currency", CurrencyCode),
        Field("booked", MONEY, "What is sold already, as `revenue` has it."),
        Field("opportunities", int, "Open ones that are expected to close in the month."),
        Field("amount", MONEY, "Their amounts."),
        Field(
            "weighted",
            MONEY,
            "Their amounts by their probability, or else that of their stage; without either they count as 0.",
        ),
        Field("expected", MONEY, "Booked + weighted."),
    ],
    "What a month may bring in one currency.",
)


@computed(
    "forecast",
    list_of(lazy("ForecastMonth")),
    arguments=(
        Argument("since", DateText, doc="The first day, in the company's time zone; by default that of this month."),
        Argument("until", DateText, doc="The last day; by default that of the eleventh month after."),
        Argument("currency", CurrencyCode, doc="Only what is in it."),
    ),
    calls=forecasts.forecast,
)
async def forecast(ask: Ask, **values: Any) -> Any:
    """What is booked, and the open opportunities by how likely they are, month by month, of what you may see."""
    return await forecasts.forecast(ask.database, ask.viewer, **values)
