"""`crmgql bank …` as an operator types it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from crmgql import config
from crmgql.cli import bank
from crmgql.errors import CrmError, SetupError
from tests.conftest import named
from tests.domain import work
from tests.domain.money import statements
from tests.domain.money.statements import Entry, Part


async def test_a_file_is_imported_and_what_is_certain_booked(
    database: asyncpg.Connection, servers: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    customer = await work.insert(database, "customers", name="Acme", currency="USD")
    given = {"customer_id": customer, "amount": Decimal("9.00"), "currency": "USD", "method": "BANK_TRANSFER"}
    await work.insert(database, "payments", **given, status="PENDING", reference="KD-4711-26")
    await work.insert(database, "bank_accounts", name="Giro", number="DE75512108001245126199", currency="USD")
    entries = [Entry("9.00", [Part(texts=("kd 4711/26",))], currency="USD"), Entry("1.00", currency="USD")]
    file = tmp_path / "statement.xml"
    file.write_bytes(statements.document(statements.statement(*entries, currency="USD")))
    url = named(servers.database_url, await database.fetchval("SELECT current_database()"))
    monkeypatch.setattr(config, "checked", lambda: config.Settings(database_url=url))

    async def typed(*words: str) -> str:
        said = Console(width=200, record=True)
        monkeypatch.setattr(bank, "console", said)
        result = await asyncio.to_thread(CliRunner().invoke, bank.app, list(words))
        if isinstance(result.exception, (CrmError, SetupError)):
            return str(result.exception)
        assert result.exit_code == 0, result.exception
        return said.export_text()

    first = await typed("import", str(file), "--account", "giro")
    assert "2 new lines, 0 known before." in first
    assert "Of 2 open lines 1 are booked, 0 have suggestions." in first
    assert "0 new lines, 2 known before." in await typed(
        "import", str(file), "--account", "DE75 5121 0800 1245 1261 99"
    )
    assert await database.fetchval("SELECT status FROM payments") == "RECEIVED"
    assert "No bank account is called 'Other'" in await typed("import", str(file), "--account", "Other")
    assert "There is no file" in await typed("import", str(tmp_path / "none"), "--account", "Giro")
