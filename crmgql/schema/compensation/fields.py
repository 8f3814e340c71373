"""The warnings about a version of a plan."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from crmgql.db import Transaction
from crmgql.domain.compensation import versions, warnings
from crmgql.engine.computed import Ask, computed
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, list_of, object_type, optional
from crmgql.records.records import Act

object_type(
    "CompPlanWarning",
    [
        Field("code", str, f"{', '.join(warnings.CODES[:-1])} or {warnings.CODES[-1]}."),
        Field("message", str, "For people."),
        Field("ruleId", optional(strawberry.ID), "The rule that it is about; null: the whole version."),
        Field("ruleName", optional(str)),
    ],
    "What may be wrong with a version of a plan. It can be approved anyway.",
)


@computed(
    "compVersionWarnings",
    list_of(lazy("CompPlanWarning")),
    arguments=(Argument("planVersionId", strawberry.ID, REQUIRED),),
)
async def comp_version_warnings(ask: Ask, *, plan_version_id: UUID) -> Any:
    """What may be wrong with a version of a plan: unreachable tiers, days without a version, people without a quota, and so on."""
    zone = await ask.database.zone()
    async with ask.database.snapshot() as connection:
        act = Act(Transaction(connection, zone), ask.viewer)
        return await versions.found_warnings(act, id=plan_version_id, field="planVersionId")
