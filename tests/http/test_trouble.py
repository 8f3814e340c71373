"""PostgreSQL stands still, comes later, has no room: real processes, none of which is started again.

Always: answers in time that say what is wrong, right ones as soon as that is over, and no job has lost an attempt.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from crmgql import db, migrate
from crmgql.dev import embedded
from crmgql.domain.jobs import jobs
from crmgql.http.health import SHARED_S
from crmgql.records.records import Act
from crmgql.viewer import system
from tests import processes
from tests.conftest import named
from tests.http.conftest import Serve, administrator
from tests.workers.crash_worker import MARK, WALK, Mark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="freezes and fills as Linux lets it")

READ = "{ customers { totalCount } }"
WRITE = 'mutation { customerCreate(input: {name: "Acme"}) { customer { name } userErrors { code } } }'
MARKS = "CREATE TABLE marks (number bigint NOT NULL, step integer NOT NULL)"
HASTY = {"CRMGQL_STATEMENT_TIMEOUT_MS": "1000", "CRMGQL_POOL_SIZE": "2"}


@contextmanager
def postgres(home: Path) -> Iterator[embedded.Servers]:
    with embedded.start(home, valkey=False) as started:
        yield started


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's PostgreSQL keeps its data."""
    return tmp_path_factory.mktemp("own")


async def prepared(url: str) -> str:
    """Makes a database what the tests need; an administrator's token."""
    await migrate.migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute(MARKS)
    await connection.close()
    return await administrator(url)


async def fresh(server_url: str, name: str) -> tuple[str, str]:
    """A new database's URL, and an administrator's token."""
    connection = await asyncpg.connect(server_url)
    await connection.execute("ALTER SYSTEM SET fsync = off")  # its data are needed for this module only
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = named(server_url, name)
    return url, await prepared(url)


@dataclass
class Worker:
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()


@contextmanager
def worker(url: str, redis_url: str, home: Path) -> Iterator[Worker]:
    """One whose leases are short, so that they do run out. What other tests left in Valkey is none of its business."""
    redis_url = f"{redis_url.removesuffix('/0')}/5"
    given = {"CRMGQL_DATABASE_URL": url, "CRMGQL_REDIS_URL": redis_url, "CRMGQL_LOG_FORMAT": "json", **HASTY}
    started = Worker(home / "worker.log")
    started.log_path.touch()
    words = ("tests.workers.crash_worker", "short", str(uuid4()), str(home / "journal"))
    process = processes.Process(*words, environment={**os.environ, **given}, log=started.log_path)
    try:
        yield started
        assert process.poll() is None, started.log
        process.terminate()
        assert process.wait(60) == 0, started.log
        assert "Traceback" not in started.log
    finally:
        process.kill()
        process.wait()


class Asking:
    """A client of a server in trouble."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}", "accept": "application/graphql-response+json"}
        self.http = httpx.AsyncClient(base_url=url, timeout=60, verify=False, headers=headers)

    async def graphql(self, query: str) -> tuple[int, str, str]:
        """Status, code and words of the answer."""
        answer = await self.http.post("/graphql", json={"query": query})
        [error] = answer.json().get("errors") or [{"message": "", "extensions": {"code": "OK"}}]
        return answer.status_code, error["extensions"]["code"], error["message"]

    async def ready(self) -> tuple[int, str]:
        """The status, and whether PostgreSQL is ready."""
        answer = await self.http.get("/readyz")
        return answer.status_code, answer.json()["servers"]["PostgreSQL"]

    async def alive(self) -> None:
        """It answers at once, whatever else it waits for."""
        started = time.monotonic()
        assert (await self.http.get("/healthz")).status_code == 200
        assert time.monotonic() - started < 2  # what it might wait for takes as long at the least

    async def until_well(self) -> None:
        async with asyncio.timeout(60):
            while (await self.ready())[0] != 200:
                await asyncio.sleep(0.1)
            while (await self.graphql(READ))[0] != 200 or (await self.graphql(WRITE))[0] != 200:
                await asyncio.sleep(0.1)


async def enqueue(url: str, *, slow_ms: int, count: int = 12) -> None:
    crm = await db.connect(url, pool_size=2)
    async with crm.transaction() as tx:
        for number in range(count):
            await jobs.enqueue(Act(tx, system()), MARK, Mark(number=number, slow_ms=slow_ms))
        await jobs.enqueue(Act(tx, system()), WALK, Mark(number=count, slow_ms=slow_ms))
    await crm.close()


async def all_done(url: str, *, count: int = 12) -> None:
    """Each job's effect is there once, and none counts a failure."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("SELECT count(*) FROM jobs WHERE kind LIKE 'test.%' AND status <> 'DONE'"):
                await asyncio.sleep(0.1)
        assert await connection.fetchval("SELECT count(*) FROM jobs WHERE failures > 0") == 0
        marks = {(row["number"], row["step"]) for row in await connection.fetch("SELECT number, step FROM marks")}
        assert marks == {(n, 0) for n in range(count)} | {(count, step) for step in range(5)}
        assert await connection.fetchval("SELECT count(*) FROM marks") == count + 5
    finally:
        await connection.close()


@contextmanager
def frozen(server: embedded.Servers) -> Iterator[None]:
    """Every process of PostgreSQL stands still, the first one first, so that it starts no more."""
    postmaster = server.running[0].process.pid
    os.kill(postmaster, signal.SIGSTOP)
    children = [
        int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _parent(each) == postmaster
    ]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*children, postmaster):
            os.kill(pid, signal.SIGCONT)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has just ended
        return 0


async def test_postgresql_stands_still(servers: embedded.Servers, serve: Serve, home: Path, tmp_path: Path) -> None:
    with postgres(home) as own:
        url, token = await fresh(own.database_url, "still")
        with (
            worker(url, servers.redis_url, tmp_path),
            serve(CRMGQL_DATABASE_URL=url, **{**HASTY, "CRMGQL_POOL_SIZE": "8"}) as served,
        ):
            client = Asking(served.url, token)
            async with client.http:
                await client.until_well()
                await enqueue(url, slow_ms=400)
                await asyncio.sleep(0.6)  # some are under way
                with frozen(own):  # for longer than a lease
                    started = time.monotonic()
                    asked = asyncio.gather(*(client.graphql(query) for query in (READ, WRITE) * 2))
                    await client.alive()
                    await asyncio.sleep(SHARED_S)
                    assert await client.ready() == (503, "not ready")
                    answers = [*await asked, await client.graphql(READ)]
                    for answer in answers:
                        assert answer[:2] == (503, "SERVICE_UNAVAILABLE"), answer
                    assert "has not answered for 2 seconds" in answers[0][2]
                    assert "has let nobody in for 4 seconds" in answers[-1][2]
                    assert time.monotonic() - started < 20  # several waits of two and of four seconds
                    await client.alive()
                await client.until_well()
                await all_done(url)
            assert "no answer within 2 seconds" in served.log
            assert "Traceback" not in served.log


async def test_postgresql_comes_later_and_goes(
    servers: embedded.Servers, serve: Serve, home: Path, tmp_path: Path
) -> None:
    with postgres(home) as own:
        url, token = await fresh(own.database_url, "later")
        await enqueue(url, slow_ms=0)
    with worker(url, servers.redis_url, tmp_path) as working, serve(CRMGQL_DATABASE_URL=url, **HASTY) as served:
        client = Asking(served.url, token)
        async with client.http:
            async with asyncio.timeout(60):
                while "waiting for it" not in working.log:
                    await asyncio.sleep(0.05)
            for _ in range(2):
                await client.alive()
                assert await client.ready() == (503, "not ready")
                for query in (READ, WRITE):
                    assert (await client.graphql(query))[:2] == (503, "SERVICE_UNAVAILABLE")
                with postgres(home):
                    await client.until_well()
                    await all_done(url)
                await asyncio.sleep(SHARED_S)
        assert "started without PostgreSQL" in served.log
        assert "Traceback" not in served.log


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 MB, in memory, at a place that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="crmgql-disk-") as place:
        Path(place).chmod(0o711)
        program = shutil.which("mount")
        if program is None or subprocess.run([program, "-t", "tmpfs", "-o", "size=64m", "crmgql", place]).returncode:
            pytest.skip("a small file system can't be mounted here: that needs root and CAP_SYS_ADMIN")
        yield Path(place)
        subprocess.run(["umount", place], check=True)


@asynccontextmanager
async def on_disk(server: embedded.Servers, disk: Path, home: Path) -> AsyncIterator[tuple[str, str]]:
    """A database whose tables are on this disk, and an administrator's token. The write-ahead log is elsewhere: where it
    finds no room, PostgreSQL stops."""
    tables = disk / "tables"
    tables.mkdir()
    owner = (home / "postgres").stat()
    os.chown(tables, owner.st_uid, owner.st_gid)
    connection = await asyncpg.connect(server.database_url)
    await connection.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
    await connection.execute("CREATE DATABASE small TABLESPACE small")
    try:
        url = named(server.database_url, "small")
        yield url, await prepared(url)
    finally:
        await connection.execute("DROP DATABASE small WITH (FORCE)")
        await connection.execute("DROP TABLESPACE small")
        await connection.close()


def fill(disk: Path) -> Path:
    """To the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return ballast


async def test_the_disk_is_full(
    servers: embedded.Servers, serve: Serve, home: Path, tmp_path: Path, small_disk: Path
) -> None:
    with postgres(home) as own:
        async with on_disk(own, small_disk, home) as (url, token):
            with serve(CRMGQL_DATABASE_URL=url, **HASTY) as served:
                client = Asking(served.url, token)
                async with client.http:
                    await enqueue(url, slow_ms=0)
                    assert await client.ready() == (200, "ready")
                    ballast = fill(small_disk)
                    with worker(url, servers.redis_url, tmp_path) as working:
                        await _stays_full(client, working)
                        ballast.unlink()
                        await client.until_well()
                        await all_done(url)
                said = next(line for line in served.log.splitlines() if '"53100"' in line)
                assert "request_id" in said
                assert "its disk is full" in served.log
                assert "Traceback" not in served.log


async def _stays_full(client: Asking, working: Worker) -> None:
    status, code, words = await client.graphql(WRITE)
    assert (status, code) == (503, "SERVICE_UNAVAILABLE")
    assert "disk is full" in words
    await asyncio.sleep(SHARED_S)
    async with asyncio.timeout(60):
        while '"53100"' not in working.log:
            await asyncio.sleep(0.1)
    for _ in range(2):
        assert await client.ready() == (503, "not ready")
        assert (await client.graphql(READ))[0] == 200
        await client.alive()
        await asyncio.sleep(SHARED_S + 0.1)
