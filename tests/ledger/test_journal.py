"""`export journal`: opening balances and lines add up to the trial balance of the last day, to the cent."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from crmgql import config, db
from crmgql.cli import books as command
from crmgql.domain.money import account_codes
from crmgql.ledger import audits, book, journal
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger import books, trial
from tests.ledger.conftest import DAY, acting, add_customer, receivable, sale

Rows = list[dict[str, Any]]


async def written(
    url: str, folder: Path, first: date | None = None, last: date | None = None, *, is_json: bool = False
) -> Rows:
    file = folder / f"{first} {last} {is_json}"
    async with audits.seeing(url) as connection:
        with file.open("wb") as target:
            done = await journal.write(connection, target, first=first, last=last, is_json=is_json)
    text = file.read_bytes().decode()
    rows: Rows = (
        [json.loads(line) for line in text.splitlines()]
        if is_json
        else list(csv.DictReader(io.StringIO(text, newline="")))
    )
    assert len(rows) == done.opening + done.lines
    return rows


def summed(rows: Rows) -> trial.Balances:
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in rows:
        both = sums[row["account"], row["currency"]]
        both[0] += Decimal(row["debit"]) - Decimal(row["credit"])
        both[1] += Decimal(row["base_debit"]) - Decimal(row["base_credit"])
    return {key: (amount, base) for key, (amount, base) in sums.items() if amount or base}


async def test_opening_and_lines_add_up_to_the_trial_balance(
    crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    made = await books.keep(crm, database)
    async with acting(crm) as act:
        later = [
            sale(made.other, receivable(), f"{number}.00", key=f"day {number}", effective_on=date(2026, 11, number))
            for number in range(2, 30, 3)
        ]
        await book.post(act, later)
    for first, last in ((None, None), (DAY, DAY), (date(2026, 11, 3), date(2026, 11, 20)), (date(2026, 12, 1), None)):
        rows = await written(database_url, tmp_path, first, last)
        assert summed(rows) == await trial.as_of(database, last or date.max)
        assert await written(database_url, tmp_path, first, last, is_json=True) == [
            {key: (int(value) if key == "line" else value) if value else None for key, value in row.items()}
            for row in rows
        ]
        opening = [row for row in rows if row["kind"] == "opening"]
        before = await trial.as_of(database, first) if first and first > DAY else {}
        assert bool(opening) == bool(before) == (rows[: len(opening)] == opening and bool(opening))
        days = [row["day"] for row in rows]
        assert days == sorted(days)
        assert all(str(first or date.min) <= day <= str(last or date.max) for day in days)


async def test_lines_name_account_document_and_customer(
    crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await work.user(database)
    customer = await add_customer(database, 'Quote " and, "Söhne"\n\\')
    async with acting(crm) as act:
        await account_codes.set_code(act, purpose="RECEIVABLE", code="1200", name="Debtors")
    order = await confirmed(crm, customer, "10.00")
    payment = await pay(crm, "4.00", order_id=order)
    number = await database.fetchval("SELECT number FROM orders")
    for is_json in (False, True):
        rows = await written(database_url, tmp_path, is_json=is_json)
        assert {row["customer"] for row in rows} == {'Quote " and, "Söhne"\n\\'}
        assert {row["customer_id"] for row in rows} == {str(customer)}
        sold = [row for row in rows if row["kind"] == "order.confirmed"]
        assert [(row["account"], row["code"] or None, row["debit"], row["credit"]) for row in sold] == [
            ("RECEIVABLE", "1200", "10.00", "0.00"),
            ("REVENUE", None, "0.00", "10.00"),
        ]
        assert {row["document"] for row in sold} == {number}
        received = [row for row in rows if row["kind"] == "payment.received"]
        assert {row["document"] for row in received} == {f"Payment {payment}"}


async def test_the_command(
    crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await books.keep(crm, database)
    monkeypatch.setattr(config, "checked", lambda: config.Settings(database_url=database_url))
    said = Console(width=200, record=True)
    monkeypatch.setattr(command, "console", said)

    async def typed(*words: str) -> int:
        return (await asyncio.to_thread(CliRunner().invoke, command.app, ["journal", *words])).exit_code

    file = tmp_path / "journal.jsonl"
    assert await typed(str(file), "--from", "2026-11-02", "--format", "jsonl") == 0
    assert "13 opening balances and 2 lines" in said.export_text()
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()][-1] == "allocation.undone"
    assert await typed(str(file)) == 2
    assert await typed(str(tmp_path / "other"), "--to", "yesterday") == 2
    assert await typed(str(tmp_path / "other"), "--format", "xml") == 2
    assert os.listdir(tmp_path) == ["journal.jsonl"]
