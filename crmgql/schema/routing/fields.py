"""The warnings about a rule set, and its dry run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from crmgql.db import Transaction
from crmgql.domain.routing import dry_run, rulesets
from crmgql.engine.computed import Ask, computed
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, list_of, object_type, optional
from crmgql.records.records import Act

RULESET = Argument("rulesetId", strawberry.ID, REQUIRED)

object_type(
    "RoutingWarning",
    [
        Field(
            "code",
            str,
            "EMPTY, NO_FALLBACK, WRONG, CONTRADICTORY, UNREACHABLE, OVERLAPPING, NOBODY_MATCHES or UNKNOWN_RATE.",
        ),
        Field("message", str, "For people."),
        Field("ruleId", optional(strawberry.ID), "The rule that it is about; null: the whole rule set."),
        Field("ruleName", optional(str)),
    ],
    "A warning about a rule set. It can be activated anyway.",
)
object_type(
    "RoutingPlace",
    [
        Field("ownerId", optional(strawberry.ID)),
        Field("owner", optional(str), "The owner's name."),
        Field("queueId", optional(strawberry.ID)),
        Field("queue", optional(str), "The queue's name."),
        Field("reason", optional(str), "The reason code of the decision."),
    ],
    "Where a lead is, or would be.",
)
object_type(
    "RoutingTrial",
    [
        Field("leadId", strawberry.ID),
        Field("name", str),
        Field("now", lazy("RoutingPlace")),
        Field("would", lazy("RoutingPlace")),
        Field("explanation", str, "The decision in words."),
        Field("changed", bool, "Whether it would have another owner or queue."),
    ],
    "A lead, where it is, and where the rule set would have put it when it came.",
)
object_type(
    "RoutingTrialSeller",
    [Field("userId", strawberry.ID), Field("name", str), Field("now", int), Field("would", int)],
    "How many of the leads a seller has, and would have.",
)
object_type(
    "RoutingTrialReason",
    [Field("reason", str), Field("now", int), Field("would", int)],
    "How many leads have a reason code, and would have it.",
)
object_type(
    "RoutingDryRun",
    [
        Field("rulesetId", strawberry.ID),
        Field("total", int, "Leads that were decided about."),
        Field("changed", int, "Leads that would be elsewhere."),
        Field("leads", list_of(lazy("RoutingTrial")), "The latest first."),
        Field("sellers", list_of(lazy("RoutingTrialSeller"))),
        Field("reasons", list_of(lazy("RoutingTrialReason"))),
    ],
    "What a rule set would have done with the latest leads.",
)


@computed("routingWarnings", list_of(lazy("RoutingWarning")), arguments=(RULESET,))
async def routing_warnings(ask: Ask, *, ruleset_id: UUID) -> Any:
    """The warnings about a rule set: unreachable rules, conditions that no lead can meet, rules without sellers, and so on."""
    zone = await ask.database.zone()
    async with ask.database.snapshot() as connection:
        act = Act(Transaction(connection, zone), ask.viewer)
        return await rulesets.warnings(act, id=ruleset_id, field="rulesetId")


@computed(
    "routingDryRun",
    lazy("RoutingDryRun"),
    arguments=(RULESET, Argument("lastN", int, 100, "1 to 1000.")),
    calls=dry_run.dry_run,
)
async def routing_dry_run(ask: Ask, **values: Any) -> Any:
    """What a rule set would have done with the latest leads. Nothing is changed."""
    return await dry_run.dry_run(ask.database, ask.viewer, **values)
