"""Waking many who wait for the same."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from crmgql.engine.waking import AT_ONCE, Waking


async def test_all_are_woken_and_others_get_their_turn_in_between() -> None:
    waking, woken, turns = Waking(), [], []

    async def wait(number: int) -> None:
        await waking.after(waking.count)
        woken.append(number)

    async def somebody_else() -> None:
        while len(woken) < 500:
            turns.append(len(woken))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(wait(number)) for number in range(500)]
    await asyncio.sleep(0)
    tasks[7].cancel()
    tasks.append(asyncio.create_task(wait(500)))
    await asyncio.sleep(0)
    waking.wake()
    await asyncio.wait_for(somebody_else(), 10)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert woken == [number for number in range(501) if number != 7]
    assert max(after - before for before, after in pairwise(turns)) <= 2 * AT_ONCE


async def test_what_came_while_somebody_looked_is_not_waited_for() -> None:
    waking = Waking()
    count = waking.count
    waking.wake()
    await asyncio.wait_for(waking.after(count), 1)
