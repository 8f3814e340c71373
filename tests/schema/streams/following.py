"""What tests of subscriptions do again and again: make one, let something happen, pull."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from crmgql.viewer import Viewer
from tests.schema.world import NOW, World

PULL = """mutation($input: SubscriptionPullInput!) { subscriptionPull(input: $input) {
  events { id cursor kind payload } cursor hasMore token leaseUntil userErrors { code field message } } }"""
DOCUMENT = """fragment Payload on Event { kind payload subject { __typename ... on Order { number status total { amount } } } }"""


@dataclass
class Pulled:
    events: list[dict[str, Any]]
    cursor: str
    more: bool
    token: str
    code: str | None

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]


async def subscribe(world: World, who: str | Viewer = "INTEGRATION", **given: Any) -> str:
    """A subscription from now on."""
    await place(world)
    given = {"name": f"Mirror {uuid4()}", "document": DOCUMENT, **given}
    return (await world.do("subscriptionCreate", who, **given)).done["id"]  # type: ignore[no-any-return]


async def place(world: World) -> None:
    """What happened so far gets its positions."""
    await world.database.fetchval("SELECT feed_pass()")


async def pull(world: World, id: str, who: str | Viewer = "INTEGRATION", **given: Any) -> Pulled:
    viewer = world.viewer(who) if isinstance(who, str) else who
    answer = await world.ask(PULL, viewer, input={"id": id, **given})
    payload = (answer["data"] or {}).get("subscriptionPull") or {}
    codes = [item["code"] for item in payload.get("userErrors", [])]
    codes += [item["extensions"]["code"] for item in answer.get("errors", [])]
    assert len(codes) <= 1, answer
    return Pulled(
        payload.get("events") or [],
        payload.get("cursor") or "",
        bool(payload.get("hasMore")),
        payload.get("token") or "",
        codes[0] if codes else None,
    )


async def commit(world: World, id: str, token: str, cursor: str, who: str | Viewer = "INTEGRATION") -> str | None:
    """The code of the rejection, if it is one."""
    return (await world.do("subscriptionCommit", who, id=id, token=token, cursor=cursor)).code


def later(world: World, seconds: int, role: str = "INTEGRATION") -> Viewer:
    return replace(world.viewer(role), clock=lambda: NOW + timedelta(seconds=seconds))
