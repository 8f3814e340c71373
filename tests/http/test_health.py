"""What an operator's machines ask."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette

from crmgql import db
from crmgql.errors import DiskFull
from crmgql.http import health, metrics
from crmgql.http.metrics import Metrics
from tests.speed import slowness

FULL = "RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'"


async def hangs() -> None:
    await asyncio.sleep(60)


async def fails() -> None:
    raise OSError("10.0.0.1 refused")


async def works() -> None:
    return None


async def ready(**checks: health.Check) -> httpx.Response:
    app = Starlette(routes=health.routes(checks, Metrics()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get("/readyz")


def test_up_and_ready(client: httpx.Client) -> None:
    for path, more in (("/healthz", {}), ("/readyz", {"servers": {"PostgreSQL": "ready", "Valkey": "ready"}})):
        response = client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok", **more})
    assert 'crmgql_jobs_due{queue="bulk"} 0.0' in client.get("/metrics").text.splitlines()


async def test_what_does_not_answer_is_named_and_why_only_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.1)
    with structlog.testing.capture_logs() as lines:
        response = await ready(PostgreSQL=hangs, Valkey=fails, Other=works)
    assert response.status_code == 503
    servers = {"PostgreSQL": "not ready", "Valkey": "not ready", "Other": "ready"}
    assert response.json() == {"status": "unavailable", "servers": servers}
    assert {line["server"]: line["reason"] for line in lines} == {
        "PostgreSQL": "no answer within 0.1 seconds",
        "Valkey": "can't be reached: 10.0.0.1 refused",
    }


async def test_many_who_ask_cost_one_check_a_second() -> None:
    asked, now, go = 0, 100.0, asyncio.Event()

    async def check() -> int:
        nonlocal asked
        asked += 1
        await go.wait()
        return asked

    shared = health.Shared(check, clock=lambda: now)
    asking = [asyncio.create_task(shared.get()) for _ in range(20)]
    await asyncio.sleep(0.01)
    asking[0].cancel()
    now += 60  # a check that takes long is not joined by a second one
    asking += [asyncio.create_task(shared.get()) for _ in range(20)]
    await asyncio.sleep(0.01)
    go.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [1] * 39
    now += 0.9
    assert await shared.get() == 1
    now += 0.1
    assert await shared.get() == 2


async def test_busy_is_not_dead(database_url: str) -> None:
    crm = await db.connect(database_url, pool_size=2)
    try:
        async with crm.transaction(), crm.transaction(), crm.reading(), crm.reading():
            assert (await ready(PostgreSQL=crm.ping)).status_code == 200
    finally:
        await crm.close()


async def test_a_full_disk_is_named_until_something_can_be_written(crm: db.Database, database: Any) -> None:
    """The disk is full for a statement that says so, and for each table that somebody wants to make."""
    await database.execute(f"""
        CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {FULL}; END $$;
        CREATE EVENT TRIGGER full_disk ON ddl_command_start EXECUTE FUNCTION full_disk()""")

    async def reason() -> str | None:
        return (await health.why_not_ready({"PostgreSQL": crm.ping}))["PostgreSQL"]

    assert await reason() is None
    with pytest.raises(DiskFull, match="until there is room again"):
        async with crm.transaction() as tx:
            await tx.connection.execute(f"DO $$ BEGIN {FULL}; END $$")
    for _ in range(2):
        assert await reason() == "its disk is full"
    await database.execute("ALTER EVENT TRIGGER full_disk DISABLE")
    assert await reason() is None
    await database.execute("ALTER EVENT TRIGGER full_disk ENABLE")
    assert await reason() is None  # which is not tried again while nothing says that it is full
    assert await database.fetchval("SELECT to_regclass('crmgql_room')") is None


def test_ready_without_valkey(otherwise: Any) -> None:
    response = httpx.get(f"{otherwise.url}/readyz", verify=False)
    servers = {"PostgreSQL": "ready", "Valkey": "not ready"}
    assert (response.status_code, response.json()["servers"]) == (503, servers)
    assert httpx.get(f"{otherwise.url}/healthz", verify=False).status_code == 200


def test_not_ready_without_the_replica(serve: Any) -> None:
    with serve(ready=False, CRMGQL_READ_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none") as served:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                response = httpx.get(f"{served.url}/readyz", verify=False)
                break
            time.sleep(0.1)
        servers = {"PostgreSQL": "ready", "Valkey": "ready", "replica": "not ready"}
        assert (response.status_code, response.json()["servers"]) == (503, servers)


def values(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_metrics(client: httpx.Client, token: str) -> None:
    before = values(client.get("/metrics").text)
    client.post("/graphql", json={"query": "{ me { id } }"}, headers={"authorization": f"Bearer {token}"})
    client.post("/graphql", json={"query": "{ me { id } }"})
    client.post("/graphql", json={"query": "{ __nonsense }"}, headers={"authorization": f"Bearer {token}"})
    response = client.get("/metrics")
    after = values(response.text)
    assert response.headers["content-type"].startswith("text/plain")
    for name in (
        'crmgql_operations_total{code="OK",kind="query"}',
        'crmgql_operations_total{code="UNAUTHENTICATED",kind="query"}',
        'crmgql_operations_total{code="GRAPHQL_VALIDATION_FAILED",kind="invalid"}',
        'crmgql_operation_seconds_bucket{kind="invalid",le="+Inf"}',
    ):
        assert after[name] == before.get(name, 0) + 1, name
    assert after["crmgql_plan_cache_plans"] >= 1
    assert after["crmgql_db_read_connections"] == 2
    assert after["crmgql_db_read_connections_idle"] == 2


def test_metrics_of_several_processes_are_added_up(serve: Any) -> None:
    with serve(CRMGQL_WORKERS="2") as served:
        for _ in range(40):  # a connection each, so that both processes get some
            httpx.post(f"{served.url}/graphql", json={"query": "{ __typename }"}, verify=False)
        name = 'crmgql_operations_total{code="OK",kind="query"}'
        deadline = time.monotonic() + 60
        seen = (0.0, 0.0)
        while seen != (40, 4) and time.monotonic() < deadline:
            scraped = values(httpx.get(f"{served.url}/metrics", verify=False).text)
            seen = (scraped.get(name, 0.0), scraped["crmgql_db_read_connections"])
            time.sleep(0.1)
        assert seen == (40, 4)


def test_counts_of_a_process_that_died_stay(tmp_path: Path) -> None:
    dead = Metrics(lambda: {"crmgql_plan_cache_plans": 5.0}, tmp_path)
    dead.note("query", "OK", 0.002)
    dead.leave()
    (left,) = tmp_path.glob("*.json")
    left.rename(tmp_path / f"{2**22 + 1}.json")  # a process id that no system gives
    alive = Metrics(lambda: {"crmgql_plan_cache_plans": 1.0}, tmp_path)
    alive.note("query", "OK", 0.2)
    seen = values(alive.exposed().decode())
    assert seen['crmgql_operations_total{code="OK",kind="query"}'] == 2
    assert seen['crmgql_operation_seconds_bucket{kind="query",le="0.0025"}'] == 1
    assert seen['crmgql_operation_seconds_count{kind="query"}'] == 2
    assert seen["crmgql_plan_cache_plans"] == 1


async def test_numbers_that_can_not_be_left_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LEAVE_EVERY_S", 0.01)
    shared = tmp_path / "shared"
    mine = Metrics(shared=shared)
    mine.note("query", "OK", 0.002)
    with structlog.testing.capture_logs() as lines:
        leaving = asyncio.create_task(mine.keep_leaving())
        async with asyncio.timeout(30):
            while not lines:
                await asyncio.sleep(0.01)
        assert values(mine.exposed().decode())['crmgql_operations_total{code="OK",kind="query"}'] == 1
    assert [line["event"] for line in lines] == ["numbers not shared with the other processes"]
    shared.mkdir()
    async with asyncio.timeout(30):
        while not list(shared.glob("*.json")):
            await asyncio.sleep(0.01)
    leaving.cancel()


def test_noting_is_cheap() -> None:
    mine = Metrics()
    rounds = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(2000):
            mine.note("query", "OK", 0.003)
        rounds.append((time.process_time() - started) / 2000)
    assert min(rounds) < 3e-6 * slowness()
    assert re.search(r'kind="query"\} 10000', mine.exposed().decode())
