"""Jobs of follow-ups."""

from __future__ import annotations

from email.utils import parseaddr

from crmgql.domain.jobs import kinds
from crmgql.domain.marketing import follow_ups
from crmgql.workers.handlers import Result, Run, long_handler


@long_handler(kinds.LEAD_FOLLOW_UP)
async def lead_follow_up(run: Run, arguments: kinds.FollowUp) -> Result:
    address = parseaddr(run.settings.mail_from or "")[1] or None
    async with run.step() as act:
        made = await follow_ups.carry_out(act, arguments, unsubscribe=address)
    return {name: value and str(value) for name, value in made.items()}
