"""Verifies the books in several processes, which see one snapshot: each takes one range of owners after the other."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from crmgql.ledger import anchor_checks, trails, verify
from crmgql.ledger.anchor_checks import Anchors
from crmgql.ledger.verify import HIGHEST, LOWEST, SNAPSHOT, Found

RANGE = 10_000
"""Entries of a range, about: an owner is never divided. The sums of so many stay in a core's cache."""

STARTS = """
SELECT DISTINCT ON (number) owner_id, sum(seq * (lane >= 0)::integer) OVER (PARTITION BY number) AS entries FROM (
    SELECT owner_id, lane, seq, div(sum(seq) OVER (ORDER BY owner_id, lane) - seq, $1) AS number FROM public.ledger_heads
) AS heads ORDER BY number, owner_id"""
Progress = Callable[[int, int], None]
"""(entries that are checked, entries in all)."""


@dataclass(frozen=True, slots=True)
class Verified:
    found: Found
    anchors: Anchors

    @property
    def is_whole(self) -> bool:
        return not self.found.broken and not self.anchors.broken


async def verify_all(
    url: str,
    *,
    processes: int,
    progress: Progress,
    kept: Mapping[int, str] | None = None,
) -> Verified:
    """Checks all owners and anchors as they are in one moment. `kept`: hashes of anchors that were kept elsewhere."""
    async with seeing(url) as connection:
        owners, total = await ranges(connection)
        progress(0, total)
        anchors = await anchor_checks.check(connection, kept)
        found = Found()
        async for part in _parts(url, connection, owners, processes):
            found.add(part)
            progress(found.entries, max(total, found.entries))
        found.tell(*await trails.unlinked(connection))
    return Verified(found, anchors)


@asynccontextmanager
async def seeing(url: str) -> AsyncIterator[Any]:
    """A connection whose statements all see the same moment."""
    connection = await _open(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _open(url: str, snapshot: str | None = None) -> Any:
    """`snapshot`: the moment that another connection sees and exported; else now."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "crmgql audit"})
    await connection.execute(SNAPSHOT)
    if snapshot is not None:
        await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
    await connection.execute(verify.SETTINGS)
    return connection


async def ranges(connection: Any) -> tuple[list[tuple[str, str]], int]:
    """Ranges of owners that cover every id there can be, by how many entries and links of audit rows they have, and how many
    entries the heads say there are."""
    rows = await connection.fetch(STARTS, RANGE)
    starts = sorted({row["owner_id"].int for row in rows})[1:]
    firsts = [LOWEST, *(str(UUID(int=start)) for start in starts)]
    lasts = [*(str(UUID(int=start - 1)) for start in starts), HIGHEST]
    return list(zip(firsts, lasts, strict=True)), sum(int(row["entries"]) for row in rows)


async def check(connection: Any, first: str = LOWEST, last: str = HIGHEST) -> Found:
    """Checks the books and the audit trail of the owners from `first` to `last`, both included."""
    found = await verify.check(connection, first, last)
    await trails.check(connection, first, last, found)
    return found


async def _parts(url: str, connection: Any, owners: list[tuple[str, str]], processes: int) -> AsyncIterator[Found]:
    if processes == 1 or len(owners) == 1:
        for first, last in owners:
            yield await check(connection, first, last)
        return
    snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
    context = multiprocessing.get_context("spawn")  # a fork would share our connections
    ignored = (signal.SIGINT, signal.SIG_IGN)  # who is stopped with Ctrl-C ends them, after their range
    with ProcessPoolExecutor(min(processes, len(owners)), context, initializer=signal.signal, initargs=ignored) as pool:
        loop = asyncio.get_running_loop()
        waiting = [loop.run_in_executor(pool, _check, url, snapshot, *each) for each in owners]
        try:
            for done in asyncio.as_completed(waiting):
                yield await done
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _check(url: str, snapshot: str, first: str, last: str) -> Found:
    """In a process of the pool, which keeps its connection for all its ranges."""
    if not _OWN:
        runner = asyncio.Runner()
        _OWN.append((runner, runner.run(_open(url, snapshot))))
    runner, connection = _OWN[0]
    return runner.run(check(connection, first, last))


_OWN: list[tuple[asyncio.Runner, Any]] = []
