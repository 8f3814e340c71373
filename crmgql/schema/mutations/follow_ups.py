"""Mutations of follow-up rules."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import follow_ups
from crmgql.domain.records import Act
from crmgql.models import FollowUpAction, LeadStatus
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET


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
