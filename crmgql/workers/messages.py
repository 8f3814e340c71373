"""Jobs of e-mails."""

from __future__ import annotations

from crmgql.config import Settings
from crmgql.domain.jobs import kinds
from crmgql.domain.messages import digests, emails
from crmgql.workers.handlers import Result, Run, long_handler


def server(settings: Settings) -> emails.Server:
    return emails.Server(settings.smtp_url, settings.mail_from, settings.mail_timeout_s)


@long_handler(kinds.EMAIL_SEND)
async def email_send(run: Run, arguments: kinds.EmailOf) -> Result:
    """Sends between two transactions: no connection is held while the SMTP server answers."""
    async with run.step() as act:
        email = await emails.pending(act, id=arguments.email_id)
    if email is None:
        return None
    outcome = await emails.deliver(email, server(run.settings), now=run.now)
    async with run.step(despite_cancel=True) as act:
        return await emails.finish(act, id=arguments.email_id, outcome=outcome)


@long_handler(kinds.NOTIFICATIONS_DIGEST)
async def notifications_digest(run: Run, arguments: kinds.Nothing) -> Result:
    while True:
        async with run.step() as act:
            written = await digests.write(act)
            run.progress(done=run.done + written)
        if not written:
            return {"emails": run.done}
