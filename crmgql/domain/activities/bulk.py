"""Many interactions and tickets at once."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql.domain.activities.interactions import COUNTS
from crmgql.domain.activities.tickets import MOVES
from crmgql.domain.opportunities import standings
from crmgql.domain.opportunities.bulk import give_customers
from crmgql.events.outbox import Entry
from crmgql.models import Interaction, Ticket
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change, touched
from crmgql.records.records import Act, Row


class _Interactions(Writer):
    returned = ("opportunity_id",)

    async def prepare(self, act: Act, columns: Sequence[str], first: int, last: int) -> Sequence[Entry]:
        return await give_customers(act, columns, first, last)

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        """An interaction is an activity of its opportunity, and no longer of its former one."""
        counting = [change for change in changes if not change.changes.keys().isdisjoint(COUNTS)]
        now = {change.row["opportunity_id"] for change in counting} - {None}
        await standings.recount_later(act, sorted(now | set(touched(counting, "opportunity_id"))))
        return ()


class _Tickets(Writer):
    def kind_of(self, change: Change) -> tuple[str, Row]:
        kind, payload = super().kind_of(change)
        return ("ticket.assigned" if kind == self.updated and "assignee_id" in change.changes else kind), payload


interactions = _Interactions(Interaction, "interaction.logged", "interaction.updated")
tickets = _Tickets(Ticket, "ticket.opened", "ticket.updated", by_status=MOVES.events)
