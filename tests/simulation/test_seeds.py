"""Some short histories by chance; `make simulate` plays longer ones, for as long as one likes."""

from __future__ import annotations

from collections import Counter

import asyncpg
import pytest

from crmgql.engine.operations import Engine
from tests.domain import work
from tests.simulation import seeds

CHUNK, STEPS = 12, 12


@pytest.mark.parametrize("first", range(0, 60, CHUNK))
async def test_whatever_happens_the_books_are_whole(engine: Engine, database: asyncpg.Connection, first: int) -> None:
    admin = await work.user(database, roles=["ADMIN"])
    done: Counter[str] = Counter()
    cuts = 0
    for seed in range(first, first + CHUNK):
        history = await seeds.run(engine, database, admin, seed, steps=STEPS)
        done += history.codes
        cuts += history.cuts
    assert min(done["DONE"], 5 * cuts) > 100, "a history in which nothing happens shows nothing"


async def test_a_seed_plays_the_same_again(engine: Engine, database: asyncpg.Connection) -> None:
    admin = await work.user(database, roles=["ADMIN"])
    first, second = [await seeds.run(engine, database, admin, 7, steps=40) for _ in range(2)]
    assert (first.outcomes, first.cuts) == (second.outcomes, second.cuts)
