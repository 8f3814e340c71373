"""`crmgql export …`: what others need to check the books without us."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crmgql import config
from crmgql.cli import failures
from crmgql.dev import machine
from crmgql.errors import SetupError
from crmgql.ledger import audits, files, journal

app = typer.Typer(help="Files for others.", no_args_is_help=True, rich_markup_mode=None)
console = Console(stderr=True)


@app.callback()
def export() -> None:
    """Files for others."""


@app.command(name="books")
def write(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
) -> None:
    """Write entries, chains and anchors as text files, exactly as they were hashed.

    README.txt beside them says what a line means and how to check it; examples/verifier/verify.mjs does it in 120 lines of
    JavaScript. All files are of one moment. No name and no address of a person is in them.
    """
    with failures.told(code=2):
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise SetupError(f"{directory} is not an empty directory; name a new one.")
        directory.mkdir(parents=True, exist_ok=True)
        with machine.embedded_unless_set(config.checked()) as url:
            written = asyncio.run(_write(url, directory))
    console.print(f"{written.entries:,} entries and {written.anchors:,} anchors are in {directory}.", highlight=False)


@app.command(name="journal")
def write_journal(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    first: Annotated[str | None, typer.Option("--from", help="The first day, such as 2026-01-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day.")] = None,
    format: Annotated[str, typer.Option("--format", help="csv or jsonl.")] = "csv",
) -> None:
    """Write the journal for an accountant's system: opening balances of the first day, then two lines for each posting.

    Lines have the codes of accounts, exact amounts in their own and in base currency, the company's day, the document's name.
    """
    with failures.told(code=2):
        if file.exists():
            raise SetupError(f"{file} is there already; name a new file.")
        days = _day(first, "--from"), _day(last, "--to")
        if format not in ("csv", "jsonl"):
            raise SetupError(f"--format is csv or jsonl, not {format}.")
        with machine.embedded_unless_set(config.checked()) as url:
            done = asyncio.run(_write_journal(url, file, *days, format))
    console.print(f"{done.opening:,} opening balances and {done.lines:,} lines are in {file}.", highlight=False)


def _day(text: str | None, option: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise SetupError(f"{option} is a day such as 2026-01-31, not {text}.") from None


async def _write_journal(url: str, file: Path, first: date | None, last: date | None, format: str) -> journal.Written:
    """Under another name until it is whole."""
    partial = file.with_name(f"{file.name}.part")
    async with audits.seeing(url) as connection:
        with partial.open("wb") as target:
            done = await journal.write(connection, target, first=first, last=last, is_json=format == "jsonl")
    partial.rename(file)
    return done


async def _write(url: str, directory: Path) -> files.Written:
    async with audits.seeing(url) as connection:
        with machine.progress(console) as bars:
            task = bars.add_task("Writing entries", total=None)

            def show(done: int, total: int) -> None:
                bars.update(task, completed=done, total=total)

            return await files.write(connection, directory, progress=show)
