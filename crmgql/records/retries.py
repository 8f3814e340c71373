"""Repeats what collided with another transaction: the one place that counts how often.

Enters: the work. Leaves: its result. Always holds: only collisions are repeated, never a rejection or trouble with the
database. Jobs have attempts of their own and do not repeat here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from crmgql.db import Database, Transaction
from crmgql.errors import Unavailable
from crmgql.records.records import COLLIDED

Result = TypeVar("Result")

TRIES = 4
"""Of two that collide one succeeds, so each try gets at least one of them done."""


async def look_again(attempt: Callable[[], Awaitable[Result | None]], *, tries: int = TRIES) -> Result | None:
    """The first result that is not None; None if something had changed in the meantime at each try."""
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
    """The result of `work`, run in a transaction that is repeated when it collides with others.

    Raises what `work` raises, and `Unavailable` if each try collides.
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
