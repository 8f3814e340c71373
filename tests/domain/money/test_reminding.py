"""Dunning: what is overdue is told once, reminders climb level by level, of what is still owed, and none is sent twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import credit_notes, dunning, reminding
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain import work
from tests.domain.messages.test_emails import FROM, Post, post
from tests.domain.money.test_invoices import drafted, issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting

__all__ = ["post"]

TODAY = NOW.date()
SENT = "SELECT level, amount, due_on FROM reminders ORDER BY reminded_on, invoice_id"
BODY = "{{ customer.name }} owes {{ invoice.amount }} of {{ invoice.number }}, due on {{ invoice.due }}, {{ invoice.days }} days ago."


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection, customer: UUID) -> UUID:
    assert build.built()
    await database.execute("UPDATE customers SET email = 'ann@example.com'")
    return await work.user(database)


@pytest_asyncio.fixture
async def levels(crm: db.Database) -> None:
    await level(crm, 1, 7, body=BODY, subject_zh="逾期提醒", body_zh="{{ invoice.number }} 逾期 {{ invoice.days }} 天")
    await level(crm, 2, 14)


async def level(crm: db.Database, n: int, days: int, **more: Any) -> UUID:
    values = {"level": n, "after_days": days, "subject": f"Reminder {n}", "body": "Please pay.", **more}
    async with acting(crm) as act:
        return await dunning.create_level(act, **values)


def later(days: int) -> datetime:
    return NOW + timedelta(days=days)


async def run(crm: db.Database, database: asyncpg.Connection, days: int) -> Any:
    return await work.run(crm, database, kinds.INVOICES_REMIND, now=later(days))


async def deliver(crm: db.Database, database: asyncpg.Connection, post: Post, days: int) -> None:
    given = {"smtp_url": f"smtp://crm:s3cret%2F@127.0.0.1:{post.port}", "mail_from": FROM}
    await work.work(crm, database, kinds.EMAIL_SEND, now=later(days), **given)


async def sent(database: asyncpg.Connection) -> list[tuple[int, str, int]]:
    """Level, amount and days from today to the due day of each reminder."""
    return [(r[0], str(r[1]), (r[2] - TODAY).days) for r in await database.fetch(SENT)]


async def told(database: asyncpg.Connection, kind: str) -> int:
    return await database.fetchval("SELECT count(*) FROM events WHERE kind = $1", kind)  # type: ignore[no-any-return]


async def owed(crm: db.Database, customer: UUID, amount: str = "80.00", terms: str = "NET 10") -> UUID:
    return await issued(crm, await confirmed(crm, customer, amount), payment_terms=terms)


async def test_an_invoice_becomes_overdue_once(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    invoice = await owed(crm, customer)
    assert await run(crm, database, 10) == {"overdue": 0, "reminders": 0}
    assert await run(crm, database, 11) == {"overdue": 1, "reminders": 0}
    assert await run(crm, database, 12) == {"overdue": 0, "reminders": 0}
    found = await database.fetchrow("SELECT overdue_on, version FROM invoices WHERE id = $1", invoice)
    assert (found["overdue_on"], found["version"]) == (TODAY + timedelta(days=11), 3)
    payload = await database.fetchval("SELECT payload FROM events WHERE kind = 'invoice.overdue'")
    assert '"version": 3' in payload
    assert '"80.00"' in payload


async def test_reminders_climb_a_level_a_day(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    invoice = await owed(crm, customer)
    assert (await run(crm, database, 16))["reminders"] == 0
    assert (await run(crm, database, 17))["reminders"] == 1
    assert (await run(crm, database, 18))["reminders"] == 0  # level 2 is not due yet
    late = await owed(crm, customer, "5.00", "NET 0")
    await run(crm, database, 24)  # level 2 of the one; the other, 24 days late, begins at level 1
    assert (await run(crm, database, 24))["reminders"] == 0  # a level a day
    await run(crm, database, 25)
    assert (await run(crm, database, 60))["reminders"] == 0  # there is no third level
    levels_of = "SELECT array_agg(level ORDER BY reminded_on) FROM reminders WHERE invoice_id = $1"
    assert [await database.fetchval(levels_of, each) for each in (invoice, late)] == [[1, 2], [1, 2]]
    found = await database.fetchrow("SELECT dunning_level, dunned_on FROM invoices WHERE id = $1", late)
    assert tuple(found) == (2, TODAY + timedelta(days=25))
    assert await told(database, "invoice.dunned") == 4


@pytest.mark.parametrize("language", ["EN", "ZH"])
async def test_what_a_reminder_says(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None, post: Post, language: str
) -> None:
    await database.execute("UPDATE customers SET language = $1", language)
    invoice = await owed(crm, customer)
    await pay(crm, "30.00", invoice_id=invoice)
    await run(crm, database, 20)
    await deliver(crm, database, post, 20)
    (message,) = post.got
    body, pdf = message.iter_parts()
    if language == "EN":
        assert message["Subject"] == "Reminder 1"
        assert body.get_content() == "Acme owes USD 50.00 of INV-2026-000001, due on Nov 11, 2026, 10 days ago.\r\n"  # type: ignore[attr-defined]
    else:
        assert message["Subject"] == "逾期提醒"
        assert body.get_content() == "INV-2026-000001 逾期 10 天\r\n"  # type: ignore[attr-defined]
    assert pdf.get_filename() == "INV-2026-000001.pdf"
    assert await sent(database) == [(1, "50.00", 10)]


async def test_nobody_is_reminded_of_what_is_not_owed(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    paid, credited, later_due = [await owed(crm, customer) for _ in range(3)]
    await pay(crm, "80.00", invoice_id=paid)
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=credited, reason="Broken")
    assert await run(crm, database, 20) == {"overdue": 1, "reminders": 1}
    assert await database.fetchval("SELECT invoice_id FROM reminders") == later_due


async def test_only_what_is_overdue_is_asked_for_and_the_next_part_begins_anew(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    invoice = await owed(crm, customer, "90.00", "1/3 NET 0, 2/3 NET 30")
    await run(crm, database, 8)
    await run(crm, database, 14)
    await pay(crm, "30.00", invoice_id=invoice)
    assert (await run(crm, database, 30))["reminders"] == 0
    await run(crm, database, 40)
    assert await sent(database) == [(1, "30.00", 0), (2, "30.00", 0), (1, "60.00", 30)]
    assert await told(database, "invoice.overdue") == 1


async def test_a_reminder_that_waited_is_not_sent_once_it_is_paid(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None, post: Post
) -> None:
    invoice, stopped = [await owed(crm, customer) for _ in range(2)]
    await run(crm, database, 20)
    await pay(crm, "80.00", invoice_id=invoice)
    async with acting(crm) as act:
        await dunning.stop_invoice(act, id=stopped, reason="Disputed")
    await deliver(crm, database, post, 21)
    assert post.got == []
    found = await database.fetch("SELECT status, error FROM email_messages")
    assert [tuple(row) for row in found] == [("SKIPPED", reminding.UNWANTED)] * 2


async def test_without_an_address_it_is_kept_for_somebody_to_see(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    await owed(crm, customer)
    await database.execute("UPDATE customers SET email = NULL")
    await run(crm, database, 20)
    found = await database.fetchrow("SELECT status, error, invoice_id IS NOT NULL FROM email_messages")
    assert tuple(found) == ("SKIPPED", reminding.NO_ADDRESS, True)


async def test_reminders_stop_and_go_on(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    one, other = [await owed(crm, customer) for _ in range(2)]
    async with acting(crm) as act:
        await dunning.stop_invoice(act, id=one, reason="Disputed")
    assert await run(crm, database, 20) == {"overdue": 2, "reminders": 1}
    async with acting(crm) as act:
        await dunning.stop_customer(act, id=customer, reason="Talks")
        await dunning.resume_invoice(act, id=one)
    assert (await run(crm, database, 30))["reminders"] == 0
    async with acting(crm) as act:
        await dunning.resume_customer(act, id=customer)
    assert (await run(crm, database, 30))["reminders"] == 2
    levels_of = "SELECT max(level) FROM reminders WHERE invoice_id = $1"
    assert [await database.fetchval(levels_of, each) for each in (one, other)] == [1, 2]


async def test_drafts_are_not_stopped(crm: db.Database, customer: UUID) -> None:
    draft = await drafted(crm, await confirmed(crm, customer, "80.00"))
    with pytest.raises(IllegalTransition):
        async with acting(crm) as act:
            await dunning.stop_invoice(act, id=draft, reason="Disputed")


async def test_two_runs_at_once_remind_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    for _ in range(6):
        await owed(crm, customer, "5.00")

    async def sweep() -> int:
        count = 0
        while True:
            async with crm.transaction() as tx:
                act = Act(tx, system(lambda: later(20)))
                done = await reminding.note_overdue(act, limit=2) + await reminding.remind(act, limit=2)
            count += done
            if not done:
                return count

    await asyncio.gather(*(sweep() for _ in range(4)))
    await sweep()  # those that another run held
    assert (await told(database, "invoice.overdue"), await told(database, "invoice.dunned")) == (6, 6)
    assert await database.fetchval("SELECT count(*) FROM email_messages") == 6


async def test_the_database_refuses_a_second_reminder(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    await owed(crm, customer)
    await run(crm, database, 20)
    again = """
        INSERT INTO reminders (customer_id, invoice_id, email_id, level, due_on, reminded_on, currency, amount)
        SELECT customer_id, invoice_id, email_id, level + $1::integer, due_on, reminded_on + $2::integer, currency, amount FROM reminders LIMIT 1"""
    for level_up, days, rule in ((0, 1, "reminders_once"), (1, 0, "reminders_one_a_day")):
        with pytest.raises(asyncpg.UniqueViolationError, match=rule):
            await database.execute(again, level_up, days)
    for change in ("UPDATE reminders SET amount = 1", "DELETE FROM reminders"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await database.execute(change)
    with pytest.raises(asyncpg.CheckViolationError, match="stays as it is"):
        await database.execute("UPDATE invoices SET total_amount = total_amount, note = 'changed', dunning_level = 9")


async def test_it_takes_as_many_statements_for_many_as_for_one(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    counts = []
    for many in (1, 1, 5):  # the first one also learns the types of columns
        for _ in range(many):
            await owed(crm, customer, "5.00")
        seen: list[str] = []
        async with crm.transaction() as tx:
            act = Act(tx, system(lambda: later(20)))
            tx.connection.add_query_logger(lambda record, seen=seen: seen.append(record.query))
            assert await reminding.note_overdue(act, limit=100) == many
            assert await reminding.remind(act, limit=100) == many
        counts.append(len(seen))
    assert counts[1] == counts[2]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"level": 0, "after_days": 1}, "level"),
        ({"level": 3, "after_days": 14}, "afterDays"),
        ({"level": 3, "after_days": 10}, "afterDays"),
        ({"level": 3, "after_days": 4000}, "afterDays"),
        ({"level": 3, "after_days": 21, "body": "{{ lead.name }}"}, "body"),
        ({"level": 3, "after_days": 21, "body": "  "}, "body"),
        ({"level": 3, "after_days": 21, "subject_zh": "逾期"}, "subjectZh"),
        ({"level": 3, "after_days": 21, "body_zh": "{% for x in y %}{% endfor %}", "subject_zh": "逾期"}, "bodyZh"),
    ],
)
async def test_levels_that_can_not_be(crm: db.Database, levels: None, values: dict[str, Any], field: str) -> None:
    texts = {"subject": "Late", "body": "Pay"}
    with pytest.raises(BadUserInput) as raised:
        async with acting(crm) as act:
            await dunning.create_level(act, **{**texts, **values})
    assert raised.value.field == field


async def test_a_level_is_there_once_and_may_be_put_out_of_use(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, levels: None
) -> None:
    with pytest.raises((Conflict, BadUserInput)):
        await level(crm, 2, 14)
    first = await database.fetchval("SELECT id FROM dunning_levels WHERE level = 1")
    async with acting(crm) as act:
        await dunning.update_level(act, id=first, active=False)
    await owed(crm, customer)
    assert (await run(crm, database, 20))["reminders"] == 0
    await run(crm, database, 24)
    assert await sent(database) == [(2, "80.00", 10)]
    assert Decimal(80) == await database.fetchval("SELECT amount FROM reminders")
