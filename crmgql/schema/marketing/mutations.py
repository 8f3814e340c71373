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
            doc="It is planned until it is started. The currency is by default that of its budget or spend.",
        ),
    ),
    Row(
        "campaignUpdate",
        "Changes what the input names, also after the end.",
        campaigns.update,
        input=inputs.update(campaigns.FACTS, doc="A new currency takes new amounts."),
    ),
    Row("campaignStart", "Starts a planned campaign.", campaigns.start),
    Row("campaignEnd", "Ends a campaign; leads that come in later still count for it.", campaigns.end),
)

INTAKE_SOURCE_CREATE = inputs.create(
    intake_sources.FACTS,
    doc="Without allowedOrigins pages of any origin may post. ratePerMinute is 30 by default; half of it per address.",
)


@mutation("IntakeSource", INTAKE_SOURCE_CREATE, extras={"key": str}, calls=intake_sources.create)
async def intake_source_create(act: Act, **values: Any) -> Done:
    """Makes an intake source. `key` is shown only once: it is null if the request is repeated with the same idempotencyKey."""
    id, key = await intake_sources.create(act, **values)
    return Done(id, {"key": key})


@mutation("IntakeSource", MoveInput, extras={"key": str}, calls=intake_sources.rotate_key)
async def intake_source_rotate_key(act: Act, **values: Any) -> Done:
    """Replaces the key by a new one, which is shown only once."""
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
    Row("intakeSourceDeactivate", "Deactivates an intake source: its posts are refused.", intake_sources.deactivate),
)

mutations.table(
    "FollowUpRule",
    Row(
        "followUpRuleCreate",
        "Makes a follow-up rule for leads that stay in a status.",
        follow_ups.create_rule,
        input=inputs.create(
            follow_ups.FACTS,
            doc="Subject and body are templates: {{ lead.first_name }}, {{ lead.name }}, {{ lead.company }}, "
            "{{ owner.name }}, {{ unsubscribe }}, {% if … %}.",
        ),
    ),
    Row(
        "followUpRuleUpdate",
        "Changes what the input names; an inactive rule does nothing.",
        follow_ups.update_rule,
        input=inputs.update(follow_ups.FACTS),
    ),
)
