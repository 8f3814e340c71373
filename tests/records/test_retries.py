"""What collides is done again, what is refused is not."""

from __future__ import annotations

import asyncpg
import pytest

from crmgql.db import Database, Transaction
from crmgql.errors import Conflict, Unavailable
from crmgql.records import retries
from crmgql.records.records import Collided


@pytest.mark.parametrize("trouble", [Collided(), asyncpg.DeadlockDetectedError(), asyncpg.SerializationError()])
async def test_what_collides_is_done_again_from_the_start(
    crm: Database, database: asyncpg.Connection, trouble: Exception
) -> None:
    left = retries.TRIES - 1

    async def work(tx: Transaction) -> None:
        nonlocal left
        await tx.connection.execute("INSERT INTO users (name) VALUES ('Ann')")
        if left:
            left -= 1
            raise trouble

    assert await retries.transaction(crm, work) is None
    assert (left, await database.fetchval("SELECT count(*) FROM users")) == (0, 1)


async def test_what_collides_again_and_again_is_given_up(crm: Database) -> None:
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        raise Collided

    with pytest.raises(Unavailable, match="busy"):
        await retries.transaction(crm, work, otherwise="busy")
    assert tries == retries.TRIES


async def test_what_is_refused_is_not_tried_again(crm: Database) -> None:
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        raise Conflict("no")

    with pytest.raises(Conflict):
        await retries.transaction(crm, work)
    assert tries == 1


async def test_looking_again_ends_with_the_first_answer() -> None:
    answers: list[int | None] = [None, 0, 5]

    async def look() -> int | None:
        return answers.pop(0)

    assert (await retries.look_again(look), answers) == (0, [5])
    answers = [None] * 3
    assert await retries.look_again(look, tries=3) is None
