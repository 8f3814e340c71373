"""Entries per second that `crmgql audit verify` checks, by processes, and what each costs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table

from bench import comparison
from crmgql import migrate
from crmgql.dev import embedded
from crmgql.ledger import chains

COPIED = {
    "ledger_entries": (*chains.ENTRY, "customer_id"),
    "postings": ("owner_id", "entry_id", "size", "phase", "effective_on", "base_currency", *chains.POSTING),
    "open_items": ("owner_id", "customer_id", "entry_id", "opens", "opened_on", *chains.ITEM),
    "ledger_links": ("owner_id", "lane", "seq", "entry_id", "digest", "hash"),
    "ledger_heads": ("owner_id", "lane", "seq", "hash"),
}
SUMS = """
INSERT INTO balances SELECT owner_id, purpose, currency, 0, sum(debit), sum(credit), sum(base), 0, 0 FROM (
    SELECT owner_id, debit AS purpose, currency, amount AS debit, 0 AS credit, base_amount AS base FROM postings
    UNION ALL SELECT owner_id, credit, currency, 0, amount, -base_amount FROM postings
) AS sides GROUP BY 1, 2, 3;
UPDATE open_items SET debited = sums.debit, credited = sums.credit, settled = sums.settled FROM (
    SELECT id, sum(debit) AS debit, sum(credit) AS credit, coalesce(sum(credit) FILTER (WHERE purpose = 'RECEIVABLE'), 0) AS settled FROM (
        SELECT debit_item_id AS id, debit AS purpose, amount AS debit, 0 AS credit FROM postings WHERE debit_item_id IS NOT NULL
        UNION ALL SELECT credit_item_id, credit, 0, amount FROM postings WHERE credit_item_id IS NOT NULL
    ) AS sides GROUP BY 1
) AS sums WHERE sums.id = open_items.id;
VACUUM ANALYZE"""
DAY, TIME, ACTOR = "2026-11-01", "2026-11-01T12:00:00.000000Z", "\\N"


def run(urls: embedded.Servers, *, customers: int, orders: int, rounds: int, console: Console) -> dict[str, Any]:
    """Each order is three entries: a sale with its tax, a receipt, an allocation; 1.33 postings each."""
    asyncio.run(migrate.migrate(urls.database_url))
    entries = asyncio.run(_fill(urls.database_url, customers, orders, console))
    rates: dict[int, list[float]] = {1: [], 2: []}
    costs: list[float] = []
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        for processes, found in rates.items():
            started, used = time.perf_counter(), _used_s(urls.database_url)
            verified = _verify(urls.database_url, processes)
            assert verified["whole"], verified
            assert verified["entries"] == entries
            found.append(entries / (time.perf_counter() - started))
            costs.append((_used_s(urls.database_url) - used) / entries * 1e6)
    table = Table(title=f"audit verify, {entries:,} entries")
    for heading in ("processes", "entries a second", "min–max"):
        table.add_column(heading, justify="right")
    for processes, found in rates.items():
        table.add_row(str(processes), f"{statistics.median(found):,.0f}", f"{min(found):,.0f}–{max(found):,.0f}")
    console.print(table)
    cost = statistics.median(costs)
    console.print(f"An entry takes {cost:.1f} µs of a core (min {min(costs):.1f}), the server's part included;")
    console.print(f"so a core verifies {1e6 / cost:,.0f} a second.")
    result = {"machine": comparison.machine(), "entries": entries, "rates": rates, "cpu_us": costs}
    comparison.write("verify.json", result)
    return result


def _verify(url: str, processes: int) -> dict[str, Any]:
    """As an operator does it: the start of the program is part of it."""
    command = [sys.executable, "-m", "crmgql", "audit", "verify", "--json", "--processes", str(processes)]
    environment = os.environ | {"CRMGQL_DATABASE_URL": url}
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def _used_s(url: str) -> float:
    """Processor time of this process, its children that have ended, and PostgreSQL's connections that have."""
    time.sleep(0.2)  # those that end now
    ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    fields = Path(f"/proc/{asyncio.run(_postmaster(url))}/stat").read_text().rpartition(")")[2].split()
    return ours + sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


async def _postmaster(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int((await connection.fetchval("SELECT pg_read_file('postmaster.pid')")).partition("\n")[0])
    finally:
        await connection.close()


async def _fill(url: str, customers: int, orders: int, console: Console) -> int:
    """Writes books that are whole, as fast as can be: past the trigger, which takes 0.3 ms for each entry."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET session_replication_role = replica")
    company = await connection.fetchval("SELECT id FROM companies")
    heads: dict[UUID, tuple[int, bytes]] = {_id(1, 0, n): (0, b"") for n in range(customers)}
    count = 0
    with console.status("Writing the books …"):
        for order in range(orders):
            rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COPIED}
            for owner in heads:
                for entry in _order(company, owner, order):
                    heads[owner] = _add(rows, owner, *heads[owner], *entry)
                    count += 1
            del rows["ledger_heads"]
            await _copy(connection, rows)
        await _copy(
            connection, {"ledger_heads": [(owner, 0, seq, _bytes(hash)) for owner, (seq, hash) in heads.items()]}
        )
        for statement in SUMS.split(";"):
            await connection.execute(statement)
    await connection.close()
    return count


def _id(kind: int, order: int, number: int) -> UUID:
    """Ids in the order of time, as those of version 7 are."""
    return UUID(int=(0x0190_0000_0000 + order) << 80 | 7 << 76 | kind << 64 | 0b10 << 62 | number)


def _order(company: UUID, owner: UUID, order: int) -> Iterator[tuple[Any, ...]]:
    number = owner.int & (1 << 32) - 1
    item, payment = str(_id(2, order, number)), str(_id(3, order, number))
    for n, (kind, postings) in enumerate(
        (
            (
                "order.confirmed",
                [("RECEIVABLE", "REVENUE", "80.00", item, None), ("RECEIVABLE", "TAX", "20.00", item, None)],
            ),
            ("payment.received", [("CLEARING", "UNEARNED", "100.00", None, payment)]),
            ("allocation.made", [("UNEARNED", "RECEIVABLE", "100.00", payment, item)]),
        )
    ):
        yield _id(4 + n, order, number), str(company), kind, f"{kind} {order}", postings


def _add(
    rows: dict[str, list[tuple[Any, ...]]],
    owner: UUID,
    seq: int,
    hash: bytes,
    id: UUID,
    company: str,
    kind: str,
    key: str,
    postings: Any,
) -> tuple[int, bytes]:
    size = len(postings)
    opened = {"order.confirmed": ("RECEIVABLE", 3, DAY), "payment.received": ("UNEARNED", 4, "\\N")}.get(kind)
    line = "\t".join(
        (
            str(id),
            company,
            str(owner),
            kind,
            "POSTED",
            "\\N",
            "\\N",
            key,
            "0" * 64,
            "Bench",
            str(id),
            DAY,
            TIME,
            ACTOR,
            "f",
            "USD",
            str(size),
            "1" if opened else "0",
        )
    )
    parts = []
    for n, (debit, credit, amount, debit_item, credit_item) in enumerate(postings, start=1):
        due = [DAY if purpose == "RECEIVABLE" else "\\N" for purpose in (debit, credit)]
        values = (str(n), debit, credit, "USD", amount, amount, debit_item or "\\N", credit_item or "\\N", *due)
        parts.append("\t".join(values))
        rows["postings"].append((str(owner), str(id), str(size), "POSTED", DAY, "USD", *values))
    if opened:
        purpose, place, due_on = opened
        item = ("1", str(postings[0][place]), purpose, "USD", due_on, *["\\N"] * 6)
        parts.append("\t".join(item))
        rows["open_items"].append((str(owner), str(owner), str(id), "1", DAY, *item))
    digest = chains.digest(line.encode(), [part.encode() for part in parts])
    hash = chains.link(hash, digest)
    rows["ledger_entries"].append((*line.split("\t"), str(owner)))
    rows["ledger_links"].append((str(owner), "0", str(seq + 1), str(id), _bytes(digest), _bytes(hash)))
    return seq + 1, hash


def _bytes(value: bytes) -> str:
    return f"\\\\x{value.hex()}"


async def _copy(connection: Any, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    for table, lines in rows.items():
        text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
        await connection.copy_to_table(table, source=io.BytesIO(text.encode()), columns=COPIED[table])
