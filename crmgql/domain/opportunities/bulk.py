"""Many opportunities and past moves at once. The next sweep computes their scores, risks and alerts."""

from __future__ import annotations

from collections.abc import Sequence, Set
from uuid import UUID

from crmgql.domain.opportunities import standings
from crmgql.domain.opportunities.opportunities import MOVES
from crmgql.events.outbox import Entry
from crmgql.models import Opportunity, StageTransition
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change, touched
from crmgql.records.records import Act, Row
from crmgql.records.upserts import STAGE

STAGES = "SELECT id, name FROM stages WHERE id = ANY ($1)"
# Since it came into the stage that it left, where that is known: from before, or from what is written with it.
IN_STAGE = f"""
(SELECT extract(epoch FROM s.occurred_at - greatest(
    (SELECT max(e.occurred_at) FROM stage_transitions e WHERE e.opportunity_id = s.opportunity_id
        AND e.to_stage_id = s.from_stage_id AND e.occurred_at <= s.occurred_at),
    (SELECT max(e.occurred_at) FROM {STAGE} e WHERE e.opportunity_id = s.opportunity_id
        AND e.to_stage_id = s.from_stage_id AND e.occurred_at <= s.occurred_at AND e.n <> s.n)))::bigint)"""
# Parameters: the first and last `n` of the staged rows, now. The earliest row that names a customer decides.
GIVE_CUSTOMERS = f"""
WITH wanted AS (
    SELECT DISTINCT ON (opportunity_id) opportunity_id AS id, customer_id FROM {STAGE}
    WHERE n BETWEEN $1 AND $2 AND opportunity_id IS NOT NULL AND customer_id IS NOT NULL ORDER BY opportunity_id, n
), free AS MATERIALIZED (
    SELECT id FROM opportunities WHERE customer_id IS NULL AND id IN (SELECT id FROM wanted) ORDER BY id FOR UPDATE
)
UPDATE opportunities o SET customer_id = wanted.customer_id, version = o.version + 1, updated_at = $3, stale_known = false
FROM wanted JOIN free USING (id) WHERE o.id = wanted.id RETURNING o.id, o.customer_id, o.version"""


async def give_customers(act: Act, columns: Sequence[str], first: int, last: int) -> list[Entry]:
    """As `opportunities.give_customer`, for the staged rows of a writer. A row of another customer breaks its foreign key."""
    if not {"opportunity_id", "customer_id"} <= set(columns):
        return []
    given = await act.tx.connection.fetch(GIVE_CUSTOMERS, first, last, act.now)
    return [
        Entry(
            "opportunity.updated",
            ("Opportunity", row["id"]),
            row["customer_id"],
            {"customer_id": (None, row["customer_id"])},
            {"version": row["version"]},
        )
        for row in given
    ]


class _Opportunities(Writer):
    derived = frozenset(
        {"pipeline", "pipeline_id", "status", "stage_since", "snoozed_until", "stale_known", *standings.WRITTEN}
    )
    filled = frozenset({"stage"})
    returned = ("status",)

    def changed_values(self, updates: dict[str, str]) -> dict[str, str]:
        """One that has a customer keeps it where the row names none: it may be that of its orders."""
        if "customer_id" in updates:
            updates["customer_id"] = "coalesce(EXCLUDED.customer_id, t.customer_id)"
        return updates

    def quiet_values(self, updates: Set[str]) -> dict[str, str]:
        moved = "t.stage_id IS DISTINCT FROM EXCLUDED.stage_id"
        quiet = {
            "stale_known": "false",
            "stage_since": f"CASE WHEN {moved} THEN EXCLUDED.stage_since ELSE t.stage_since END",
        }
        if "currency" in updates:  # amounts of another currency say nothing about this one's
            quiet["highest_amount"] = "CASE WHEN t.currency = EXCLUDED.currency THEN t.highest_amount END"
        return quiet

    async def entries(self, act: Act, changes: Sequence[Change]) -> list[Entry]:
        moved = [change for change in changes if not change.new and "stage_id" in change.changes]
        ids = {change.row["stage_id"] for change in moved}
        names = {row["id"]: row["name"] for row in await act.tx.connection.fetch(STAGES, ids)} if ids else {}
        return [self.entry(change, *self._kind_of(change, names)) for change in changes]

    def _kind_of(self, change: Change, names: dict[UUID, str]) -> tuple[str, Row]:
        if change.new or "stage_id" not in change.changes:
            return self.kind_of(change)
        if "status" not in change.changes:
            return "opportunity.moved", {"to": names[change.row["stage_id"]]}
        return MOVES.events[change.row["status"]], {}  # of OPEN: reopened, as a move within OPEN changes no status


class _StageTransitions(Writer):
    derived = frozenset({"seconds_in_stage"})
    inherits = ("opportunity",)
    stage_index = "opportunity_id"

    def new_values(self, columns: Sequence[str]) -> dict[str, str]:
        return {"seconds_in_stage": IN_STAGE} if "from_stage_id" in columns else {}

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        """A move counts as activity."""
        await standings.recount_later(act, touched(changes, "opportunity_id"))
        return ()


opportunities = _Opportunities(Opportunity, "opportunity.created", "opportunity.updated")
stage_transitions = _StageTransitions(StageTransition, "stageTransition.recorded", demands="Opportunity")
