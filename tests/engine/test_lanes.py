"""What a lane raises leaves nothing behind that only the garbage collector finds."""

from __future__ import annotations

import gc

import pytest

from crmgql.engine.lanes import Lane


def _fails(values: list[object]) -> None:
    raise ValueError("too many")


async def test_an_error_leaves_no_circles() -> None:
    lane = Lane("test")
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ValueError, match="too many"):
            await lane.run("client", _fails, [[number] for number in range(10_000)])
        assert gc.collect() < 1_000
    finally:
        gc.enable()
        lane.close()
