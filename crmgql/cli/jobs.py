"""`crmgql jobs …`: background jobs and schedules from the command line, with the rights of the installation itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from crmgql import config, db
from crmgql.dev import machine
from crmgql.domain.jobs import jobs, kinds, schedules
from crmgql.errors import BadUserInput
from crmgql.models import CatchUp, JobStatus, names
from crmgql.records.records import Act
from crmgql.viewer import system

app = typer.Typer(
    help="Background jobs: see them, ask for one, cancel, retry or drop one; and the schedules that make them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
plan = typer.Typer(help="Schedules: when jobs run by themselves.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plan, name="schedules")
console = Console()

Id = Annotated[str, typer.Argument(help="The job's id, as “crmgql jobs list” or the API writes it (job_…).")]
Arguments = Annotated[str, typer.Option(help="Arguments as JSON; “crmgql jobs kinds” lists them.")]

LIST = """
SELECT id, kind, status, due_at, attempts, failures, progress_done, progress_total, progress_message, error_code,
    error_message, finished_at
FROM jobs WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR kind = $2) ORDER BY id DESC LIMIT $3"""
ONE = "SELECT * FROM jobs WHERE id = $1"
SCHEDULES = "SELECT * FROM schedules WHERE deleted_at IS NULL ORDER BY name"
BY_NAME = "SELECT id FROM schedules WHERE name = $1 AND deleted_at IS NULL"
FINAL = (JobStatus.DONE, JobStatus.DEAD, JobStatus.CANCELLED, JobStatus.DROPPED)


def _with_database(work: Callable[[db.Database], Awaitable[Any]]) -> Any:
    async def run(url: str) -> Any:
        async with db.opened(url) as database:
            return await work(database)

    with machine.embedded_unless_set(config.checked()) as url:
        return asyncio.run(run(url))


def _act(verb: Callable[[Act], Awaitable[Any]]) -> Any:
    async def run(database: db.Database) -> Any:
        async with database.transaction() as tx:
            return await verb(Act(tx, system()))

    return _with_database(run)


def _fetch(sql: str, *values: Any) -> list[Any]:
    async def run(database: db.Database) -> Any:
        async with database.connection() as connection:
            return await connection.fetch(sql, *values)

    return _with_database(run)  # type: ignore[no-any-return]


@app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help=f"{', '.join(JobStatus)}.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as lead.route.")] = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
) -> None:
    """Show jobs, the newest first."""
    _known("--status", status and status.upper(), list(JobStatus))
    _known("--kind", kind, list(kinds.KINDS))
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("id", "kind", "status", "due", "tries", "progress", "error"):
        table.add_column(name, overflow="fold")
    for row in _fetch(LIST, status.upper() if status else None, kind, last):
        error = f"{row['error_code']}: {row['error_message']}" if row["error_code"] else ""
        due = f"{row['due_at']:%Y-%m-%d %H:%M:%S}"
        table.add_row(_id(row["id"]), row["kind"], row["status"], due, str(row["attempts"]), _progress(row), error)
    console.print(table)


@app.command("kinds")
def list_kinds() -> None:
    """Show the kinds of jobs and what each takes."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("kind", "queue", "arguments", "what it does"):
        table.add_column(name, overflow="fold")
    for kind in kinds.KINDS.values():
        fields = ", ".join(kind.arguments.model_fields) or "-"
        table.add_row(kind.name, kind.queue, fields, kind.doc)
    console.print(table)


@app.command()
def enqueue(
    kind: Annotated[str, typer.Argument(help="A kind that “crmgql jobs kinds” lists.")], arguments: Arguments = "{}"
) -> None:
    """Ask for a job; a running worker does it within moments."""
    given = _json(arguments)
    id = _act(lambda act: jobs.ask(act, kind=kind, arguments=given))
    console.print(_id(id), highlight=False)


@app.command()
def cancel(id: Id) -> None:
    """Cancel a job that waits, at once, or one that runs, within seconds."""
    key = _key(id)
    _act(lambda act: jobs.cancel(act, id=key))
    console.print("Cancelled; one that is running stops within seconds.")


@app.command()
def retry(id: Id) -> None:
    """Try a dead or cancelled job again."""
    key = _key(id)
    _act(lambda act: jobs.retry(act, id=key))
    console.print("It will be tried again.")


@app.command()
def drop(id: Id) -> None:
    """Give a dead job up."""
    key = _key(id)
    _act(lambda act: jobs.drop(act, id=key))
    console.print("Dropped.")


@app.command()
def watch(id: Id) -> None:
    """Follow a job until it ends; the exit code is 0 when it is done."""
    key = _key(id)

    async def follow(database: db.Database) -> Any:
        with Live(console=console) as live:
            while True:
                async with database.connection() as connection:
                    row = await connection.fetchrow(ONE, key)
                if row is None:
                    raise BadUserInput("There is no such job.", field="id")
                live.update(f"{row['kind']}  {row['status']}  {_progress(row)}  {row['error_message'] or ''}")
                if row["status"] in FINAL:
                    return row["status"]
                await asyncio.sleep(0.2)

    raise SystemExit(0 if _with_database(follow) == "DONE" else 1)


@plan.command("list")
def list_schedules() -> None:
    """Show all schedules and when each is due next."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("name", "kind", "when", "next", "last", "skipped"):
        table.add_column(name, overflow="fold")
    for row in _fetch(SCHEDULES):
        when = (row["cron"] and f"{row['cron']} ({row['timezone']})") or (
            row["every_s"] and f"every {row['every_s']} s"
        )
        table.add_row(
            row["name"],
            row["kind"],
            when or f"once, {row['once_at']:%Y-%m-%d %H:%M}",
            _time(row["next_at"]) if row["enabled"] else "off",
            _time(row["last_at"]),
            str(row["skipped"]),
        )
    console.print(table)


@plan.command("create")
def create_schedule(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    kind: Annotated[str, typer.Argument(help="A kind that “crmgql jobs kinds” lists.")],
    cron: Annotated[str | None, typer.Option(help="Such as “30 8 * * 1-5”.")] = None,
    timezone: Annotated[str, typer.Option(help="The cron expression's time zone, such as Europe/Berlin.")] = "UTC",
    every: Annotated[int | None, typer.Option(help="Or: every so many seconds.")] = None,
    once: Annotated[datetime | None, typer.Option(help="Or: once, at this time (UTC).")] = None,
    catch_up: Annotated[str, typer.Option(help="Times missed while nothing ran: SKIP, ONE or ALL.")] = "ONE",
    arguments: Arguments = "{}",
) -> None:
    """Make a schedule; exactly one of --cron, --every and --once says when."""
    _known("--catch-up", catch_up.upper(), list(CatchUp))
    values: dict[str, Any] = {"name": name, "timezone": timezone, "catch_up": catch_up.upper()}
    values |= {"cron": cron, "every_s": every, "once_at": once and once.replace(tzinfo=UTC)}
    given = _json(arguments)
    _act(lambda act: schedules.create(act, kind=kind, arguments=given, **values))
    console.print(f"{name} is scheduled.")


@plan.command("delete")
def delete_schedule(name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """End a schedule; its past runs can still be read."""
    rows = _fetch(BY_NAME, name)
    if not rows:
        raise BadUserInput(f"There is no schedule called {name!r}.")
    _act(lambda act: schedules.delete(act, id=rows[0]["id"]))
    console.print(f"{name} is deleted.")


def _known(option: str, value: str | None, known: list[str]) -> None:
    if value is not None and value not in known:
        raise BadUserInput(f"{option} is one of {', '.join(known)}, not {value!r}.")


def _json(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise BadUserInput('--arguments is a JSON object, such as {"lead_id": "…"}.')
    return given


def _id(key: UUID) -> str:
    return names.api_id("Job", key)


def _key(id: str) -> UUID:
    try:
        return UUID(id.removeprefix("job_"))
    except ValueError:
        raise BadUserInput(f"{id!r} is no job's id; it looks like job_0190….") from None


def _progress(row: Any) -> str:
    total = f"/{row['progress_total']}" if row["progress_total"] is not None else ""
    done = f"{row['progress_done']}{total}" if row["progress_done"] or total else ""
    return " ".join(part for part in (done, row["progress_message"]) if part)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
