"""Opportunities and how they go: pipelines, their stages and key actions, the history of moves, scoring, stale alerts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    AmountField,
    CompositeKey,
    Editable,
    Record,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class OpportunityStatus(StrEnum):
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class Risk(StrEnum):
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class ScoreOperator(StrEnum):
    """EQ and IN compare text; GTE and LTE numbers and amounts; IS_SET whether there is a value at all."""

    EQ = "EQ"
    IN = "IN"
    GTE = "GTE"
    LTE = "LTE"
    IS_SET = "IS_SET"


class StaleThreshold(StrEnum):
    OWNER = "OWNER"
    MANAGER = "MANAGER"


class Pipeline(Editable):
    """A way from first talk to deal. Exactly one is the default."""

    name = fields.CharField(max_length=100)
    is_default = fields.BooleanField(db_default=False)
    calendar: Any = fields.ForeignKeyField(
        "crm.BusinessCalendar", related_name="pipelines", null=True, on_delete=fields.RESTRICT
    )

    class Meta:
        table = "pipelines"
        constraints = [
            origin_unique("pipelines"),
            unique("pipelines_name", "name"),
            unique("pipelines_one_default", "is_default", where="is_default"),
        ]
        indexes = [index("pipelines_calendar", "calendar_id", "id"), index("pipelines_created", "created_at", "id")]


class Stage(Editable):
    """A step of a pipeline. After `stale_after_h` hours of silence the owner is alerted, after `escalate_after_h` more
    the manager. `conversion_goal` is the per cent of opportunities that should go on from here."""

    pipeline: Any = fields.ForeignKeyField("crm.Pipeline", related_name="stages", on_delete=fields.RESTRICT)
    name = fields.CharField(max_length=60)
    position = fields.IntField()
    status = fields.CharField(max_length=10, db_default="OPEN")
    probability: Any = fields.IntField(null=True)
    conversion_goal: Any = fields.IntField(null=True)
    stale_after_h: Any = fields.IntField(null=True)
    escalate_after_h: Any = fields.IntField(null=True)
    archived_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "stages"
        constraints = [
            origin_unique("stages"),
            check("stages_status", one_of("status", OpportunityStatus)),
            check("stages_probability", "probability BETWEEN 0 AND 100"),
            check("stages_conversion_goal", "conversion_goal BETWEEN 0 AND 100"),
            check("stages_stale_after", "stale_after_h > 0"),
            check("stages_escalate_after", "escalate_after_h > 0 AND (escalate_after_h IS NULL OR stale_after_h > 0)"),
            unique("stages_position", "pipeline_id", "position"),
            unique("stages_name", "pipeline_id", "lower(name)"),
            unique("stages_place", "id", "pipeline_id", "status"),
            unique("stages_one_won", "pipeline_id", "status", where="status <> 'OPEN'"),
        ]
        indexes = [index("stages_created", "created_at", "id")]


class KeyAction(Editable):
    """What is to be done in a stage. A required one gates the move onwards."""

    stage: Any = fields.ForeignKeyField("crm.Stage", related_name="key_actions", on_delete=fields.RESTRICT)
    position = fields.IntField()
    name = fields.CharField(max_length=200)
    required = fields.BooleanField(db_default=True)
    archived_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "key_actions"
        constraints = [origin_unique("key_actions"), unique("key_actions_position", "stage_id", "position")]
        indexes = [index("key_actions_created", "created_at", "id")]


class OpportunityAction(Record):
    """A key action that was done for an opportunity."""

    opportunity: Any = fields.ForeignKeyField("crm.Opportunity", related_name="actions", on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    key_action: Any = fields.ForeignKeyField("crm.KeyAction", related_name="done", on_delete=fields.RESTRICT)
    done_at = fields.DatetimeField()
    done_by: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "opportunity_actions"
        constraints = [unique("opportunity_actions_once", "opportunity_id", "key_action_id")]
        # Beside the key of the opportunity alone: what was done before there was a customer has none.
        composite_keys = (
            CompositeKey(
                "opportunity_actions_opportunity_customer",
                ("opportunity_id", "customer_id"),
                "opportunities",
                ("id", "customer_id"),
            ),
        )
        indexes = [
            index("opportunity_actions_customer", "customer_id", "id"),
            index("opportunity_actions_key_action", "key_action_id", "id"),
            index("opportunity_actions_done_by", "done_by_id", "id"),
            index("opportunity_actions_created", "created_at", "id"),
        ]


class StageTransition(Record):
    """A move, append-only: from where, for how long it stayed there, and the figures before and after."""

    opportunity: Any = fields.ForeignKeyField("crm.Opportunity", related_name="transitions", on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    from_stage: Any = fields.ForeignKeyField("crm.Stage", related_name=False, null=True, on_delete=fields.RESTRICT)
    to_stage: Any = fields.ForeignKeyField("crm.Stage", related_name=False, on_delete=fields.RESTRICT)
    actor: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    seconds_in_stage: Any = fields.BigIntField(null=True)
    amount_before: Any = AmountField(null=True)
    amount_after: Any = AmountField(null=True)
    currency: Any = fields.CharField(max_length=3, null=True)
    expected_close_before: Any = fields.DateField(null=True)
    expected_close_after: Any = fields.DateField(null=True)
    occurred_at = fields.DatetimeField()
    source: Any = fields.CharField(max_length=50, null=True)
    external_id: Any = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "stage_transitions"
        constraints = [
            origin_unique("stage_transitions"),
            check("stage_transitions_seconds", "seconds_in_stage >= 0"),
        ]
        indexes = [
            index("stage_transitions_opportunity", "opportunity_id", "occurred_at", "id"),
            index("stage_transitions_customer", "customer_id", "id"),
            index("stage_transitions_from", "from_stage_id", "occurred_at", "id"),
            index("stage_transitions_to", "to_stage_id", "occurred_at", "id"),
            index("stage_transitions_actor", "actor_id", "id"),
            index("stage_transitions_occurred", "occurred_at", "id"),
        ]


class ScoreRule(Editable):
    """Points for what an opportunity has: `field` names one that `domain/opportunities/scores.py` knows."""

    name = fields.CharField(max_length=100)
    field = fields.CharField(max_length=60)
    operator = fields.CharField(max_length=10)
    value: Any = fields.JSONField(db_default={})
    points = fields.IntField()
    active = fields.BooleanField(db_default=True)

    class Meta:
        table = "score_rules"
        constraints = [
            origin_unique("score_rules"),
            unique("score_rules_name", "name"),
            check("score_rules_operator", one_of("operator", ScoreOperator)),
            check("score_rules_points", "points BETWEEN -100 AND 100"),
        ]
        indexes = [index("score_rules_created", "created_at", "id")]


class StaleAlert(Record):
    """An alert about a deal that nobody touched for too long: one per episode and threshold, however often the sweep runs."""

    opportunity: Any = fields.ForeignKeyField("crm.Opportunity", related_name="stale_alerts", on_delete=fields.RESTRICT)
    customer: Any = fields.ForeignKeyField("crm.Customer", related_name=False, null=True, on_delete=fields.RESTRICT)
    episode = fields.IntField()
    threshold = fields.CharField(max_length=10)
    user: Any = fields.ForeignKeyField("crm.User", related_name=False, null=True, on_delete=fields.RESTRICT)
    due_at = fields.DatetimeField()
    alerted_at = fields.DatetimeField()

    class Meta:
        table = "stale_alerts"
        constraints = [
            unique("stale_alerts_once", "opportunity_id", "episode", "threshold"),
            check("stale_alerts_threshold", one_of("threshold", StaleThreshold)),
        ]
        indexes = [
            index("stale_alerts_customer", "customer_id", "id"),
            index("stale_alerts_user", "user_id", "id"),
            index("stale_alerts_alerted", "alerted_at", "id"),
        ]


class Opportunity(Editable):
    """A deal in the making. It may have no customer yet.

    A trigger fills pipeline, status and `stage_since` from the stage, whoever writes it. `stale_at` is when the next alert is
    due, None when none is; the domain keeps it, and finds by `stale_known` what came in otherwise. An episode of silence
    ends with the next activity. `reassess_on` is the day on which time alone changes the risk, None when none will.
    `highest_amount` is the most it was ever worth in the currency it has, `close_pushes` how often its close date was put off.
    """

    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="opportunities", null=True, on_delete=fields.RESTRICT
    )
    contact: Any = fields.ForeignKeyField(
        "crm.Contact", related_name="opportunities", null=True, on_delete=fields.RESTRICT
    )
    owner: Any = fields.ForeignKeyField("crm.User", related_name="opportunities", null=True, on_delete=fields.RESTRICT)
    product: Any = fields.ForeignKeyField(
        "crm.Product", related_name="opportunities", null=True, on_delete=fields.RESTRICT
    )
    name = fields.CharField(max_length=200)
    pipeline: Any = fields.ForeignKeyField("crm.Pipeline", related_name="opportunities", on_delete=fields.RESTRICT)
    stage: Any = fields.ForeignKeyField("crm.Stage", related_name="opportunities", on_delete=fields.RESTRICT)
    status = fields.CharField(max_length=10)
    stage_since: Any = fields.DatetimeField()
    amount: Any = AmountField(null=True)
    currency = fields.CharField(max_length=3, db_default="USD")
    probability: Any = fields.IntField(null=True)
    engaged_on: Any = fields.DateField(null=True)
    expected_close: Any = fields.DateField(null=True)
    closed_on: Any = fields.DateField(null=True)
    lost_reason: Any = fields.CharField(max_length=300, null=True)
    last_activity_at: Any = fields.DatetimeField(null=True)
    stale_at: Any = fields.DatetimeField(null=True)
    stale_known = fields.BooleanField(db_default=False)
    stale_since: Any = fields.DatetimeField(null=True)
    stale_level = fields.IntField(db_default=0)
    stale_episode = fields.IntField(db_default=1)
    snoozed_until: Any = fields.DatetimeField(null=True)
    score = fields.IntField(db_default=0)
    score_factors: Any = fields.JSONField(db_default=[])
    risk = fields.CharField(max_length=10, db_default="LOW")
    risk_factors: Any = fields.JSONField(db_default=[])
    reassess_on: Any = fields.DateField(null=True)
    highest_amount: Any = AmountField(null=True)
    close_pushes = fields.IntField(db_default=0)

    class Meta:
        table = "opportunities"
        constraints = [
            origin_unique("opportunities"),
            unique("opportunities_customer_id", "customer_id", "id"),
            check("opportunities_status", one_of("status", OpportunityStatus)),
            check("opportunities_risk", one_of("risk", Risk)),
            check("opportunities_stale_level", "stale_level BETWEEN 0 AND 2"),
            check("opportunities_close_pushes", "close_pushes >= 0"),
            check("opportunities_amount_positive", "amount >= 0"),
            # A composite key does not compare a missing customer, so a contact needs one.
            check("opportunities_contact_needs_customer", "contact_id IS NULL OR customer_id IS NOT NULL"),
            check("opportunities_probability", "probability BETWEEN 0 AND 100"),
            check("opportunities_closed", "(closed_on IS NOT NULL) = (status <> 'OPEN')"),
            *amounts("opportunities", "amount"),
        ]
        composite_keys = (
            CompositeKey(
                "opportunities_contact_customer", ("customer_id", "contact_id"), "contacts", ("customer_id", "id")
            ),
            CompositeKey(
                "opportunities_place",
                ("stage_id", "pipeline_id", "status"),
                "stages",
                ("id", "pipeline_id", "status"),
            ),
        )
        indexes = [
            index("opportunities_customer", "customer_id", "id"),
            index("opportunities_contact", "contact_id", "id"),
            index("opportunities_owner", "owner_id", "id"),
            index("opportunities_product", "product_id", "id"),
            index("opportunities_expected_close", "expected_close", "id"),
            index("opportunities_created", "created_at", "id"),
            index("opportunities_pipeline", "pipeline_id", "id"),
            index("opportunities_stage", "stage_id", "id"),
            partial("opportunities_stale", "status = 'OPEN' AND stale_at IS NOT NULL", "stale_at", "id"),
            partial("opportunities_reassess", "status = 'OPEN' AND reassess_on IS NOT NULL", "reassess_on", "id"),
            partial("opportunities_stale_unknown", "status = 'OPEN' AND NOT stale_known", "id"),
        ]
