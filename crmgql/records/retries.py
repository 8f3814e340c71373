"""Doing again what others got in the way of: the one place that counts how often.

Enters: what is to be done. Leaves: what came of it. Always holds: only collisions are tried again, never a rejection or a
database that is in trouble; whoever waits for a worker's next attempt does not wait here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from crmgql.db import Database, Transaction
from crmgql.errors import Unavailable
from crmgql.records.records import COLLIDED

Result = TypeVar("Result")

TRIES = 4
"""Of two that collide one goes on, so each try gets at least one of them done."""


async def look_again(attempt: Callable[[], Awaitable[Result | None]], *, tries: int = TRIES) -> Result | None:
    """The first answer that is not None; None when each try found that something had changed meanwhile."""
    for _ in range(tries):
        found = await attempt()
        if found is not None:
            return found
    return None


async def transaction(
    database: Database,
    work: Callable[[Transaction], Awaitable[Result]],
    *,
    otherwise: str = "Too many changed the same records at once; try again.",
) -> Result:
    """What `work` answers, done in a transaction that is begun anew when it collides with others.

    Raises what `work` raises, and `Unavailable` when it collides again and again.
    """

    async def attempt() -> tuple[Result] | None:
        try:
            async with database.transaction() as tx:
                return (await work(tx),)
        except COLLIDED:
            return None

    done = await look_again(attempt)
    if done is None:
        raise Unavailable(otherwise)
    return done[0]
