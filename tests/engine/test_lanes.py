"""What a lane raises leaves nothing behind that only the garbage collector finds."""

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
