"""The server process: how it starts, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from crmgql import secrets_file
from crmgql.config import Settings
from crmgql.errors import SetupError
from tests.jobs import until
from tests.speed import slowness

ME = {"query": "{ me { name } }"}


def test_a_taken_port_is_one_clear_line(serve: Any, served: Any) -> None:
    with serve(ready=False, CRMGQL_PORT=str(served.port)) as second:
        assert second.process.wait(60) != 0
        assert f"crmgql: Port {served.port} on 127.0.0.1 is taken, set CRMGQL_PORT to another one." in second.log


def test_a_database_that_refuses_us_is_one_clear_line(serve: Any, http_database_url: str) -> None:
    address, _, options = http_database_url.partition("?")
    with serve(ready=False, CRMGQL_DATABASE_URL=f"{address}_not?{options}") as served:
        assert served.process.wait(60) == 1
        assert "PostgreSQL can't be reached" in served.log
        assert "Traceback" not in served.log


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CRMGQL_CORS_ORIGINS", "notaurl", "CRMGQL_CORS_ORIGINS: 'notaurl' is no origin"),
        ("CRMGQL_SECRET_KEY", "short", "CRMGQL_SECRET_KEY is too short"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(serve: Any, name: str, value: str, told: str) -> None:
    with serve(ready=False, **{name: value}) as served:
        assert served.process.wait(60) == 1
        assert sum(told in line for line in served.log.splitlines()) == 1
        assert "Traceback" not in served.log


async def test_requests_in_flight_are_answered_before_the_end(serve: Any, http_database_url: str, token: str) -> None:
    locker = await asyncpg.connect(http_database_url)
    with serve(CRMGQL_WORKERS="2") as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=60, verify=False) as client:
            async with locker.transaction():
                await locker.execute("LOCK TABLE users")
                asking = asyncio.create_task(client.post("/graphql", json=ME, headers=bearer(token)))
                await one_waits(locker)
                served.process.terminate()
                await asyncio.sleep(0.5)
                assert not asking.done()
            response = await asking
        assert (response.status_code, response.json()["data"]) == (200, {"me": {"name": "Ada"}})
        assert served.process.wait(60) == 0
        assert [json.loads(line)["event"] for line in served.log.splitlines()] == ["query"]
    await locker.close()


async def test_the_end_waits_at_most_five_seconds(serve: Any, http_database_url: str, token: str) -> None:
    locker = await asyncpg.connect(http_database_url)
    with serve() as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=60, verify=False) as client:
            async with locker.transaction():
                await locker.execute("LOCK TABLE users")
                asking = asyncio.create_task(client.post("/graphql", json=ME, headers=bearer(token)))
                await one_waits(locker)
                started = time.monotonic()
                served.process.terminate()
                await asyncio.to_thread(served.process.wait, 60)
                assert 4.5 < time.monotonic() - started < 9  # the query would be stopped after ten
                with pytest.raises(httpx.TransportError):
                    await asking
    await locker.close()


async def one_waits(locker: asyncpg.Connection) -> None:
    """Until somebody waits for the table that is locked."""

    async def waits() -> bool:
        sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass)"
        return bool(await locker.fetchval(sql))

    await until(waits)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_each_line_of_the_log_is_json(otherwise: Any) -> None:
    entries = [json.loads(line) for line in otherwise.log.splitlines()]
    assert all({"event", "level", "timestamp"} <= set(entry) for entry in entries)
    assert any(entry.get("logger") == "_granian" for entry in entries)


def test_one_secret_for_many_that_start_at_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    barrier = threading.Barrier(8)

    def start() -> str:
        barrier.wait()
        return secrets_file.secret(settings)

    with ThreadPoolExecutor(8) as pool:
        found = {each.result() for each in [pool.submit(start) for _ in range(8)]}
    assert len(found) == 1
    assert len(found.pop()) == 64
    assert os.listdir(settings.data_dir) == ["secret"]
    assert stat.S_IMODE((settings.data_dir / "secret").stat().st_mode) == 0o600


def test_secrets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="too short"):
        secrets_file.secret(Settings(secret_key="short"))
    (tmp_path / "secret").write_text("")
    with pytest.raises(SetupError, match="damaged"):
        secrets_file.secret(Settings(data_dir=tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="set CRMGQL_SECRET_KEY"):
        secrets_file.secret(Settings(data_dir=tmp_path / "file"))


# Killed for real; every kill is of a process that the test itself started.

LONGEST_GAP_S = 4
"""Generous, for a busy machine; docs/decisions/0015-killed-processes.md has what was measured."""


def gap(url: str, token: str, pid: int) -> float:
    """Kills the process; the seconds from then until GraphQL has answered for a while without a failure."""
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    answers_since = None
    while answers_since is None or time.monotonic() - answers_since < 0.5:
        assert time.monotonic() - killed < 120
        try:
            response = httpx.post(f"{url}/graphql", json=ME, headers=bearer(token), timeout=2, verify=False)
            answers = response.json()["data"] == {"me": {"name": "Ada"}}
        except httpx.TransportError:
            answers = False
        answers_since = (answers_since or time.monotonic()) if answers else None
        time.sleep(0.01)
    return answers_since - killed


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_killed_worker_is_made_good_at_once_however_often(serve: Any, token: str) -> None:
    with serve() as served:
        gaps = [gap(served.url, token, children(served.process.pid)[-1]) for _ in range(4)]
        print("without answers:", *(f"{each:.2f} s" for each in gaps))
        assert max(gaps) < LONGEST_GAP_S * slowness()
        assert served.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_one_of_several_workers_may_be_killed(serve: Any, token: str) -> None:
    with serve(CRMGQL_WORKERS="2") as served:
        first = children(served.process.pid)[-1]
        assert gap(served.url, token, first) < LONGEST_GAP_S * slowness()
        assert children(served.process.pid)[-1] != first
        assert served.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells the workers")
def test_workers_go_with_a_killed_server_and_free_its_port(serve: Any) -> None:
    with serve(CRMGQL_WORKERS="2") as served:
        workers = children(served.process.pid)
        assert len(workers) >= 2
        served.process.kill()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with serve(CRMGQL_PORT=str(served.port)) as again:
            assert httpx.get(f"{again.url}/healthz", verify=False).status_code == 200


SUPERVISED = """
import sys
from crmgql.dev import supervise
serve = [sys.executable, "-m", "crmgql", "serve", "--standby"]
sys.exit(supervise.run([supervise.Child("the API", serve, standby=True, settles_s=1)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_killed_server_is_made_good_at_once(serve: Any, token: str) -> None:
    with serve(program=SUPERVISED) as served:
        spare = wait_for_spare(served.process.pid)
        assert not any(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{spare}/fd").iterdir())
        [server] = [each for each in children(served.process.pid) if children(each)]
        took = gap(served.url, token, server)
        print(f"without answers: {took:.2f} s")
        assert took < LONGEST_GAP_S * slowness()
        assert children(spare), "it serves now"
        assert wait_for_spare(served.process.pid) != spare
        assert served.stop() == 0
    assert "the API ended (signal 9): starting it again." in served.log


def wait_for_spare(supervisor: int) -> int:
    """The process that has prepared everything and waits for its line."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for each in children(supervisor):
            program = Path(f"/proc/{each}/cmdline").read_text()
            if "--standby" in program and "pipe_read" in Path(f"/proc/{each}/wchan").read_text():
                return each
        time.sleep(0.05)
    raise AssertionError("no spare")
