"""The key actions of a stage: what is to be done in it; required ones must be done before the move onwards."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import IllegalTransition
from crmgql.models import KeyAction, Stage
from crmgql.records import plain, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act

FACTS = "name required"
NEXT_POSITION = "SELECT coalesce(max(position), 0) + 1 FROM key_actions WHERE stage_id = $1"


@takes(KeyAction, FACTS, ORIGIN)
async def create_action(act: Act, *, stage_id: UUID, **values: Any) -> UUID:
    """Makes a key action of an open stage, after the others."""
    access.require_write(act.viewer, "KeyAction")
    stage = await records.visible(act, Stage, stage_id, field="stageId")
    if stage["status"] != "OPEN" or stage["archived_at"] is not None:
        raise IllegalTransition("Key actions belong to open stages that are not archived.", field="stageId")
    values |= {"stage_id": stage_id, "position": await act.tx.connection.fetchval(NEXT_POSITION, stage_id)}
    action = await records.create(act, KeyAction, values, kind="keyAction.created")
    return action["id"]  # type: ignore[no-any-return]


update_action = plain.update(KeyAction, FACTS, kind="keyAction.updated")
archive_action = plain.archive(KeyAction, kind="keyAction.archived")
"""An archived action is required no more; where it was done stays recorded."""
