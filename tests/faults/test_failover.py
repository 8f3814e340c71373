"""PostgreSQL fails over to a replica that lacks the last commits. Who is ahead of it is told so, who is not goes on; in the history
that stands, no position is given twice and none is missing."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crmgql import db, migrate
from crmgql.dev import accounts, embedded
from tests.faults.company import Company
from tests.faults.feed import check_feed, cursors_of, placed
from tests.faults.installation import installed
from tests.faults.subscribers import Subscriber
from tests.jobs import until

PROMOTED = "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n"


class Cluster:
    """A PostgreSQL of the test's own, of which a base backup takes over."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.copy = home / "replica"
        self.stack = ExitStack()
        self.start()

    def start(self) -> None:
        self.url = self.stack.enter_context(embedded.start(self.home, valkey=False)).database_url

    async def back_up(self) -> None:
        """As of now: a replica that gets nothing from here on."""
        account = accounts.find(embedded.POSTGRES_BIN_PATH / "postgres", self.home / "postgres")
        self.copy.mkdir(mode=0o700)
        account.own(self.copy)
        sockets = self.url.partition("host=")[2]
        program = str(embedded.POSTGRES_BIN_PATH / "pg_basebackup")
        argv = [program, "-D", str(self.copy), "-h", sockets, "-U", embedded.SUPERUSER, "-c", "fast", "--no-sync"]
        await asyncio.to_thread(subprocess.run, argv, check=True, preexec_fn=account.before_exec(signal.SIGKILL))

    def fail_over(self) -> None:
        """The server dies, and its replica becomes a server: with a timeline of its own."""
        self.stack.close()
        shutil.rmtree(self.home / "postgres")
        self.copy.rename(self.home / "postgres")
        with (self.home / "postgres" / "postgresql.auto.conf").open("a") as settings:
            settings.write(PROMOTED)
        (self.home / "postgres" / "recovery.signal").touch()
        self.start()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "cluster")
    yield made
    made.stack.close()


def subscriber(company: Company, way: str) -> Subscriber:
    made = Subscriber(way, list(company.urls), company.token, [], random.Random(1))
    made.start()
    return made


async def connected(url: str) -> asyncpg.Connection:
    """A connection, once the server takes them."""
    while True:
        with suppress(OSError, asyncpg.PostgresError):
            return await asyncpg.connect(url)
        await asyncio.sleep(0.05)


async def caught_up(subscribers: list[Subscriber], feed: list[Any]) -> None:
    async def all_there() -> bool:
        return all(each.cursor >= feed[-1]["cursor"] for each in subscribers)

    await until(all_there)


async def test_failover_to_a_replica_without_the_last_commits(cluster: Cluster, tmp_path: Path) -> None:
    await migrate.migrate(cluster.url)
    crm, database = await db.connect(cluster.url, pool_size=2), await connected(cluster.url)
    with installed(cluster.url, tmp_path) as installation:
        await installation.ready()
        company = await Company.founded(crm, database, cluster.url, [api.url for api in installation.apis])
        integrator = installation.integrator(company.key).start()
        ahead = [subscriber(company, way) for way in ("socket", "events")]
        away = [subscriber(company, way) for way in ("socket", "events")]
        await company.sell()
        shared = await placed(database)
        await caught_up(ahead + away, shared)
        for each in away:
            await each.kill()
        await cluster.back_up()

        await company.sell()
        await company.sell_at_once()
        undone = (await placed(database))[len(shared) :]
        await caught_up(ahead, undone)
        assert await integrator.is_equal(), integrator.log
        await database.close()
        cluster.fail_over()

        company.database = database = await connected(cluster.url)
        await company.sell()
        await company.sell_at_once()
        await company.sell()
        for each in away:
            each.start()
        feed = await placed(database)
        await caught_up(away + ahead, feed)
        assert await integrator.is_equal(), integrator.log
        for each in ahead + away:
            await each.kill()
        await company.http.aclose()
    await database.close()
    await crm.close()
    check_feed(feed)
    stands, gone = cursors_of(feed), set(cursors_of(undone))
    assert stands[: len(shared)] == cursors_of(shared)
    assert not gone & set(stands)
    for each in away:
        assert [event["cursor"] for event in each.events] == stands
        assert not each.lost
    for each in ahead:
        assert len(each.lost) == 1
        after = [event["cursor"] for event in each.events if event["cursor"] not in gone][len(shared) :]
        assert after == [cursor for cursor in stands if cursor > each.lost[0]]
    assert integrator.log.count("CURSOR_OF_ANOTHER_HISTORY") == 1
