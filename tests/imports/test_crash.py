"""A crash half way: what was committed stays, the rest follows, and nothing is rejected or written twice."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from crmgql.imports.reports import Progress
from tests.imports.conftest import ROOT, Workshop

ROWS = 6000
MAPPING = """
source = "test"
currency = "EUR"
[[step]]
noun = "customers"
file = "people.csv"
external_id = "{id}"
duplicates = "last"
[step.fields]
name = "{name}"
parent = "{parent}"
[[step]]
noun = "payments"
file = "payments.csv"
external_id = "{id}"
[step.fields]
customer = "{customer}"
amount = "{amount}"
method = "CASH"
received_at = "2020-01-01"
"""
CHILD = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from crmgql import db
from crmgql.imports.execution import run

async def main() -> None:
    dsn, folder = sys.argv[1], Path(sys.argv[2])
    database = await db.connect(dsn, pool_size=2)
    async with database.connection() as connection:
        await run(connection, folder / "mapping.toml", rejects_path=folder / "rejects.csv", batch_size=100,
                  progress=lambda p: print(p.step, p.read, flush=True), now=datetime(2026, 1, 1, tzinfo=UTC))

asyncio.run(main())
"""


async def _dsn(connection: Any) -> str:
    host = await connection.fetchval("SELECT host(inet_server_addr())")
    if host is None:
        host = (await connection.fetchval("SHOW unix_socket_directories")).split(",")[0].strip()
    port = await connection.fetchval("SHOW port")
    user, name = await connection.fetchrow("SELECT current_user, current_database()")
    return f"postgresql:///{name}?host={host}&port={port}&user={user}"


def _write(shop: Workshop) -> None:
    shop.file("mapping.toml", MAPPING)
    people = [f"c{n},Customer {n},{f'c{ROWS - n}' if n % 1000 == 1 else ''}" for n in range(ROWS)]
    people += ["c1,Customer one,", ",Nobody,", "x,Orphan,nobody"]
    shop.file("people.csv", "id,name,parent\n" + "\n".join(people) + "\n")
    payments = [f"p{n},c{n},{'1.001' if n % 100 == 7 else '1.01'}" for n in range(ROWS)]
    shop.file("payments.csv", "id,customer,amount\n" + "\n".join(payments) + "\n")


async def _check(shop: Workshop) -> None:
    assert await shop.value("SELECT count(*) FROM customers") == ROWS
    assert await shop.value("SELECT count(*) FROM customers WHERE parent_id IS NOT NULL") == 5
    assert await shop.value("SELECT name FROM customers WHERE external_id = 'c1'") == "Customer one"
    bad = ROWS // 100
    assert await shop.rows("SELECT count(*), sum(amount)::text, max(version) FROM payments") == [
        (ROWS - bad, str((ROWS - bad) * 101)[:-2] + "." + str((ROWS - bad) * 101)[-2:], 1)
    ]
    rejects = [(reject["step"], int(reject["line"])) for reject in shop.rejects()]
    assert sorted(rejects) == [
        ("customers", ROWS + 3),
        ("customers", ROWS + 4),
        *(("payments", n + 2) for n in range(ROWS) if n % 100 == 7),
    ]
    assert await shop.value("SELECT count(*) FROM import_runs WHERE status = 'DONE'") == 2
    assert await shop.value("SELECT count(*) FROM events WHERE kind = 'import.finished'") == 2
    for noun, kinds in (("customers", ["customer.created", "customer.updated"]), ("payments", ["payment.received"])):
        for trail, kind in (("events", "kind"), ("audit_entries", "action")):
            told = f"SELECT count(*), count(DISTINCT subject_id) FROM {trail} WHERE {kind} = ANY ($1)"
            changes = f"SELECT sum(version), count(*) FROM {noun}"
            assert await shop.rows(told, kinds) == await shop.rows(changes), (noun, trail)


@pytest.mark.parametrize("moment", [("customers", 2500), ("payments", 1500)])
async def test_sigkill_loses_nothing(shop: Workshop, moment: tuple[str, int]) -> None:
    _write(shop)
    arguments = ("-W", "ignore", "-c", CHILD, await _dsn(shop.connection), str(shop.folder))
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert child.stdout is not None
    async for line in child.stdout:
        step, read = line.decode().split()
        if step == moment[0] and int(read) >= moment[1]:
            child.send_signal(signal.SIGKILL)
            break
    assert await child.wait() == -signal.SIGKILL
    written = await shop.value(f"SELECT count(*) FROM {moment[0]}")
    assert 0 < written < ROWS - 100
    with shop.rejects_path.open("a", encoding="utf-8") as stream:
        if moment[0] == "payments":  # as if killed between the reject and the commit of its batch
            stream.write("payments,payments.csv,5909,amount,too many,row\npayments,payments.csv,6")
    report = await shop.run(MAPPING, batch_size=100)
    assert sum(step.already_done for step in report.steps) > moment[1]
    await _check(shop)


class _Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 7, 63, 70, 124])
async def test_stopped_anywhere(shop: Workshop, after: int, tmp_path: Path) -> None:
    _write(shop)
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == after:
            raise _Stop

    with pytest.raises(_Stop):
        await shop.run(MAPPING, batch_size=100, progress=stop)
    await shop.run(MAPPING, batch_size=100)
    await _check(shop)


async def test_a_changed_file_starts_its_step_anew(shop: Workshop) -> None:
    _write(shop)

    def stop(progress: Progress) -> None:
        if progress.step == "payments" and progress.read > 500:
            raise _Stop

    with pytest.raises(_Stop):
        await shop.run(MAPPING, batch_size=100, progress=stop)
    shop.file("payments.csv", "id,customer,amount\np1,c1,2\nnew,c1,3\n")
    report = await shop.run(MAPPING)
    assert report.steps[0].already_done == ROWS + 2
    assert (report.steps[1].inserted, report.steps[1].already_done) == (1, 0)
    assert report.steps[1].rejected == 1  # p1 is in the books with another amount
    assert await shop.value("SELECT count(*) FROM import_runs") == 2


async def test_one_import_of_a_source_at_a_time(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncpg

    from crmgql.errors import SetupError
    from crmgql.imports import execution

    _write(shop)
    monkeypatch.setattr(execution, "_LOCK_ATTEMPTS", 2)
    monkeypatch.setattr(execution, "_LOCK_PAUSE_S", 0.01)
    other = await asyncpg.connect(await _dsn(shop.connection))
    await other.execute("SELECT pg_advisory_lock(hashtext('crmgql.import'), hashtext('test'))")
    with pytest.raises(SetupError, match="another import of source 'test' is running"):
        await shop.run(MAPPING)
    await other.close()
