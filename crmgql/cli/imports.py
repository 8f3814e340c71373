"""`crmgql import`: CSV files into the database, with progress on the way and a table of what happened."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from crmgql import config, db, migrate
from crmgql.dev import machine
from crmgql.imports.reports import Progress, Report

console = Console(stderr=True)
ALWAYS_SHOWN = ("read", "inserted", "rejected")
NO_LIMIT_MS = 0x7FFFFFFF
"""The largest that PostgreSQL takes, 24 days: a batch of a large file takes what it takes."""


def run(
    mapping: Annotated[
        Path, typer.Argument(help="The mapping file (TOML); docs/howto/import.md teaches its language.")
    ],
    files: Annotated[Path | None, typer.Option(help="Where the CSV files are; else beside the mapping.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows go (CSV).")] = None,
) -> None:
    """Import CSV files. Safe to run again: rows are known by source and external id."""
    with machine.embedded_unless_set(config.checked()) as url:
        asyncio.run(migrate.migrate(url))
        report = asyncio.run(_import(url, mapping, files, dry_run, rejects))
    print_report(report, dry_run)


def print_report(report: Report, dry_run: bool) -> None:
    """The counts of an import as a table, and where the rejected rows went."""
    # What happened to no row has no column: all nine need more than a terminal's usual width.
    total = report.total.counts()
    kept = [name for name in total if total[name] or name in ALWAYS_SHOWN]
    table = Table(title="What would happen" if dry_run else "Imported", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("step", *kept, "seconds"):
        table.add_column(name.replace("_", " "), justify="left" if name == "step" else "right", overflow="fold")
    for step in [*report.steps, report.total]:
        counts = step.counts()
        table.add_row(step.name, *(f"{counts[name]:,}" for name in kept), f"{step.elapsed_s:.1f}")
    Console().print(table)
    if report.total.rejected:
        console.print(f"Rejected rows, with their reasons: {report.rejects_path}", highlight=False, soft_wrap=True)


async def _import(url: str, mapping: Path, files: Path | None, dry_run: bool, rejects: Path | None) -> Report:
    from crmgql.imports import execution  # here, because it brings all the nouns along

    with machine.progress(console) as bars:
        tasks: dict[str, Any] = {}

        def show(moment: Progress) -> None:
            label = f"{moment.index}/{moment.steps} {moment.step}"
            if moment.step not in tasks:
                tasks[moment.step] = bars.add_task(label, total=moment.total)
            task = tasks[moment.step]
            bars.update(
                task, completed=moment.read, total=moment.total, description=f"{label}, {moment.rejected} rejected"
            )

        async with (
            db.opened(url, statement_timeout_ms=NO_LIMIT_MS) as database,
            database.connection() as connection,
        ):
            return await execution.run(
                connection,
                mapping,
                dry_run=dry_run,
                rejects_path=rejects,
                base_dir=files,
                progress=show,
                now=datetime.now(UTC),
            )
