"""What people are paid by: plans, their versions with rules and tiers, whom a plan pays, who signed it, quotas (docs/commissions.md).

A version that was approved never changes: triggers say so, of its rules and tiers too. Tiers have no gap and no overlap by
their keys: each but the first begins where another one ends, and each but the last ends where another one begins.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    WITHOUT_OVERLAPS,
    AmountField,
    CompositeKey,
    DayRangeField,
    Editable,
    IntArrayField,
    NumberField,
    Record,
    TextArrayField,
    UuidArrayField,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    unique,
)


class CompVersionStatus(StrEnum):
    """RETIRED: its last day was set; until then it pays."""

    DRAFT = "DRAFT"
    APPROVED = "APPROVED"
    RETIRED = "RETIRED"


class CompMeasure(StrEnum):
    """When what is sold counts: as the order is confirmed, as it is invoiced, as it is paid."""

    BOOKED = "BOOKED"
    INVOICED = "INVOICED"
    COLLECTED = "COLLECTED"


class CompBasis(StrEnum):
    """What of it counts: GROSS is net and shipping, NET is without shipping, MARGIN is net less cost. Tax never does."""

    GROSS = "GROSS"
    NET = "NET"
    MARGIN = "MARGIN"


class CompPeriod(StrEnum):
    """How long attainment adds up before it starts anew; quarters and years are the company's fiscal ones."""

    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


class CompTierMode(StrEnum):
    """MARGINAL: each part is paid at the rate of its tier. SLAB: all of a period is paid at the rate of the tier that it reaches."""

    MARGINAL = "MARGINAL"
    SLAB = "SLAB"


class CompRuleKind(StrEnum):
    """PERCENT: a share of what counts. FIXED: an amount for each order."""

    PERCENT = "PERCENT"
    FIXED = "FIXED"


class CompRole(StrEnum):
    """As what somebody is credited with an order: one of those who share it, one beside them, the manager of the team."""

    OWNER = "OWNER"
    OVERLAY = "OVERLAY"
    MANAGER = "MANAGER"


class CompCustomers(StrEnum):
    """NEW: those who had bought nothing before. REPEAT: all others."""

    ANY = "ANY"
    NEW = "NEW"
    REPEAT = "REPEAT"


class CompTierUnit(StrEnum):
    """What a rule's tiers are in: the version's currency, or shares of the quota, of which 1 is all."""

    AMOUNT = "AMOUNT"
    QUOTA = "QUOTA"


KINDS = (
    "CASE kind WHEN 'PERCENT' THEN tier_unit IS NOT NULL AND amount IS NULL"
    " ELSE tier_unit IS NULL AND amount IS NOT NULL AND amount > 0 END"
)
RAMP = (
    "0 <= ALL (ramp) AND 100 >= ALL (ramp) AND cardinality(ramp) BETWEEN 1 AND 60"
    " AND array_position(ramp, NULL) IS NULL"
)
NOT_EMPTY = "cardinality({}) > 0"


class CompPlan(Editable):
    name = fields.CharField(max_length=200)
    description: Any = fields.TextField(null=True)

    class Meta:
        table = "comp_plans"
        constraints = [
            origin_unique("comp_plans"),
            unique("comp_plans_name", "lower(name)"),
            check("comp_plans_description_length", "length(description) <= 20000"),
        ]
        indexes = [index("comp_plans_by_name", "name", "id"), index("comp_plans_created", "created_at", "id")]


class CompPlanVersion(Editable):
    """What a plan says on its days. `attains_measure` and `attains_basis` are what counts for tiers, `measure` and `basis` what
    earns money. `cap_amount`: the most that a period pays. `clawback_months`: how long after it was earned a commission can be
    taken back; null is for ever. `text`: what people sign. `made_by`: who wrote what it says now, and so may not approve it.
    """

    plan: Any = fields.ForeignKeyField("crm.CompPlan", related_name="versions", on_delete=fields.RESTRICT)
    n = fields.IntField()
    status = fields.CharField(max_length=10, db_default="DRAFT")
    starts_on = fields.DateField()
    ends_on: Any = fields.DateField(null=True)
    days = DayRangeField(null=True)
    currency = fields.CharField(max_length=3)
    measure = fields.CharField(max_length=10)
    basis = fields.CharField(max_length=10)
    attains_measure = fields.CharField(max_length=10)
    attains_basis = fields.CharField(max_length=10)
    period = fields.CharField(max_length=10, db_default="MONTH")
    tier_mode = fields.CharField(max_length=10, db_default="MARGINAL")
    cap_amount: Any = AmountField(null=True)
    clawback_months: Any = fields.IntField(null=True)
    text = fields.TextField()
    made_by: Any = fields.ForeignKeyField("crm.User", related_name=False, on_delete=fields.RESTRICT)
    approved_by: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    approved_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "comp_plan_versions"
        stored = {"days": "CASE WHEN status <> 'DRAFT' THEN daterange(starts_on, ends_on, '[]') END"}
        constraints = [
            origin_unique("comp_plan_versions"),
            unique("comp_plan_versions_n", "plan_id", "n"),
            unique("comp_plan_versions_apart", "plan_id", f"days{WITHOUT_OVERLAPS}"),
            unique("comp_plan_versions_id_currency", "id", "currency"),
            check("comp_plan_versions_status", one_of("status", CompVersionStatus)),
            check("comp_plan_versions_days", "starts_on <= ends_on"),
            check("comp_plan_versions_measure", one_of("measure", CompMeasure)),
            check("comp_plan_versions_basis", one_of("basis", CompBasis)),
            check("comp_plan_versions_attains_measure", one_of("attains_measure", CompMeasure)),
            check("comp_plan_versions_attains_basis", one_of("attains_basis", CompBasis)),
            check("comp_plan_versions_period", one_of("period", CompPeriod)),
            check("comp_plan_versions_tier_mode", one_of("tier_mode", CompTierMode)),
            check("comp_plan_versions_cap_positive", "cap_amount > 0"),
            check("comp_plan_versions_clawback", "clawback_months BETWEEN 0 AND 120"),
            check("comp_plan_versions_text_length", "length(text) BETWEEN 1 AND 20000"),
            check("comp_plan_versions_checked", "approved_by_id <> made_by_id"),
            check(
                "comp_plan_versions_approved",
                "(status = 'DRAFT') = (approved_by_id IS NULL) AND (status = 'DRAFT') = (approved_at IS NULL)",
            ),
            check("comp_plan_versions_retired", "status <> 'RETIRED' OR ends_on IS NOT NULL"),
            *amounts("comp_plan_versions", "cap_amount"),
        ]
        indexes = [
            index("comp_plan_versions_plan", "plan_id", "starts_on", "id"),
            index("comp_plan_versions_starts", "starts_on", "id"),
            index("comp_plan_versions_made_by", "made_by_id", "id"),
            index("comp_plan_versions_approved_by", "approved_by_id", "id"),
            index("comp_plan_versions_created", "created_at", "id"),
        ]


class CompRule(Record):
    """A way in which a version pays. Of the rules of a group the first that takes a line pays; groups add up. A filter that is
    null takes everything. `sentence`: which part of the version's text it stands for.
    """

    plan_version: Any = fields.ForeignKeyField("crm.CompPlanVersion", related_name="rules", on_delete=fields.RESTRICT)
    position = fields.IntField()
    name = fields.CharField(max_length=200)
    kind = fields.CharField(max_length=10)
    role = fields.CharField(max_length=10, db_default="OWNER")
    group_name = fields.CharField(max_length=50, db_default="main")
    product_ids: Any = UuidArrayField(null=True)
    categories: Any = TextArrayField(null=True)
    segments: Any = TextArrayField(null=True)
    customers = fields.CharField(max_length=10, db_default="ANY")
    currency = fields.CharField(max_length=3)
    least_deal_amount: Any = AmountField(null=True)
    amount: Any = AmountField(null=True)
    tier_unit: Any = fields.CharField(max_length=10, null=True)
    sentence: Any = fields.TextField(null=True)
    tiers_from: Any = NumberField(null=True)

    class Meta:
        table = "comp_rules"
        stored = {"tiers_from": "CASE WHEN kind = 'PERCENT' THEN 0::numeric END"}
        constraints = [
            unique("comp_rules_position", "plan_version_id", "position"),
            unique("comp_rules_id_kind", "id", "kind"),
            check("comp_rules_kind", one_of("kind", CompRuleKind)),
            check("comp_rules_role", one_of("role", CompRole)),
            check("comp_rules_customers", one_of("customers", CompCustomers)),
            check("comp_rules_tier_unit", one_of("tier_unit", CompTierUnit)),
            check("comp_rules_kinds", KINDS),
            check("comp_rules_products", NOT_EMPTY.format("product_ids")),
            check("comp_rules_categories", NOT_EMPTY.format("categories")),
            check("comp_rules_segments", NOT_EMPTY.format("segments")),
            check("comp_rules_least_deal_positive", "least_deal_amount > 0"),
            check("comp_rules_sentence_length", "length(sentence) BETWEEN 1 AND 20000"),
            *amounts("comp_rules", "least_deal_amount", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "comp_rules_currency", ("plan_version_id", "currency"), "comp_plan_versions", ("id", "currency")
            ),
            CompositeKey("comp_rules_tiers", ("id", "tiers_from"), "comp_tiers", ("rule_id", "from_value"), True),
        )
        indexes = [index("comp_rules_created", "created_at", "id")]


class CompTier(Record):
    """What a percentage is from one attainment up to another one; without an end it is the last. `rate`: 0.05 is 5 %."""

    rule: Any = fields.ForeignKeyField("crm.CompRule", related_name="tiers", on_delete=fields.RESTRICT)
    from_value: Any = NumberField()
    to_value: Any = NumberField(null=True)
    rate: Any = NumberField()
    after_value: Any = NumberField(null=True)
    rule_kind = fields.CharField(max_length=10, null=True)

    class Meta:
        table = "comp_tiers"
        stored = {"after_value": "nullif(from_value, 0)", "rule_kind": "'PERCENT'"}
        constraints = [
            unique("comp_tiers_from", "rule_id", "from_value"),
            unique("comp_tiers_to", "rule_id", "to_value"),
            check("comp_tiers_values", "from_value >= 0 AND from_value < to_value"),
            check("comp_tiers_size", "from_value < 1e15 AND to_value < 1e15"),
            check("comp_tiers_scale", "scale(from_value) <= 12 AND scale(to_value) <= 12"),
            check("comp_tiers_rate", "rate BETWEEN 0 AND 10 AND scale(rate) <= 12"),
        ]
        composite_keys = (
            CompositeKey("comp_tiers_follows", ("rule_id", "after_value"), "comp_tiers", ("rule_id", "to_value"), True),
            CompositeKey("comp_tiers_followed", ("rule_id", "to_value"), "comp_tiers", ("rule_id", "from_value"), True),
            CompositeKey("comp_tiers_of_percent", ("rule_id", "rule_kind"), "comp_rules", ("id", "kind")),
        )
        indexes = [index("comp_tiers_created", "created_at", "id")]


class CompAssignment(Editable):
    """Who is paid by a plan, on which days. `ramp`: what the quota is lowered to in the months after the start, in per cent of it."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="comp_assignments", on_delete=fields.RESTRICT)
    plan: Any = fields.ForeignKeyField("crm.CompPlan", related_name="assignments", on_delete=fields.RESTRICT)
    starts_on = fields.DateField()
    ends_on: Any = fields.DateField(null=True)
    days = DayRangeField(null=True)
    ramp: Any = IntArrayField(null=True)
    cancelled_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "comp_assignments"
        stored = {"days": "CASE WHEN cancelled_at IS NULL THEN daterange(starts_on, ends_on, '[]') END"}
        constraints = [
            origin_unique("comp_assignments"),
            unique("comp_assignments_apart", "user_id", f"days{WITHOUT_OVERLAPS}"),
            check("comp_assignments_days", "starts_on <= ends_on"),
            check("comp_assignments_ramp", RAMP),
        ]
        indexes = [
            index("comp_assignments_user", "user_id", "starts_on", "id"),
            index("comp_assignments_plan", "plan_id", "starts_on", "id"),
            index("comp_assignments_starts", "starts_on", "id"),
            index("comp_assignments_created", "created_at", "id"),
        ]


class CompSignature(Record):
    """That somebody agreed to a version of the plan that pays them. `text_hash`: SHA-256 of the text that they signed."""

    plan_version: Any = fields.ForeignKeyField(
        "crm.CompPlanVersion", related_name="signatures", on_delete=fields.RESTRICT
    )
    user: Any = fields.ForeignKeyField("crm.User", related_name="comp_signatures", on_delete=fields.RESTRICT)
    signed_at = fields.DatetimeField()
    text_hash = fields.CharField(max_length=64)

    class Meta:
        table = "comp_signatures"
        constraints = [unique("comp_signatures_once", "plan_version_id", "user_id")]
        indexes = [
            index("comp_signatures_user", "user_id", "id"),
            index("comp_signatures_created", "created_at", "id"),
        ]


class Quota(Editable):
    """What a person or a team is to reach on some days."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="quotas", null=True, on_delete=fields.RESTRICT)
    team: Any = fields.ForeignKeyField("crm.Team", related_name="quotas", null=True, on_delete=fields.RESTRICT)
    starts_on = fields.DateField()
    ends_on = fields.DateField()
    days = DayRangeField(null=True)
    measure = fields.CharField(max_length=10)
    basis = fields.CharField(max_length=10)
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    cancelled_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "quotas"
        stored = {"days": "CASE WHEN cancelled_at IS NULL THEN daterange(starts_on, ends_on, '[]') END"}
        constraints = [
            origin_unique("quotas"),
            unique("quotas_user_apart", "user_id", "measure", "basis", f"days{WITHOUT_OVERLAPS}"),
            unique("quotas_team_apart", "team_id", "measure", "basis", f"days{WITHOUT_OVERLAPS}"),
            check("quotas_owner", "num_nonnulls(user_id, team_id) = 1"),
            check("quotas_days", "starts_on <= ends_on"),
            check("quotas_measure", one_of("measure", CompMeasure)),
            check("quotas_basis", one_of("basis", CompBasis)),
            check("quotas_amount_positive", "amount > 0"),
            *amounts("quotas", "amount"),
        ]
        indexes = [
            index("quotas_user", "user_id", "starts_on", "id"),
            index("quotas_team", "team_id", "starts_on", "id"),
            index("quotas_starts", "starts_on", "id"),
            index("quotas_created", "created_at", "id"),
        ]
