"""The trial balance that every test of the books ends with finds what does not add up."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.ledger import book
from tests.ledger import trial
from tests.ledger.conftest import DAY, acting, receivable, sale


@pytest.mark.parametrize("change", ["base = base + 1", "credit = credit + 1"])
async def test_what_does_not_add_up_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, change: str
) -> None:
    async with acting(crm) as act:
        await book.post(act, [sale(customer, receivable(), "10.00")])
    assert {purpose for purpose, _ in await trial.as_of(database, DAY)} == {"RECEIVABLE", "REVENUE"}
    await trial.balanced(database)
    change_it = f"UPDATE balances SET {change} WHERE purpose = 'REVENUE'"
    await database.execute(f"SET session_replication_role = replica; {change_it}; RESET session_replication_role")
    with pytest.raises(AssertionError):
        await trial.balanced(database)
    undo = change_it.replace("+", "-")
    await database.execute(f"SET session_replication_role = replica; {undo}; RESET session_replication_role")
