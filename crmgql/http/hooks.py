"""`POST /hooks/payments/{provider}`, and `/{account}` behind it: what payment providers post to us.

Enters: a body as it was signed. Leaves: the provider's word of acceptance, once what it says is stored; a job acts on it.
Order of refusals: provider or account unknown 404, method 405, size 413, signature or body 400 with the code of
docs/reference/errors.md. What is refused is counted, and stored nowhere. A post that comes again is accepted again.

Nobody logs in here: who posts proves with each post who it is. A body is read up to its limit and never beyond, and verified
before anything of it is believed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.types import Receive, Scope

from crmgql.db import Database
from crmgql.domain.money import providers
from crmgql.domain.money.hooks import accounts, arrivals
from crmgql.domain.money.hooks.accounts import Known
from crmgql.domain.money.providers.refusals import ProviderUnknown
from crmgql.errors import BadUserInput, CrmError
from crmgql.http import exchange, negotiation
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.exchange import OK, Answer, Arrived
from crmgql.http.metrics import Metrics
from crmgql.http.refusals import Headers, Refused
from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import decode_id
from crmgql.viewer import Clock, system_clock

PATH = "/hooks/payments/"
BODY_TIMEOUT_S = 15.0
KEEP_S = 5.0
ALLOW: Headers = ((b"allow", b"POST"),)
REPEATED = "REPEATED"
"""The code, in the metrics, of a post of which all was known."""


@dataclass(slots=True)
class _Accounts:
    """The active accounts at a provider, as they were at most `KEEP_S` ago."""

    database: Database
    kept: dict[str, tuple[float, list[Known]]] = field(default_factory=dict)

    async def at(self, provider: str) -> list[Known]:
        read_at, kept = self.kept.get(provider, (float("-inf"), []))
        if time.monotonic() - read_at > KEEP_S:
            kept = await accounts.active(self.database, provider)
            self.kept[provider] = time.monotonic(), kept
        return kept


class Endpoint(exchange.Endpoint):
    """The ASGI application behind `/hooks/payments/`."""

    kind = "hook"

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        *,
        bodies: Bodies | None = None,
        addresses: Addresses | None = None,
        clock: Clock = system_clock,
    ) -> None:
        super().__init__(metrics, bodies or Bodies(BODY_TIMEOUT_S), addresses or Addresses(()))
        self.database = database
        self.clock = clock
        self.accounts = _Accounts(database)

    def arrived(self, scope: Scope, receive: Receive) -> Arrived:
        request = super().arrived(scope, receive)
        return Arrived(scope, receive, request.headers, request.id, request.remote, negotiation.JSON)

    async def answer(self, arrived: Arrived) -> Answer:
        provider, account = _named(arrived.scope["path"])
        if arrived.method != "POST":
            raise Refused(405, "METHOD_NOT_ALLOWED", "Providers post here.", ALLOW)
        listed = _chosen(await self.accounts.at(provider), account)
        body = await self.bodies.read(arrived.headers, arrived.receive, most=arrivals.MAX_BODY_BYTES)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in arrived.headers.items()}
        found = await arrivals.receive(self.database, provider, listed, headers, body, clock=self.clock)
        word = found.answer
        content_type = (word.content_type or "text/plain").encode()
        code = OK if found.event_ids else REPEATED
        return Answer(word.status, word.body, content_type, code=code, kind=f"hook.{provider}")

    def failed(self, error: CrmError, arrived: Arrived) -> Answer:
        """Counted by provider, as far as that is one."""
        answer = super().failed(error, arrived)
        provider = arrived.scope["path"].removeprefix(PATH).partition("/")[0]
        answer.kind = f"hook.{provider}" if provider in providers.PROVIDERS else self.kind
        return answer


def _named(path: str) -> tuple[str, str | None]:
    """The provider and the account that a path names. Raises `ProviderUnknown`."""
    provider, _, account = path.removeprefix(PATH).partition("/")
    return providers.get(provider).name, account or None


def _chosen(listed: list[Known], account: str | None) -> list[Known]:
    """All accounts, or the one that is named. Raises `ProviderUnknown`."""
    chosen = listed
    if account is not None:
        try:
            id = decode_id(account, prefix=PREFIXES["PaymentAccount"])
        except BadUserInput:
            id = None
        chosen = [each for each in listed if each.id == id]
    if not chosen:
        raise ProviderUnknown("No such account is set up here, or it is disabled.")
    return chosen
