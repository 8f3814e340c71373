"""`crmgql rates …` as an operator types it, also half way through the migrations."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from rich.console import Console
from tortoise import Tortoise
from tortoise.connection import get_connection
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from typer.testing import CliRunner

from crmgql import config, migrate
from crmgql.cli import rates
from crmgql.db import tortoise_config
from crmgql.errors import CrmError
from tests.conftest import administering, named
from tests.domain import work

Typed = Callable[..., Awaitable[tuple[int, str]]]
ROWS = "SELECT effective_on, rate, source, base_currency FROM fx_rates WHERE currency = 'NOK' ORDER BY id"


@pytest_asyncio.fixture
async def old(servers: Any) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database that has the table of rates and no later one."""
    name = f"old_{uuid.uuid4().hex}"
    async with administering(servers.database_url) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        settings = tortoise_config(named(servers.database_url, name), pool_size=1, statement_timeout_ms=0)
        await Tortoise.init(config=settings, _enable_global_fallback=True)
        executor = MigrationExecutor(get_connection("default"), settings["apps"])
        await executor.migrate([MigrationTarget("crm", "0018_rates")])
        await Tortoise.close_connections()
        connection = await asyncpg.connect(named(servers.database_url, name))
        yield connection
        await connection.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def run(request: pytest.FixtureRequest, servers: Any, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command in a thread, as it has an event loop of its own; answers its exit code and what it said."""
    connection = request.getfixturevalue("old" if "old" in request.fixturenames else "database")

    async def typed(*words: str) -> tuple[int, str]:
        url = named(servers.database_url, await connection.fetchval("SELECT current_database()"))
        with monkeypatch.context() as patched:
            patched.setattr(config, "checked", lambda: config.Settings(database_url=url))
            said = Console(width=200, record=True)
            patched.setattr(rates, "console", said)
            result = await asyncio.to_thread(CliRunner().invoke, rates.app, list(words))
            error = result.exception.message if isinstance(result.exception, CrmError) else ""
            return result.exit_code, said.export_text() + error

    return typed


async def test_a_rate_is_set_and_told(run: Typed, database: asyncpg.Connection) -> None:
    assert await run("set", "NOK", "2026-01-01", "1.080", "--source", "ECB") == (
        0,
        "From 2026-01-01 on, 1 NOK is worth 1.080.\n",
    )
    assert [tuple(row) for row in await database.fetch(ROWS)] == [(date(2026, 1, 1), Decimal("1.08"), "ECB", "USD")]
    assert await database.fetchval("SELECT count(*) FROM events WHERE kind = 'rate.set'") == 1


async def test_between_two_migrations_the_rates_own_table_is_enough(run: Typed, old: asyncpg.Connection) -> None:
    """The next migration may need the rate, and the tables of events be others after it."""
    await old.execute("ALTER TABLE events RENAME TO gone; ALTER TABLE audit_entries RENAME TO gone_too")
    assert (await run("set", "NOK", "2026-01-01", "1.08"))[0] == 0
    assert [tuple(row) for row in await old.fetch(ROWS)] == [(date(2026, 1, 1), Decimal("1.08"), "MANUAL", "USD")]
    code, said = await run("set", "USD", "2026-01-01", "1")
    assert (code, said) == (1, "The books are in USD; it needs no rate.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "nok", "2026-01-01", "1"), "code such as EUR"),
        (("set", "NOK", "1.1.2026", "1"), "'1.1.2026' is no day"),
        (("set", "NOK", "2026-01-01", "1,08"), "'1,08' is no number"),
        (("set", "NOK", "2026-01-01", "NaN"), "'NaN' is no number"),
        (("set", "NOK", "2026-01-01", "0"), "more than 0"),
    ],
)
async def test_a_mistake_is_told_and_changes_nothing(
    run: Typed, database: asyncpg.Connection, words: tuple[str, ...], said: str
) -> None:
    code, told = await run(*words)
    assert code == 1
    assert said in told
    assert await database.fetch(ROWS) == []


async def test_what_orders_and_payments_need_is_listed(run: Typed, old: asyncpg.Connection) -> None:
    assert await run("missing") == (0, "Nothing is missing: each order and payment has a rate.\n")
    await old.execute("UPDATE companies SET timezone = 'Asia/Tokyo'")
    customer = await work.insert(old, "customers", name="Acme", currency="USD")

    async def order(
        number: str, currency: str, day: int, status: str = "CONFIRMED", confirmed: int | None = None
    ) -> None:
        amounts = dict.fromkeys(
            (f"{name}_amount" for name in ("subtotal", "shipping", "tax", "discount", "total")), Decimal("0.00")
        )
        times = {"ordered_at": at(day), "confirmed_at": None if confirmed is None else at(confirmed)}
        await work.insert(
            old, "orders", number=number, customer_id=customer, currency=currency, status=status, **times, **amounts
        )

    await order("1", "NOK", 3, confirmed=5)
    await order("2", "NOK", 9)
    await order("3", "SEK", 1, "DRAFT")
    await order("4", "SEK", 1, "CANCELLED")
    await order("5", "USD", 1)
    payment = {"customer_id": customer, "amount": Decimal("5.00"), "currency": "NOK", "method": "CASH"}
    await work.insert(old, "payments", **payment, status="RECEIVED", received_at=at(7))
    code, said = await run("missing")
    assert code == 1
    (line,) = [line.split() for line in said.splitlines() if line.strip().startswith("NOK")]
    assert line == ["NOK", "2026-01-06", "2026-01-10", "3"]  # in Tokyo it is tomorrow already
    assert "crmgql rates set NOK 2026-01-06 …" in said
    assert "SEK" not in said
    await run("set", "NOK", "2026-01-07", "1.08")
    assert "crmgql rates set NOK 2026-01-06 …" in (await run("missing"))[1]
    await run("set", "NOK", "2026-01-06", "1.08")
    assert (await run("missing"))[0] == 0


async def test_a_migration_that_lacks_a_rate_goes_on_once_it_is_set(
    run: Typed, old: asyncpg.Connection, servers: Any
) -> None:
    url = named(servers.database_url, await old.fetchval("SELECT current_database()"))
    customer = await work.insert(old, "customers", name="Acme", currency="USD")
    amounts = {f"{name}_amount": Decimal("0.00") for name in ("shipping", "tax", "discount")}
    amounts |= {f"{name}_amount": Decimal("10.00") for name in ("subtotal", "total")}
    given = {"number": "1", "customer_id": customer, "currency": "NOK", "status": "CONFIRMED", "ordered_at": at(3)}
    await work.insert(old, "orders", **given, **amounts)
    with pytest.raises(Exception, match=r"NOK.*crmgql rates set"):
        await migrate.migrate(url)
    assert (await run("set", "NOK", "2026-01-03", "0.1"))[0] == 0
    assert "0019_revenue" in await migrate.migrate(url)
    assert await old.fetchval("SELECT sum(base_amount) FROM postings WHERE debit = 'RECEIVABLE'") == Decimal("1.00")


def at(day: int) -> datetime:
    return datetime(2026, 1, day, 18, tzinfo=UTC)
