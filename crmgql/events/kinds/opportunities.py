"""Opportunities, their pipelines, the rules that score them."""

from datetime import datetime

from crmgql.events.declarations import SOMETIMES, Changed, Kind, Nothing, record_id


class OpportunityUpdated(Changed):
    """From whom it was handed over, if that person left."""

    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


class StageEntered(Changed):
    """The name of the stage that it went to."""

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
    Kind("opportunity.moved", "Opportunity", "An opportunity went to another stage.", StageEntered, SOMETIMES),
    Kind("opportunity.won", "Opportunity", "An opportunity became a deal.", customer=SOMETIMES),
    Kind("opportunity.lost", "Opportunity", "An opportunity came to nothing.", customer=SOMETIMES),
    Kind("opportunity.reopened", "Opportunity", "A closed opportunity is open again.", customer=SOMETIMES),
    Kind("opportunity.actionDone", "Opportunity", "A key action was done.", ActionDone, SOMETIMES),
    Kind("opportunity.actionUndone", "Opportunity", "A key action was not done after all.", ActionDone, SOMETIMES),
    Kind("opportunity.snoozed", "Opportunity", "Alerts about an opportunity were put off.", customer=SOMETIMES),
    Kind("opportunity.unsnoozed", "Opportunity", "Alerts about an opportunity come again.", customer=SOMETIMES),
    Kind("opportunity.stale", "Opportunity", "Nothing happened in an opportunity for too long.", Stale, SOMETIMES),
    Kind("opportunity.revived", "Opportunity", "Something happened in a stale opportunity.", Nothing, SOMETIMES),
    Kind(
        "stageTransition.recorded",
        "StageTransition",
        "A move of an opportunity's past was recorded.",
        Nothing,
        SOMETIMES,
    ),
    Kind("pipeline.created", "Pipeline", "A pipeline was made, with its stages."),
    Kind("pipeline.updated", "Pipeline", "A pipeline changed."),
    Kind("pipeline.stagesReordered", "Pipeline", "A pipeline's stages were put into another order."),
    Kind("stage.created", "Stage", "A stage was added to a pipeline."),
    Kind("stage.updated", "Stage", "A stage changed."),
    Kind("stage.archived", "Stage", "Nothing comes into a stage any more."),
    Kind("keyAction.created", "KeyAction", "A key action was added to a stage."),
    Kind("keyAction.updated", "KeyAction", "A key action changed."),
    Kind("keyAction.archived", "KeyAction", "A key action is asked for no more."),
    Kind("scoreRule.created", "ScoreRule", "A rule for scores was made."),
    Kind("scoreRule.updated", "ScoreRule", "A rule for scores changed."),
)
