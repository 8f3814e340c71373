"""E-mails: written in the transaction that causes them, sent by a job, which writes what the SMTP server answered.

Plain text, with files where the e-mail is about a document. Always holds: the text of an e-mail reaches headers only through `email.message`, which refuses line
ends; and a crash between sending and writing the answer sends it again with the same Message-ID, so that mail programs
recognise it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.headerregistry import Address
from email.message import EmailMessage as Message
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib
from email_validator import validate_email

from crmgql.domain.jobs import endings, jobs, kinds
from crmgql.domain.messages.notifications import cut
from crmgql.errors import CrmError
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.models import EmailMessage
from crmgql.records import records
from crmgql.records.records import Act, Row

SUBJECT, BODY, ERROR = 300, 100_000, 500
"""Characters that fit their columns."""

UNWANTED = "the lead wants no e-mails"
"""The lead may have opted out after the e-mail was written."""

CANCELLED = "its job was cancelled"

PORTS = {"smtp": 587, "smtps": 465}
ONCE = "SELECT id FROM email_messages WHERE dedupe_key = $1"
WRITE = """
INSERT INTO email_messages (id, to_address, subject, body, status, error, dedupe_key, customer_id, invoice_id, credit_note_id,
    statement_since, statement_until, statement_currency)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS e(id uuid, to_address text, subject text, body text, status text, error text,
    dedupe_key text, customer_id uuid, invoice_id uuid, credit_note_id uuid, statement_since date, statement_until date,
    statement_currency text)"""
ENCLOSED = ("invoice_id", "credit_note_id", "statement_since", "statement_until", "statement_currency")
PENDING = """
SELECT e.*, coalesce(l.email_opt_out, false) AS unwanted FROM email_messages e LEFT JOIN leads l ON l.id = e.lead_id
WHERE e.id = $1 AND e.status = 'PENDING'"""
FINISH = """
UPDATE email_messages SET status = $2::text, error = $3, sent_at = CASE WHEN $2::text = 'SENT' THEN $4::timestamptz END
WHERE id = $1 AND status = 'PENDING' RETURNING id"""

REOPEN = """
UPDATE email_messages SET status = 'PENDING', error = NULL
WHERE id = $1 AND status IN ('FAILED', 'SKIPPED') AND error IS NOT NULL RETURNING old.status, old.error"""
"""One that was erased has no error any more: it stays as it is."""


class MailTrouble(CrmError):
    """The SMTP server did not answer or refused for now; a later attempt may succeed."""

    code = "MAIL_TROUBLE"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final status of an e-mail: SENT, FAILED or SKIPPED, and the reason."""

    status: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """The SMTP server's URL, the sender and the time limit, from the settings."""

    url: str | None
    sender: str | None
    timeout_s: float

    @property
    def missing(self) -> str | None:
        """Why nothing can be sent."""
        if self.url is None:
            return "no SMTP server is set"
        return "no sender is set (CRMGQL_MAIL_FROM)" if self.sender is None else None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A PDF that goes with an e-mail."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """An e-mail to a customer, with an invoice, a credit note, or a statement of account of some days in a currency. `skip`: why it is
    stored but not sent."""

    id: UUID
    to_address: str
    subject: str
    body: str
    dedupe_key: str
    customer_id: UUID
    invoice_id: UUID | None = None
    credit_note_id: UUID | None = None
    statement_since: date | None = None
    statement_until: date | None = None
    statement_currency: str | None = None
    skip: str | None = None


def one_line(text: str, longest: int) -> str:
    """The text as a subject: without line ends and control characters, no longer than fits."""
    return cut(" ".join("".join(c if c.isprintable() else " " for c in text).split()), longest)


async def write(
    act: Act,
    *,
    to_address: str,
    subject: str,
    body: str,
    dedupe_key: str,
    lead_id: UUID | None = None,
    user_id: UUID | None = None,
    skip: str | None = None,
) -> UUID:
    """Writes an e-mail and the job that sends it; if the `dedupe_key` exists, returns that e-mail instead.

    `skip`: why it is stored but not sent. The caller has locked the record that the key is about.
    """
    known = await act.tx.connection.fetchval(ONCE, dedupe_key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    values: dict[str, Any] = {
        "to_address": to_address,
        "subject": one_line(subject, SUBJECT),
        "body": cut(body, BODY),
        "status": "SKIPPED" if skip else "PENDING",
        "error": skip,
        "lead_id": lead_id,
        "user_id": user_id,
        "dedupe_key": dedupe_key,
    }
    email = await records.insert(
        act, EmailMessage, {name: value for name, value in values.items() if value is not None}
    )
    await _record(act, email["id"], "email.skipped" if skip else "email.written", {"status": (None, email["status"])})
    if not skip:
        await jobs.enqueue(act, kinds.EMAIL_SEND, kinds.EmailOf(email_id=email["id"]), unique_key=str(email["id"]))
    return email["id"]  # type: ignore[no-any-return]


async def write_many(act: Act, drafts: Sequence[Draft]) -> None:
    """Writes e-mails and the jobs that send them, in the same number of statements for one and for hundreds.

    The caller has locked the records that their keys are about; none of the keys exists.
    """
    rows: list[Row] = [
        {
            "id": each.id,
            "to_address": each.to_address,
            "subject": one_line(each.subject, SUBJECT),
            "body": cut(each.body, BODY),
            "status": "SKIPPED" if each.skip else "PENDING",
            "error": each.skip,
            "dedupe_key": each.dedupe_key,
            "customer_id": each.customer_id,
            **{name: getattr(each, name) for name in ENCLOSED},
        }
        for each in drafts
    ]
    await act.tx.connection.execute(WRITE, as_json(rows))
    entries = [
        outbox.Entry(
            "email.skipped" if row["error"] else "email.written",
            ("EmailMessage", row["id"]),
            changes={"status": (None, row["status"])},
        )
        for row in rows
    ]
    await outbox.record_many(act.tx, act.viewer, entries)
    wanted = [each.id for each in drafts if each.skip is None]
    if wanted:
        arguments = [kinds.EmailOf(email_id=id) for id in wanted]
        await jobs.enqueue_many(act, kinds.EMAIL_SEND, arguments, unique_keys=list(map(str, wanted)))


async def pending(act: Act, *, id: UUID) -> Row | None:
    """The e-mail, if it is still to be sent."""
    row = await act.tx.connection.fetchrow(PENDING, id)
    return None if row is None else dict(row)


async def deliver(email: Row, server: Server, *, now: datetime, attachment: Attachment | None = None) -> Outcome:
    """Sends it through the SMTP server, outside of any transaction. Raises `MailTrouble` when a later attempt may succeed."""
    if server.missing is not None:
        return Outcome("SKIPPED", server.missing)
    if email["unwanted"]:
        return Outcome("SKIPPED", UNWANTED)
    try:
        message = compose(email, server, now=now, attachment=attachment)
    except ValueError as error:
        return Outcome("FAILED", f"It can't be addressed: {error}")
    try:
        async with asyncio.timeout(server.timeout_s):
            await aiosmtplib.send(message, timeout=server.timeout_s, **_connection(server))
    except aiosmtplib.SMTPRecipientsRefused as error:
        return _refused(error.recipients[0])
    except aiosmtplib.SMTPDataError as error:
        return _refused(error)
    except aiosmtplib.SMTPNotSupported as error:
        return Outcome("FAILED", str(error))
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise MailTrouble(f"The SMTP server did not take it: {error or 'no answer in time'}.") from error
    return Outcome("SENT")


def _refused(error: aiosmtplib.SMTPResponseException) -> Outcome:
    """4xx is temporary, 5xx is final."""
    if 400 <= error.code < 500:
        raise MailTrouble(f"The SMTP server asks to try later: {error.code} {error.message}") from error
    return Outcome("FAILED", f"{error.code} {error.message}")


def compose(email: Row, server: Server, *, now: datetime, attachment: Attachment | None = None) -> Message:
    """The message to send. Raises `ValueError` for an address or a subject that no header can hold."""
    assert server.sender is not None
    name, address = parseaddr(server.sender)
    sender = _mailbox(address, name)
    message = Message(policy=SMTP)
    message["Message-ID"] = f"<{email['id']}@{sender.domain}>"
    message["Date"] = now
    message["From"] = sender
    message["To"] = _mailbox(email["to_address"])
    message["Subject"] = email["subject"]
    message["Auto-Submitted"] = "auto-generated"
    if email["lead_id"] is not None:
        message["List-Unsubscribe"] = f"<mailto:{sender.addr_spec}?subject=unsubscribe>"
    message.set_content(email["body"])
    if attachment is not None:
        message.add_attachment(attachment.content, maintype="application", subtype="pdf", filename=attachment.name)
    return message


def _mailbox(address: str, name: str = "") -> Address:
    """A mailbox with an address in any script. Raises `ValueError`."""
    known = validate_email(
        address, check_deliverability=False, globally_deliverable=False, allow_quoted_local=True, allow_smtputf8=True
    )
    return Address(name, known.local_part, known.ascii_domain)


def _connection(server: Server) -> dict[str, Any]:
    """Arguments for aiosmtplib. With `smtp://` it starts TLS where the server offers it."""
    parts = urlsplit(server.url or "")
    return {
        "hostname": parts.hostname,
        "port": parts.port or PORTS[parts.scheme],
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "use_tls": parts.scheme == "smtps",
    }


async def finish(act: Act, *, id: UUID, outcome: Outcome) -> bool:
    """Writes the outcome, unless there is one; returns whether it did."""
    error = outcome.error and one_line(outcome.error, ERROR)
    if not await act.tx.connection.fetchval(FINISH, id, outcome.status, error, act.now):
        return False
    changes = {"status": ("PENDING", outcome.status), "error": (None, error)}
    await _record(act, id, f"email.{outcome.status.lower()}", changes)
    return True


@endings.when_dead(kinds.EMAIL_SEND)
async def give_up(act: Act, arguments: kinds.EmailOf, reason: str) -> None:
    """Marks the e-mail of a dead job as failed, with the job's reason."""
    await finish(act, id=arguments.email_id, outcome=Outcome("FAILED", reason))


@endings.when_cancelled(kinds.EMAIL_SEND)
async def skip(act: Act, arguments: kinds.EmailOf) -> None:
    """Marks the e-mail of a cancelled job as skipped."""
    await finish(act, id=arguments.email_id, outcome=Outcome("SKIPPED", CANCELLED))


@endings.when_retried(kinds.EMAIL_SEND)
async def try_again(act: Act, arguments: kinds.EmailOf) -> None:
    """Marks the e-mail of a retried job as pending again."""
    row = await act.tx.connection.fetchrow(REOPEN, arguments.email_id)
    if row is not None:
        changes = {"status": (row["status"], "PENDING"), "error": (row["error"], None)}
        await _record(act, arguments.email_id, "email.retried", changes)


async def _record(act: Act, id: UUID, kind: str, changes: outbox.Changes) -> None:
    await outbox.record_event(
        act.tx, act.viewer, kind=kind, subject=("EmailMessage", id), customer_id=None, changes=changes
    )
