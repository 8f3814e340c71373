"""The import itself: checks the whole mapping first, then runs its steps in order.

Enters: a connection of its own (not through a pooler: it uses temporary tables and a session lock), a mapping file.
Leaves: a `Report`. Always holds: nothing is written before the mapping is known to be right; a dry run is the same
import inside a transaction that is rolled back.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from crmgql.errors import SetupError
from crmgql.imports import bindings, lookups, mapping, runs
from crmgql.imports.bindings import Plan
from crmgql.imports.mapping import Mapping
from crmgql.imports.references import Resolver
from crmgql.imports.rejects import Rejects
from crmgql.imports.reports import Progress, Report, StepReport
from crmgql.imports.runs import Run
from crmgql.imports.steps import Context, StepRun

ReportProgress = Callable[[Progress], None]
_LOCK_ATTEMPTS = 50
_LOCK_PAUSE_S = 0.2


async def run(
    connection: Any,
    mapping_path: Path,
    *,
    dry_run: bool = False,
    rejects_path: Path | None = None,
    base_dir: Path | None = None,
    progress: ReportProgress | None = None,
    batch_size: int = 5000,
    now: datetime,
) -> Report:
    """Imports what the mapping says. SetupError for a wrong mapping, before anything is written.

    `base_dir`: where the mapping's files are; without it, the mapping's own folder. `rejects_path`: without it,
    `<mapping>.rejects.csv` in the current folder (`<mapping>.dry-run.rejects.csv` for a dry run).
    """
    if batch_size < 1:
        raise SetupError(f"batch_size is {batch_size}: it must be at least 1")
    loaded = mapping.load(mapping_path, base_dir)
    plans = bindings.bind(loaded)
    suffix = ".dry-run.rejects.csv" if dry_run else ".rejects.csv"
    rejects = Rejects(rejects_path or Path(mapping_path.stem + suffix))
    report = Report(loaded.source, dry_run, rejects.path)
    try:
        async with _alone(connection, loaded), _transaction(connection, undone=dry_run), _collecting_rarely():
            await _run_steps(connection, loaded, plans, rejects, report, progress, batch_size, now)
    finally:
        rejects.close()
    return report


async def _run_steps(
    connection: Any,
    loaded: Mapping,
    plans: tuple[Plan, ...],
    rejects: Rejects,
    report: Report,
    progress: ReportProgress | None,
    batch_size: int,
    now: datetime,
) -> None:
    states = runs.fingerprints(loaded) if report.dry_run else await runs.open_all(connection, loaded, now)
    by_step = {state.step: state for state in states}
    kept = rejects.start(lambda step, line: _still_holds(by_step.get(step), line))
    report.steps += [counts for counts in await lookups.load(connection, loaded, rejects) if counts.rejected]
    resolver = Resolver(connection)
    for index, (bound, state) in enumerate(zip(plans, states, strict=True), start=1):
        report_progress = _reporter(progress, index, len(plans))
        lines = kept.get(state.step, set())
        if not state.done:
            state.rejected = len(lines)
        context = Context(
            connection, loaded.source, now, batch_size, loaded.history, rejects, resolver, report_progress
        )
        report.steps.append(await StepRun(context, bound, state, lines).execute())


def _still_holds(state: Run | None, line: int) -> bool:
    """Whether a reject written by an earlier, unfinished run stands: its batch was committed."""
    return state is not None and (state.done or line <= state.lines_done)


def _reporter(progress: ReportProgress | None, index: int, steps: int) -> Callable[[StepReport, int], None]:
    def report_progress(report: StepReport, total: int) -> None:
        if progress is not None:
            counts = {name: count for name, count in report.counts().items() if name != "already_done"}
            counts["read"] += report.already_done
            progress(Progress(report.name, report.noun, index, steps, total=total, **counts))

    return report_progress


@asynccontextmanager
async def _alone(connection: Any, loaded: Mapping) -> AsyncIterator[None]:
    """One import per source at a time. Waits a little: the server may not know yet that a killed one is gone."""
    lock = "SELECT pg_try_advisory_lock(hashtext('crmgql.import'), hashtext($1))"
    for _ in range(_LOCK_ATTEMPTS):
        if await connection.fetchval(lock, loaded.source):
            break
        await asyncio.sleep(_LOCK_PAUSE_S)
    else:
        raise SetupError(f"{loaded.path}: another import of source {loaded.source!r} is running; wait for it to end")
    try:
        yield
    finally:
        if not connection.is_closed():
            await lookups.drop(connection, loaded)
            await connection.execute(
                "SELECT pg_advisory_unlock(hashtext('crmgql.import'), hashtext($1))", loaded.source
            )


@asynccontextmanager
async def _collecting_rarely() -> AsyncIterator[None]:
    """Records make no circles: looking for some among the million objects of a batch takes a quarter of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@asynccontextmanager
async def _transaction(connection: Any, *, undone: bool) -> AsyncIterator[None]:
    """For a dry run, one transaction around everything that is always rolled back."""
    if not undone:
        yield
        return
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        if not connection.is_closed():
            await transaction.rollback()
