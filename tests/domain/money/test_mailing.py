"""Invoices by e-mail and as PDF: what goes out, in which language, how often, and what it says later on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import credit_notes, mailing, papers
from crmgql.domain.money.pdf.documents import ItemLine, Recipient
from crmgql.errors import BadUserInput, IllegalTransition, NotFound
from crmgql.schema import build
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW
from tests.domain import work
from tests.domain.messages.test_emails import FROM, Post, post
from tests.domain.money.test_invoices import drafted, issued
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting

__all__ = ["post"]


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


async def send(crm: db.Database, id: UUID, to: str | None = None) -> None:
    async with acting(crm) as act:
        await mailing.send(act, id=id, to=to)


async def deliver(crm: db.Database, database: asyncpg.Connection, post: Post, **more: Any) -> list[asyncpg.Record]:
    given = {"smtp_url": f"smtp://crm:s3cret%2F@127.0.0.1:{post.port}", "mail_from": FROM, **more}
    return await work.work(crm, database, kinds.EMAIL_SEND, now=NOW, **given)


async def speaks(database: asyncpg.Connection, customer: UUID, language: str | None) -> None:
    await database.execute(
        "UPDATE customers SET language = $2, email = 'lei@example.com', name = '李雷商贸' WHERE id = $1",
        customer,
        language,
    )


async def paper(crm: db.Database, id: UUID) -> papers.Paper:
    async with acting(crm) as act:
        return await papers.invoice(act.tx.connection, act.viewer, id)


async def events(database: asyncpg.Connection, kind: str) -> int:
    return await database.fetchval("SELECT count(*) FROM events WHERE kind = $1", kind)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("EN", "Invoice INV-2026-000001 from", "find attached our invoice"),
        ("ZH", "账单 INV-2026-000001", "您好！附件为"),
    ],
)
async def test_an_invoice_goes_out_with_its_pdf(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, post: Post, language: str, subject: str, words: str
) -> None:
    await speaks(database, customer, language)
    invoice = await issued(crm, await confirmed(crm, customer, "80.00"))
    await send(crm, invoice)
    (job,) = await deliver(crm, database, post)
    assert job["status"] == "DONE"
    (message,) = post.got
    assert (post.recipients, subject in message["Subject"]) == (["lei@example.com"], True)
    body, pdf = message.iter_parts()
    assert words in body.get_content()  # type: ignore[attr-defined]
    assert (pdf.get_content_type(), pdf.get_filename()) == ("application/pdf", "INV-2026-000001.pdf")
    assert pdf.get_content() == papers.printed(await paper(crm, invoice))  # type: ignore[attr-defined]
    assert await events(database, "invoice.sent") == 1


async def test_each_call_sends_it_once(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, post: Post
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "80.00"))
    await send(crm, invoice, "ann@example.com")
    await deliver(crm, database, post)
    await database.execute("UPDATE jobs SET status = 'PENDING', due_at = $1, finished_at = NULL", NOW)
    await deliver(crm, database, post)  # as after a worker that was killed
    assert (len(post.got), await events(database, "invoice.sent")) == (1, 1)
    await send(crm, invoice, "ann@example.com")
    await deliver(crm, database, post)
    assert (len(post.got), await events(database, "invoice.sent")) == (2, 2)


async def test_what_was_not_sent_is_not_told_as_sent(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, post: Post
) -> None:
    await send(crm, await issued(crm, await confirmed(crm, customer, "80.00")), "ann@example.com")
    post.answers = ["550 no such mailbox"]
    await deliver(crm, database, post)
    assert await database.fetchval("SELECT status FROM email_messages") == "FAILED"
    assert await events(database, "invoice.sent") == 0


async def test_it_goes_to_the_primary_contact_of_who_has_no_address(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "80.00"))
    with pytest.raises(BadUserInput, match="no e-mail address"):
        await send(crm, invoice)
    for address, primary in (("old@example.com", False), ("ann@example.com", True)):
        contact = {"customer_id": customer, "name": "Ann", "email": address, "is_primary": primary}
        await work.insert(database, "contacts", **contact)
    await send(crm, invoice)
    assert await database.fetchval("SELECT to_address FROM email_messages") == "ann@example.com"


async def test_drafts_are_neither_sent_nor_printed(crm: db.Database, customer: UUID) -> None:
    draft = await drafted(crm, await confirmed(crm, customer, "80.00"))
    with pytest.raises(IllegalTransition, match="DRAFT"):
        await send(crm, draft, "ann@example.com")
    with pytest.raises(IllegalTransition, match="DRAFT"):
        await paper(crm, draft)


async def test_paper_says_what_was_issued_whatever_happens_later(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await database.execute("UPDATE customers SET billing_address = E'Domplatz 1\\nKöln' WHERE id = $1", customer)
    order = await confirmed(crm, customer, "80.00", "20.00", tax=(Decimal("10.00"), "USD"))
    await pay(crm, "25.00", order_id=order)
    invoice = await issued(crm, order, payment_terms="30% NET 0, 70% NET 60")
    first = await paper(crm, invoice)
    document = first.document
    assert [str(line.amount) for line in document.lines] == ["80.00", "20.00"]
    assert (str(document.total), str(document.taxes[0].amount), str(document.paid)) == ("110.00", "10.00", "25.00")
    assert [(str(each.amount), str(each.open)) for each in document.instalments] == [
        ("33.00", "8.00"),
        ("77.00", "77.00"),
    ]
    assert document.recipient == Recipient("Acme", ("Domplatz 1", "Köln"))
    bytes_then = papers.printed(first)
    await pay(crm, "60.00", order_id=order)
    await database.execute(
        "UPDATE customers SET name = 'Elsewhere', billing_address = 'Nowhere' WHERE id = $1", customer
    )
    assert papers.printed(await paper(crm, invoice)) == bytes_then


async def test_a_credit_note_names_its_invoice(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "80.00", tax=(Decimal("8.00"), "USD")))
    async with acting(crm) as act:
        line = await database.fetchval("SELECT id FROM invoice_lines WHERE invoice_id = $1", invoice)
        returned = credit_notes.Returned(line, net=(Decimal("20.00"), "USD"))
        note = await credit_notes.issue(act, invoice_id=invoice, lines=[returned], reason="Scratched")
    async with acting(crm) as act:
        found = await papers.credit_note(act.tx.connection, act.viewer, note)
    document = found.document
    assert (document.kind, document.corrects, document.notes) == ("CREDIT_NOTE", "INV-2026-000001", "Scratched")
    assert [line.amount for line in document.lines] == [Decimal("20.00")]
    assert (str(document.subtotal), str(document.taxes[0].amount), str(document.total)) == ("20.00", "2.00", "22.00")
    assert papers.printed(found).startswith(b"%PDF")


async def test_one_without_lines_is_printed_as_a_whole(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    invoice = await issued(crm, await confirmed(crm, customer, "80.00"))
    await database.execute("ALTER TABLE invoice_lines DISABLE TRIGGER USER; DELETE FROM invoice_lines")
    document = (await paper(crm, invoice)).document
    whole = Decimal("80.00")
    assert document.lines == (ItemLine("INV-2026-000001", Decimal(1), whole, whole),)


async def test_who_sees_no_invoices_gets_no_paper(crm: db.Database, customer: UUID) -> None:
    """The attack: a marketer, who sees all customers, asks for an invoice by its id."""
    invoice = await issued(crm, await confirmed(crm, customer, "80.00"))
    marketer = Viewer(uuid4(), Who(frozenset({"MARKETER"})))
    async with crm.snapshot() as connection:
        with pytest.raises(NotFound):
            await papers.invoice(connection, marketer, invoice)


@pytest.mark.parametrize(
    ("language", "company", "locale"),
    [
        (None, "de-DE", "de-DE"),
        ("EN", "en-US", "en-US"),
        ("EN", "zh-CN", "en-GB"),
        ("ZH", "en-US", "zh-CN"),
        ("ZH", "zh-TW", "zh-TW"),
    ],
)
def test_the_locale_of_a_language(language: str | None, company: str, locale: str) -> None:
    assert papers.locale_of(language, company) == locale
