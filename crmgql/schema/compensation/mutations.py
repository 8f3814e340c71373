"""Mutations of plans, whom they pay, who signs them; and of quotas."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import strawberry

from crmgql.domain.compensation import assignments, contents, plans, quotas, signatures, versions
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input, part
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.engine.scalars import DateText, DecimalText
from crmgql.engine.strawberries import lazy, list_of, optional
from crmgql.records.records import Act

WARNINGS = {"warnings": list_of(lazy("CompPlanWarning"))}


@part(contents.NewTier)
class CompTierInput:
    """A rate from one value up to another one; the last tier has no `toValue`."""

    from_value: DecimalText
    rate: DecimalText = strawberry.field(description='A share: "0.05" is 5 %. At most 10.')
    to_value: DecimalText | None = UNSET


@part(contents.NewRule)
class CompRuleInput:
    """A rule: PERCENT with tiers, or FIXED with an amount. Without a filter it takes everything."""

    name: str
    kind: str = strawberry.field(graphql_type=lazy("CompRuleKind"))
    role: str | None = strawberry.field(
        default=UNSET, graphql_type=optional(lazy("CompRole")), description="OWNER unless you say otherwise."
    )
    group: str | None = strawberry.field(
        default=UNSET,
        description="Of the rules of a group the first that takes a line pays; groups add up. By default “main”.",
    )
    product_ids: list[strawberry.ID] | None = UNSET
    categories: list[str] | None = UNSET
    segments: list[str] | None = UNSET
    customers: str | None = strawberry.field(default=UNSET, graphql_type=optional(lazy("CompCustomers")))
    least_deal: MoneyInput | None = UNSET
    amount: MoneyInput | None = UNSET
    tier_unit: str | None = strawberry.field(
        default=UNSET, graphql_type=optional(lazy("CompTierUnit")), description="AMOUNT unless you say otherwise."
    )
    tiers: list[CompTierInput] | None = UNSET
    sentence: str | None = strawberry.field(
        default=UNSET, description="Which part of the version's text it stands for, word for word."
    )


@part(assignments.NewAssignment)
class CompPersonInput:
    """Somebody whom a plan is to pay. `ramp`: per cent of the quota in the first month, in the second one, and so on."""

    user_id: strawberry.ID
    ramp: list[int] | None = UNSET


@part(quotas.NewQuota)
class QuotaInput:
    """A quota of a person, or of a team."""

    starts_on: DateText
    ends_on: DateText
    measure: str = strawberry.field(graphql_type=lazy("CompMeasure"))
    basis: str = strawberry.field(graphql_type=lazy("CompBasis"))
    amount: MoneyInput
    user_id: strawberry.ID | None = UNSET
    team_id: strawberry.ID | None = UNSET


@input
class CompVersionRetireInput:
    """`endsOn`: the last day on which it pays, which may have passed."""

    id: strawberry.ID
    ends_on: DateText
    expected_version: int | None = UNSET


@input
class CompPlanAssignInput:
    """The plan, the people, and from which day on; without `endsOn` until further notice."""

    id: strawberry.ID
    people: list[CompPersonInput]
    starts_on: DateText
    ends_on: DateText | None = UNSET
    expected_version: int | None = UNSET


@input
class CompAssignmentEndInput:
    """`endsOn`: the last day."""

    id: strawberry.ID
    ends_on: DateText
    expected_version: int | None = UNSET


@input
class CompVersionSignInput:
    plan_version_id: strawberry.ID


@input
class QuotaSetInput:
    """At most 1000."""

    quotas: list[QuotaInput]


OPTIONAL = "attains_measure attains_basis"
SAYS = "What counts for attainment is what earns money, unless you say otherwise. All amounts are in the version's currency."
RULES: dict[str, Any] = {"rules": list[CompRuleInput]}
VERSION_DRAFT = inputs.create("plan_id", versions.FACTS, also=RULES, optional=OPTIONAL, doc=SAYS)
VERSION_REDRAFT = inputs.create(
    versions.FACTS,
    also={"id": strawberry.ID, "expected_version": int | None, **RULES},
    optional=OPTIONAL,
    origin=False,
    doc="All that the draft says from now on; what is left out is not taken over. " + SAYS,
)

mutations.table(
    "CompPlan",
    Row("compPlanCreate", "Makes a plan, which has no versions yet.", plans.create, input=inputs.create(plans.FACTS)),
    Row("compPlanUpdate", "Changes what the input names.", plans.update, input=inputs.update(plans.FACTS)),
    Row(
        "compPlanAssign",
        "Assigns people to a plan: it pays them from a day on. All of them, or none.",
        assignments.assign,
        input=CompPlanAssignInput,
    ),
)


async def _warned(act: Act, id: UUID) -> Done:
    return Done(id, {"warnings": await versions.found_warnings(act, id=id)})


@mutation("CompPlanVersion", VERSION_DRAFT, extras=WARNINGS, calls=versions.draft)
async def comp_version_draft(act: Act, **values: Any) -> Done:
    """Drafts a version of a plan, with all of its rules and tiers."""
    return await _warned(act, await versions.draft(act, **values))


@mutation("CompPlanVersion", VERSION_REDRAFT, extras=WARNINGS, calls=versions.redraft)
async def comp_version_redraft(act: Act, **values: Any) -> Done:
    """Replaces all that a draft says, rules and tiers included."""
    return await _warned(act, await versions.redraft(act, **values))


@mutation("CompPlanVersion", inputs.MoveInput, extras=WARNINGS, calls=versions.approve, asks=("plan.approve",))
async def comp_version_approve(act: Act, **values: Any) -> Done:
    """Approves a draft that somebody else wrote: from then on it never changes."""
    return await _warned(act, await versions.approve(act, **values))


mutations.table(
    "CompPlanVersion",
    Row(
        "compVersionRetire",
        "Sets the last day of an approved version. Another version can follow it.",
        versions.retire,
        input=CompVersionRetireInput,
        asks=("plan.approve",),
    ),
)
mutations.table(
    "CompAssignment",
    Row("compAssignmentEnd", "Sets an assignment's last day.", assignments.end, input=CompAssignmentEndInput),
    Row(
        "compAssignmentCancel",
        "Takes back an assignment that was a mistake: none of its days counts.",
        assignments.cancel,
    ),
)
mutations.table(
    "CompSignature",
    Row(
        "compVersionSign",
        "Signs an approved version of the plan that pays you.",
        signatures.sign,
        input=CompVersionSignInput,
    ),
)
mutations.table(
    "Quota",
    Row(
        "quotaSet",
        "Sets quotas of people and teams; one that is there for the same days gets the amount. All of them, or none.",
        quotas.set_many,
        input=QuotaSetInput,
    ),
    Row("quotaCancel", "Takes back a quota that was a mistake: it never counted.", quotas.cancel),
)
