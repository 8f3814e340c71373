"""Many users and teams at once."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql.domain.people.users import HIERARCHY, PERSONAL, require_person
from crmgql.events.outbox import Entry
from crmgql.models import Team, User
from crmgql.records import records
from crmgql.records.bulk import Writer
from crmgql.records.changes import Change
from crmgql.records.records import Act, Row


class _Users(Writer):
    def demand(self, act: Act, columns: Sequence[str]) -> None:
        require_person(act, frozenset(columns) & PERSONAL)

    def kind_of(self, change: Change) -> tuple[str, Row]:
        if not change.new and "active" in change.changes:
            return "user.reactivated" if change.row["active"] else "user.deactivated", {}
        return super().kind_of(change)


class _Teams(Writer):
    def demand(self, act: Act, columns: Sequence[str]) -> None:
        require_person(act, frozenset(columns) & HIERARCHY)

    async def follow(self, act: Act, changes: Sequence[Change]) -> Sequence[Entry]:
        await records.check_parents(act, Team, [change.id for change in changes if "parent_id" in change.changes])
        return ()


users = _Users(User, "user.created", "user.updated")
teams = _Teams(Team, "team.created", "team.updated")
