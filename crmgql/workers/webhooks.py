"""Jobs of webhooks."""

from __future__ import annotations

import ssl
from functools import cache

from crmgql.config import Settings
from crmgql.domain.jobs import kinds
from crmgql.domain.webhooks import challenges, pings
from crmgql.outbound.client import Client
from crmgql.outbound.network import Resolver
from crmgql.outbound.targets import Reach, networks
from crmgql.workers.handlers import Result, Run, long_handler


def client(settings: Settings, resolver: Resolver | None = None) -> Client:
    """What reaches one receiver, as far as the settings allow."""
    resolve = None if resolver is None else resolver.resolve
    reach = Reach(networks(settings.webhook_networks))
    return Client(reach, total_s=settings.webhook_timeout_s, resolve=resolve, trust=_trust())


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


@long_handler(kinds.WEBHOOK_CHALLENGE)
async def webhook_challenge(run: Run, arguments: kinds.ChallengeOf) -> Result:
    """Asks between two transactions: no connection is held while the receiver answers."""
    async with run.step() as act:
        endpoint = await challenges.pending(act, id=arguments.endpoint_id, public_key=arguments.public_key)
    if endpoint is None:
        return None
    reaching = client(run.settings)
    try:
        outcome = await challenges.pose(reaching, endpoint, now=run.now)
    finally:
        await reaching.close()
    async with run.step(despite_cancel=True) as act:
        return await challenges.finish(act, endpoint, outcome)


@long_handler(kinds.WEBHOOK_PING)
async def webhook_ping(run: Run, arguments: kinds.PingOf) -> Result:
    async with run.step() as act:
        endpoint = await pings.pending(act, id=arguments.endpoint_id)
    if endpoint is None:
        return None
    reaching = client(run.settings)
    try:
        sent = await pings.send(reaching, endpoint, now=run.now)
    finally:
        await reaching.close()
    async with run.step(despite_cancel=True) as act:
        return await pings.finish(act, sent)
