"""Mutations of routing: rule sets, rules, queues, sellers' profiles and absences; a lead routed now, or declined."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.routing import assign, profiles, rulesets
from crmgql.engine.mutations import Done, Given, input, mutation
from crmgql.engine.scalars import CurrencyCode, DateTimeText, JsonValue
from crmgql.engine.strawberries import lazy, list_of
from crmgql.models import Distribution, RoutingTarget
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoveInput

WARNINGS = {"warnings": list_of(lazy("RoutingWarning"))}


@input
class RoutingRulesetCreateInput:
    """With copyOfId, rules and settings are taken over from another version."""

    name: str
    copy_of_id: strawberry.ID | None = UNSET
    currency: CurrencyCode | None = UNSET
    rates: JsonValue | None = UNSET
    account_owner_first: bool | None = UNSET
    accept_within_min: int | None = UNSET
    max_reroutes: int | None = UNSET
    fallback_queue_id: strawberry.ID | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class RoutingRulesetUpdateInput:
    """Only drafts can be changed."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    currency: CurrencyCode | None = UNSET
    rates: JsonValue | None = UNSET
    account_owner_first: bool | None = UNSET
    accept_within_min: int | None = UNSET
    max_reroutes: int | None = UNSET
    fallback_queue_id: strawberry.ID | None = UNSET


@input
class RoutingRuleCreateInput:
    """The last rule, unless a position, counted from 1, says otherwise. Without conditions it takes every lead."""

    ruleset_id: strawberry.ID
    name: str
    target: RoutingTarget
    position: int | None = UNSET
    conditions: JsonValue | None = UNSET
    target_user_id: strawberry.ID | None = UNSET
    target_team_id: strawberry.ID | None = UNSET
    target_queue_id: strawberry.ID | None = UNSET
    seller_match: JsonValue | None = UNSET
    distribution: Distribution | None = UNSET
    max_lead_age_h: int | None = UNSET
    respect_capacity: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class RoutingRuleUpdateInput:
    """A new target needs its own id and drops the one before. A position moves the rule among the others."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    target: RoutingTarget | None = UNSET
    position: int | None = UNSET
    conditions: JsonValue | None = UNSET
    target_user_id: strawberry.ID | None = UNSET
    target_team_id: strawberry.ID | None = UNSET
    target_queue_id: strawberry.ID | None = UNSET
    seller_match: JsonValue | None = UNSET
    distribution: Distribution | None = UNSET
    max_lead_age_h: int | None = UNSET
    respect_capacity: bool | None = UNSET


@input
class RoutingRuleDeleteInput:
    rule_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class SellerProfileSetInput:
    """Makes the profile, or changes what is named of it. Working hours are as {"timezone": "Europe/Berlin", "mon": ["09:00-17:00"]}."""

    user_id: strawberry.ID
    expected_version: int | None = UNSET
    attributes: JsonValue | None = UNSET
    max_open: int | None = UNSET
    max_per_day: int | None = UNSET
    weight: int | None = UNSET
    hours: JsonValue | None = UNSET
    opted_out: bool | None = UNSET


@input
class AbsenceCreateInput:
    """Your own unless you name somebody of your teams."""

    starts_at: DateTimeText
    ends_at: DateTimeText
    user_id: strawberry.ID | None = UNSET
    reason: str | None = UNSET


@input
class LeadQueueCreateInput:
    """After deadlineMin minutes a lead that nobody else gets goes to the owner."""

    name: str
    owner_id: strawberry.ID | None = UNSET
    deadline_min: int | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class LeadQueueUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    deadline_min: int | None = UNSET


async def _warned(act: Act, id: UUID) -> Done:
    return Done(id, {"warnings": await rulesets.warnings(act, id=id)})


@mutation("RoutingRuleset", RoutingRulesetCreateInput, extras=WARNINGS)
async def routing_ruleset_create(act: Act, given: Given) -> Done:
    """Makes a draft."""
    return await _warned(act, await rulesets.create(act, **given))


@mutation("RoutingRuleset", RoutingRulesetUpdateInput, extras=WARNINGS)
async def routing_ruleset_update(act: Act, given: Given) -> Done:
    """Changes what the input names of a draft."""
    return await _warned(act, await rulesets.update(act, **given))


@mutation("RoutingRuleset", MoveInput, extras=WARNINGS)
async def routing_ruleset_activate(act: Act, given: Given) -> Done:
    """Makes a draft the one by which leads are routed; the one before is retired."""
    return await _warned(act, await rulesets.activate(act, **given))


@mutation("RoutingRule", RoutingRuleCreateInput)
async def routing_rule_create(act: Act, given: Given) -> UUID:
    """Adds a rule to a draft."""
    return await rulesets.add_rule(act, **given)


@mutation("RoutingRule", RoutingRuleUpdateInput)
async def routing_rule_update(act: Act, given: Given) -> UUID:
    """Changes what the input names of a draft's rule."""
    return await rulesets.update_rule(act, **given)


@mutation("RoutingRuleset", RoutingRuleDeleteInput)
async def routing_rule_delete(act: Act, given: Given) -> UUID:
    """Takes a rule out of a draft. expectedVersion is the rule's."""
    return await rulesets.remove_rule(act, **given)


@mutation("Lead", MoveInput, asks=("lead.route",))
async def lead_route(act: Act, given: Given) -> UUID:
    """Routes a lead that has no place, or waits in a queue, now. With an owner, or in a pool, it stays as it is."""
    return await assign.by_hand(act, **given)


@mutation("Lead", MoveInput)
async def lead_decline(act: Act, given: Given) -> UUID:
    """Its owner does not want a lead that they have not accepted; it goes to somebody else."""
    return await assign.decline(act, **given)


@mutation("SellerProfile", SellerProfileSetInput)
async def seller_profile_set(act: Act, given: Given) -> UUID:
    """Says what a seller can and takes."""
    return await profiles.set_profile(act, **given)


@mutation("Absence", AbsenceCreateInput)
async def absence_create(act: Act, given: Given) -> UUID:
    """A time in which a seller gets no leads."""
    return await profiles.add_absence(act, **given)


@mutation("Absence", MoveInput)
async def absence_cancel(act: Act, given: Given) -> UUID:
    """The seller is there after all."""
    return await profiles.cancel_absence(act, **given)


@mutation("LeadQueue", LeadQueueCreateInput)
async def lead_queue_create(act: Act, given: Given) -> UUID:
    """Makes a queue."""
    return await profiles.create_queue(act, **given)


@mutation("LeadQueue", LeadQueueUpdateInput)
async def lead_queue_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await profiles.update_queue(act, **given)
