"""What a worker tells of itself: over HTTP, on loopback, without asking more than it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio

from crmgql.domain.jobs import kinds, queues
from crmgql.errors import DatabaseTrouble, SetupError
from crmgql.viewer import system_clock
from crmgql.workers import metrics
from crmgql.workers.metrics import Answers, Page, Tally
from tests.jobs import put
from tests.workers.test_runner import free_port, valkey, worker


class Hand:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest_asyncio.fixture
async def client(crm, clock) -> AsyncIterator[httpx.AsyncClient]:
    async def depths() -> queues.Depths:
        async with crm.reserved() as connection:
            return await queues.depths(connection, queues=kinds.QUEUES, now=system_clock())

    tally, port = Tally(), free_port()
    tally.note("lead.route", "done", 0.2)
    tally.note("lead.route", "failed", 2.0)
    answers = Answers(clock)
    answers.valkey()
    answers.postgresql()
    async with metrics.served(Page(tally, answers, lambda: 3, depths), "127.0.0.1", port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as asking:
            yield asking


async def test_metrics_tell_of_attempts_and_queues(database, client) -> None:
    await put(database, queue="email", due_at=system_clock() - timedelta(minutes=1))
    await put(database, status="DEAD")
    text = (await client.get("/metrics")).text
    for line in (
        'crmgql_job_attempts_total{kind="lead.route",outcome="failed"} 1.0',
        'crmgql_job_seconds_bucket{kind="lead.route",le="0.5"} 1.0',
        'crmgql_job_seconds_count{kind="lead.route"} 2.0',
        "crmgql_worker_jobs 3.0",
        'crmgql_jobs_due{queue="email"} 1.0',
        'crmgql_jobs_due{queue="bulk"} 0.0',
        "crmgql_jobs_dead 1.0",
    ):
        assert line in text.splitlines(), text
    [oldest] = [line for line in text.splitlines() if line.startswith('crmgql_jobs_oldest_due_seconds{queue="email"}')]
    assert 60 <= float(oldest.split()[-1]) < 90


async def test_health_and_readiness(client, clock) -> None:
    assert (await client.get("/readyz?x=1")).json() == {"status": "ok"}
    clock.now = metrics.SILENT_S + 1
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (
        503,
        ["PostgreSQL does not answer.", "Valkey does not answer."],
    )
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    other = await client.get("/other")
    assert (other.status_code, other.reason_phrase) == (404, "Not Found")
    assert (await client.post("/metrics")).status_code == 405


async def test_a_database_that_is_away_leaves_the_worker_s_own_numbers(clock) -> None:
    async def depths() -> queues.Depths:
        raise DatabaseTrouble("away")

    status, _, text = await Page(Tally(), Answers(clock), lambda: 0, depths).answer("/metrics")
    assert status == 200
    assert b"crmgql_worker_jobs 0.0" in text
    assert b"crmgql_jobs_due" not in text


async def test_a_port_that_is_taken_is_told_in_a_line(client, clock) -> None:
    port = client.base_url.port
    with pytest.raises(SetupError, match=str(port)):
        async with metrics.served(Page(Tally(), Answers(clock), lambda: 0, None), "127.0.0.1", port):  # type: ignore[arg-type]
            pass


async def test_a_worker_serves_them_when_asked_to(database_url, tmp_path) -> None:
    port, at = free_port(), free_port()
    async with valkey(port, tmp_path), worker(database_url, port, "--metrics-port", str(at)):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at}", trust_env=False) as asking:
            async with asyncio.timeout(60):
                while True:
                    try:
                        if (await asking.get("/readyz")).status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    await asyncio.sleep(0.1)
            assert "crmgql_jobs_dead 0.0" in (await asking.get("/metrics")).text
