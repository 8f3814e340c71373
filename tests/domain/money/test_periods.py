"""Whatever is closed and reopened in whichever order: no day is more closed than an earlier one."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from random import Random
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.domain.money import periods
from crmgql.errors import CrmError, TimedOut
from crmgql.ledger import book
from crmgql.models import PeriodStatus
from crmgql.postgres.connection import ROLE
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.domain import work
from tests.ledger.conftest import acting, receivable, sale

MONTHS = [(date(2026, month, 1), date(2026, month + 1, 1) - timedelta(days=1)) for month in range(1, 7)]
EXPECTED = {"PERIOD_OPEN", "PERIOD_CLOSED", "ILLEGAL_TRANSITION"}


async def tried(crm: db.Database, user: UUID, random: Random) -> str:
    """One verb for one month, by chance; its code if it is refused."""
    first, last = random.choice(MONTHS)
    verb = random.choice(("soft_close", "close", "close", "reopen", "to_adjust"))
    try:
        async with crm.transaction() as tx:
            act = Act(tx, Viewer(user, Who(frozenset({"ADMIN"})), clock=lambda: NOW))
            if verb in ("soft_close", "close"):
                await periods.close(act, verb, first_on=first, last_on=last)
            else:
                await periods.reopen(act, reason="So.", first_on=first, last_on=last, to_adjust=verb == "to_adjust")
    except CrmError as error:
        return error.code
    return verb


@pytest.mark.parametrize("seed", range(3))
async def test_no_day_is_more_closed_than_an_earlier_one(
    crm: db.Database, database: asyncpg.Connection, seed: int
) -> None:
    user, random, results = await work.user(database), Random(seed), set()
    async with crm.transaction() as tx:
        act = Act(tx, Viewer(user, Who(frozenset({"ADMIN"})), clock=lambda: NOW))
        await periods.close(act, "close", last_on=date(2025, 12, 31))
    for _ in range(120):
        results.add(await tried(crm, user, random))
        rows = await database.fetch("SELECT first_on, last_on, status FROM accounting_periods ORDER BY first_on")
        ranks = [periods.RANK[PeriodStatus(row["status"])] for row in rows]
        assert ranks == sorted(ranks, reverse=True)
        for row, next in pairwise(rows):
            assert next["status"] == "OPEN" or row["last_on"] + timedelta(days=1) == next["first_on"]
    assert results == EXPECTED | {"soft_close", "close", "reopen", "to_adjust"}


async def test_the_application_removes_no_period(database: asyncpg.Connection) -> None:
    await database.execute(f"SET ROLE {ROLE}")
    for statement in ("DELETE FROM accounting_periods", "TRUNCATE accounting_periods"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(statement)


async def test_who_waits_too_long_for_who_posts_closes_nothing(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    user = await work.user(database)
    async with acting(crm) as posting:
        await book.post(posting, [sale(customer, receivable(), "1.00")])
        with pytest.raises(TimedOut):
            async with crm.transaction() as tx:
                await tx.connection.execute("SET LOCAL statement_timeout = '100ms'")
                act = Act(tx, Viewer(user, Who(frozenset({"ADMIN"})), clock=lambda: NOW))
                await periods.close(act, "close", last_on=date(2025, 12, 31))
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 1
    assert await database.fetchval("SELECT count(*) FROM accounting_periods") == 0
