"""Mutations of campaigns, intake sources and follow-up rules."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.marketing import campaigns, follow_ups, intake_sources
from crmgql.engine.mutations import Done, Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, DateText
from crmgql.models import CampaignChannel, FollowUpAction, LeadStatus
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput, MoveInput


@input
class CampaignCreateInput:
    """Planned until it is started. Without a currency it has that of its budget or spend."""

    name: str
    channel: CampaignChannel
    currency: CurrencyCode | None = UNSET
    budget: MoneyInput | None = UNSET
    spend: MoneyInput | None = UNSET
    starts_on: DateText | None = UNSET
    ends_on: DateText | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class CampaignUpdateInput:
    """Another currency comes with the amounts given anew."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    channel: CampaignChannel | None = UNSET
    currency: CurrencyCode | None = UNSET
    budget: MoneyInput | None = UNSET
    spend: MoneyInput | None = UNSET
    starts_on: DateText | None = UNSET
    ends_on: DateText | None = UNSET
    owner_id: strawberry.ID | None = UNSET


@input
class IntakeSourceCreateInput:
    """Without allowedOrigins pages of any origin may post. ratePerMinute is 30 unless given; half of it per address."""

    name: str
    rate_per_minute: int | None = UNSET
    allowed_origins: list[str] | None = UNSET
    lead_source: str | None = UNSET
    campaign_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class IntakeSourceUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    active: bool | None = UNSET
    rate_per_minute: int | None = UNSET
    allowed_origins: list[str] | None = UNSET
    lead_source: str | None = UNSET
    campaign_id: strawberry.ID | None = UNSET


@mutation("Campaign", CampaignCreateInput)
async def campaign_create(act: Act, given: Given) -> UUID:
    """Makes a planned campaign."""
    return await campaigns.create(act, **given)


@mutation("Campaign", CampaignUpdateInput)
async def campaign_update(act: Act, given: Given) -> UUID:
    """Changes what the input names, what was spent included."""
    return await campaigns.update(act, **given)


@mutation("Campaign", MoveInput)
async def campaign_start(act: Act, given: Given) -> UUID:
    """A planned campaign runs from now on."""
    return await campaigns.start(act, **given)


@mutation("Campaign", MoveInput)
async def campaign_end(act: Act, given: Given) -> UUID:
    """Ends a campaign; leads that still come in count for it."""
    return await campaigns.end(act, **given)


@mutation("IntakeSource", IntakeSourceCreateInput, extras={"key": str})
async def intake_source_create(act: Act, given: Given) -> Done:
    """Makes an intake source. `key` is shown this once; a repeated request with the same idempotencyKey answers null."""
    id, key = await intake_sources.create(act, **given)
    return Done(id, {"key": key})


@mutation("IntakeSource", IntakeSourceUpdateInput)
async def intake_source_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await intake_sources.update(act, **given)


@mutation("IntakeSource", MoveInput, extras={"key": str})
async def intake_source_rotate_key(act: Act, given: Given) -> Done:
    """Ends the key and makes a new one, shown this once."""
    id, key = await intake_sources.rotate_key(act, **given)
    return Done(id, {"key": key})


@mutation("IntakeSource", MoveInput)
async def intake_source_deactivate(act: Act, given: Given) -> UUID:
    """Takes nothing more from an intake source."""
    return await intake_sources.deactivate(act, **given)


@input
class FollowUpRuleCreateInput:
    """Subject and body are templates: {{ lead.first_name }}, {{ lead.name }}, {{ lead.company }}, {{ owner.name }},
    {{ unsubscribe }}, {% if … %}."""

    name: str
    lead_status: LeadStatus
    after_h: int
    action: FollowUpAction
    subject: str
    body: str | None = UNSET
    active: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class FollowUpRuleUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    lead_status: LeadStatus | None = UNSET
    after_h: int | None = UNSET
    action: FollowUpAction | None = UNSET
    subject: str | None = UNSET
    body: str | None = UNSET
    active: bool | None = UNSET


@mutation("FollowUpRule", FollowUpRuleCreateInput)
async def follow_up_rule_create(act: Act, given: Given) -> UUID:
    """Makes a rule for what happens to leads that stay in a status."""
    return await follow_ups.create_rule(act, **given)


@mutation("FollowUpRule", FollowUpRuleUpdateInput)
async def follow_up_rule_update(act: Act, given: Given) -> UUID:
    """Changes what the input names; an inactive rule does nothing any more."""
    return await follow_ups.update_rule(act, **given)
