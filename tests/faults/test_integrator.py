"""`examples/integrator`: a copy that is equal to the server, whatever ends in between."""

from __future__ import annotations

import asyncio
import sqlite3

from crmgql.domain.customers import customers
from crmgql.models.names import api_id
from crmgql.records.records import Act
from tests.faults.company import NOTE, Company
from tests.faults.feed import placed
from tests.faults.installation import Installation, Integrator

PATIENCE_S = 60


def rows(integrator: Integrator, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(integrator.file) as copy:
        found = copy.execute(sql).fetchall()
    copy.close()
    return found


async def there(integrator: Integrator, sql: str) -> None:
    """Waits until the copy has something."""
    async with asyncio.timeout(PATIENCE_S):
        while not integrator.file.exists() or not await asyncio.to_thread(_found, integrator, sql):
            assert integrator.process is not None
            assert integrator.process.poll() is None, integrator.log
            await asyncio.sleep(0.05)


def _found(integrator: Integrator, sql: str) -> bool:
    try:
        return bool(rows(integrator, sql))
    except sqlite3.OperationalError:  # it makes its tables
        return False


async def test_a_copy_follows_and_is_equal(company: Company, installation: Installation) -> None:
    await company.sell()
    integrator = installation.integrator(company.key).start()
    await there(integrator, "SELECT 1 FROM position")
    await company.sell()
    await company.sell_at_once()
    assert await integrator.is_equal()
    assert sorted(rows(integrator, "SELECT status, total, note FROM orders")) == [
        ("CONFIRMED", "25.00", f"{NOTE}, paid"),
        ("CONFIRMED", "25.00", f"{NOTE}, paid"),
        ("CONFIRMED", "3.00", "at once"),
    ]
    integrator.kill()
    await company.sell()
    await company.mend_by_hand()
    await company.erase()
    integrator.start()
    assert await integrator.is_equal()
    theirs = await company.database.fetch("SELECT id, version, reference FROM payments ORDER BY id")
    ours = rows(integrator, "SELECT id, version, reference FROM payments ORDER BY id")
    assert ours == [(api_id("Payment", row["id"]), row["version"], row["reference"]) for row in theirs]
    assert {reference for _, _, reference in ours} == {"mended", None}
    assert rows(integrator, "SELECT count(*) FROM orders WHERE note IS NULL") != [(0,)]


async def test_a_transaction_that_ends_with_what_is_not_followed(company: Company, installation: Installation) -> None:
    """No event says that it is over: a heartbeat does."""
    integrator = installation.integrator(company.key).start()
    await there(integrator, "SELECT 1 FROM position")
    async with company.crm.transaction() as tx:
        act = Act(tx, company.viewer)
        await company.sell_in(act)
        await customers.update(act, id=company.customers[0], phone="+49 30 901820")
    assert await integrator.is_equal()
    assert rows(integrator, "SELECT note FROM orders") == [("at once",)]
    [(cursor,)] = rows(integrator, "SELECT cursor FROM position")
    assert cursor == (await placed(company.database))[-1]["cursor"]


async def test_a_cursor_that_expired_begins_a_new_copy(company: Company, installation: Installation) -> None:
    await company.sell()
    integrator = installation.integrator(company.key).start()
    await there(integrator, "SELECT 1 FROM position")
    assert await integrator.is_equal()
    integrator.kill()
    await company.sell_at_once()
    await placed(company.database)
    month = await company.database.fetchval("SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date")
    await company.database.fetchval("SELECT event_month_drop('events', $1)", month)
    await company.database.execute("SELECT event_months(now(), 1)")
    await company.sell()
    integrator.start()
    assert await integrator.is_equal()
    assert "CURSOR_EXPIRED" in integrator.log
    assert len(rows(integrator, "SELECT id FROM orders")) == 3


async def test_a_copy_that_differs_is_told(company: Company, installation: Installation) -> None:
    await company.sell()
    integrator = installation.integrator(company.key).start()
    await there(integrator, "SELECT 1 FROM position")
    with sqlite3.connect(integrator.file) as copy:
        copy.execute("DELETE FROM payments WHERE id IN (SELECT id FROM payments LIMIT 1)")
    copy.close()
    assert not await integrator.is_equal()


async def test_a_key_that_was_revoked_ends_it(company: Company, installation: Installation) -> None:
    integrator = installation.integrator(company.key).start()
    await there(integrator, "SELECT 1 FROM position")
    id = await company.database.fetchval("UPDATE api_keys SET revoked_at = now() RETURNING id")
    assert id is not None
    assert integrator.process is not None
    assert await asyncio.to_thread(integrator.process.wait, PATIENCE_S) == 1
    assert "UNAUTHENTICATED" in integrator.log
    assert "Traceback" not in integrator.log
