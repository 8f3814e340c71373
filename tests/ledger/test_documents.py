"""`audit verify` holds invoices and credit notes against what was posted for them, also where triggers were off."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.schema import build
from tests.domain import work
from tests.domain.money.test_credit_notes import credit
from tests.domain.money.test_invoices import issued
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.test_verify import broken, tampering

INVOICE = "is not what was posted, or was credited, for it"
NOTE = "is not what was posted for it"
ORDER = "what is invoiced of it is not the sum of its invoices"
CHANGES = {
    "an instalment": ("UPDATE instalments SET amount = amount + 1", [INVOICE]),
    "an instalment's item": ("UPDATE instalments SET paid_before_amount = amount, item_id = NULL", [INVOICE]),
    "an invoice's amount": (
        "UPDATE invoices SET subtotal_amount = subtotal_amount + 1, total_amount = total_amount + 1",
        [INVOICE, ORDER],
    ),
    "a due day": ("UPDATE invoices SET due_on = due_on + 1", [INVOICE]),
    "what is credited": ("UPDATE invoices SET credited_amount = 0", [INVOICE]),
    "what is invoiced": ("UPDATE orders SET invoiced_amount = 0", [ORDER]),
    "a credit note": (
        "UPDATE credit_notes SET net_amount = net_amount + 1, total_amount = total_amount + 1",
        [INVOICE, NOTE],
    ),
    "no credit note": ("DELETE FROM credit_note_lines; DELETE FROM credit_notes", [INVOICE, NOTE]),
    "no invoice": (
        "DELETE FROM credit_note_lines; DELETE FROM credit_notes; DELETE FROM instalments; DELETE FROM invoices",
        [INVOICE, ORDER, NOTE],
    ),
}


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


@pytest.mark.parametrize(("sql", "told"), CHANGES.values(), ids=CHANGES)
async def test_what_is_not_what_was_posted_is_found(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, sql: str, told: list[str]
) -> None:
    await credit(crm, await issued(crm, await confirmed(crm, customer, "10.00")), "4.00")
    async with database.transaction():
        assert await broken(database) == []
    async with tampering(database):
        await database.execute(sql)
        found = [each for each in await broken(database) if "open item" not in each]
    assert len(found) == len(told), found
    assert all(any(reason in each for each in found) for reason in told)
