"""Work that takes long in pure Python goes to a thread, so that other requests of the process go on meanwhile.

Enters: what is to be done, and of how many rows. Leaves: its result, as if it had been called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MANY = 500
"""Rows that take some milliseconds; for fewer, a thread is not worth it."""


async def done(work: Callable[[], T], *, rows: int) -> T:
    """Raises what the work raises."""
    return work() if rows < MANY else await asyncio.to_thread(work)
