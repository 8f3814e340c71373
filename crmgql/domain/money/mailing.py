"""Invoices, credit notes and statements of account by e-mail: as a PDF, which is made when the e-mail is sent and kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.messages import emails
from crmgql.domain.money import papers, statements
from crmgql.domain.money.papers import Paper
from crmgql.domain.money.pdf import words
from crmgql.domain.money.pdf.documents import Account
from crmgql.domain.money.pdf.words import Words
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.events import outbox
from crmgql.ledger.postings import new_id
from crmgql.models import CreditNote, Customer, Invoice
from crmgql.records import records
from crmgql.records.records import Act, Row

MAILBOX = """coalesce(c.email, (SELECT contacts.email FROM contacts WHERE contacts.customer_id = c.id AND contacts.is_primary))"""
TO = f"""
SELECT {MAILBOX} AS address, c.language, companies.locale FROM customers c CROSS JOIN companies WHERE c.id = $1"""
VERSIONS = {
    "Invoice": "SELECT version FROM invoices WHERE customer_id = $1 AND id = $2",
    "CreditNote": "SELECT version FROM credit_notes WHERE customer_id = $1 AND id = $2",
    "Customer": "SELECT version FROM customers WHERE id = $1 AND id = $2",
}


@dataclass(frozen=True, slots=True)
class Texts:
    """What an e-mail says, in English and Chinese."""

    subjects: tuple[str, str]
    bodies: tuple[str, str]


INVOICE = Texts(
    ("Invoice {number} from {issuer}", "{issuer} 账单 {number}"),
    (
        """Dear {recipient},

please find attached our invoice {number} of {day} for {currency} {amount}, due on {due}.

{issuer}
""",
        """{recipient}：

您好！附件为 {day} 的账单 {number}，金额 {currency} {amount}，到期日 {due}。

{issuer}
""",
    ),
)
CREDIT_NOTE = Texts(
    ("Credit note {number} from {issuer}", "{issuer} 贷项通知单 {number}"),
    (
        """Dear {recipient},

please find attached our credit note {number} of {day} for {currency} {amount}.

{issuer}
""",
        """{recipient}：

您好！附件为 {day} 的贷项通知单 {number}，金额 {currency} {amount}。

{issuer}
""",
    ),
)
STATEMENT = Texts(
    ("Statement of account from {issuer} until {until}", "{issuer} 截至 {until} 的对账单"),
    (
        """Dear {recipient},

please find attached your statement of account from {since} to {until}. Its balance is {currency} {amount}.

{issuer}
""",
        """{recipient}：

您好！附件为 {since}至{until} 的对账单，余额 {currency} {amount}。

{issuer}
""",
    ),
)


@dataclass(frozen=True, slots=True)
class _Letter:
    """To whom an e-mail goes, and the language that it is in."""

    customer_id: UUID
    address: str
    say: Words

    def draft(self, texts: Texts, facts: Mapping[str, str], *, kind: str, **about: Any) -> emails.Draft:
        """`about`: the document, by column of the e-mail."""
        id, column = new_id(), self.say.column
        subject, body = texts.subjects[column].format(**facts), texts.bodies[column].format(**facts)
        return emails.Draft(id, self.address, subject, body, f"{kind}:{id}", self.customer_id, **about)


async def send(act: Act, *, id: UUID, to: str | None = None) -> UUID:
    """E-mails an issued invoice to an address, else to the customer's or its primary contact's. Each call sends it again.

    Raises `IllegalTransition` for one that is not issued, `BadUserInput` where no address is known.
    """
    access.require_write(act.viewer, "Invoice")
    invoice = await records.visible(act, Invoice, id, field="id")
    if invoice["status"] != "ISSUED":
        raise IllegalTransition(f"This invoice is {invoice['status']}; issue it before you send it.", field="id")
    letter = await _letter(act, invoice["customer_id"], to)
    facts = _facts(invoice, letter.say) | {"due": letter.say.day(invoice["due_on"])}
    await emails.write_many(act, [letter.draft(INVOICE, facts, kind="invoice", invoice_id=id)])
    return id


async def send_credit_note(act: Act, *, id: UUID, to: str | None = None) -> UUID:
    """E-mails a credit note, as `send` an invoice. Raises `BadUserInput` where no address is known."""
    access.require_write(act.viewer, "CreditNote")
    note = await records.shown(act, CreditNote, id, field="id")
    letter = await _letter(act, note["customer_id"], to)
    await emails.write_many(
        act, [letter.draft(CREDIT_NOTE, _facts(note, letter.say), kind="creditNote", credit_note_id=id)]
    )
    return id


async def send_statement(
    act: Act,
    *,
    id: UUID,
    since: date,
    until: date | None = None,
    currency: str | None = None,
    to: str | None = None,
) -> UUID:
    """E-mails a customer's statement of account from a day to another one, or today, as `send` an invoice. It says what is known as it is
    written, however late it is sent.

    Raises `BadUserInput` where no address is known, for days in the wrong order, and for too many movements.
    """
    for record in ("Invoice", "Customer"):
        access.require_write(act.viewer, record)
    await records.visible(act, Customer, id, field="id")
    last = until or act.today
    paper = await statements.paper(
        act.tx.connection, act.viewer, customer_id=id, since=since, until=last, currency=currency
    )
    assert isinstance(paper.document, Account)
    account, letter = paper.document, await _letter(act, id, to)
    facts = {
        "issuer": account.issuer.name,
        "recipient": account.recipient.name,
        "since": letter.say.day(since),
        "until": letter.say.day(last),
        "currency": account.currency,
        "amount": letter.say.amount(statements.closing(account), account.currency),
    }
    about = {"statement_since": since, "statement_until": last, "statement_currency": account.currency}
    await emails.write_many(act, [letter.draft(STATEMENT, facts, kind="statement", **about)])
    return id


async def _letter(act: Act, customer_id: UUID, to: str | None) -> _Letter:
    known = await act.tx.connection.fetchrow(TO, customer_id)
    address = to or known["address"]
    if address is None:
        raise BadUserInput("The customer has no e-mail address; name one.", field="to")
    return _Letter(customer_id, address, words.of(papers.locale_of(known["language"], known["locale"])))


def _facts(document: Row, say: Words) -> dict[str, str]:
    """What the texts say of an invoice or a credit note."""
    return {
        "number": document["number"],
        "issuer": document["issuer_name"],
        "recipient": document["recipient_name"],
        "day": say.day(document["issued_on"]),
        "currency": document["currency"],
        "amount": say.amount(document["total_amount"], document["currency"]),
    }


async def enclosed(act: Act, email: Row) -> Paper | None:
    """What goes with an e-mail. A statement is made as it was known when the e-mail was written."""
    connection, viewer = act.tx.connection, act.viewer
    if email["invoice_id"] is not None:
        return await papers.invoice(connection, viewer, email["invoice_id"])
    if email["credit_note_id"] is not None:
        return await papers.credit_note(connection, viewer, email["credit_note_id"])
    if email["statement_since"] is None:
        return None
    return await statements.paper(
        connection,
        viewer,
        customer_id=email["customer_id"],
        since=email["statement_since"],
        until=email["statement_until"],
        currency=email["statement_currency"],
        known_at=email["created_at"],
    )


async def record_sent(act: Act, email: Row) -> None:
    """Records that a document went out, if the e-mail was about one."""
    if email["invoice_id"] is not None:
        await _record(act, email, "invoice.sent", "Invoice", email["invoice_id"])
    elif email["credit_note_id"] is not None:
        await _record(act, email, "creditNote.sent", "CreditNote", email["credit_note_id"])
    elif email["statement_since"] is not None:
        days = {name: email[f"statement_{name}"] for name in ("since", "until", "currency")}
        await _record(act, email, "customer.statementSent", "Customer", email["customer_id"], **days)


async def _record(act: Act, email: Row, kind: str, record: str, id: UUID, **more: Any) -> None:
    version = await act.tx.connection.fetchval(VERSIONS[record], email["customer_id"], id)
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind=kind,
        subject=(record, id),
        customer_id=email["customer_id"],
        changes={},
        payload={"version": version, "email_id": email["id"], **more},
    )
