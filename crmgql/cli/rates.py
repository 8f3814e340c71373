"""`crmgql rates …`: exchange rates from the command line, also between two migrations of which the later one needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import asyncpg
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from crmgql import config, db, migrate
from crmgql.dev import machine
from crmgql.domain.money import rates
from crmgql.errors import BadUserInput
from crmgql.records import checks
from crmgql.records.records import Act
from crmgql.viewer import system

app = typer.Typer(
    help="Exchange rates: set one, and see which ones orders and payments still need.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
console = Console()


def _at_database(work: Callable[[str], Awaitable[Any]]) -> Any:
    async def run(url: str) -> Any:
        return await work(url)

    with machine.embedded_unless_set(config.checked()) as url:
        return asyncio.run(run(url))


@app.command("set")
def set_rate(
    currency: Annotated[str, typer.Argument(help="An ISO 4217 code, such as EUR.")],
    day: Annotated[str, typer.Argument(help="From which day on, such as 2026-01-01.")],
    rate: Annotated[str, typer.Argument(help="Units of the books' currency for one unit of this one, such as 1.08.")],
    source: Annotated[str, typer.Option(help="Who says so, such as ECB.")] = rates.MANUAL,
) -> None:
    """Set what a currency is worth from a day on, until the next day that has a rate."""
    effective_on, number = _day(day), _number(rate)

    async def work(url: str) -> None:
        if await migrate.pending(url):
            connection = await asyncpg.connect(url)
            try:
                await rates.add(connection, currency=currency, effective_on=effective_on, rate=number, source=source)
            finally:
                await connection.close()
            return
        async with db.opened(url) as database, database.transaction() as tx:
            act = Act(tx, system())
            await rates.set_rate(act, currency=currency, effective_on=effective_on, rate=number, source=source)

    _at_database(work)
    console.print(f"From {effective_on} on, 1 {currency} is worth {number:f}.", highlight=False)


@app.command()
def missing() -> None:
    """Show the currencies of orders and payments that have no rate on or before their days. The exit code is 1 if there are any."""

    async def work(url: str) -> list[rates.Missing]:
        connection = await asyncpg.connect(url)
        try:
            return await rates.missing(connection)
        finally:
            await connection.close()

    found: list[rates.Missing] = _at_database(work)
    if not found:
        console.print("Nothing is missing: each order and payment has a rate.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("currency", "first day", "last day", "orders and payments"):
        table.add_column(name)
    for each in found:
        table.add_row(each.currency, str(each.first_on), str(each.last_on), f"{each.records:,}")
    console.print(table)
    console.print(f"A rate says how many {found[0].base_currency} one unit is worth, and holds until the next one:")
    for each in found:
        console.print(f"  crmgql rates set {each.currency} {each.first_on} …", highlight=False)
    raise typer.Exit(1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadUserInput(f"{text!r} is no day; write it as 2026-01-31.", field="effectiveOn") from None


def _number(text: str) -> Decimal:
    number = checks.number(text)
    if number is None:
        raise BadUserInput(f"{text!r} is no number; write it as 1.08.", field="rate")
    return number
