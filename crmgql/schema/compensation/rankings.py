"""Who earned and attained how much."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.compensation import rankings
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import DateText, DecimalText
from crmgql.engine.strawberries import Argument, Field, enum_type, lazy, list_of, object_type, optional

GROUPING = enum_type("CommissionGrouping", rankings.GROUPINGS)
MONEY = lazy("Money")
DAYS = (
    Argument("since", DateText, doc="The first day, of the company; by default that of the month."),
    Argument("until", DateText, doc="The last day; by default that of the first day's month."),
    Argument("first", int, doc="1 to 1000; by default 100."),
)

object_type(
    "CommissionRank",
    [
        Field("rank", int, "By what is attained, among those of the currency; who attained the same shares it."),
        Field("name", optional(str), "The person's, the team's, or the region; null: those without one."),
        Field("userId", optional(strawberry.ID)),
        Field("teamId", optional(strawberry.ID)),
        Field("region", optional(str)),
        Field(
            "people", int, "How many are counted: those whom a plan pays in these days and whose commissions you see."
        ),
        Field("earned", MONEY, "What plans paid for these days, less what they took back."),
        Field("attained", MONEY, "By the measure and basis of each person's plan."),
        Field("quota", optional(MONEY), "For these days; null: nobody has one."),
        Field("target", optional(MONEY), "What of the quota falls on the days up to today."),
        Field("attainment", optional(DecimalText), "What those who have a quota attained of it: 1 is all."),
        Field("ofTarget", optional(DecimalText), "What they attained of the target."),
    ],
    "A person, team or region in one currency, that of the plans. What managers attain as such counts with their team's people.",
)


@computed(
    "commissionLeaderboard",
    list_of(lazy("CommissionRank")),
    arguments=(
        Argument("by", GROUPING, doc="Of what there is a row each; people, unless something else is named."),
        *DAYS,
    ),
    calls=rankings.leaderboard,
)
async def commission_leaderboard(ask: Ask, **values: Any) -> Any:
    """Who attained and earned how much in a period, of the people whose commissions you see: the most first, each currency by itself."""
    return await rankings.leaderboard(ask.database, ask.viewer, **values)


@computed(
    "teamsBelow",
    list_of(lazy("CommissionRank")),
    arguments=(Argument("percent", int, doc="Of what their quotas come to up to today; by default 60."), *DAYS),
    calls=rankings.teams_below,
)
async def teams_below(ask: Ask, **values: Any) -> Any:
    """The teams that attained less than so much of their target, of the people whose commissions you see."""
    return await rankings.teams_below(ask.database, ask.viewer, **values)
