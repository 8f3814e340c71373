"""Invoices by e-mail: with the invoice as a PDF, which is made when the e-mail is sent and kept nowhere."""

from __future__ import annotations

from uuid import UUID

from crmgql import access
from crmgql.domain.messages import emails
from crmgql.domain.money import papers
from crmgql.domain.money.papers import Paper
from crmgql.domain.money.pdf import words
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.events import outbox
from crmgql.ledger.postings import new_id
from crmgql.models import Invoice
from crmgql.records import records
from crmgql.records.records import Act, Row

MAILBOX = """coalesce(c.email, (SELECT contacts.email FROM contacts WHERE contacts.customer_id = c.id AND contacts.is_primary))"""
TO = f"""
SELECT {MAILBOX} AS address, c.language, companies.locale FROM customers c CROSS JOIN companies WHERE c.id = $1"""
VERSION = "SELECT version FROM invoices WHERE customer_id = $1 AND id = $2"
SUBJECTS = "Invoice {number} from {issuer}", "{issuer} 账单 {number}"
BODIES = (
    """Dear {recipient},

please find attached our invoice {number} of {day} for {currency} {amount}, due on {due}.

{issuer}
""",
    """{recipient}：

您好！附件为 {day} 的账单 {number}，金额 {currency} {amount}，到期日 {due}。

{issuer}
""",
)
"""In English and Chinese."""


async def send(act: Act, *, id: UUID, to: str | None = None) -> UUID:
    """E-mails an issued invoice to an address, else to the customer's or its primary contact's. Each call sends it again.

    Raises `IllegalTransition` for one that is not issued, `BadUserInput` where no address is known.
    """
    access.require_write(act.viewer, "Invoice")
    invoice = await records.visible(act, Invoice, id, field="id")
    if invoice["status"] != "ISSUED":
        raise IllegalTransition(f"This invoice is {invoice['status']}; issue it before you send it.", field="id")
    known = await act.tx.connection.fetchrow(TO, invoice["customer_id"])
    address = to or known["address"]
    if address is None:
        raise BadUserInput("The customer has no e-mail address; name one.", field="to")
    say = words.of(papers.locale_of(known["language"], known["locale"]))
    facts = {
        "number": invoice["number"],
        "issuer": invoice["issuer_name"],
        "recipient": invoice["recipient_name"],
        "day": say.day(invoice["issued_on"]),
        "due": say.day(invoice["due_on"]),
        "currency": invoice["currency"],
        "amount": say.amount(invoice["total_amount"], invoice["currency"]),
    }
    email_id = new_id()
    draft = emails.Draft(
        email_id,
        address,
        SUBJECTS[say.column].format(**facts),
        BODIES[say.column].format(**facts),
        f"invoice:{email_id}",
        invoice["customer_id"],
        id,
    )
    await emails.write_many(act, [draft])
    return id


async def enclosed(act: Act, email: Row) -> Paper | None:
    """What goes with an e-mail."""
    if email["invoice_id"] is None:
        return None
    return await papers.invoice(act.tx.connection, act.viewer, email["invoice_id"])


async def record_sent(act: Act, email: Row) -> None:
    """Records that an invoice went out, if the e-mail was about one."""
    if email["invoice_id"] is None:
        return
    version = await act.tx.connection.fetchval(VERSION, email["customer_id"], email["invoice_id"])
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind="invoice.sent",
        subject=("Invoice", email["invoice_id"]),
        customer_id=email["customer_id"],
        changes={},
        payload={"version": version, "email_id": email["id"]},
    )
