"""Many campaigns at once."""

from __future__ import annotations

from crmgql.models import Campaign
from crmgql.records.bulk import Writer

campaigns = Writer(
    Campaign,
    "campaign.created",
    "campaign.updated",
    by_status={"ACTIVE": "campaign.started", "ENDED": "campaign.ended"},
)
