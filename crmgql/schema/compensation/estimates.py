"""What a deal would bring its seller."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.compensation import estimates
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import CurrencyCode, DateText, DecimalText
from crmgql.engine.strawberries import Argument, Field, lazy, list_of, object_type

MONEY = lazy("Money")

object_type(
    "CommissionEstimate",
    [
        Field("userId", strawberry.ID, "Who would be paid."),
        Field("closeOn", DateText, "The day that is assumed."),
        Field("amount", MONEY, "What the deal would come to."),
        Field("hasPlan", bool, "Whether a plan pays the person on that day; without one the deal brings nothing."),
        Field("brings", MONEY, "What the plan would pay for the deal."),
        Field(
            "lines",
            list_of(lazy("CommissionLine")),
            "Why, as a commission's explanation says it; `order` is the deal's name.",
        ),
        Field(
            "adjusts",
            list_of(MONEY),
            "By how much earlier commissions would change, as by a slab that is reached: one sum per currency.",
        ),
        Field("problems", list_of(str), "What would have to be done first, such as setting a quota."),
    ],
    "What a deal would bring if it were booked, invoiced and paid on one day. Its costs count as 0.",
)


@computed(
    "commissionWhatIf",
    lazy("CommissionEstimate"),
    arguments=(
        Argument(
            "opportunityId",
            strawberry.ID,
            doc="Its owner is paid; amount and day are its own, unless others are named.",
        ),
        Argument("dealAmount", DecimalText, doc="Of the deal, before tax."),
        Argument("currency", CurrencyCode, doc="Of the amount; the opportunity's, if one is named."),
        Argument("closeOn", DateText, doc="By default when the opportunity is expected to close, or else today."),
        Argument("userId", strawberry.ID, doc="Whom a deal without an opportunity would pay; by default you."),
    ),
    calls=estimates.what_if,
)
async def commission_what_if(ask: Ask, **values: Any) -> Any:
    """What closing a deal would bring its seller, line by line, as it stands now. Nothing is changed."""
    return await estimates.what_if(ask.database, ask.viewer, **values)
