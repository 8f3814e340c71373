"""One step: its file batch by batch, each batch one transaction with its progress.

A row that refers to its own noun (a customer's parent) may come before the row it means. It waits for a later pass,
whole; passes go on until one settles nothing, and what is left then is rejected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from crmgql.imports import batches, lookups, reader, runs
from crmgql.imports.batches import Entry
from crmgql.imports.bindings import Plan
from crmgql.imports.placeholders import Rejected
from crmgql.imports.reader import Row
from crmgql.imports.references import NotYet, Resolver
from crmgql.imports.rejects import Rejects
from crmgql.imports.reports import StepReport
from crmgql.imports.runs import Run
from crmgql.imports.scan import Scan, chunks, scan

_LONGEST_KEY = 200


@dataclass
class Context:
    """What all steps of an import share. `report_progress` is called after each batch with the report and the number of rows in all."""

    connection: Any
    source: str
    now: datetime
    batch_size: int
    history: bool
    rejects: Rejects
    resolver: Resolver
    report_progress: Callable[[StepReport, int], None]


@dataclass
class _Chunk:
    """What became of a chunk's rows before the database saw them: `rows` of them, up to the line `end`."""

    rows: int
    end: int
    entries: list[Entry]
    rejected: list[tuple[Row, str, str]]
    waiting: set[int]
    skipped: int = 0


class StepRun:
    """Runs one step. `rejected_before`: lines that an earlier run of this import put into the reject file."""

    def __init__(self, context: Context, plan: Plan, run: Run, rejected_before: set[int]) -> None:
        self.context = context
        self.plan = plan
        self.run = run
        self.rejected_before = rejected_before
        self.report = StepReport(plan.step.name, plan.noun.name)
        self.scan = Scan()

    async def execute(self) -> StepReport:
        started = time.perf_counter()
        if self.run.done:
            self.report.already_done = self.run.accepted + self.run.rejected
        else:
            self.scan = await scan(self.context.connection, self.plan)
            self.context.report_progress(self.report, self.scan.rows)
            waiting = await self._first_pass()
            while waiting:
                left = await self._later_pass(waiting, final=False)
                if len(left) == len(waiting):
                    left = await self._later_pass(waiting, final=True)
                waiting = left
            if self.report.inserted or self.report.updated:
                # The planner must know the new size before later steps look their references up here.
                await self.context.connection.execute(f"ANALYZE {self.plan.noun.name}")
            await runs.finish(self.context.connection, self.run, self.context.source, self.report, self.context.now)
        self.report.elapsed_s = time.perf_counter() - started
        return self.report

    async def _first_pass(self) -> set[int]:
        """Every row behind `lines_done`. Gives the lines that wait for a row of their own noun."""
        done, waiting = self.run.lines_done, set[int]()
        rows = reader.rows(self.plan.step.file)
        for chunk in chunks(takewhile(lambda row: row.end <= done, rows), self.context.batch_size) if done else ():
            left = await self._were_waiting(chunk)
            self.report.already_done += len(chunk) - len(left)
            waiting |= left
        fresh = (row for row in reader.rows(self.plan.step.file) if row.end > done)
        return waiting | await self._pass(fresh, final=False)

    async def _were_waiting(self, rows: Iterable[Row]) -> set[int]:
        """Which rows of an earlier run refer to their own noun: they may not have been written."""
        references = self.plan.own_references
        if not references:
            return set()
        found = [row for row in rows if row.line not in self.rejected_before]
        await lookups.join(self.context.connection, self.plan.joins, found)
        chunk = self._read(found)
        return {entry.row.line for entry in chunk.entries if any(entry.record[ref.index] for ref in references)}

    async def _later_pass(self, lines: set[int], *, final: bool) -> set[int]:
        """Only the waiting rows again. Gives those that still wait."""
        return await self._pass((row for row in reader.rows(self.plan.step.file) if row.line in lines), final=final)

    async def _pass(self, rows: Iterator[Row], *, final: bool) -> set[int]:
        """Batch by batch: while one is written, a thread converts the next. Returns the lines that wait."""
        waiting: set[int] = set()
        chunks_ = chunks(rows, self.context.batch_size)
        ahead = await self._read_ahead(chunks_)
        try:
            while ahead is not None:
                chunk = await ahead
                ahead = await self._read_ahead(chunks_)
                waiting |= await self._batch(chunk, final=final)
        finally:
            if ahead is not None:
                await asyncio.wait([ahead])
        return waiting

    async def _read_ahead(self, chunks_: Iterator[list[Row]]) -> asyncio.Task[_Chunk] | None:
        """The next rows with their joined columns, being converted; None at the end. The connection must be free."""
        rows = next(chunks_, None)
        if rows is None:
            return None
        await lookups.join(self.context.connection, self.plan.joins, rows)
        return asyncio.create_task(asyncio.to_thread(self._read, rows))

    async def _batch(self, chunk: _Chunk, *, final: bool) -> set[int]:
        await self._resolve(chunk, final=final)
        context, run, report = self.context, self.run, self.report
        connection = context.connection
        async with connection.transaction():
            written = await batches.write(
                connection, self.plan, chunk.entries, source=context.source, history=context.history, now=context.now
            )
            rejected = [*chunk.rejected, *written.failures]
            self._write_rejects(rejected)
            accepted = len(chunk.entries) - len(written.failures)
            run.lines_done = max(run.lines_done, chunk.end)
            run.accepted += accepted
            run.rejected += len(rejected)
            await runs.advance(connection, run)
        report.read += chunk.rows - len(chunk.waiting)
        report.inserted += written.inserted
        report.updated += written.updated
        report.unchanged += accepted - written.inserted - written.updated
        report.skipped += chunk.skipped
        report.rejected += len(rejected)
        self.context.report_progress(report, self.scan.rows)
        return chunk.waiting

    def _read(self, rows: list[Row]) -> _Chunk:
        """Keys, duplicates and values, without the database."""
        chunk = _Chunk(len(rows), rows[-1].end if rows else 0, [], [], set())
        for row in rows:
            try:
                key = self._key(row)
                if key is None:
                    chunk.skipped += 1
                else:
                    chunk.entries.append(Entry(row, self.plan.convert(row.cells, key)))
            except Rejected as error:
                chunk.rejected.append((row, error.column, error.reason))
        chunk.entries, failures = batches.check(self.plan, chunk.entries)
        chunk.rejected += failures
        return chunk

    def _key(self, row: Row) -> str | None:
        """The external id; None for a row that gives way to another with the same one, or is none of this step's."""
        if row.problem is not None:
            raise Rejected(row.column, row.problem)
        if self.plan.when is not None and not self.plan.when(row.cells):
            return None
        key, label = self.plan.key(row.cells), self.plan.key_label
        if not key:
            raise Rejected(label, "external_id: is blank")
        if len(key) > _LONGEST_KEY:
            raise Rejected(label, f"external_id: has {len(key)} characters, at most {_LONGEST_KEY} fit")
        winner = self.scan.winners.get(key, row.line)
        if winner == row.line:
            return key
        if self.plan.step.duplicates == "reject":
            raise Rejected(label, f"external_id: {key!r} is already on line {winner}")
        return None

    async def _resolve(self, chunk: _Chunk, *, final: bool) -> None:
        """References to ids; takes the rows that can't be resolved, or not yet, out of the entries."""
        await self.context.resolver.load(self.plan, (entry.record for entry in chunk.entries))
        resolved = []
        for entry in chunk.entries:
            try:
                self.context.resolver.resolve(self.plan, entry.record, final=final)
                resolved.append(entry)
            except NotYet:
                chunk.waiting.add(entry.row.line)
            except Rejected as error:
                chunk.rejected.append((entry.row, error.column, error.reason))
        chunk.entries = resolved

    def _write_rejects(self, rejected: list[tuple[Row, str, str]]) -> None:
        for row, column, reason in sorted(rejected, key=lambda item: item[0].line):
            cells = row.cells[: row.width]
            self.context.rejects.add(self.plan.step.name, self.plan.step.file, row.line, column, reason, cells)
        self.context.rejects.flush()
