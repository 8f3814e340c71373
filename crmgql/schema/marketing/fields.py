"""The results of leads, per channel, campaign or source."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.marketing import campaign_results
from crmgql.engine import scalars
from crmgql.engine.computed import Ask, computed
from crmgql.engine.strawberries import REQUIRED, Argument, Field, enum_type, lazy, list_of, object_type, optional
from crmgql.planner import codecs

GROUPING = enum_type(
    "CampaignResultsBy", [campaign_results.CHANNEL, campaign_results.CAMPAIGN, campaign_results.SOURCE]
)

object_type(
    "CampaignResultsStatus",
    [Field("status", lazy("LeadStatus")), Field("leads", int)],
    "How many leads have a status now.",
)
object_type(
    "CampaignResultsStage",
    [
        Field("stageId", strawberry.ID),
        Field("pipeline", str, "The pipeline's name."),
        Field("stage", str, "The stage's name."),
        Field("status", lazy("OpportunityStatus")),
        Field("opportunities", int),
    ],
    "How many of the opportunities that leads were converted to are in a stage now.",
)
object_type(
    "CampaignResults",
    [
        Field("channel", optional(lazy("CampaignChannel")), "By channel or campaign; null: leads of no campaign."),
        Field("campaignId", optional(strawberry.ID), "By campaign only."),
        Field("campaignName", optional(str)),
        Field("leadSource", optional(str), "By source only; null: leads without a source."),
        Field("leads", int, "All except those that were merged into others."),
        Field("statuses", list_of(lazy("CampaignResultsStatus"))),
        Field("qualified", int, "Those that were ever qualified or converted."),
        Field("converted", int),
        Field("conversionRate", optional(scalars.DecimalText), "Per cent of the leads that were converted."),
        Field("stages", list_of(lazy("CampaignResultsStage"))),
        Field("won", int, "Won opportunities."),
        Field("wonRevenue", list_of(lazy("Money")), "Their amounts, an entry per currency."),
        Field(
            "spend",
            optional(list_of(lazy("Money"))),
            "An entry per currency; null by source, and where only a part of a campaign's days is in the period.",
        ),
        Field("costPerLead", optional(lazy("Money")), "Spend / leads, if all was spent in one currency."),
        Field("returnOnSpend", optional(scalars.DecimalText), "(Won revenue − spend) / spend, in that currency."),
    ],
    "The results of the leads of a channel, a campaign or a source.",
)


@computed(
    "campaignResults",
    list_of(lazy("CampaignResults")),
    arguments=(
        Argument("by", GROUPING, REQUIRED),
        Argument(
            "since", scalars.DateText, None, "The first day on which leads were received, in the company's time zone."
        ),
        Argument("until", scalars.DateText, None, "The last day."),
    ),
    calls=campaign_results.results,
)
async def results(ask: Ask, **values: Any) -> Any:
    """The results of leads, most leads first, at most 1000 groups. For ADMIN, FINANCE, MARKETER and MANAGER; a manager's
    figures count only the leads and opportunities they may see, so they are not compared with the spend."""
    rows = await campaign_results.results(ask.database, ask.viewer, **values)
    return [_encoded(row) for row in rows]


def _encoded(row: dict[str, Any]) -> dict[str, Any]:
    """Ids as the API writes them."""
    stages = [{**stage, "stageId": codecs.encode_id("stg", stage["stageId"])} for stage in row["stages"]]
    campaign = row.get("campaignId")
    return {**row, "stages": stages, "campaignId": campaign and codecs.encode_id("cam", campaign)}
