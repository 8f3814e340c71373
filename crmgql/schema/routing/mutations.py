"""Mutations of routing: rule sets, rules, queues, sellers' profiles and absences; a lead routed now, or declined."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from crmgql.domain.routing import assign, profiles, rulesets
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoveInput, input
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.engine.strawberries import lazy, list_of
from crmgql.records.records import Act

WARNINGS = {"warnings": list_of(lazy("RoutingWarning"))}
RULESET_CREATE = inputs.create(
    rulesets.FACTS,
    also={"copy_of_id": strawberry.ID | None},
    doc="With copyOfId, rules and settings are taken over from another version.",
)
RULESET_UPDATE = inputs.update(rulesets.FACTS, doc="Only drafts can be changed.")


async def _warned(act: Act, id: UUID) -> Done:
    return Done(id, {"warnings": await rulesets.warnings(act, id=id)})


@mutation("RoutingRuleset", RULESET_CREATE, extras=WARNINGS, calls=rulesets.create)
async def routing_ruleset_create(act: Act, **values: Any) -> Done:
    """Makes a draft."""
    return await _warned(act, await rulesets.create(act, **values))


@mutation("RoutingRuleset", RULESET_UPDATE, extras=WARNINGS, calls=rulesets.update)
async def routing_ruleset_update(act: Act, **values: Any) -> Done:
    """Changes what the input names, of a draft."""
    return await _warned(act, await rulesets.update(act, **values))


@mutation("RoutingRuleset", MoveInput, extras=WARNINGS, calls=rulesets.activate)
async def routing_ruleset_activate(act: Act, **values: Any) -> Done:
    """Activates a draft: leads are routed by it. The rule set before is retired."""
    return await _warned(act, await rulesets.activate(act, **values))


@input
class RoutingRuleDeleteInput:
    rule_id: strawberry.ID
    expected_version: int | None = UNSET


mutations.table(
    "RoutingRule",
    Row(
        "routingRuleCreate",
        "Adds a rule to a draft.",
        rulesets.add_rule,
        input=inputs.create(
            "ruleset_id position",
            rulesets.RULE_FACTS,
            optional="position",
            doc="By default the last rule; positions count from 1. Without conditions it takes every lead.",
        ),
    ),
    Row(
        "routingRuleUpdate",
        "Changes what the input names, of a draft's rule.",
        rulesets.update_rule,
        input=inputs.update(
            rulesets.RULE_FACTS,
            "position",
            doc="A new target needs its own id, and the old target's id is removed. A position moves the rule among the others.",
        ),
    ),
)
mutations.table(
    "RoutingRuleset",
    Row(
        "routingRuleDelete",
        "Removes a rule from a draft. expectedVersion is the rule's.",
        rulesets.remove_rule,
        input=RoutingRuleDeleteInput,
    ),
)

mutations.table(
    "Lead",
    Row(
        "leadRoute",
        "Routes a lead now that has no owner, or waits in a queue. A lead with an owner or in a pool stays as it is.",
        assign.by_hand,
        asks=("lead.route",),
    ),
    Row(
        "leadDecline",
        "Declines a lead that its owner has not accepted; it is routed to somebody else.",
        assign.decline,
    ),
)


mutations.table(
    "SellerProfile",
    Row(
        "sellerProfileSet",
        "Makes or changes a seller's profile.",
        profiles.set_profile,
        input=inputs.create(
            "user_id",
            profiles.FACTS,
            also={"expected_version": int | None},
            origin=False,
            doc="Makes the profile, or changes what is named of it. Working hours are as "
            '{"timezone": "Europe/Berlin", "mon": ["09:00-17:00"]}.',
        ),
    ),
)
mutations.table(
    "Absence",
    Row(
        "absenceCreate",
        "Makes an absence: a time in which a seller gets no leads.",
        profiles.add_absence,
        input=inputs.create(
            "user_id starts_at ends_at reason",
            optional="user_id",
            origin=False,
            doc="Your own, unless you name somebody of your teams.",
        ),
    ),
    Row("absenceCancel", "Cancels an absence.", profiles.cancel_absence),
)
mutations.table(
    "LeadQueue",
    Row(
        "leadQueueCreate",
        "Makes a queue.",
        profiles.create_queue,
        input=inputs.create(
            profiles.QUEUE_FACTS,
            doc="After deadlineMin minutes a lead that no seller can get goes to the queue's owner.",
        ),
    ),
    Row(
        "leadQueueUpdate",
        "Changes what the input names.",
        profiles.update_queue,
        input=inputs.update(profiles.QUEUE_FACTS),
    ),
)
