"""Who gets a lead: rule sets, their rules, the sellers' profiles, queues, and every decision with its reasons."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import Editable, Record, check, index, one_of, origin_unique, partial, unique


class RulesetStatus(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"


class RoutingTarget(StrEnum):
    USER = "USER"
    MATCHING = "MATCHING"
    TEAM = "TEAM"
    QUEUE = "QUEUE"
    ACCOUNT_OWNER = "ACCOUNT_OWNER"


class Distribution(StrEnum):
    FIXED = "FIXED"
    ROUND_ROBIN = "ROUND_ROBIN"
    WEIGHTED = "WEIGHTED"
    LEAST_LOADED = "LEAST_LOADED"


class RoutingReason(StrEnum):
    MATCHED = "MATCHED"
    EXISTING_ACCOUNT_OWNER = "EXISTING_ACCOUNT_OWNER"
    NO_RULE = "NO_RULE"
    NO_ELIGIBLE_SELLER = "NO_ELIGIBLE_SELLER"
    NO_AVAILABILITY = "NO_AVAILABILITY"
    NO_CAPACITY = "NO_CAPACITY"
    TOO_OLD = "TOO_OLD"
    NOT_ACCEPTED = "NOT_ACCEPTED"
    ESCALATED = "ESCALATED"
    MANUAL = "MANUAL"
    ERROR = "ERROR"


class LeadQueue(Editable):
    """Where leads wait for a person. After `deadline_min` minutes they are routed again, then assigned to the owner."""

    name = fields.CharField(max_length=100)
    owner: Any = fields.ForeignKeyField("crm.User", related_name="lead_queues", null=True, on_delete=fields.RESTRICT)
    deadline_min = fields.IntField(db_default=240)

    class Meta:
        table = "lead_queues"
        constraints = [
            origin_unique("lead_queues"),
            unique("lead_queues_name", "lower(name)"),
            check("lead_queues_deadline", "deadline_min > 0"),
        ]
        indexes = [index("lead_queues_owner", "owner_id", "id"), index("lead_queues_created", "created_at", "id")]


class RoutingRuleset(Editable):
    """A version of the rules. A draft can be changed; one is active; what was active is retired and kept.

    `rates` are the units of `currency` that one unit of each other currency is worth, by which budgets are compared.
    """

    name = fields.CharField(max_length=100)
    number = fields.IntField()
    status = fields.CharField(max_length=10, db_default="DRAFT")
    currency = fields.CharField(max_length=3, db_default="USD")
    rates: Any = fields.JSONField(db_default={})
    account_owner_first = fields.BooleanField(db_default=True)
    accept_within_min: Any = fields.IntField(null=True)
    max_reroutes = fields.IntField(db_default=3)
    fallback_queue: Any = fields.ForeignKeyField(
        "crm.LeadQueue", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    activated_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "routing_rulesets"
        constraints = [
            origin_unique("routing_rulesets"),
            unique("routing_rulesets_number", "number"),
            unique("routing_rulesets_one_active", "status", where="status = 'ACTIVE'"),
            check("routing_rulesets_status", one_of("status", RulesetStatus)),
            check("routing_rulesets_accept", "accept_within_min > 0"),
            check("routing_rulesets_reroutes", "max_reroutes >= 0"),
            check("routing_rulesets_currency_known", "currency_scale(currency) IS NOT NULL"),
        ]
        indexes = [
            index("routing_rulesets_queue", "fallback_queue_id", "id"),
            index("routing_rulesets_created", "created_at", "id"),
        ]


class RoutingRule(Editable):
    """The first rule whose conditions a lead meets decides. The language of `conditions` is in `domain/routing`."""

    ruleset: Any = fields.ForeignKeyField("crm.RoutingRuleset", related_name="rules", on_delete=fields.RESTRICT)
    position = fields.IntField()
    name = fields.CharField(max_length=100)
    conditions: Any = fields.JSONField(db_default={})
    target = fields.CharField(max_length=20)
    target_user: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    target_team: Any = fields.ForeignKeyField("crm.Team", related_name=False, null=True, on_delete=fields.RESTRICT)
    target_queue: Any = fields.ForeignKeyField(
        "crm.LeadQueue", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    seller_match: Any = fields.JSONField(db_default={})
    distribution = fields.CharField(max_length=20, db_default="ROUND_ROBIN")
    max_lead_age_h: Any = fields.IntField(null=True)
    respect_capacity = fields.BooleanField(db_default=True)

    class Meta:
        table = "routing_rules"
        constraints = [
            origin_unique("routing_rules"),
            unique("routing_rules_position", "ruleset_id", "position"),
            check("routing_rules_target", one_of("target", RoutingTarget)),
            check("routing_rules_distribution", one_of("distribution", Distribution)),
            check("routing_rules_age", "max_lead_age_h > 0"),
            check(
                "routing_rules_aim",
                "(target = 'USER') = (target_user_id IS NOT NULL) AND (target = 'TEAM') = (target_team_id IS NOT NULL)"
                " AND (target = 'QUEUE') = (target_queue_id IS NOT NULL)",
            ),
        ]
        indexes = [
            index("routing_rules_user", "target_user_id", "id"),
            index("routing_rules_team", "target_team_id", "id"),
            index("routing_rules_queue", "target_queue_id", "id"),
            index("routing_rules_created", "created_at", "id"),
        ]


class RoutingShare(Record):
    """How much of a rule's leads a seller has had, in turns divided by weight. `last_at`: when last available for it."""

    rule: Any = fields.ForeignKeyField("crm.RoutingRule", related_name="shares", on_delete=fields.RESTRICT)
    user: Any = fields.ForeignKeyField("crm.User", related_name=False, on_delete=fields.RESTRICT)
    turns: Any = fields.DecimalField(max_digits=30, decimal_places=12)
    last_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "routing_shares"
        constraints = [unique("routing_shares_seller", "rule_id", "user_id")]
        indexes = [index("routing_shares_user", "user_id")]


class SellerProfile(Editable):
    """What routing knows of a seller. `hours`: {"timezone": "Europe/Berlin", "mon": ["09:00-12:00", "13:00-17:30"]};
    none means always at work."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="profiles", on_delete=fields.RESTRICT)
    attributes: Any = fields.JSONField(db_default={})
    max_open: Any = fields.IntField(null=True)
    max_per_day: Any = fields.IntField(null=True)
    weight = fields.IntField(db_default=1)
    hours: Any = fields.JSONField(db_default={})
    opted_out = fields.BooleanField(db_default=False)

    class Meta:
        table = "seller_profiles"
        constraints = [
            origin_unique("seller_profiles"),
            unique("seller_profiles_user", "user_id"),
            check("seller_profiles_open", "max_open >= 0"),
            check("seller_profiles_day", "max_per_day >= 0"),
            check("seller_profiles_weight", "weight BETWEEN 1 AND 1000"),
        ]
        indexes = [index("seller_profiles_created", "created_at", "id")]


class Absence(Editable):
    """A time in which a seller gets no leads."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="absences", on_delete=fields.RESTRICT)
    starts_at = fields.DatetimeField()
    ends_at = fields.DatetimeField()
    reason: Any = fields.CharField(max_length=200, null=True)
    cancelled_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "absences"
        constraints = [origin_unique("absences"), check("absences_period", "ends_at > starts_at")]
        indexes = [
            index("absences_user", "user_id", "ends_at"),
            partial("absences_live", "cancelled_at IS NULL", "ends_at"),
            index("absences_created", "created_at", "id"),
        ]


class AssignmentDecision(Record):
    """Why a lead went where it went, append-only. `candidates` lists every seller looked at and why not, by user id."""

    lead: Any = fields.ForeignKeyField("crm.Lead", related_name="decisions", on_delete=fields.RESTRICT)
    ruleset: Any = fields.ForeignKeyField(
        "crm.RoutingRuleset", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    rule: Any = fields.ForeignKeyField(
        "crm.RoutingRule", related_name="decisions", null=True, on_delete=fields.RESTRICT
    )
    reason = fields.CharField(max_length=30)
    chosen: Any = fields.ForeignKeyField("crm.User", related_name="assignments", null=True, on_delete=fields.RESTRICT)
    previous: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    queue: Any = fields.ForeignKeyField("crm.LeadQueue", related_name=False, null=True, on_delete=fields.RESTRICT)
    candidates: Any = fields.JSONField(null=True, db_default={})
    explanation = fields.CharField(max_length=1000)
    attempt = fields.IntField(db_default=1)
    actor: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    decided_at = fields.DatetimeField()

    class Meta:
        table = "assignment_decisions"
        constraints = [check("assignment_decisions_reason", one_of("reason", RoutingReason))]
        indexes = [
            index("assignment_decisions_lead", "lead_id", "decided_at", "id"),
            index("assignment_decisions_ruleset", "ruleset_id", "id"),
            index("assignment_decisions_rule", "rule_id", "decided_at", "id"),
            index("assignment_decisions_chosen", "chosen_id", "decided_at"),
            index("assignment_decisions_previous", "previous_id"),
            index("assignment_decisions_queue", "queue_id"),
            index("assignment_decisions_actor", "actor_id"),
            index("assignment_decisions_decided", "decided_at", "id"),
        ]
