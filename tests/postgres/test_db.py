"""Connections come back whatever is cancelled, and lost servers have a name."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from crmgql import db
from crmgql.errors import BadUserInput, DatabaseTrouble, SetupError, TimedOut, Unavailable
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import system


async def test_a_block_that_ends_commits_and_one_that_raises_rolls_back(crm: db.Database, database) -> None:
    async with crm.transaction() as tx:
        await tx.connection.execute("INSERT INTO users (name) VALUES ('kept')")
    with pytest.raises(ZeroDivisionError):
        async with crm.transaction() as tx:
            await tx.connection.execute("INSERT INTO users (name) VALUES ('gone')")
            raise ZeroDivisionError
    assert await database.fetchval("SELECT array_agg(name) FROM users") == ["kept"]


async def test_cancelling_at_any_moment_leaks_no_connection(crm: db.Database) -> None:
    """Tortoise's own transaction was found to leak here: a pool of 3 was dead after 149 cancellations."""

    async def work() -> None:
        async with crm.transaction() as tx:
            await tx.connection.execute("SELECT pg_sleep(0.002)")

    for step in range(200):
        task = asyncio.ensure_future(work())
        await asyncio.sleep(step * 0.00003)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(5):
        await asyncio.gather(*(work() for _ in range(12)))


async def test_a_cancelled_commit_is_whole_or_nothing(crm: db.Database, database) -> None:
    async def work(name: str) -> None:
        async with crm.transaction() as tx:
            await tx.connection.execute("INSERT INTO users (name) VALUES ($1)", name)
            await tx.connection.execute("INSERT INTO users (name) VALUES ($1)", name)

    for step in range(60):
        task = asyncio.ensure_future(work(str(step)))
        await asyncio.sleep(step * 0.0001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.2)
    counts = await database.fetch("SELECT count(*) AS n FROM users GROUP BY name")
    assert {row["n"] for row in counts} <= {2}


async def test_queries_are_read_only(crm: db.Database) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await crm.fetch_json("INSERT INTO users (name) VALUES ('x') RETURNING id::text, 1", ())


async def test_a_statement_that_takes_too_long_says_so(database_url: str) -> None:
    crm = await db.connect(database_url, pool_size=2, statement_timeout_ms=100)
    try:
        with pytest.raises(TimedOut):
            await crm.fetch_json("SELECT pg_sleep(5)::text, 1", ())
    finally:
        await crm.close()


async def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SetupError, match="CRMGQL_DATABASE_URL"):
        await db.connect("postgresql://nobody@127.0.0.1:9/none")


async def test_a_replica_that_is_not_there_is_named(database_url: str) -> None:
    away = "postgresql://nobody@127.0.0.1:9/none"
    with pytest.raises(SetupError, match="check CRMGQL_READ_DATABASE_URL"):
        await db.connect(database_url, read_url=away, pool_size=2)
    crm = await db.connect(database_url, read_url=away, pool_size=2, patient=True)
    try:
        await crm.ping()
        with pytest.raises(Unavailable):
            await crm.ping_replica()
    finally:
        await crm.close()


async def test_a_replica_is_asked_beside_those_who_read(database_url: str) -> None:
    crm = await db.connect(database_url, read_url=database_url, pool_size=2)
    try:
        async with crm.reading(), crm.reading():
            await crm.ping_replica()
    finally:
        await crm.close()


async def test_a_cut_connection_is_replaced(crm: db.Database, database) -> None:
    """The server may restart under us: one answer is lost at most, the next works."""
    await crm.ping()
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crmgql' AND pid <> pg_backend_pid()"
    )
    await asyncio.sleep(0.1)
    outcomes = await asyncio.gather(*(crm.ping() for _ in range(4)), return_exceptions=True)
    assert all(outcome is None or getattr(outcome, "code", "") == "SERVICE_UNAVAILABLE" for outcome in outcomes)
    await crm.ping()
    async with crm.transaction() as tx:
        assert await tx.connection.fetchval("SELECT 1") == 1


async def test_a_server_that_became_a_replica_is_left(crm: db.Database) -> None:
    """As during a failover: an address may lead to a replica for a while, and a connection go on with one for ever."""
    async with crm.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")  # so a replica answers
    with pytest.raises(DatabaseTrouble, match="takes no changes just now"):
        async with crm.transaction() as tx:
            await tx.connection.execute("INSERT INTO users (name) VALUES ('x')")
    async with crm.transaction() as tx:
        await tx.connection.execute("INSERT INTO users (name) VALUES ('x')")


async def test_a_sweeping_change_may_take_longer_and_only_that(crm: db.Database) -> None:
    async with crm.transaction() as tx:
        await records.allow_long_statements(Act(tx, system()))
        assert await tx.connection.fetchval("SHOW statement_timeout") == "5min"
    for _ in range(4):
        async with crm.transaction() as tx:
            assert await tx.connection.fetchval("SHOW statement_timeout") == "10s"


async def test_a_snapshot_sees_one_moment_and_may_not_write(crm: db.Database, database) -> None:
    async with crm.snapshot() as connection:
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        await database.execute("INSERT INTO users (name) VALUES ('later')")
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("INSERT INTO users (name) VALUES ('x')")
    async with crm.reading() as connection:
        assert await connection.fetchval("SELECT count(*) FROM users") == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("INSERT INTO users (name) VALUES ('x')")


@pytest.mark.parametrize("way", ["reading", "snapshot"])
async def test_reading_in_several_statements_gives_its_connection_back(crm: db.Database, way: str) -> None:
    take = getattr(crm, way)

    async def look() -> None:
        async with take() as connection:
            await connection.fetchval("SELECT pg_sleep(0.002)")
            await connection.fetchval("SELECT 1")

    for step in range(100):
        task = asyncio.ensure_future(look())
        await asyncio.sleep(step * 0.00005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert crm.pool_sizes()["read_connections_idle"] == 4
    async with asyncio.timeout(5):
        await asyncio.gather(*(look() for _ in range(12)))


async def test_a_snapshot_that_fails_leaves_no_transaction(crm: db.Database) -> None:
    async def fails() -> None:
        async with crm.snapshot() as connection:
            await connection.fetchval("SELECT 1 / 0")

    async def breaks() -> None:
        async with crm.snapshot() as connection:
            connection.terminate()
            await connection.fetchval("SELECT 1")

    for _ in range(5):
        with pytest.raises(BadUserInput):
            await fails()
        with pytest.raises(Unavailable):
            await breaks()
    assert crm.pool_sizes()["read_connections_idle"] == 4
    for _ in range(4):
        async with crm.reading() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SHOW transaction_isolation") == "read committed"


async def test_a_transaction_left_open_while_reading_is_rolled_back(crm: db.Database) -> None:
    async with crm.reading() as connection:
        await connection.execute("BEGIN")
    async with crm.reading() as again:
        assert again is connection
        assert not again.is_in_transaction()


async def test_what_is_to_be_done_after_a_commit_is_done_then_and_only_then(crm: db.Database) -> None:
    done: list[str] = []
    async with crm.transaction() as tx:
        tx.after_commit.append(lambda: done.append("committed"))
        assert done == []
    assert done == ["committed"]
    with pytest.raises(ZeroDivisionError):
        async with crm.transaction() as tx:
            tx.after_commit.append(lambda: done.append("rolled back"))
            raise ZeroDivisionError
    assert done == ["committed"]


async def test_the_companys_zone_costs_no_statement_per_transaction(crm: db.Database, database) -> None:
    await database.execute("UPDATE companies SET timezone = 'Asia/Shanghai'")
    async with crm.transaction() as tx:
        assert tx.zone.key == "Asia/Shanghai"
    await database.execute("UPDATE companies SET timezone = 'UTC'")
    async with crm.transaction() as tx:  # believed, not read
        assert tx.zone.key == "Asia/Shanghai"
