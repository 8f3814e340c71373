"""Revenue by month, customer, product, seller and so on."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.money import revenue_reports
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import CurrencyCode, DateText
from crmgql.engine.strawberries import Argument, Field, enum_type, lazy, list_of, object_type, optional

GROUPING = enum_type("RevenueGrouping", revenue_reports.DIMENSIONS)
CONVERSION = enum_type("RevenueConversion", [revenue_reports.BASE])
MONEY = lazy("Money")

object_type(
    "RevenueGroup",
    [
        Field("month", optional(str), "Such as 2026-01."),
        Field("quarter", optional(str), "Of the calendar year, such as 2026-Q1."),
        Field("customerId", optional(strawberry.ID)),
        Field("customer", optional(str), "The customer's name."),
        Field("region", optional(str), "The customer's region."),
        Field("state", optional(str), "The customer's state."),
        Field("productId", optional(strawberry.ID)),
        Field("product", optional(str), "The product's name; null: what is of no product."),
        Field("category", optional(str), "The product's category."),
        Field("sellerId", optional(strawberry.ID)),
        Field("seller", optional(str), "The name of the line's seller, or else the order's."),
        Field("departmentId", optional(strawberry.ID)),
        Field("department", optional(str), "The name of the seller's team."),
        Field(
            "channel",
            optional(str),
            "The campaign's channel, or else the source, of the lead that became the order's opportunity, or else the customer.",
        ),
        Field("currency", CurrencyCode),
        Field("booked", MONEY, "Sold: the nets of committed orders, without tax and shipping, less credit notes."),
        Field("recognised", MONEY, "What of it is earned."),
        Field(
            "credited",
            MONEY,
            "What credit notes took back, without tax: of what is earned, and of what was to be earned later.",
        ),
        Field("received", optional(MONEY), "Money that came in, gross. Of orders: what settled them."),
        Field("refunded", optional(MONEY), "Money that was paid back."),
        Field("cost", optional(MONEY), "The cost of what is earned, as far as it is known."),
        Field("margin", optional(MONEY), "Recognised − cost."),
    ],
    "A group's figures in one currency. Where a group is by none of a kind, its fields of that kind are null.",
)
object_type(
    "Revenue",
    [
        Field("convertedTo", optional(CurrencyCode), "The currency that all amounts were converted to."),
        Field("conversion", optional(str), "At which rates, in words."),
        Field("groups", list_of(lazy("RevenueGroup")), "By time, then by currency, then the largest first."),
        Field("hasMore", bool, "Whether there are more groups than were asked for."),
    ],
    "What was sold, earned and received, from the books.",
)


@computed(
    "revenue",
    lazy("Revenue"),
    arguments=(
        Argument("groupBy", list_of(GROUPING), doc="Without it: one group for each currency."),
        Argument("since", DateText, doc="The first day, in the company's time zone."),
        Argument("until", DateText, doc="The last day."),
        Argument("currency", CurrencyCode, doc="Only what was sold and paid in it."),
        Argument("convertTo", CONVERSION, doc="BASE: in the base currency of the books, as posted."),
        Argument("first", int, doc="1 to 1000 groups; without it, more than 1000 are refused."),
    ),
    calls=revenue_reports.revenue,
)
async def revenue(ask: Ask, **values: Any) -> Any:
    """What was sold, earned and received in a period, of the customers that you may see."""
    return await revenue_reports.revenue(ask.database, ask.viewer, **values)
