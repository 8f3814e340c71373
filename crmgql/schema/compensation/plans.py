"""Plans, versions, rules, tiers; whom they pay, who signed; quotas."""

from __future__ import annotations

from typing import Any

from crmgql import models
from crmgql.engine.declare import column, derived, many, money, node, one
from crmgql.models.names import PREFIXES
from crmgql.planner import codecs
from crmgql.sql import ast
from crmgql.viewer import Who

VALUES = "It takes what has one of these; null: everything."


def _product_ids() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        digits = codecs.hex_digits(ast.Col("p", "value"))
        id = ast.Concat((ast.Text(f"{PREFIXES['Product']}_"), digits))
        listed = ast.Select(
            ((id, "id"),),
            ast.Unnest(ast.Col(t, "product_ids"), "p"),
            order_by=(ast.Order(ast.Col("p", "position")),),
        )
        ids = ast.ArrayOf(listed)
        return (ast.Case(ast.IsNull(ast.Col(t, "product_ids"), negated=True), ids),)

    return derived(build, codecs.enum_codec("ID", many=True), VALUES, nullable=True, needs=("product_ids",))


def _ramp() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        return (ast.Col(t, "ramp"),)

    doc = "Per cent of the quota in the first month after the start, in the second one, and so on."
    return derived(build, codecs.enum_codec("Int", many=True), doc, nullable=True, needs=("ramp",))


@node(models.CompPlan, order="name")
class CompPlan:
    """A plan by which people are paid. You see those that pay or paid you, managers also those of their teams."""

    name = column(sort=True)
    description = column()
    versions = many("CompPlanVersion", "plan", order="-startsOn")
    assignments = many("CompAssignment", "plan", order="-startsOn")


@node(models.CompPlanVersion, order="-startsOn")
class CompPlanVersion:
    """What a plan says on its days. Drafts are for those who see all plans; what was approved never changes."""

    n = column(doc="Counts the versions of the plan.")
    status = column(enum=models.CompVersionStatus, doc="RETIRED: its last day was set; until then it pays.")
    starts_on = column(sort=True)
    ends_on = column(doc="The last day; null: there is none yet.")
    currency = column()
    measure = column(enum=models.CompMeasure, doc="When what is sold earns money.")
    basis = column(enum=models.CompBasis, doc="What of it earns money.")
    attains_measure = column(enum=models.CompMeasure, doc="When it counts for attainment.")
    attains_basis = column(enum=models.CompBasis, doc="What of it counts for attainment.")
    period = column(enum=models.CompPeriod, doc="How long attainment adds up before it starts anew.")
    tier_mode = column(enum=models.CompTierMode)
    cap = money(doc="The most that it pays a person in a period; null: no limit.")
    clawback_months = column(doc="How long after it was earned a commission is taken back at a refund; null: for ever.")
    text = column(doc="What people sign.")
    approved_at = column()
    plan = one()
    made_by = one("Who wrote what it says now.")
    approved_by = one()
    rules = many("CompRule", "plan_version", order="position")
    signatures = many("CompSignature", "plan_version")


@node(models.CompRule, order="position")
class CompRule:
    """A way in which a version pays. Of the rules of a group the first that takes a line pays; groups add up."""

    position = column(sort=True)
    name = column()
    kind = column(enum=models.CompRuleKind)
    role = column(enum=models.CompRole, doc="As what somebody is credited with the order.")
    group = column("group_name")
    product_ids = _product_ids()
    categories = column(enum=None, filter=False, doc="Of products. " + VALUES)
    segments = column(enum=None, filter=False, doc="Of customers. " + VALUES)
    customers = column(enum=models.CompCustomers, doc="NEW: those who had bought nothing before.")
    least_deal = money(doc="Orders below this are not taken.")
    amount = money("amount", "What a FIXED rule pays for an order.")
    tier_unit = column(enum=models.CompTierUnit, doc="AMOUNT: the version's currency; QUOTA: a share of it, 1 is all.")
    sentence = column(doc="Which part of the version's text it stands for.")
    plan_version = one()
    tiers = many("CompTier", "rule", order="fromValue")


@node(models.CompTier, order="fromValue")
class CompTier:
    """The rate from one attainment up to another one."""

    from_value = column(sort=True)
    to_value = column(doc="Null: it has no end.")
    rate = column(doc="A share: 0.05 is 5 %.")
    rule = one()


@node(models.CompAssignment, order="-startsOn")
class CompAssignment:
    """Whom a plan pays, on which days. Nobody is paid by two plans on one day."""

    starts_on = column(sort=True)
    ends_on = column(doc="The last day; null: there is none yet.")
    ramp = _ramp()
    cancelled_at = column(doc="When it was taken back: then none of its days counts.")
    user = one()
    plan = one()


@node(models.CompSignature)
class CompSignature:
    """That somebody agreed to a version of the plan that pays them."""

    signed_at = column()
    text_hash = column(doc="SHA-256 of the text that they signed, in hexadecimal.")
    plan_version = one()
    user = one()


@node(models.Quota, order="-startsOn")
class Quota:
    """What a person, or a team, is to reach from the first day to the last one. A team's is seen by its manager."""

    starts_on = column(sort=True)
    ends_on = column()
    measure = column(enum=models.CompMeasure)
    basis = column(enum=models.CompBasis)
    amount = money("amount")
    currency = column()
    cancelled_at = column(doc="When it was taken back: then it never counted.")
    user = one()
    team = one()
