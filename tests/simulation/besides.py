"""What happens besides the API: a payment provider posts, and jobs do their work, each in one transaction as a worker has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crmgql.db import Database
from crmgql.domain.money import standings
from crmgql.domain.money.hooks import accounts, arrivals, following
from crmgql.domain.sales import deferrals
from crmgql.errors import DATABASES_OWN, CrmError
from crmgql.ledger import anchors
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.domain.money.hooked import set_up
from tests.domain.money.providers import posts
from tests.schema.world import uuid_of

AGAIN = "SERVICE_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Answered:
    """`id`: of the record, if it was done. `codes`: of rejections and errors."""

    id: str | None
    codes: tuple[str, ...]


async def prepare(database: Database) -> None:
    """An account at the provider, which all companies of this database share."""
    if not await accounts.active(database, "stripe"):
        await set_up(database)


async def ask(database: Database, work: str, given: Mapping[str, Any], now: datetime) -> Answered:
    try:
        await WORKS[work](database, now, **given)
    except (*DATABASES_OWN, *records.COLLIDED):
        return Answered(None, (AGAIN,))
    except CrmError as error:
        return Answered(None, (error.code,))
    return Answered(None, ())


async def _post(database: Database, now: datetime, *, kind: str, thing: dict[str, Any], event: str, at: int) -> None:
    time = str(int(now.timestamp()))
    post = posts.stripe(kind, thing, time=time, id=event, created=int(now.timestamp()) + at)
    known = await accounts.active(database, "stripe")
    await arrivals.receive(database, "stripe", known, post.headers, post.body, clock=lambda: now)


def _job(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
    async def work(database: Database, now: datetime, **given: Any) -> None:
        async with database.transaction() as tx:
            await step(Act(tx, system(lambda: now)), **given)

    return work


async def _follow(act: Act, *, id: str) -> None:
    await following.follow(act, uuid_of(id))


async def _recognise(act: Act) -> None:
    await deferrals.recognise_due(act, most=500)


async def _anchor(act: Act) -> None:
    await anchors.write(act.tx, now=act.now)


async def _pass_due_days(act: Act) -> None:
    await standings.pass_due_days(act)


WORKS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "(post)": _post,
    "(follow)": _job(_follow),
    "(recognise)": _job(_recognise),
    "(anchor)": _job(_anchor),
    "(due)": _job(_pass_due_days),
}
