"""`crmgql audit …` and `crmgql export books`, as an operator types them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from crmgql import config, db
from crmgql.cli import commands
from crmgql.ledger import audits
from tests.ledger import books

Typed = Callable[..., Awaitable[tuple[int, str]]]
GROW = "UPDATE balances SET debit = debit + 1 WHERE (owner_id, purpose) = ($1, 'RECEIVABLE') AND currency = 'USD'"


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command in a thread, as it has an event loop of its own; answers its exit code and what it said."""
    monkeypatch.setattr(config, "checked", lambda: config.Settings(database_url=database_url))
    monkeypatch.setattr(audits, "RANGE", 4)

    async def typed(*words: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, commands.app, list(words))
        return result.exit_code, result.stdout

    return typed


async def test_whole_books_are_verified_exported_and_proved_later(
    run: Typed, crm: db.Database, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await books.keep(crm, database)
    code, said = await run("audit", "verify", "--processes", "2")
    assert code == 0
    whole, last = said.splitlines()
    assert whole == "The books are as they were posted: 15 entries, 16 postings, 4 chains, 1 anchors, 0 audit entries."
    anchor = last.removeprefix("Last anchor: ")
    assert (await run("audit", "verify", "--processes", "1", "--as-of", anchor))[0] == 0
    code, said = await run("audit", "verify", "--processes", "1", "--as-of", anchor[:2] + "0" * 64)
    assert code == 1
    assert "that of the one that was kept is 000" in said
    assert (await run("audit", "rebuild", "--check")) == (0, "Balances and open items are what their postings say.\n")
    assert (await run("export", "books", str(tmp_path / "new")))[0] == 0
    assert {each.name for each in (tmp_path / "new").iterdir()} == {
        "README.txt",
        "entries.txt",
        "links.txt",
        "audit_links.txt",
        "anchors.txt",
        "hashes.txt",
    }


async def test_changed_books_are_told_of(run: Typed, crm: db.Database, database: asyncpg.Connection) -> None:
    made = await books.keep(crm, database)
    async with database.transaction():
        await database.execute("SET LOCAL session_replication_role = replica")
        await database.execute(GROW, made.other)
    what = "balance RECEIVABLE in USD: debit is 2.00, its postings say 1.00"
    for processes in ("1", "2"):
        code, said = await run("audit", "verify", "--processes", processes)
        assert code == 1
        assert f"owner {made.other}: {what}" in said.splitlines()
        assert "The books are not as they were posted, in 1 places: 15 entries" in said
    code, said = await run("audit", "verify", "--processes", "1", "--json")
    facts = json.loads(said)
    assert (code, facts["whole"], facts["entries"]) == (1, False, 15)
    assert facts["broken"] == [{"owner": str(made.other), "lane": None, "seq": None, "entry": None, "what": what}]
    code, said = await run("audit", "rebuild", "--check")
    assert (code, said.splitlines()[0]) == (1, f"owner {made.other}: {what}")


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "verify", "--as-of", "yesterday"),
        ("audit", "verify", "--processes", "0"),
        ("audit", "rebuild"),
        ("export", "books", "/dev/null"),
    ],
)
async def test_what_can_not_be_found_out_has_a_code_of_its_own(run: Typed, words: tuple[str, ...]) -> None:
    assert (await run(*words))[0] == 2


async def test_a_database_that_is_away_has_it_too(run: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "checked", lambda: config.Settings(database_url="postgresql://127.0.0.1:1/none"))
    assert (await run("audit", "verify"))[0] == 2
