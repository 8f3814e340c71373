"""Nobody waits without end: not for an answer, not for a connection, not for a server that lets nobody in.

What stands still here is one backend of the test's own server, stopped by a signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from crmgql import db, logs
from crmgql.errors import BadUserInput, CrmError, DatabaseAway, DatabaseTrouble, DiskFull, SetupError, TimedOut
from crmgql.postgres import connection
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import system

ME = "SELECT pg_backend_pid()::text, 1"


@pytest_asyncio.fixture
async def hasty(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[db.Database]:
    """A database whose deadlines are fractions of a second."""
    monkeypatch.setattr(connection, "GRACE_S", 0.3)
    monkeypatch.setattr(connection, "CALM_S", 0.3)
    monkeypatch.setattr(db, "SWEEP_S", 0.05)
    opened = await db.connect(database_url, pool_size=2, statement_timeout_ms=300, wait_s=0.4)
    yield opened
    await opened.close()


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_query_that_gets_no_answer_is_given_up(hasty: db.Database) -> None:
    pid = int((await hasty.fetch_json(ME, ()))[0])
    with standing_still(pid), capture_logs() as logs:
        started = time.monotonic()
        with pytest.raises(DatabaseTrouble, match=r"has not answered for 0\.6 seconds"):
            await hasty.fetch_json(ME, ())
        assert time.monotonic() - started < 2
        assert int((await hasty.fetch_json(ME, ()))[0]) != pid
    assert [line["log_level"] for line in logs if line["event"] == "database trouble"] == ["warning"]
    assert hasty.pool_sizes()["read_connections_idle"] == 2


@pytest.mark.parametrize("way", ["transaction", "connection", "reading", "snapshot", "reserved"])
async def test_a_statement_that_gets_no_answer_is_given_up(hasty: db.Database, way: str) -> None:
    async def ask(pid: int | None = None) -> int:
        async with getattr(hasty, way)() as taken:
            found = getattr(taken, "connection", taken)
            if pid is not None:
                os.kill(pid, signal.SIGSTOP)
            return int(await found.fetchval("SELECT pg_backend_pid()"))

    pid = await ask()
    try:
        async with asyncio.timeout(3):
            with pytest.raises(DatabaseTrouble, match="has not answered"):
                await ask(pid)
            assert await ask() != pid
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_who_is_cancelled_meanwhile_hardly_waits_and_the_place_comes_back(hasty: db.Database) -> None:
    pids: list[int] = []

    async def work() -> None:
        async with hasty.transaction() as tx:
            pids.append(tx.connection.get_server_pid())
            os.kill(pids[0], signal.SIGSTOP)
            await tx.connection.execute("SELECT 1")

    task = asyncio.create_task(work())
    while not pids:
        await asyncio.sleep(0.01)
    try:
        await asyncio.sleep(0.05)
        started = time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert time.monotonic() - started < 1
        async with asyncio.timeout(3), hasty.transaction() as one, hasty.transaction() as other:
            assert await one.connection.fetchval("SELECT 1") + await other.connection.fetchval("SELECT 1") == 2
    finally:
        os.kill(pids[0], signal.SIGCONT)


async def test_what_is_cancelled_ends_in_the_database_too(hasty: db.Database, database: Any) -> None:
    """Its locks must not be held until its end, which may be far."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(5)%' AND state = 'active'"

    async def work() -> None:
        async with hasty.connection() as taken:
            await taken.execute("SET statement_timeout = 0")
            await taken.execute("SELECT pg_sleep(5)")

    task = asyncio.create_task(work())
    while not await database.fetchval(sql):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(2):
        while await database.fetchval(sql):
            await asyncio.sleep(0.01)


async def test_a_statement_that_only_takes_long_is_stopped_by_the_database(hasty: db.Database) -> None:
    with capture_logs() as logs, pytest.raises(TimedOut):
        await hasty.fetch_json("SELECT pg_sleep(5)::text, 1", ())
    [line] = [line for line in logs if line["event"] == "database trouble"]
    assert (line["code"], line["sqlstate"]) == ("TIMEOUT", "57014")


@pytest.mark.parametrize("way", ["transaction", "connection", "reading", "snapshot"])
async def test_a_connection_is_not_waited_for_without_end(hasty: db.Database, way: str) -> None:
    take = getattr(hasty, way)
    async with take(), take():
        started = time.monotonic()
        with pytest.raises(DatabaseTrouble, match="are busy"):
            async with take():
                pass
        if way in ("reading", "snapshot"):
            with pytest.raises(DatabaseTrouble, match="are busy"):
                await hasty.fetch_json(ME, ())
        assert 0.4 <= time.monotonic() - started < 2
        await hasty.ping()  # busy is not dead
    async with take(), take():
        pass


async def test_a_sweeping_change_has_its_own_limit(hasty: db.Database) -> None:
    for _ in range(2):
        async with hasty.transaction() as tx:
            assert tx.connection.limit_s == pytest.approx(0.6)
            await records.allow_long_statements(Act(tx, system()))
            assert tx.connection.limit_s > 300
            await tx.connection.execute("SELECT pg_sleep(0.7)")


async def test_a_process_that_stood_still_itself_cuts_nobody(hasty: db.Database) -> None:
    asked = asyncio.create_task(hasty.fetch_json("SELECT pg_sleep(0.1)::text, 1", ()))
    await asyncio.sleep(0.05)
    time.sleep(1.5)  # noqa: ASYNC251 - that is what is tried here
    assert (await asked)[1] == 1


async def test_a_server_that_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        async with asyncio.timeout(3):
            with pytest.raises(DatabaseAway, match="CRMGQL_DATABASE_URL"):
                await db.connect(url, pool_size=2)
            patient = await db.connect(url, pool_size=2, patient=True)
            with pytest.raises(DatabaseTrouble, match="let nobody in"):
                await patient.fetch_json(ME, ())
            await patient.close()


async def test_a_server_that_comes_later_is_used_without_a_hand(database_url: str, tmp_path: Path) -> None:
    there = Path(parse_qs(urlsplit(database_url).query)["host"][0]) / ".s.PGSQL.5432"
    url = database_url.replace(str(there.parent), str(tmp_path))
    with pytest.raises(DatabaseAway):
        await db.connect(url, pool_size=2)
    crm = await db.connect(url, pool_size=2, patient=True)
    try:
        for _ in range(3):
            with pytest.raises(DatabaseTrouble):
                await crm.fetch_json(ME, ())
            with pytest.raises(DatabaseTrouble):
                async with crm.transaction():
                    pass
            with pytest.raises(DatabaseTrouble):
                await crm.ping()
        (tmp_path / ".s.PGSQL.5432").symlink_to(there)
        await crm.ping()
        assert (await crm.fetch_json(ME, ()))[1] == 1
        async with crm.transaction() as one, crm.transaction() as other:
            assert await one.connection.fetchval("SELECT 1") == await other.connection.fetchval("SELECT 1")
    finally:
        await crm.close()


@pytest.mark.parametrize("patient", [True, False])
async def test_a_server_that_refuses_us_is_no_server_that_is_away(database_url: str, patient: bool) -> None:
    address, _, options = database_url.partition("?")
    for url in (f"{address}_not?{options}", f"{address}?{options}&sslmode=nonsense"):
        with pytest.raises(SetupError) as refused:
            await db.connect(url, pool_size=2, patient=patient)
        assert not isinstance(refused.value, DatabaseAway)


@pytest.mark.parametrize(
    ("sqlstate", "text", "kind"),
    [
        ("53100", "could not extend file", DiskFull),
        ("58030", "could not write to file: No space left on device", DiskFull),
        ("58030", "could not read block 7", DatabaseTrouble),
        ("53200", "out of memory", DatabaseTrouble),
        ("53300", "too many clients already", DatabaseTrouble),
        ("57P01", "terminating connection", DatabaseTrouble),
        ("22012", "division by zero", BadUserInput),
    ],
)
async def test_what_the_database_says_of_its_own_troubles(
    crm: db.Database, sqlstate: str, text: str, kind: type[CrmError]
) -> None:
    token = logs.request_id.set(b"req-7")
    try:
        with capture_logs(processors=[logs._of_request]) as lines, pytest.raises(CrmError) as said:
            async with crm.transaction() as tx:
                await tx.connection.execute(
                    f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = '{text}'; END $$"
                )
    finally:
        logs.request_id.reset(token)
    assert type(said.value) is kind
    assert text not in said.value.message
    assert crm.troubles.disk_full is (kind is DiskFull)
    expected = [("database trouble", sqlstate, text, "req-7")]
    if kind is BadUserInput:
        expected = [("value refused by the database", sqlstate, "DivisionByZeroError", "req-7")]
    assert [(each["event"], each["sqlstate"], each["reason"], each["request_id"]) for each in lines] == expected


async def test_what_goes_wrong_beside_the_database_is_not_its_trouble(crm: db.Database) -> None:
    for error in (TimeoutError(), FileNotFoundError(), PermissionError(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            async with crm.transaction():
                raise error
