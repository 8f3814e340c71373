"""Mutations of pipelines: their stages, key actions, calendars and score rules."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain import pipelines, scoring, stage_settings
from crmgql.domain.records import Act
from crmgql.models import ScoreOperator
from crmgql.schema.mutating import Given, input, mutation
from crmgql.schema.mutations.inputs import UNSET, MoveInput
from crmgql.schema.scalars import DateText, JsonValue
from crmgql.schema.strawberries import publish


@strawberry.input
class PipelineStageInput:
    """An open stage of a new pipeline. Hours of silence until the owner is alerted, and after that the manager."""

    name: str
    probability: int | None = UNSET
    conversion_goal: int | None = UNSET
    stale_after_h: int | None = UNSET
    escalate_after_h: int | None = UNSET


@strawberry.input
class StagePlaceInput:
    """A stage in its new place."""

    stage_id: strawberry.ID


publish("PipelineStageInput", PipelineStageInput)
publish("StagePlaceInput", StagePlaceInput)


@input
class PipelineCreateInput:
    """The open stages in order; those for WON and LOST come by themselves."""

    name: str
    stages: list[PipelineStageInput]
    default: bool | None = UNSET
    calendar_id: strawberry.ID | None = UNSET


@input
class PipelineUpdateInput:
    """`default: true` takes the default from the pipeline that has it."""

    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    default: bool | None = UNSET
    calendar_id: strawberry.ID | None = UNSET


@input
class StageCreateInput:
    """The last open stage, unless `afterId` names the one before it."""

    pipeline_id: strawberry.ID
    name: str
    after_id: strawberry.ID | None = UNSET
    probability: int | None = UNSET
    conversion_goal: int | None = UNSET
    stale_after_h: int | None = UNSET
    escalate_after_h: int | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class StageUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    probability: int | None = UNSET
    conversion_goal: int | None = UNSET
    stale_after_h: int | None = UNSET
    escalate_after_h: int | None = UNSET


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


@input
class KeyActionCreateInput:
    """A required one, unless said otherwise, gates the move onwards."""

    stage_id: strawberry.ID
    name: str
    required: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class KeyActionUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    required: bool | None = UNSET


@input
class BusinessCalendarCreateInput:
    """Weekdays are 1 (Monday) to 7."""

    name: str
    timezone: str | None = UNSET
    working_days: list[int] | None = UNSET
    holidays: list[DateText] | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class BusinessCalendarUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    timezone: str | None = UNSET
    working_days: list[int] | None = UNSET
    holidays: list[DateText] | None = UNSET


@input
class ScoreRuleCreateInput:
    """`value`: {"value": …}; for IN {"values": […]}; for an amount also "currency"; for IS_SET nothing."""

    name: str
    field: str
    operator: ScoreOperator
    points: int
    value: JsonValue | None = UNSET
    active: bool | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class ScoreRuleUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    field: str | None = UNSET
    operator: ScoreOperator | None = UNSET
    points: int | None = UNSET
    value: JsonValue | None = UNSET
    active: bool | None = UNSET


@mutation("Pipeline", PipelineCreateInput)
async def pipeline_create(act: Act, given: Given) -> UUID:
    """Makes a pipeline with its stages."""
    return await pipelines.create(act, **given)


@mutation("Pipeline", PipelineUpdateInput)
async def pipeline_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await pipelines.update(act, **given)


@mutation("Pipeline", StageReorderInput)
async def stage_reorder(act: Act, given: Given) -> UUID:
    """Puts a pipeline's open stages into another order."""
    return await pipelines.reorder(act, **given)


@mutation("Stage", StageCreateInput)
async def stage_create(act: Act, given: Given) -> UUID:
    """Makes an open stage."""
    return await pipelines.create_stage(act, **given)


@mutation("Stage", StageUpdateInput)
async def stage_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await pipelines.update_stage(act, **given)


@mutation("Stage", StageArchiveInput)
async def stage_archive(act: Act, given: Given) -> UUID:
    """Closes an open stage for good; its open opportunities go to another one."""
    return await pipelines.archive_stage(act, **given)


@mutation("KeyAction", KeyActionCreateInput)
async def key_action_create(act: Act, given: Given) -> UUID:
    """Makes a key action of an open stage."""
    return await stage_settings.create_action(act, **given)


@mutation("KeyAction", KeyActionUpdateInput)
async def key_action_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await stage_settings.update_action(act, **given)


@mutation("KeyAction", MoveInput)
async def key_action_archive(act: Act, given: Given) -> UUID:
    """Lets a key action gate nothing any more."""
    return await stage_settings.archive_action(act, **given)


@mutation("BusinessCalendar", BusinessCalendarCreateInput)
async def business_calendar_create(act: Act, given: Given) -> UUID:
    """Makes a calendar of days that count."""
    return await stage_settings.create_calendar(act, **given)


@mutation("BusinessCalendar", BusinessCalendarUpdateInput)
async def business_calendar_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await stage_settings.update_calendar(act, **given)


@mutation("ScoreRule", ScoreRuleCreateInput)
async def score_rule_create(act: Act, given: Given) -> UUID:
    """Makes a rule of the score; open opportunities are scored anew."""
    return await scoring.create(act, **given)


@mutation("ScoreRule", ScoreRuleUpdateInput)
async def score_rule_update(act: Act, given: Given) -> UUID:
    """Changes a rule of the score; open opportunities are scored anew."""
    return await scoring.update(act, **given)
