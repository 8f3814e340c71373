"""Opportunities, their pipelines, stages, transitions and alerts."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node, one


@node(models.Opportunity, plural="opportunities")
class Opportunity:
    """A possible deal."""

    name = column()
    status = column(enum=models.OpportunityStatus)
    stage_since = column(doc="When it came into its stage.")
    amount = money("amount")
    currency = column()
    probability = column(doc="Per cent; null: that of its stage.")
    engaged_on = column()
    expected_close = column(sort=True)
    closed_on = column()
    lost_reason = column()
    last_activity_at = column(doc="The time of the last interaction, move, completed task or key action.")
    stale_at = column(doc="When the next alert is due if there is no activity; null: none is.")
    stale_since = column(doc="Since when it is stale; null: it is not.")
    snoozed_until = column()
    score = column()
    score_factors = column(doc="How the score is computed: a list of {rule, points, because}.")
    risk = column(enum=models.Risk)
    risk_factors = column(doc="How the risk is computed: a list of {factor, because}.")
    pipeline = one()
    stage = one()
    owner = one()
    customer = one()
    contact = one()
    product = one()
    orders = many("Order", "opportunity", order="-orderedAt")
    interactions = many("Interaction", "opportunity", order="-occurredAt")
    actions = many("OpportunityAction", "opportunity")
    transitions = many("StageTransition", "opportunity", order="-occurredAt")
    stale_alerts = many("StaleAlert", "opportunity")
    tasks = many("Task", "opportunity")


@node(models.Pipeline, order="name")
class Pipeline:
    """A sequence of stages for opportunities."""

    name = column(sort=True)
    default = column("is_default", "Whether new opportunities go to this pipeline by default.")
    calendar = one("The days that count towards being stale; null: all of them.")
    stages = many("Stage", "pipeline", order="position")


@node(models.Stage, order="position")
class Stage:
    """A step of a pipeline."""

    name = column()
    position = column(sort=True)
    status = column(enum=models.OpportunityStatus, doc="What an opportunity in this stage is.")
    probability = column(doc="Per cent.")
    conversion_goal = column(doc="The per cent of opportunities that should go on from here.")
    stale_after_h = column(doc="Hours without activity after which the owner is alerted.")
    escalate_after_h = column(doc="Hours after that alert until the manager is alerted.")
    archived_at = column()
    pipeline = one()
    key_actions = many("KeyAction", "stage", order="position")


@node(models.KeyAction, order="position")
class KeyAction:
    """An action that is to be done in a stage; a required one must be done before the move onwards."""

    name = column()
    position = column(sort=True)
    required = column()
    archived_at = column()
    stage = one()


@node(models.OpportunityAction)
class OpportunityAction:
    """A key action that was done."""

    done_at = column()
    opportunity = one()
    key_action = one()
    done_by = one()


@node(models.StageTransition, order="-occurredAt")
class StageTransition:
    """A move between stages, with the figures before and after."""

    occurred_at = column(sort=True)
    seconds_in_stage = column(doc="Seconds that it was in the stage that it left.")
    amount_before = money("amount_before")
    amount_after = money("amount_after")
    expected_close_before = column()
    expected_close_after = column()
    opportunity = one()
    from_stage = one()
    to_stage = one()
    actor = one()


@node(models.ScoreRule, order="name")
class ScoreRule:
    """Points for an opportunity whose field meets a condition."""

    name = column(sort=True)
    field = column()
    operator = column(enum=models.ScoreOperator)
    value = column()
    points = column()
    active = column()


@node(models.StaleAlert, order="-id")
class StaleAlert:
    """An alert about an opportunity without activity."""

    episode = column()
    threshold = column(enum=models.StaleThreshold)
    due_at = column()
    alerted_at = column()
    opportunity = one()
    user = one()
