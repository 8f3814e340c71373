"""Pipelines and their stages, which administrators set up. Key actions are in `key_actions`.

Always holds: exactly one pipeline is the default; each has one stage for WON, one for LOST, and at least one open stage; the
open stages come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.opportunities import standings
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.events import outbox
from crmgql.models import BusinessCalendar, Pipeline, Stage, names
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

STAGE_FACTS = "name probability conversion_goal stale_after_h escalate_after_h"
MOST_STAGES = 50
LONGEST_H = 8_760
"""Hours in a year: the longest wait for an alert."""

ENDS = (("Won", "WON", 100), ("Lost", "LOST", 0))
STAGE = ("probability", "conversion_goal", "stale_after_h", "escalate_after_h")
PATIENCE = ("stale_after_h", "escalate_after_h")
END_NAMES = frozenset(name.lower() for name, *_ in ENDS)
CONFLICTS = {
    "pipelines_name": ("name", "Another pipeline has this name."),
    "stages_name": ("name", "Another stage of this pipeline has this name."),
    "stages_probability": ("probability", "A probability is 0 to 100 per cent."),
    "stages_conversion_goal": ("conversionGoal", "A goal is 0 to 100 per cent."),
}
DEFAULT = "SELECT id FROM pipelines WHERE is_default"
LOCK = "SELECT FROM pipelines WHERE id = $1 FOR NO KEY UPDATE"
STAGES = """
SELECT * FROM stages WHERE pipeline_id = $1 ORDER BY status <> 'OPEN', archived_at IS NOT NULL, position FOR NO KEY UPDATE"""
# Positions are unique row by row, so all step aside first.
ASIDE = "UPDATE stages SET position = -position WHERE pipeline_id = $1"
PLACE = """
UPDATE stages SET position = place FROM unnest($1::uuid[]) WITH ORDINALITY AS new (id, place) WHERE stages.id = new.id"""
EMPTY_STAGE = """
WITH moved AS (
    UPDATE opportunities SET stage_id = $2, stage_since = $3, stale_known = false, version = version + 1, updated_at = $3
    WHERE stage_id = $1 AND status = 'OPEN'
    RETURNING new.id, new.customer_id, old.stage_since, new.amount, new.currency, new.expected_close, new.version
), passed AS (
    INSERT INTO stage_transitions (opportunity_id, customer_id, from_stage_id, to_stage_id, actor_id, seconds_in_stage,
        amount_before, amount_after, currency, expected_close_before, expected_close_after, occurred_at)
    SELECT id, customer_id, $1, $2, $4, greatest(0, extract(epoch FROM $3 - stage_since))::bigint,
        amount, amount, currency, expected_close, expected_close, $3 FROM moved
)
SELECT id, customer_id, version FROM moved"""
ANY_OPEN = "SELECT EXISTS (SELECT FROM opportunities WHERE stage_id = $1 AND status = 'OPEN')"


@dataclass(frozen=True, slots=True)
class NewStage:
    """An open stage of a new pipeline."""

    name: str
    probability: int | None = None
    conversion_goal: int | None = None
    stale_after_h: int | None = None
    escalate_after_h: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A stage in its new place."""

    stage_id: UUID


async def create(
    act: Act, *, name: str, stages: Sequence[NewStage], default: bool | None = None, calendar_id: UUID | None = None
) -> UUID:
    """Makes a pipeline with its open stages in order; those for WON and LOST are added."""
    access.require_write(act.viewer, "Pipeline")
    if not 0 < len(stages) <= MOST_STAGES:
        raise BadUserInput(f"A pipeline has 1 to {MOST_STAGES} open stages.", field="stages")
    if calendar_id is not None:
        await records.visible(act, BusinessCalendar, calendar_id, field="calendarId")
    if default:
        await _undo_default(act)
    values = {"name": name, "is_default": bool(default), "calendar_id": calendar_id}
    pipeline = await records.create(act, Pipeline, values, kind="pipeline.created", conflicts=CONFLICTS)
    await _insert_stages(act, pipeline, [asdict(stage) for stage in stages])
    return pipeline["id"]  # type: ignore[no-any-return]


@takes(Pipeline, "name calendar_id")
async def update(
    act: Act, *, id: UUID, expected_version: int | None = None, default: bool | None = None, **changes: Any
) -> UUID:
    """Changes what is named. A new calendar changes when alerts are due; `default` can be set but not unset."""
    access.require_write(act.viewer, "Pipeline")
    if changes.get("calendar_id") is not None:
        await records.visible(act, BusinessCalendar, changes["calendar_id"], field="calendarId")
    if default:
        await _undo_default(act, unless=id)
    pipeline = await records.lock(act, Pipeline, id, expected_version=expected_version)
    if default is False and pipeline["is_default"]:
        raise Conflict("There must be a default; make another pipeline it.", field="default")
    changes |= {"is_default": True} if default else {}
    if "calendar_id" in changes and changes["calendar_id"] != pipeline["calendar_id"]:
        await standings.refresh_later(act, pipeline_ids=[id])
    await records.change(act, Pipeline, pipeline, changes, kind="pipeline.updated", conflicts=CONFLICTS)
    return id


@takes(Stage, STAGE_FACTS, ORIGIN)
async def create_stage(act: Act, *, pipeline_id: UUID, after_id: UUID | None = None, **values: Any) -> UUID:
    """Makes an open stage: the last one, or the one after `after_id`."""
    access.require_write(act.viewer, "Stage")
    pipeline = await records.visible(act, Pipeline, pipeline_id, field="pipelineId")
    stages = await _stages(act, pipeline_id)
    if len(stages) >= 2 * MOST_STAGES:
        raise Conflict(f"A pipeline has at most {2 * MOST_STAGES} stages, archived ones included.", field="pipelineId")
    position = max(each["position"] for each in stages) + 1
    values = _checked({**values, "pipeline_id": pipeline["id"], "position": position})
    stage = await records.create(act, Stage, values, kind="stage.created", conflicts=CONFLICTS)
    live = [each["id"] for each in stages if _is_live(each)]
    place = len(live)
    if after_id is not None:
        if after_id not in live:
            raise BadUserInput("This is no open stage of the pipeline.", field="afterId")
        place = live.index(after_id) + 1
    await _place(act, pipeline_id, [*live[:place], stage["id"], *live[place:]])
    return stage["id"]  # type: ignore[no-any-return]


@takes(Stage, STAGE_FACTS)
async def update_stage(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named. If hours or probability change, the next sweep refreshes the stage's opportunities."""
    access.require_write(act.viewer, "Stage")
    stage = await records.lock(act, Stage, id, expected_version=expected_version)
    _checked({**stage, **changes})
    await records.change(act, Stage, stage, changes, kind="stage.updated", conflicts=CONFLICTS)
    if any(changes.get(name, stage[name]) != stage[name] for name in (*PATIENCE, "probability")):
        await standings.refresh_later(act, stage_ids=[id])
    return id


async def archive_stage(
    act: Act, *, id: UUID, stage_id: UUID | None = None, expected_version: int | None = None
) -> UUID:
    """Closes the stage for good. Its open opportunities go to `stage_id`, which must be named if there are any."""
    access.require_write(act.viewer, "Stage")
    stages = await _siblings(act, id)
    stage = await records.lock(act, Stage, id, expected_version=expected_version)
    if not _is_live(stage):
        why = "archived already" if stage["archived_at"] else f"where {stage['status']} opportunities are"
        raise IllegalTransition(f"This stage is {why}; it can't be archived.", field="id")
    if sum(map(_is_live, stages)) == 1:
        raise Conflict("This is the pipeline's last open stage; make another one first.", field="id")
    target = await _target(act, stage, stage_id)
    if target is not None:
        await records.allow_long_statements(act)
        await _empty(act, id, target)
    elif await act.tx.connection.fetchval(ANY_OPEN, id):
        raise Conflict("The stage has open opportunities; name the stage that they go to.", field="stageId")
    await records.change(act, Stage, stage, {"archived_at": act.now}, kind="stage.archived")
    await _place(act, stage["pipeline_id"], [each["id"] for each in stages if _is_live(each) and each["id"] != id])
    return id


async def reorder(act: Act, *, id: UUID, stages: Sequence[Place], expected_version: int | None = None) -> UUID:
    """Puts a pipeline's open stages into this order; the call names all of them, each once."""
    access.require_write(act.viewer, "Stage")
    pipeline = await records.lock(act, Pipeline, id, expected_version=expected_version)
    live = [each["id"] for each in await _stages(act, id) if _is_live(each)]
    wanted = [each.stage_id for each in stages]
    if sorted(wanted) != sorted(live):
        raise BadUserInput("Name each open stage of the pipeline once, and no other.", field="stages")
    await _place(act, id, wanted)
    kind = "pipeline.stagesReordered"
    await records.change(act, Pipeline, pipeline, {}, kind=kind, touch=wanted != live)
    return id


def _is_live(stage: Row) -> bool:
    return stage["status"] == "OPEN" and stage["archived_at"] is None


async def _siblings(act: Act, id: UUID) -> list[Row]:
    """The stages of a stage's pipeline, locked as by `_stages`."""
    stage = await records.visible(act, Stage, id, field="id")
    return await _stages(act, stage["pipeline_id"])


async def _stages(act: Act, pipeline_id: UUID) -> list[Row]:
    """A pipeline's stages, locked with it, the open ones first."""
    await act.tx.connection.execute(LOCK, pipeline_id)
    return [dict(row) for row in await act.tx.connection.fetch(STAGES, pipeline_id)]


async def _place(act: Act, pipeline_id: UUID, live: Sequence[UUID]) -> None:
    """Numbers the open stages in this order, then the archived ones, then WON and LOST. The next sweep refreshes the scores."""
    stages = await _stages(act, pipeline_id)
    others = [each["id"] for each in stages if each["id"] not in live]
    await act.tx.connection.execute(ASIDE, pipeline_id)
    await act.tx.connection.execute(PLACE, [*live, *others])
    before = {each["id"]: each["position"] for each in stages}
    if moved := [id for place, id in enumerate(live, start=1) if before[id] != place]:
        await standings.refresh_later(act, stage_ids=moved)


async def _target(act: Act, stage: Row, stage_id: UUID | None) -> Row | None:
    if stage_id is None:
        return None
    target = await records.visible(act, Stage, stage_id, field="stageId", steady=True)
    if stage_id == stage["id"] or target["pipeline_id"] != stage["pipeline_id"] or not _is_live(target):
        raise BadUserInput("They can go to another open stage of the same pipeline.", field="stageId")
    return target


async def _empty(act: Act, id: UUID, target: Row) -> None:
    """Moves a stage's open opportunities to another stage."""
    moved = await act.tx.connection.fetch(EMPTY_STAGE, id, target["id"], act.now, act.viewer.actor_id)
    changes, kind = {"stage_id": (id, target["id"])}, "opportunity.moved"
    entries = [
        outbox.Entry(
            kind,
            ("Opportunity", row["id"]),
            row["customer_id"],
            changes,
            {"version": row["version"], "to": target["name"]},
        )
        for row in moved
    ]
    await outbox.record_many(act.tx, act.viewer, entries)


async def _insert_stages(act: Act, pipeline: Row, stages: Sequence[Row]) -> None:
    """A new pipeline's stages, the open ones first."""
    names: set[str] = set()
    for index, stage in enumerate(stages):
        _check_new(stage, f"stages.{index}.", names)
    ends = [{"name": name, "status": status, "probability": probability} for name, status, probability in ENDS]
    await records.insert_many(
        act,
        Stage,
        [
            {**dict.fromkeys(STAGE), "status": "OPEN", **values, "pipeline_id": pipeline["id"], "position": position}
            for position, values in enumerate((*stages, *ends), start=1)
        ],
        each=lambda index: f"stages.{index}.",
        conflicts={name: (f"stages.{field}", message) for name, (field, message) in CONFLICTS.items()},
    )


def _check_new(stage: Row, prefix: str, names: set[str]) -> None:
    """Raises for what the database would refuse, so that the error names the stage. `names`: those of the stages before."""
    name = stage["name"].lower()
    if name in END_NAMES:
        raise BadUserInput("Stages for won and lost are added by the server.", field=f"{prefix}name")
    if name in names:
        raise Conflict(CONFLICTS["stages_name"][1], field=f"{prefix}name")
    names.add(name)
    _checked(stage, prefix)
    for column, constraint in (("probability", "stages_probability"), ("conversion_goal", "stages_conversion_goal")):
        if stage.get(column) is not None and not 0 <= stage[column] <= 100:
            field, message = CONFLICTS[constraint]
            raise BadUserInput(message, field=f"{prefix}{field}")


def _checked(values: Row, prefix: str = "") -> Row:
    for name in PATIENCE:
        hours = values.get(name)
        if hours is not None and not 0 < hours <= LONGEST_H:
            raise BadUserInput(f"Hours are 1 to {LONGEST_H}.", field=prefix + names.api_name(name))
    if values.get("escalate_after_h") is not None and values.get("stale_after_h") is None:
        raise BadUserInput(
            "Nothing is escalated that is not stale: give staleAfterH too.", field=f"{prefix}escalateAfterH"
        )
    return values


async def _undo_default(act: Act, *, unless: UUID | None = None) -> None:
    """Unsets the default of the pipeline that has it; one such change at a time."""
    await records.serialize(act, "pipelines.is_default")
    default = await act.tx.connection.fetchval(DEFAULT)
    if default is not None and default != unless:
        pipeline = await records.lock(act, Pipeline, default)
        await records.change(act, Pipeline, pipeline, {"is_default": False}, kind="pipeline.updated")
