"""`crmgql bank …`: statements of banks from files, also such as are too large for the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crmgql import config, db, migrate
from crmgql.dev import machine
from crmgql.domain.money.bank import lines
from crmgql.domain.money.banking import accounts, matches, statements
from crmgql.domain.money.banking.matches import Outcome
from crmgql.domain.money.banking.statements import Imported
from crmgql.errors import SetupError
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import system

app = typer.Typer(help="Statements of banks.", no_args_is_help=True, rich_markup_mode=None)
console = Console()


@app.callback()
def bank() -> None:
    """Statements of banks: import a file, and have what is certain booked."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A camt.053 file, or a CSV file as the account's layout describes it.")],
    account: Annotated[str, typer.Option(help="The name or number of the bank account it is of.")],
) -> None:
    """Import a bank's statement, book what is certain, and suggest what the other lines may be. The same file twice adds nothing."""
    if not file.is_file():
        raise SetupError(f"There is no file {file}.")
    if file.stat().st_size > lines.LARGEST_FILE:
        raise SetupError(
            f"{file} has more than {lines.LARGEST_FILE // 1024 // 1024} MiB; ask the bank for shorter periods."
        )
    with machine.embedded_unless_set(config.checked()) as url:
        asyncio.run(migrate.migrate(url))
        imported, outcome = asyncio.run(_import(url, file.read_bytes(), account))
    known = imported.lines - imported.new_lines
    console.print(f"{imported.new_lines:,} new lines, {known:,} known before.", highlight=False)
    console.print(
        f"Of {outcome.lines:,} open lines {outcome.booked:,} are booked, {outcome.suggested:,} have suggestions.",
        highlight=False,
    )


async def _import(url: str, content: bytes, account: str) -> tuple[Imported, Outcome]:
    async with db.opened(url) as database:

        @asynccontextmanager
        async def step() -> AsyncIterator[Act]:
            async with database.transaction() as tx:
                yield Act(tx, system())

        async with step() as act:
            await records.allow_long_statements(act)
            id = await accounts.named(act, account)
            imported = await statements.import_file(act, bank_account_id=id, content=content)
        return imported, await matches.match(step)
