"""Mutations of pipelines: stages, key actions, score rules."""

from __future__ import annotations

import strawberry

from crmgql.domain.opportunities import key_actions, pipelines, score_rules
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input, part
from crmgql.engine.mutations import Row


@part(pipelines.NewStage)
class PipelineStageInput:
    """An open stage of a new pipeline. `staleAfterH`: hours without activity until the owner is alerted; `escalateAfterH`: hours
    after that until the manager is."""

    name: str
    probability: int | None = UNSET
    conversion_goal: int | None = UNSET
    stale_after_h: int | None = UNSET
    escalate_after_h: int | None = UNSET


@part(pipelines.Place)
class StagePlaceInput:
    """A stage, at its new position in the list."""

    stage_id: strawberry.ID


@input
class StageArchiveInput:
    """`stageId`: where its open opportunities go."""

    id: strawberry.ID
    stage_id: strawberry.ID | None = UNSET
    expected_version: int | None = UNSET


@input
class StageReorderInput:
    """A pipeline's id and all of its open stages."""

    id: strawberry.ID
    stages: list[StagePlaceInput]
    expected_version: int | None = UNSET


mutations.table(
    "Pipeline",
    Row(
        "pipelineCreate",
        "Makes a pipeline with its stages.",
        pipelines.create,
        input=inputs.create(
            "name default calendar_id",
            also={"stages": list[PipelineStageInput]},
            origin=False,
            doc="The open stages in order; those for WON and LOST are added.",
        ),
    ),
    Row(
        "pipelineUpdate",
        "Changes what the input names.",
        pipelines.update,
        input=inputs.update(
            "name default calendar_id", doc="`default: true` makes it the default pipeline in place of the one before."
        ),
    ),
    Row(
        "stageReorder",
        "Puts a pipeline's open stages into another order.",
        pipelines.reorder,
        input=StageReorderInput,
    ),
)

mutations.table(
    "Stage",
    Row(
        "stageCreate",
        "Makes an open stage.",
        pipelines.create_stage,
        input=inputs.create(
            "pipeline_id",
            pipelines.STAGE_FACTS,
            also={"after_id": strawberry.ID | None},
            doc="By default the last open stage; `afterId` names the stage before it.",
        ),
    ),
    Row(
        "stageUpdate",
        "Changes what the input names.",
        pipelines.update_stage,
        input=inputs.update(pipelines.STAGE_FACTS),
    ),
    Row(
        "stageArchive",
        "Closes an open stage for good; its open opportunities go to another one.",
        pipelines.archive_stage,
        input=StageArchiveInput,
    ),
)

mutations.table(
    "KeyAction",
    Row(
        "keyActionCreate",
        "Makes a key action of an open stage.",
        key_actions.create_action,
        input=inputs.create("stage_id", key_actions.FACTS),
    ),
    Row(
        "keyActionUpdate",
        "Changes what the input names.",
        key_actions.update_action,
        input=inputs.update(key_actions.FACTS),
    ),
    Row("keyActionArchive", "Archives a key action: it is no longer required.", key_actions.archive_action),
)

mutations.table(
    "ScoreRule",
    Row(
        "scoreRuleCreate",
        "Makes a score rule; open opportunities are scored again.",
        score_rules.create,
        input=inputs.create(
            score_rules.FACTS,
            doc='`value`: {"value": …}; for IN {"values": […]}; for an amount also "currency"; for IS_SET nothing.',
        ),
    ),
    Row(
        "scoreRuleUpdate",
        "Changes a score rule; open opportunities are scored again.",
        score_rules.update,
        input=inputs.update(score_rules.FACTS),
    ),
)
