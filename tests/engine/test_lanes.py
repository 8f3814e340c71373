"""The slow lane: what it raises leaves nothing behind, and what many want at the same time is made once."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

from crmgql.engine.lanes import Lane


def _fails(values: list[object]) -> None:
    raise ValueError("too many")


async def test_an_error_leaves_no_circles() -> None:
    lane = Lane("test")
    gc.collect()
    gc.disable()
    try:
        with suppress(ValueError):
            await lane.run("client", _fails, [[number] for number in range(10_000)])
        await asyncio.sleep(0)  # the loop lets go of the future's callbacks
        assert gc.collect() < 1_000
    finally:
        gc.enable()
        lane.close()


async def test_what_many_want_at_the_same_time_is_made_once() -> None:
    lane, kept, made = Lane("test"), {}, []

    def make() -> int:
        made.append(1)
        return len(made)

    async def want() -> int:
        return await lane.once("client", "key", lambda: kept.get("key"), make, lambda each: kept.update(key=each))

    assert await asyncio.gather(*(want() for _ in range(500))) == [1] * 500  # a client may have 100 pieces waiting
    assert made == [1]
    lane.close()


async def test_who_waited_for_what_failed_makes_it_anew() -> None:
    lane, tries = Lane("test"), []

    def make() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("first")
        return len(tries)

    async def want() -> int:
        return await lane.once("client", "key", lambda: None, make, lambda each: None)

    first, *others = await asyncio.gather(*(want() for _ in range(3)), return_exceptions=True)
    assert isinstance(first, ValueError)
    assert sorted(others) == [2, 3]
    lane.close()
