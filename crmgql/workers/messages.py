"""Jobs of e-mails."""

from __future__ import annotations

import asyncio

from crmgql.config import Settings
from crmgql.domain.jobs import kinds
from crmgql.domain.messages import digests, emails
from crmgql.domain.messages.emails import Attachment, Outcome
from crmgql.domain.money import mailing, papers, reminding
from crmgql.domain.money.papers import Paper
from crmgql.records.records import Row
from crmgql.workers.handlers import Result, Run, long_handler


def server(settings: Settings) -> emails.Server:
    return emails.Server(settings.smtp_url, settings.mail_from, settings.mail_timeout_s)


@long_handler(kinds.EMAIL_SEND)
async def email_send(run: Run, arguments: kinds.EmailOf) -> Result:
    """Sends between two transactions: no connection is held while the SMTP server answers."""
    async with run.step() as act:
        email = await emails.pending(act, id=arguments.email_id)
        is_unwanted = await reminding.is_unwanted(act, arguments.email_id)
        paper = None if email is None or is_unwanted else await mailing.enclosed(act, email)
    if email is None:
        return None
    outcome = Outcome("SKIPPED", reminding.UNWANTED) if is_unwanted else await _deliver(run, email, paper)
    async with run.step(despite_cancel=True) as act:
        if await emails.finish(act, id=arguments.email_id, outcome=outcome) and outcome.status == "SENT":
            await mailing.record_sent(act, email)
    return {"status": outcome.status, "error": outcome.error}


async def _deliver(run: Run, email: Row, paper: Paper | None) -> Outcome:
    attachment = None
    if paper is not None:
        attachment = Attachment(paper.name, await asyncio.to_thread(papers.printed, paper))
    return await emails.deliver(email, server(run.settings), now=run.now, attachment=attachment)


@long_handler(kinds.NOTIFICATIONS_DIGEST)
async def notifications_digest(run: Run, arguments: kinds.Nothing) -> Result:
    while True:
        async with run.step() as act:
            written = await digests.write(act)
            run.progress(done=run.done + written)
        if not written:
            return {"emails": run.done}
