"""Mutations of campaigns, intake sources and follow-up rules."""

from __future__ import annotations

from typing import Any

from crmgql.domain.marketing import campaigns, follow_ups, intake_sources
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import MoveInput
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.records.records import Act

mutations.table(
    "Campaign",
    Row(
        "campaignCreate",
        "Makes a planned campaign.",
        campaigns.create,
        input=inputs.create(
            campaigns.FACTS,
            doc="Planned until it is started. Without a currency it has that of its budget or spend.",
        ),
    ),
    Row(
        "campaignUpdate",
        "Changes what the input names, what was spent included.",
        campaigns.update,
        input=inputs.update(campaigns.FACTS, doc="Another currency comes with the amounts given anew."),
    ),
    Row("campaignStart", "A planned campaign runs from now on.", campaigns.start),
    Row("campaignEnd", "Ends a campaign; leads that still come in count for it.", campaigns.end),
)

INTAKE_SOURCE_CREATE = inputs.create(
    intake_sources.FACTS,
    doc="Without allowedOrigins pages of any origin may post. ratePerMinute is 30 unless given; half of it per address.",
)


@mutation("IntakeSource", INTAKE_SOURCE_CREATE, extras={"key": str}, calls=intake_sources.create)
async def intake_source_create(act: Act, **values: Any) -> Done:
    """Makes an intake source. `key` is shown this once; a repeated request with the same idempotencyKey answers null."""
    id, key = await intake_sources.create(act, **values)
    return Done(id, {"key": key})


@mutation("IntakeSource", MoveInput, extras={"key": str}, calls=intake_sources.rotate_key)
async def intake_source_rotate_key(act: Act, **values: Any) -> Done:
    """Ends the key and makes a new one, shown this once."""
    id, key = await intake_sources.rotate_key(act, **values)
    return Done(id, {"key": key})


mutations.table(
    "IntakeSource",
    Row(
        "intakeSourceUpdate",
        "Changes what the input names.",
        intake_sources.update,
        input=inputs.update(intake_sources.FACTS, "active"),
    ),
    Row("intakeSourceDeactivate", "Takes nothing more from an intake source.", intake_sources.deactivate),
)

mutations.table(
    "FollowUpRule",
    Row(
        "followUpRuleCreate",
        "Makes a rule for what happens to leads that stay in a status.",
        follow_ups.create_rule,
        input=inputs.create(
            follow_ups.FACTS,
            doc="Subject and body are templates: {{ lead.first_name }}, {{ lead.name }}, {{ lead.company }}, "
            "{{ owner.name }}, {{ unsubscribe }}, {% if … %}.",
        ),
    ),
    Row(
        "followUpRuleUpdate",
        "Changes what the input names; an inactive rule does nothing any more.",
        follow_ups.update_rule,
        input=inputs.update(follow_ups.FACTS),
    ),
)
