"""A client that keeps a copy by `changesSince`, as docs/howto/sync.md tells it to, and a company whose records change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crmgql.engine.operations import Engine, Request
from crmgql.viewer import Viewer

TYPES = ("Customer", "Order", "Payment", "Opportunity", "Lead", "LeadQueue", "User", "Team")
PLURAL = {"Opportunity": "opportunities"}
SHOWN = dict.fromkeys(TYPES, "__typename id version") | {
    "Customer": "__typename id version name owner { id }",
    "Order": "__typename id version note total { amount } customer { id }",
    "Lead": "__typename id version name owner { id } queue { id }",
    "User": "__typename id version name roles salary { amount }",
}


def plural(name: str) -> str:
    return PLURAL.get(name, f"{name[0].lower()}{name[1:]}s")


async def ask(engine: Engine, viewer: Viewer, query: str, **variables: Any) -> Any:
    """The data. Raises `Rejected`."""
    answer = json.loads(await engine.answer(Request(query, None, variables), viewer))
    assert "errors" not in answer, answer
    return answer["data"]


@dataclass
class Mirror:
    """`viewer` says who the client is by now."""

    engine: Engine
    viewer: Callable[[], Viewer]
    types: tuple[str, ...] = TYPES
    cursor: str | None = None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    refetched: int = 0

    async def copy(self) -> None:
        """The first time: the cursor, and then everything."""
        changes = await self._changes(1)
        assert [changes[name] for name in ("changed", "deleted", "ranges")] == [[], [], []]
        self.cursor = changes["cursor"]
        for name in self.types:
            await self._fetch(name, None, None)

    async def sync(self, first: int = 500) -> None:
        """Until there is no more."""
        while await self.step(first):
            pass

    async def step(self, first: int) -> bool:
        changes = await self._changes(first)
        for each in changes["ranges"]:
            await self._refetch(each["type"], each["from"], each["to"])
        for record in changes["changed"]:
            self._keep(record)
        for each in changes["deleted"]:
            self.records.pop(each["id"], None)
        self.cursor = changes["cursor"]
        return bool(changes["hasMore"])

    async def _changes(self, first: int) -> Any:
        shown = " ".join(f"... on {name} {{ {SHOWN[name]} }}" for name in self.types)
        query = f"""query ($cursor: Cursor, $types: [String!]!, $first: Int) {{
            changesSince(cursor: $cursor, types: $types, first: $first) {{
                cursor hasMore changed {{ {shown} }} deleted {{ type id }} ranges {{ type from to }} }} }}"""
        given = {} if self.cursor is None else {"cursor": self.cursor}
        data = await ask(self.engine, self.viewer(), query, types=list(self.types), first=first, **given)
        return data["changesSince"]

    async def _refetch(self, name: str, first: str | None, last: str | None) -> None:
        self.refetched += 1
        for id in [id for id, record in self.records.items() if record["__typename"] == name]:
            if (first is None or first <= id) and (last is None or id <= last):
                del self.records[id]
        await self._fetch(name, first, last)

    async def _fetch(self, name: str, first: str | None, last: str | None) -> None:
        bounds = {key: value for key, value in (("gte", first), ("lte", last)) if value is not None}
        for record in await everything(self.engine, self.viewer(), name, {"id": bounds}):
            self._keep(record)

    def _keep(self, record: dict[str, Any]) -> None:
        known = self.records.get(record["id"])
        if known is None or known["version"] <= record["version"]:
            self.records[record["id"]] = record


async def everything(engine: Engine, viewer: Viewer, name: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    """All records of a type that somebody sees, page by page."""
    query = f"""query ($after: String, $where: {name}Where) {{
        page: {plural(name)}(first: 100, after: $after, where: $where, orderBy: [{{field: ID}}]) {{
            nodes {{ {SHOWN[name]} }} pageInfo {{ hasNextPage endCursor }} }} }}"""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = (await ask(engine, viewer, query, after=after, where=where))["page"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def fresh(engine: Engine, viewer: Viewer, types: tuple[str, ...] = TYPES) -> dict[str, dict[str, Any]]:
    """What a copy should be."""
    return {each["id"]: each for name in types for each in await everything(engine, viewer, name, {})}
