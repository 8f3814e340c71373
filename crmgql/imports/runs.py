"""Where each step stands, in the table `import_runs`, written in the transaction of each batch.

An import whose every step is DONE starts anew; one that stopped half way goes on: its DONE steps are passed over, its
RUNNING step resumes behind `lines_done`. A step's fingerprint covers its mapping, its files and all steps before it, so
that a change to one makes the later ones run again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql.db import WITHOUT_DAYS, Transaction
from crmgql.events import outbox
from crmgql.imports import reader
from crmgql.imports.mapping import CsvFile, Mapping
from crmgql.imports.reports import StepReport
from crmgql.viewer import system


@dataclass
class Run:
    """One step's row. `id` is None in a dry run, which leaves no trace."""

    step: str
    fingerprint: str
    id: UUID | None = None
    done: bool = False
    lines_done: int = 0
    accepted: int = 0
    rejected: int = 0


def fingerprints(mapping: Mapping) -> list[Run]:
    digests: dict[CsvFile, str] = {}

    def digest(file: CsvFile) -> str:
        if file not in digests:
            digests[file] = reader.digest(file)
        return digests[file]

    state = hashlib.sha256(mapping.source.encode())
    for lookup in mapping.lookups:
        state.update(repr((lookup.name, lookup.key.source, lookup.duplicates, lookup.file.label)).encode())
        state.update(digest(lookup.file).encode())
    found = []
    for step in mapping.steps:
        state.update(step.raw.encode())
        state.update(digest(step.file).encode())
        found.append(Run(step.name, state.hexdigest()))
    return found


async def open_all(connection: Any, mapping: Mapping, now: datetime) -> list[Run]:
    """The rows of all steps, made where they are missing; all set back when the import had come to its end."""
    runs = fingerprints(mapping)
    names = [run.step for run in runs]
    prints = [run.fingerprint for run in runs]
    async with connection.transaction():
        await connection.execute(
            "DELETE FROM import_runs"
            " WHERE source = $1 AND step = ANY($2) AND status = 'RUNNING' AND NOT fingerprint = ANY($3)",
            mapping.source,
            names,
            prints,
        )
        finished = await connection.fetchval(
            "SELECT count(*) FROM import_runs WHERE source = $1 AND fingerprint = ANY($2) AND status = 'DONE'",
            mapping.source,
            prints,
        )
        if finished == len(runs):
            await connection.execute(
                "UPDATE import_runs"
                " SET status = 'RUNNING', finished_at = NULL, lines_done = 0, accepted = 0, rejected = 0"
                " WHERE source = $1 AND fingerprint = ANY($2)",
                mapping.source,
                prints,
            )
        await connection.execute(
            "INSERT INTO import_runs (source, step, fingerprint, status, created_at)"
            " SELECT $1, step, fingerprint, 'RUNNING', $4 FROM unnest($2::text[], $3::text[]) AS t (step, fingerprint)"
            " ON CONFLICT (source, step, fingerprint) DO NOTHING",
            mapping.source,
            names,
            prints,
            now,
        )
        rows = await connection.fetch(
            "SELECT * FROM import_runs WHERE source = $1 AND fingerprint = ANY($2)", mapping.source, prints
        )
    by_print = {row["fingerprint"]: row for row in rows}
    return [_run(run, by_print[run.fingerprint]) for run in runs]


def _run(run: Run, row: Any) -> Run:
    done = row["status"] == "DONE"
    return Run(run.step, run.fingerprint, row["id"], done, row["lines_done"], row["accepted"], row["rejected"])


async def advance(connection: Any, run: Run) -> None:
    """To be called in the batch's own transaction."""
    if run.id is not None:
        await connection.execute(
            "UPDATE import_runs SET lines_done = $2, accepted = $3, rejected = $4 WHERE id = $1",
            run.id,
            run.lines_done,
            run.accepted,
            run.rejected,
        )


async def finish(connection: Any, run: Run, source: str, report: StepReport, now: datetime) -> None:
    """Marks the step DONE and records that with one event, in one transaction."""
    if run.id is None:
        return
    payload = {"source": source, "step": run.step, "noun": report.noun, "counts": report.counts()}
    async with connection.transaction():
        await connection.execute("UPDATE import_runs SET status = 'DONE', finished_at = $2 WHERE id = $1", run.id, now)
        await outbox.record_event(
            Transaction(connection, WITHOUT_DAYS),
            system(lambda: now),
            kind="import.finished",
            subject=("ImportRun", run.id),
            customer_id=None,
            changes={"status": ("RUNNING", "DONE"), "finished_at": (None, now)},
            payload=payload,
        )
