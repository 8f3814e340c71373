"""The funnel of a pipeline."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.opportunities import funnels
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import DateText, DateTimeText, DecimalText
from crmgql.engine.strawberries import Argument, Field, lazy, list_of, object_type, optional

object_type(
    "FunnelStage",
    [
        Field("name", str),
        Field("position", int),
        Field("status", lazy("OpportunityStatus")),
        Field("entered", int, "Opportunities that entered it in the period."),
        Field("current", int, "Opportunities that are in it now."),
        Field("movedOn", int, "Of those that entered: how many went on to a later stage, or were won."),
        Field("won", int, "Of those that entered: how many were won out of it."),
        Field("lost", int, "Of those that entered: how many were lost out of it."),
        Field("conversion", optional(DecimalText), "movedOn per cent of entered; null where nothing entered."),
        Field("conversionGoal", optional(int), "Per cent."),
        Field("goalMet", optional(bool), "Whether the conversion reaches the goal; null without a goal."),
        Field("averageHours", optional(DecimalText), "Average time in it, of those that left it."),
        Field("medianHours", optional(DecimalText), "Median time in it, of those that left it."),
    ],
    "A stage of a funnel.",
)
object_type(
    "Funnel",
    [
        Field("pipeline", str, "Its name."),
        Field("stages", list_of(lazy("FunnelStage"))),
        Field("won", int, "Opportunities won in the period that are still won."),
        Field("lost", int, "Opportunities lost in the period that are still lost."),
        Field("wonAmounts", list_of(lazy("Money")), "One sum per currency."),
        Field("lostAmounts", list_of(lazy("Money"))),
    ],
    "How opportunities went from stage to stage.",
)


@computed(
    "funnel",
    lazy("Funnel"),
    arguments=(
        Argument("pipelineId", strawberry.ID, doc="By default the default pipeline."),
        Argument("since", DateTimeText, doc="What entered at this time or later."),
        Argument("until", DateTimeText, doc="What entered before this time."),
        Argument("firstDay", DateText, doc="Instead of since: what entered on this day of the company or later."),
        Argument("lastDay", DateText, doc="Instead of until: what entered on this day of the company or before."),
        Argument("ownerId", strawberry.ID, doc="Only this user's opportunities."),
    ),
    calls=funnels.funnel,
)
async def funnel(ask: Ask, **values: Any) -> Any:
    """How the opportunities that you may see went from stage to stage in a period."""
    return await funnels.funnel(ask.database, ask.viewer, **values)
