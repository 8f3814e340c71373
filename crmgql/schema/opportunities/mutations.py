"""Mutations of opportunities and of their pipelines: stages, key actions, score rules."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.opportunities import key_actions, opportunities, pipelines, score_rules
from crmgql.engine.mutations import Given, input, mutation
from crmgql.engine.scalars import DateText, DateTimeText, JsonValue
from crmgql.engine.strawberries import publish
from crmgql.models import ScoreOperator
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET, MoneyInput, MoveInput


@input
class OpportunityCreateInput:
    """Without an owner it is yours if you sell or manage."""

    name: str
    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    product_id: strawberry.ID | None = UNSET
    stage_id: strawberry.ID | None = UNSET
    amount: MoneyInput | None = UNSET
    probability: int | None = UNSET
    engaged_on: DateText | None = UNSET
    expected_close: DateText | None = UNSET
    source: str | None = UNSET
    external_id: str | None = UNSET


@input
class OpportunityUpdateInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    name: str | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    contact_id: strawberry.ID | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    product_id: strawberry.ID | None = UNSET
    amount: MoneyInput | None = UNSET
    probability: int | None = UNSET
    engaged_on: DateText | None = UNSET
    expected_close: DateText | None = UNSET


@input
class OpportunityMoveInput:
    """The stage is an open one; of another pipeline too."""

    id: strawberry.ID
    stage_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class OpportunityLoseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class OpportunityReopenInput:
    """Back to its pipeline's last open stage unless another open stage is named."""

    id: strawberry.ID
    stage_id: strawberry.ID | None = UNSET
    expected_version: int | None = UNSET


@input
class OpportunityActionInput:
    """A key action of the opportunity's pipeline."""

    id: strawberry.ID
    key_action_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class OpportunitySnoozeInput:
    """Until when; at most a year ahead."""

    id: strawberry.ID
    until: DateTimeText
    expected_version: int | None = UNSET


@mutation("Opportunity", OpportunityCreateInput)
async def opportunity_create(act: Act, given: Given) -> UUID:
    """Makes an opportunity in an open stage."""
    return await opportunities.create(act, **given)


@mutation("Opportunity", OpportunityUpdateInput)
async def opportunity_update(act: Act, given: Given) -> UUID:
    """Changes what the input names; of a closed one the name and the owner."""
    return await opportunities.update(act, **given)


@mutation("Opportunity", OpportunityMoveInput)
async def opportunity_move(act: Act, given: Given) -> UUID:
    """Moves to another open stage; onwards only when the stage's required key actions are done."""
    return await opportunities.move(act, **given)


@mutation("Opportunity", MoveInput)
async def opportunity_win(act: Act, given: Given) -> UUID:
    """Closes an open opportunity as won, today, when its stage's required key actions are done."""
    return await opportunities.win(act, **given)


@mutation("Opportunity", OpportunityLoseInput)
async def opportunity_lose(act: Act, given: Given) -> UUID:
    """Closes an open opportunity as lost, today, and says why."""
    return await opportunities.lose(act, **given)


@mutation("Opportunity", OpportunityReopenInput)
async def opportunity_reopen(act: Act, given: Given) -> UUID:
    """Opens a won or lost opportunity again."""
    return await opportunities.reopen(act, **given)


@mutation("Opportunity", OpportunityActionInput)
async def opportunity_action_done(act: Act, given: Given) -> UUID:
    """Notes that a key action was done."""
    return await opportunities.finish_action(act, **given)


@mutation("Opportunity", OpportunityActionInput)
async def opportunity_action_undone(act: Act, given: Given) -> UUID:
    """Takes back that a key action was done."""
    return await opportunities.undo_action(act, **given)


@mutation("Opportunity", OpportunitySnoozeInput)
async def opportunity_snooze(act: Act, given: Given) -> UUID:
    """Lets no alert come before a time; then it is due, unless something happens before."""
    return await opportunities.snooze(act, **given)


@mutation("Opportunity", MoveInput)
async def opportunity_unsnooze(act: Act, given: Given) -> UUID:
    """Lets alerts come again."""
    return await opportunities.unsnooze(act, **given)


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
    return await key_actions.create_action(act, **given)


@mutation("KeyAction", KeyActionUpdateInput)
async def key_action_update(act: Act, given: Given) -> UUID:
    """Changes what the input names."""
    return await key_actions.update_action(act, **given)


@mutation("KeyAction", MoveInput)
async def key_action_archive(act: Act, given: Given) -> UUID:
    """Lets a key action gate nothing any more."""
    return await key_actions.archive_action(act, **given)


@mutation("ScoreRule", ScoreRuleCreateInput)
async def score_rule_create(act: Act, given: Given) -> UUID:
    """Makes a rule of the score; open opportunities are scored anew."""
    return await score_rules.create(act, **given)


@mutation("ScoreRule", ScoreRuleUpdateInput)
async def score_rule_update(act: Act, given: Given) -> UUID:
    """Changes a rule of the score; open opportunities are scored anew."""
    return await score_rules.update(act, **given)
