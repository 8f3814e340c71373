"""`crmgql migrations …`: what the models say and the migrations don't yet, for those who change the models."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crmgql.dev import embedded
from crmgql.errors import SetupError
from crmgql.tables import making

app = typer.Typer(help="Migrations, written from the models.", no_args_is_help=True, rich_markup_mode=None)
console = Console(stderr=True)


@app.callback()
def migrations() -> None:
    """Migrations, written from the models."""


@app.command()
def make(
    name: Annotated[str | None, typer.Argument(help="What it is about, such as customer_tags.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if there is a difference.")] = False,
) -> None:
    """Write the migration from the newest one to the models (in a checkout). Both are compared in a throwaway database."""
    if name is None and not check:
        raise SetupError("Name the migration: crmgql migrations make customer_tags")
    with tempfile.TemporaryDirectory() as home:
        with embedded.start(Path(home), throwaway=True, valkey=False) as servers:
            statements = asyncio.run(making.compare(servers.database_url))
    if not statements:
        console.print("Nothing to do: the migrations make what the models say.")
        return
    typer.echo(making.text(statements))
    if check:
        raise SetupError("The models say more than the migrations: run “crmgql migrations make NAME”.")
    assert name is not None
    console.print(
        f"Written: {making.write(name, statements)}. Read it, and say what becomes of the rows that are there."
    )
