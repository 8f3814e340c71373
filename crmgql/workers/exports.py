"""The job that writes an export: keyset pages of one snapshot, as compressed chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from crmgql.domain.jobs import kinds
from crmgql.domain.streams import exports, packed
from crmgql.engine.exporting import Exporting
from crmgql.events import positions
from crmgql.workers.handlers import Result, Run, long_handler

CHUNK_BYTES = 1_000_000
"""Of JSON Lines; compressed, a fifth to a tenth."""


@long_handler(kinds.EXPORT_WRITE)
async def export_write(run: Run, arguments: kinds.ExportOf) -> Result:
    """Memory holds one page and one chunk. A new attempt begins anew, as nobody else has the snapshot of the one before."""
    since = run.now
    async with run.step() as act:
        export, viewer = await exports.begin(act, arguments.export_id)
        run.progress(done=0)
    pages = await (await _exporting(run)).pages(export["document"], export["filter"], viewer)
    packing, count, number = packed.Packing(), 0, 0
    async with run.database.snapshot() as connection:
        cursor = (await positions.head(connection)).text()
        async for lines in _chunks(pages.read(connection, viewer)):
            body = await asyncio.to_thread(_packed, packing, lines)
            async with run.step() as act:
                await exports.add(act, arguments.export_id, number, body)
                count, number = count + len(lines), number + 1
                run.progress(done=count, message=f"{packing.size_bytes // 1000} kB")
    async with run.step() as act:
        kept = timedelta(hours=run.settings.export_retention_h)
        await exports.finish(
            act, arguments.export_id, since=since, cursor=cursor, record_count=count, packing=packing, kept=kept
        )
    return {"records": count, "bytes": packing.size_bytes, "cursor": cursor}


async def _chunks(pages: AsyncIterator[list[str]]) -> AsyncIterator[list[str]]:
    """The lines of pages together, until they are as long as a chunk should be."""
    lines: list[str] = []
    length = 0
    async for page in pages:
        lines += page
        length += sum(map(len, page))
        if length >= CHUNK_BYTES:
            yield lines
            lines, length = [], 0
    if lines:
        yield lines


def _packed(packing: packed.Packing, lines: list[str]) -> bytes:
    return packing.add(("\n".join(lines) + "\n").encode())


async def _exporting(run: Run) -> Exporting:
    """What plans documents: made at the first export, as the schema takes a second."""
    return await asyncio.to_thread(_made, run)


def _made(run: Run) -> Exporting:
    from crmgql.schema import build

    return build.exporting(run.settings)
