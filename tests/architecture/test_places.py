"""An opportunity's stage says its pipeline and its status, whoever writes the row and however."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import fresh_database

PARTNERS = """
WITH made AS (INSERT INTO pipelines (name) VALUES ('Partners') RETURNING id)
INSERT INTO stages (pipeline_id, name, position, status, archived_at)
SELECT made.id, stage.* FROM made, (VALUES
    ('Old', 1, 'OPEN', now()), ('Talk', 2, 'OPEN', NULL), ('Offer', 3, 'OPEN', NULL),
    ('Signed', 4, 'WON', NULL), ('Gone', 5, 'LOST', NULL)
) AS stage (name, position, status, archived_at)"""
PLACE = """
SELECT pipelines.name AS pipeline, stages.name AS stage, opportunities.status, stages.status AS said
FROM opportunities JOIN stages ON stages.id = stage_id JOIN pipelines ON pipelines.id = opportunities.pipeline_id"""


@pytest_asyncio.fixture(scope="module")
async def crowded(servers: Any, template: str) -> AsyncIterator[asyncpg.Connection]:
    """A database with a second pipeline, whose first stage is archived."""
    async with fresh_database(servers.database_url, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(PARTNERS)
        yield connection
        await connection.close()


@pytest_asyncio.fixture
async def database(crowded: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """The same, as it was when the test began."""
    running = crowded.transaction()
    await running.start()
    yield crowded
    await running.rollback()


async def stage(database: asyncpg.Connection, name: str) -> Any:
    return await database.fetchval("SELECT id FROM stages WHERE name = $1", name)


async def pipeline(database: asyncpg.Connection, name: str) -> Any:
    return await database.fetchval("SELECT id FROM pipelines WHERE name = $1", name)


async def place(database: asyncpg.Connection) -> tuple[str, str, str]:
    """Where the only opportunity is; its status is always its stage's."""
    row = await database.fetchrow(PLACE)
    assert row["status"] == row["said"]
    return row["pipeline"], row["stage"], row["status"]


async def test_without_a_stage_it_is_the_first_of_the_default_pipeline(database: asyncpg.Connection) -> None:
    await database.execute("INSERT INTO opportunities (name) VALUES ('Deal')")
    assert await place(database) == ("Sales", "Prospecting", "OPEN")


async def test_with_a_pipeline_it_is_that_ones_first_that_is_not_archived(database: asyncpg.Connection) -> None:
    partners = await pipeline(database, "Partners")
    await database.execute("INSERT INTO opportunities (name, pipeline_id) VALUES ('Deal', $1)", partners)
    assert await place(database) == ("Partners", "Talk", "OPEN")


async def test_the_stage_overrules_what_else_is_written(database: asyncpg.Connection) -> None:
    offer, sales = await stage(database, "Offer"), await pipeline(database, "Sales")
    await database.execute(
        "INSERT INTO opportunities (name, stage_id, pipeline_id, status) VALUES ('Deal', $1, $2, 'OPEN')", offer, sales
    )
    assert await place(database) == ("Partners", "Offer", "OPEN")
    await database.execute("UPDATE opportunities SET pipeline_id = $1", sales)
    assert await place(database) == ("Partners", "Offer", "OPEN")
    gone = await stage(database, "Gone")
    await database.execute("UPDATE opportunities SET stage_id = $1, status = 'WON', closed_on = now()", gone)
    assert await place(database) == ("Partners", "Gone", "LOST")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE opportunities SET status = 'WON', closed_on = now()",  # the status alone: it stays OPEN
        "UPDATE opportunities SET closed_on = now()",
        "UPDATE opportunities SET stage_id = (SELECT id FROM stages WHERE name = 'Won')",
        "INSERT INTO opportunities (name, stage_id) SELECT 'Deal', id FROM stages WHERE name = 'Lost'",
    ],
)
async def test_closed_is_what_has_an_end_and_a_closing_stage(database: asyncpg.Connection, change: str) -> None:
    await database.execute("INSERT INTO opportunities (name) VALUES ('Deal')")
    with pytest.raises(asyncpg.CheckViolationError, match="opportunities_closed"):
        await database.execute(change)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE opportunities SET status = 'WON', closed_on = now()",
        "UPDATE opportunities SET pipeline_id = (SELECT id FROM pipelines WHERE name = 'Partners')",
        "UPDATE opportunities SET stage_id = (SELECT id FROM stages WHERE name = 'Talk')",
        "UPDATE opportunities SET stage_id = (SELECT id FROM stages WHERE name = 'Won')",
    ],
)
async def test_even_without_the_trigger_the_key_holds_them_together(database: asyncpg.Connection, change: str) -> None:
    await database.execute("INSERT INTO opportunities (name) VALUES ('Deal')")
    await database.execute("ALTER TABLE opportunities DISABLE TRIGGER opportunities_place")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="opportunities_place"):
        await database.execute(change)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Signed", "status = 'LOST'"),
        ("Talk", "pipeline_id = (SELECT id FROM pipelines WHERE name = 'Sales'), position = 99"),
    ],
)
async def test_a_stage_in_use_keeps_its_status_and_pipeline(
    database: asyncpg.Connection, name: str, change: str
) -> None:
    """Otherwise its opportunities would be lost, or elsewhere, without anybody having said so."""
    closed = "now()" if name == "Signed" else "NULL"
    await database.execute("DELETE FROM stages WHERE name = 'Gone'")
    await database.execute(
        f"INSERT INTO opportunities (name, stage_id, closed_on) VALUES ('Deal', $1, {closed})",
        await stage(database, name),
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="opportunities_place"):
        await database.execute(f"UPDATE stages SET {change} WHERE name = '{name}'")


async def test_a_pipeline_has_one_end_of_each_kind_and_there_is_one_default(database: asyncpg.Connection) -> None:
    sales = await pipeline(database, "Sales")
    for name, sql in (
        ("stages_one_won", "INSERT INTO stages (pipeline_id, name, position, status) VALUES ($1, 'X', 77, 'WON')"),
        ("stages_name", "INSERT INTO stages (pipeline_id, name, position) VALUES ($1, 'PROPOSAL', 77)"),
        (
            "pipelines_one_default",
            "INSERT INTO pipelines (id, name, is_default) VALUES (gen_random_uuid(), $1::text, true)",
        ),
    ):
        with pytest.raises(asyncpg.UniqueViolationError, match=name):
            async with database.transaction():
                await database.execute(sql, "X" if name.startswith("pipelines") else sales)


async def test_it_came_into_its_stage_when_it_was_closed_or_engaged(database: asyncpg.Connection) -> None:
    """As far as what is imported says so."""
    won = await stage(database, "Won")
    await database.execute(
        "INSERT INTO opportunities (name, stage_id, engaged_on, closed_on) VALUES ('A', $1, '2026-01-02', '2026-03-04')",
        won,
    )
    await database.execute("INSERT INTO opportunities (name, engaged_on) VALUES ('B', '2026-01-02')")
    await database.execute("INSERT INTO opportunities (name) VALUES ('C')")
    rows = await database.fetch("SELECT name, stage_since, created_at FROM opportunities ORDER BY name")
    assert [row["stage_since"].isoformat() for row in rows[:2]] == [
        "2026-03-04T00:00:00+00:00",
        "2026-01-02T00:00:00+00:00",
    ]
    assert rows[2]["stage_since"] == rows[2]["created_at"]
