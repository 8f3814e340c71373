"""Many campaigns at once."""

from __future__ import annotations

from crmgql.domain.marketing.campaigns import MOVES
from crmgql.models import Campaign
from crmgql.records.bulk import Writer

campaigns = Writer(Campaign, "campaign.created", "campaign.updated", by_status=MOVES.events)
