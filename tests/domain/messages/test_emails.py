"""E-mails against a real SMTP server: what goes out, what is tried again, what is given up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import given
from hypothesis import strategies as st

from crmgql.config import Settings
from crmgql.domain.jobs import jobs, kinds, leases
from crmgql.domain.messages import emails
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain.work import lead, user, work
from tests.jobs import claimed, put, undone

FROM = "CRM <crm@example.com>"


class Post:
    """What a server got, and what it answers, in order; after that it takes everything."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refusing: list[str] = []
        self.answers: list[str] = []
        self.slow_s = 0.0
        self.thinking = asyncio.Event()
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusing:
            return self.refusing.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.thinking.set()
        await asyncio.sleep(self.slow_s)
        if self.answers:
            return self.answers.pop(0)
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@pytest_asyncio.fixture
async def post() -> AsyncIterator[Post]:
    """An SMTP server of this test's own that wants the password “s3cret/”."""
    taken = Post()

    def known(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"s3cret/", handled=False)  # else a wrong one is never answered

    def made() -> SMTP:
        return SMTP(taken, authenticator=known, auth_require_tls=False, enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    taken.port = server.sockets[0].getsockname()[1]
    yield taken
    server.close()
    await server.wait_closed()


async def write(crm, **values: Any) -> Any:
    given = {"to_address": "ann@example.com", "subject": "Hello", "body": "Dear Ann\n", "dedupe_key": "1", **values}
    async with crm.transaction() as tx:
        return await emails.write(Act(tx, system(lambda: NOW)), **given)


async def send(crm, database, post: Post | None, **settings: Any) -> Any:
    given = {"smtp_url": f"smtp://crm:s3cret%2F@127.0.0.1:{post.port}" if post else None, "mail_from": FROM, **settings}
    return await work(crm, database, kinds.EMAIL_SEND, now=NOW, **given)


async def row(database, id: Any) -> dict[str, Any]:
    return dict(await database.fetchrow("SELECT * FROM email_messages WHERE id = $1", id))


async def told(database, id: Any) -> list[str]:
    rows = await database.fetch("SELECT kind FROM events WHERE subject_id = $1 ORDER BY id", id)
    return [each["kind"] for each in rows]


async def test_what_goes_out(crm, database, post: Post) -> None:
    id = await write(crm, subject="Grüße 公司", body="Liebe Ann,\n.\nbis bald\n" + "lang " * 300 + "\n")
    (job,) = await send(crm, database, post)
    assert (job["status"], orjson.loads(job["result"])["status"]) == ("DONE", "SENT")
    (message,) = post.got
    assert post.recipients == ["ann@example.com"]
    assert message["Message-ID"] == f"<{id}@example.com>"
    assert (message["From"], message["To"]) == (FROM, "ann@example.com")
    assert (message["Subject"], message["Auto-Submitted"]) == ("Grüße 公司", "auto-generated")
    assert message["Date"].datetime == NOW
    assert message["List-Unsubscribe"] is None
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines()[:3] == ["Liebe Ann,", ".", "bis bald"]
    after = await row(database, id)
    assert (after["status"], after["sent_at"], after["error"]) == ("SENT", NOW, None)
    assert await told(database, id) == ["email.written", "email.sent"]


async def test_who_is_written_to_as_a_lead_can_unsubscribe(crm, database, post: Post) -> None:
    await write(crm, lead_id=await lead(database, now=NOW))
    await send(crm, database, post)
    assert post.got[0]["List-Unsubscribe"] == "<mailto:crm@example.com?subject=unsubscribe>"


async def test_who_unsubscribed_meanwhile_is_not_written_to(crm, database, post: Post) -> None:
    id = await write(crm, lead_id=await lead(database, now=NOW, email_opt_out=True))
    await send(crm, database, post)
    after = await row(database, id)
    assert (post.got, after["status"], after["error"]) == ([], "SKIPPED", "the lead wants no e-mails")


async def test_the_same_key_is_the_same_email(crm, database, post: Post) -> None:
    first = await write(crm)
    assert await write(crm, subject="Other") == first
    await send(crm, database, post)
    assert await write(crm) == first
    assert await send(crm, database, post) == []
    assert len(post.got) == 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"smtp_url": None}, "no SMTP server is set"), ({"mail_from": None}, "no sender is set (CRMGQL_MAIL_FROM)")],
)
async def test_without_a_server_it_is_kept(crm, database, post: Post, settings: dict[str, Any], reason: str) -> None:
    id = await write(crm)
    (job,) = await send(crm, database, post, **settings)
    after = await row(database, id)
    assert (job["status"], after["status"], after["error"], after["sent_at"]) == ("DONE", "SKIPPED", reason, None)


@pytest.mark.parametrize("answer", ["451 busy", "421 closing"])
async def test_a_server_that_says_later_is_asked_later(crm, database, post: Post, answer: str) -> None:
    id = await write(crm)
    post.answers = [answer]
    (job,) = await send(crm, database, post)
    assert (job["status"], job["error_code"], job["failures"]) == ("PENDING", "MAIL_TROUBLE", 1)
    assert job["due_at"] > NOW
    assert (await row(database, id))["status"] == "PENDING"
    await database.execute("UPDATE jobs SET due_at = $1", NOW)
    await send(crm, database, post)
    assert (await row(database, id))["status"] == "SENT"
    assert post.got[0]["Message-ID"] == f"<{id}@example.com>"


@pytest.mark.parametrize("how", ["refusing", "answers"])
async def test_the_last_word_of_a_server_is_kept(crm, database, post: Post, how: str) -> None:
    id = await write(crm)
    setattr(post, how, ["550 no such mailbox"])
    (job,) = await send(crm, database, post)
    after = await row(database, id)
    assert (job["status"], after["status"], after["error"]) == ("DONE", "FAILED", "550 no such mailbox")
    assert await told(database, id) == ["email.written", "email.failed"]


async def test_a_recipient_may_be_refused_for_now(crm, database, post: Post) -> None:
    id = await write(crm)
    post.refusing = ["450 greylisted"]
    (job,) = await send(crm, database, post)
    assert (job["status"], (await row(database, id))["status"]) == ("PENDING", "PENDING")


async def test_trouble_on_the_way_is_tried_again(crm, database, post: Post) -> None:
    id = await write(crm)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"smtp://127.0.0.1:{free.getsockname()[1]}"
        (job,) = await send(crm, database, post, smtp_url=nobody)
    assert (job["error_code"], job["failures"]) == ("MAIL_TROUBLE", 1)
    await database.execute("UPDATE jobs SET due_at = $1", NOW)
    (job,) = await send(crm, database, post, smtp_url=f"smtp://crm:wrong@127.0.0.1:{post.port}")
    assert (job["error_code"], job["failures"]) == ("MAIL_TROUBLE", 2)
    await database.execute("UPDATE jobs SET due_at = $1", NOW)
    post.slow_s = 3
    (job,) = await send(crm, database, post, mail_timeout_s=1)
    assert (job["error_code"], job["failures"]) == ("MAIL_TROUBLE", 3)
    assert (await row(database, id))["status"] == "PENDING"


async def test_no_transaction_is_open_while_the_server_thinks(crm, database, post: Post) -> None:
    await write(crm)
    post.slow_s = 0.4
    sending = asyncio.create_task(send(crm, database, post))
    async with asyncio.timeout(5):
        await post.thinking.wait()
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    assert await database.fetchval(busy) == 0
    await sending


@pytest.mark.parametrize(
    "address", ["a@b.example, c@d.example", "nobody", "a@b\r\nBcc: c@d.example", "", "a@b@c", "a@["]
)
async def test_what_is_no_address_goes_nowhere(crm, database, post: Post, address: str) -> None:
    id = await write(crm, to_address=address)
    await send(crm, database, post)
    after = await row(database, id)
    assert (post.got, after["status"]) == ([], "FAILED")
    assert after["error"].startswith("It can't be addressed")


async def test_a_subject_adds_no_header(crm, database, post: Post) -> None:
    await write(crm, subject="Hello\r\nBcc: eve@example.com\n\nbody", body="x\r\nBcc: eve@example.com\r\n")
    await send(crm, database, post)
    (message,) = post.got
    assert (message["Subject"], message["Bcc"]) == ("Hello Bcc: eve@example.com body", None)
    assert post.recipients == ["ann@example.com"]


@given(st.text(max_size=400), st.integers(1, 300))
def test_a_subject_is_one_line_that_fits(text: str, longest: int) -> None:
    line = emails.one_line(text, longest)
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1
    message = EmailMessage()
    message["Subject"] = line


@pytest.mark.parametrize(
    "settings",
    [
        {"smtp_url": "http://mail.example.com"},
        {"smtp_url": "smtp://"},
        {"mail_from": "nobody"},
        {"mail_from": "CRM <a b@example.com>"},
        {"mail_from": "A\nBcc: x <a@b.example>"},
        {"mail_timeout_s": 0},
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Settings(**settings)


async def test_an_email_is_sent_once_however_often_it_is_asked_for(crm, database, post: Post) -> None:
    id = await write(crm, user_id=await user(database))
    await send(crm, database, post)
    await database.execute("UPDATE jobs SET status = 'PENDING', due_at = $1, finished_at = NULL", NOW)
    (job,) = await send(crm, database, post)
    assert (job["status"], len(post.got)) == ("DONE", 1)
    assert await told(database, id) == ["email.written", "email.sent"]


async def test_an_address_in_any_script(crm, database, post: Post) -> None:
    await write(crm, to_address="李雷@example.com")
    (job,) = await send(crm, database, post)
    assert (job["status"], post.recipients) == ("DONE", ["李雷@example.com"])


async def test_what_became_of_an_email_is_written_once(crm, database) -> None:
    id = await write(crm)
    for outcome in (emails.Outcome("SENT"), emails.Outcome("FAILED", "late news")):
        async with crm.transaction() as tx:
            await emails.finish(Act(tx, system(lambda: NOW)), id=id, outcome=outcome)
    after = await row(database, id)
    assert (after["status"], after["error"]) == ("SENT", None)
    assert await told(database, id) == ["email.written", "email.sent"]


async def test_an_email_fails_with_its_job_and_is_pending_again_with_it(crm, database, post: Post) -> None:
    id = await write(crm)
    for left in reversed(range(kinds.EMAIL_SEND.max_failures)):
        post.answers = ["451 busy"]
        (job,) = await send(crm, database, post)
        await database.execute("UPDATE jobs SET due_at = $1", NOW)
        assert (await row(database, id))["status"] == ("PENDING" if left else "FAILED")
    assert job["status"] == "DEAD"
    assert (await row(database, id))["error"] == job["error_message"]
    assert "451 busy" in job["error_message"]
    async with crm.transaction() as tx:
        await jobs.retry(Act(tx, system(lambda: NOW)), id=job["id"])
    after = await row(database, id)
    assert (after["status"], after["error"]) == ("PENDING", None)
    (job,) = await send(crm, database, post)
    assert (job["status"], (await row(database, id))["status"], len(post.got)) == ("DONE", "SENT", 1)
    assert await told(database, id) == ["email.written", "email.failed", "email.retried", "email.sent"]


async def test_an_email_fails_with_a_worker_that_stopped_responding(crm, database) -> None:
    id = await write(crm)
    await database.execute(
        "UPDATE jobs SET status = 'RUNNING', lease_by = uuidv7(), lease_until = $1, failures = 7, attempts = 8", NOW
    )
    async with crm.transaction() as tx:
        assert await leases.expire(tx.connection, now=NOW + leases.LEASE) == 1
    after = await row(database, id)
    assert (after["status"], after["error"]) == ("FAILED", "The worker stopped responding during this attempt.")


async def test_a_dead_job_whose_arguments_nobody_knows_ends_all_the_same(crm, database) -> None:
    await write(crm)
    await database.execute("UPDATE jobs SET arguments = '{}', arguments_version = 9")
    (job,) = await send(crm, database, None)
    assert job["status"] == "DEAD"


async def cancel(crm, id: Any) -> None:
    async with crm.transaction() as tx:
        await jobs.cancel(Act(tx, system(lambda: NOW)), id=id)


async def test_an_email_is_skipped_when_its_job_is_cancelled_and_pending_when_that_is_retried(
    crm, database, post: Post
) -> None:
    id = await write(crm)
    job_id = await database.fetchval("SELECT id FROM jobs")
    await cancel(crm, job_id)
    after = await row(database, id)
    assert (after["status"], after["error"]) == ("SKIPPED", "its job was cancelled")
    async with crm.transaction() as tx:
        await jobs.retry(Act(tx, system(lambda: NOW)), id=job_id)
    assert (await row(database, id))["status"] == "PENDING"
    await send(crm, database, post)
    assert ((await row(database, id))["status"], len(post.got)) == ("SENT", 1)
    assert await told(database, id) == ["email.written", "email.skipped", "email.retried", "email.sent"]


async def test_an_email_is_skipped_with_a_family_of_jobs(crm, database) -> None:
    id = await write(crm)
    parent = await put(database)
    await database.execute("UPDATE jobs SET parent_id = $1 WHERE kind = 'email.send'", parent)
    await cancel(crm, parent)
    assert (await row(database, id))["status"] == "SKIPPED"


@pytest.mark.parametrize("how", ["cancelled", "failed", "dead", "given back"])
async def test_an_email_is_skipped_however_its_running_job_ends_cancelled(crm, database, how: str) -> None:
    id = await write(crm)
    job_id = await database.fetchval("SELECT id FROM jobs")
    if how == "dead":
        await database.execute("UPDATE jobs SET failures = 7, attempts = 7")
    lease = await claimed(crm, job_id, 7 if how == "dead" else 0)
    await database.execute("INSERT INTO users (name, roles) VALUES ('Root', '{ADMIN}')")
    await cancel(crm, job_id)
    assert (await row(database, id))["status"] == "PENDING"
    async with crm.transaction() as tx:
        if how == "cancelled":
            await leases.cancelled(tx.connection, lease, now=NOW)
        elif how == "given back":
            await leases.give_back(tx.connection, lease, now=NOW)
        else:
            await leases.failed(tx.connection, lease, now=NOW, error=emails.MailTrouble("busy"))
    assert await database.fetchval("SELECT status FROM jobs") == "CANCELLED"
    after = await row(database, id)
    assert (after["status"], after["error"]) == ("SKIPPED", "its job was cancelled")
    assert await told(database, id) == ["email.written", "email.skipped"]
    assert await database.fetchval("SELECT count(*) FROM notifications") == 0  # it is no dead letter


async def test_an_email_that_went_out_is_sent_even_if_its_job_was_cancelled_meanwhile(
    crm, database, post: Post
) -> None:
    id = await write(crm)
    post.slow_s = 0.3
    sending = asyncio.create_task(send(crm, database, post))
    async with asyncio.timeout(5):
        await post.thinking.wait()
    await cancel(crm, await database.fetchval("SELECT id FROM jobs"))
    (job,) = await sending
    assert (job["status"], (await row(database, id))["status"], len(post.got)) == ("DONE", "SENT", 1)


async def test_an_erased_email_stays_erased_when_its_job_is_retried(crm, database) -> None:
    id = await write(crm)
    await database.execute("UPDATE email_messages SET status = 'FAILED', to_address = 'erased@invalid'")
    await database.execute("UPDATE jobs SET status = 'DEAD', finished_at = $1", NOW)
    async with crm.transaction() as tx:
        await jobs.retry(Act(tx, system(lambda: NOW)), id=await database.fetchval("SELECT id FROM jobs"))
    assert (await row(database, id))["status"] == "FAILED"


async def test_a_job_whose_arguments_can_not_be_upgraded_dies_all_the_same(crm, database, monkeypatch) -> None:
    """And keeps no other silent worker's job from being taken."""

    def broken(given: dict[str, Any], version: int) -> dict[str, Any]:
        raise KeyError("email")

    await write(crm)
    with undone():
        kinds.declare(replace(kinds.EMAIL_SEND, version=2, upgrade=broken))
        await database.execute(
            "UPDATE jobs SET status = 'RUNNING', lease_by = uuidv7(), lease_until = $1, failures = 7, attempts = 8", NOW
        )
        await put(database, status="RUNNING", lease_until=NOW)
        async with crm.transaction() as tx:
            assert await leases.expire(tx.connection, now=NOW + leases.LEASE) == 2
    statuses = await database.fetch("SELECT kind, status FROM jobs ORDER BY id")
    assert [tuple(each) for each in statuses] == [("email.send", "DEAD"), ("test", "PENDING")]
