"""Campaigns: their budget and spend, and when they run.

Always holds: budget and spend are in the campaign's currency, which therefore changes only together with them. A campaign's
results are computed when they are read, never stored.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.people import users
from crmgql.errors import BadUserInput
from crmgql.models import Campaign
from crmgql.records import money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act

FACTS = "name channel currency budget spend starts_on ends_on owner_id"
AMOUNTS = ("budget", "spend")
CONFLICTS = {
    "campaigns_name": ("name", "Another campaign has this name, in upper or lower case."),
    "campaigns_period": ("endsOn", "A campaign can't end before it starts."),
}
MOVES = Moves(
    Campaign,
    start=Move({"PLANNED"}, "ACTIVE", "campaign.started"),
    end=Move({"PLANNED", "ACTIVE"}, "ENDED", "campaign.ended"),
)


@takes(Campaign, FACTS, ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """Makes a planned campaign: the viewer's own unless an owner is named. Its currency is by default that of its amounts.

    Raises `Conflict` for a name that is taken, `CurrencyMismatch`, `BadUserInput`.
    """
    access.require_write(act.viewer, "Campaign")
    values |= money.columns(values, *AMOUNTS)
    if "owner_id" in values:
        values["owner_id"] = await _owner(act, values["owner_id"])
    elif access.may(act.viewer.who, "campaign.own"):
        values["owner_id"] = act.viewer.user_id
    campaign = await records.create(act, Campaign, values, kind="campaign.created", conflicts=CONFLICTS)
    return campaign["id"]  # type: ignore[no-any-return]


@takes(Campaign, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named, in any status: what was spent is often known only after the end."""
    access.require_write(act.viewer, "Campaign")
    campaign = await records.lock(act, Campaign, id, expected_version=expected_version)
    if "owner_id" in changes and changes["owner_id"] != campaign["owner_id"]:
        await _owner(act, changes["owner_id"])
    changes |= money.columns(changes, *AMOUNTS, before=campaign)
    await records.change(act, Campaign, campaign, changes, kind="campaign.updated", conflicts=CONFLICTS)
    return id


async def start(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Starts it today, or keeps a start day in the past. Raises `IllegalTransition` unless it is planned."""
    campaign, move = await MOVES.lock(act, "start", id, expected_version=expected_version)
    today = act.today
    if campaign["ends_on"] is not None and campaign["ends_on"] < today:
        raise BadUserInput(
            f"The campaign was to end on {campaign['ends_on']}; change endsOn, then start it.", field="endsOn"
        )
    starts_on = min(campaign["starts_on"] or today, today)
    changes = {**move.changes(act.now), "starts_on": starts_on}
    await records.change(act, Campaign, campaign, changes, kind=move.event, conflicts=CONFLICTS)
    return id


async def end(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Ends it today, or keeps an end day in the past; a campaign that never started keeps its days. Leads may still come in."""
    campaign, move = await MOVES.lock(act, "end", id, expected_version=expected_version)
    changes = move.changes(act.now)
    if campaign["status"] == "ACTIVE":
        today = act.today
        changes["ends_on"] = min(campaign["ends_on"] or today, today)
    await records.change(act, Campaign, campaign, changes, kind=move.event, conflicts=CONFLICTS)
    return id


async def _owner(act: Act, owner_id: UUID | None) -> UUID | None:
    return await users.assignable(act, owner_id, field="ownerId", permission="campaign.assign")
