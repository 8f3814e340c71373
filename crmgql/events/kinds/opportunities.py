"""Opportunities, pipelines, score rules."""

from datetime import datetime

from crmgql.events.declarations import SOMETIMES, Changed, Kind, Nothing, record_id


class OpportunityUpdated(Changed):
    """The deactivated user from whom it was handed over, if any."""

    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


class StageEntered(Changed):
    """The name of the new stage."""

    to: str


class ActionDone(Changed):
    """The key action's name."""

    action: str


class Stale(Changed):
    """Which threshold was passed, and when."""

    threshold: str
    due_at: datetime


KINDS = (
    Kind("opportunity.created", "Opportunity", "An opportunity was made.", customer=SOMETIMES),
    Kind("opportunity.updated", "Opportunity", "An opportunity's record changed.", OpportunityUpdated, SOMETIMES),
    Kind("opportunity.moved", "Opportunity", "An opportunity moved to another stage.", StageEntered, SOMETIMES),
    Kind("opportunity.won", "Opportunity", "An opportunity was won.", customer=SOMETIMES),
    Kind("opportunity.lost", "Opportunity", "An opportunity was lost.", customer=SOMETIMES),
    Kind("opportunity.reopened", "Opportunity", "A closed opportunity was reopened.", customer=SOMETIMES),
    Kind("opportunity.actionDone", "Opportunity", "A key action was done.", ActionDone, SOMETIMES),
    Kind("opportunity.actionUndone", "Opportunity", "A key action was marked as not done.", ActionDone, SOMETIMES),
    Kind("opportunity.snoozed", "Opportunity", "Alerts about an opportunity were snoozed.", customer=SOMETIMES),
    Kind(
        "opportunity.unsnoozed", "Opportunity", "Alerts about an opportunity are no longer snoozed.", customer=SOMETIMES
    ),
    Kind("opportunity.stale", "Opportunity", "An opportunity had no activity for too long.", Stale, SOMETIMES),
    Kind("opportunity.revived", "Opportunity", "A stale opportunity had an activity.", Nothing, SOMETIMES),
    Kind("stageTransition.recorded", "StageTransition", "A past move was recorded by an import.", Nothing, SOMETIMES),
    Kind("pipeline.created", "Pipeline", "A pipeline was made, with its stages."),
    Kind("pipeline.updated", "Pipeline", "A pipeline changed."),
    Kind("pipeline.stagesReordered", "Pipeline", "A pipeline's stages were put into another order."),
    Kind("stage.created", "Stage", "A stage was added to a pipeline."),
    Kind("stage.updated", "Stage", "A stage changed."),
    Kind("stage.archived", "Stage", "A stage was archived."),
    Kind("keyAction.created", "KeyAction", "A key action was added to a stage."),
    Kind("keyAction.updated", "KeyAction", "A key action changed."),
    Kind("keyAction.archived", "KeyAction", "A key action was archived."),
    Kind("scoreRule.created", "ScoreRule", "A rule for scores was made."),
    Kind("scoreRule.updated", "ScoreRule", "A rule for scores changed."),
)
