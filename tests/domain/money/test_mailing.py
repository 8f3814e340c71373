"""Invoices, credit notes and statements by e-mail and as PDF: what goes out, in which language, how often, and what it says later on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
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
from tests.domain.money import test_pdf
from tests.domain.money.test_invoices import TODAY, drafted, issued
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


SENT = "SELECT subject_id, customer_id, kept FROM events WHERE kind = $1"


async def noted(crm: db.Database, customer: UUID) -> UUID:
    invoice = await issued(crm, await confirmed(crm, customer, "80.00", tax=(Decimal("8.00"), "USD")))
    async with acting(crm) as act:
        return await credit_notes.issue(
            act, invoice_id=invoice, amount=(Decimal("22.00"), "USD"), reason="Scratched", issued_on=TODAY
        )


async def send_note(crm: db.Database, id: UUID, to: str | None = None) -> None:
    async with acting(crm) as act:
        await mailing.send_credit_note(act, id=id, to=to)


async def send_statement(crm: db.Database, id: UUID, **more: Any) -> None:
    async with acting(crm) as act:
        await mailing.send_statement(act, id=id, **{"since": date(2026, 10, 1), **more})


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("EN", "Credit note CN-2026-000001 from", "our credit note CN-2026-000001 of Nov 1, 2026 for USD 22.00."),
        ("ZH", "贷项通知单 CN-2026-000001", "附件为 2026年11月1日 的贷项通知单 CN-2026-000001，金额 USD 22.00。"),
    ],
)
async def test_a_credit_note_goes_out_with_its_pdf(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, post: Post, language: str, subject: str, words: str
) -> None:
    await speaks(database, customer, language)
    note = await noted(crm, customer)
    await send_note(crm, note)
    await deliver(crm, database, post)
    (message,) = post.got
    assert (post.recipients, subject in message["Subject"]) == (["lei@example.com"], True)
    body, pdf = message.iter_parts()
    assert words in body.get_content()  # type: ignore[attr-defined]
    assert pdf.get_filename() == "CN-2026-000001.pdf"
    async with acting(crm) as act:
        printed = papers.printed(await papers.credit_note(act.tx.connection, act.viewer, note))
    assert pdf.get_content() == printed  # type: ignore[attr-defined]
    event = await database.fetchrow(SENT, "creditNote.sent")
    assert (event["subject_id"], event["customer_id"]) == (note, customer)
    assert json.loads(event["kept"])["emailId"].startswith("eml_")


ENGLISH = """
Acme
Domplatz 1
Period Oct 1, 2026 – Nov 1, 2026
Currency USD
Statement of account Acme
Date Text Number Due Debit Credit Balance USD
Oct 1, 2026 Opening balance -50.00
Nov 1, 2026 Order {order} 88.00 38.00
Nov 1, 2026 Payment WIRE-7 30.00 8.00
Nov 1, 2026 Credit note CN-2026-000001 22.00 -14.00
Nov 1, 2026 Closing balance -14.00
What is open, by days overdue
USD Not due 1–30 31–60 61–90 Over 90
66.00 0.00 0.00 0.00 0.00
"""
CHINESE = """
Acme
Domplatz 1
期间 2026年10月1日至2026年11月1日
币种 USD
客户对账单 Acme
日期 摘要 编号 到期日 借方 贷方 余额 USD
2026年10月1日 期初余额 -50.00
2026年11月1日 订单 {order} 88.00 38.00
2026年11月1日 收款 WIRE-7 30.00 8.00
2026年11月1日 贷项通知单 CN-2026-000001 22.00 -14.00
2026年11月1日 期末余额 -14.00
未付款账龄（逾期天数）
USD 未到期 1–30 31–60 61–90 90 以上
66.00 0.00 0.00 0.00 0.00
"""


async def dealt(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> str:
    """A payment from before, an order that is invoiced, paid in part and credited in part; its number."""
    await database.execute(
        "UPDATE customers SET billing_address = 'Domplatz 1', email = 'ann@example.com' WHERE id = $1", customer
    )
    await pay(crm, "50.00", customer_id=customer, received_at=datetime(2026, 9, 1, tzinfo=UTC))
    order = await confirmed(crm, customer, "80.00", tax=(Decimal("8.00"), "USD"))
    invoice = await issued(crm, order)
    await pay(crm, "30.00", customer_id=customer, reference="WIRE-7")
    async with acting(crm) as act:
        await credit_notes.issue(act, invoice_id=invoice, amount=(Decimal("22.00"), "USD"), reason="Scratched")
    return await database.fetchval("SELECT number FROM orders WHERE id = $1", order)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("language", "text"), [("EN", ENGLISH), ("ZH", CHINESE)])
async def test_a_statement_goes_out_as_it_was_known_when_it_was_asked_for(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, post: Post, language: str, text: str
) -> None:
    number = await dealt(crm, database, customer)
    await database.execute("UPDATE customers SET language = $2 WHERE id = $1", customer, language)
    await send_statement(crm, customer)
    await asyncio.sleep(0.01)
    await pay(crm, "5.00", customer_id=customer)  # before the mail server takes the e-mail
    await deliver(crm, database, post)
    (message,) = post.got
    body, pdf = message.iter_parts()
    assert pdf.get_filename() == "Acme-2026-11-01.pdf"
    assert "USD -14.00" in body.get_content()  # type: ignore[attr-defined]
    (found,) = test_pdf.texts(pdf.get_content())  # type: ignore[attr-defined]
    said = found.split("\n")
    expected = text.format(order=number).strip().split("\n")
    begins = said.index("Acme")
    assert said[begins : begins + len(expected)] == expected
    event = await database.fetchrow(SENT, "customer.statementSent")
    payload = json.loads(event["kept"])
    assert event["subject_id"] == customer
    assert (payload["since"], payload["until"], payload["currency"]) == ("2026-10-01", "2026-11-01", "USD")


async def test_a_statement_that_is_tried_again_is_the_same(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    await dealt(crm, database, customer)
    await send_statement(crm, customer)
    email = dict(await database.fetchrow("SELECT * FROM email_messages"))

    async def made() -> bytes:
        async with acting(crm) as act:
            paper = await mailing.enclosed(act, email)
            assert paper is not None
            return papers.printed(paper)

    first = await made()
    await pay(crm, "5.00", customer_id=customer)
    assert await made() == first


async def test_a_statement_of_wrong_days_or_without_an_address_is_refused(
    crm: db.Database, database: asyncpg.Connection, customer: UUID
) -> None:
    with pytest.raises(BadUserInput, match="no e-mail address"):
        await send_statement(crm, customer)
    with pytest.raises(BadUserInput, match="before it begins"):
        await send_statement(crm, customer, until=date(2026, 9, 1), to="ann@example.com")
    note = await noted(crm, customer)
    with pytest.raises(BadUserInput, match="no e-mail address"):
        await send_note(crm, note)
    assert await database.fetchval("SELECT count(*) FROM email_messages") == 0
    await send_statement(crm, customer, to="ann@example.com", currency="EUR")
    assert await database.fetchval("SELECT statement_currency FROM email_messages") == "EUR"


@pytest.mark.parametrize(
    "wrong",
    [
        "statement_since = '2026-01-01'",
        "statement_since = '2026-02-01', statement_until = '2026-01-01', statement_currency = 'EUR'",
        "statement_since = '2026-01-01', statement_until = '2026-01-01', statement_currency = 'eur'",
        "customer_id = NULL",
    ],
)
async def test_the_database_refuses_e_mails_with_half_a_document(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, wrong: str
) -> None:
    await send_note(crm, await noted(crm, customer), "ann@example.com")
    clean = "" if wrong.startswith("customer") else "credit_note_id = NULL, "
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(f"UPDATE email_messages SET {clean}{wrong}")
