"""`POST /graphql/streams/<id>/token`: an event stream that runs goes on with the token of this request.

Enters: the id that the stream's response named, and an `Authorization` header. Leaves: `{"tokenExpiresAt": …}`.
Order of refusals: path 404, method 405, credentials 401, another user's stream 403, one that runs no more 410.
"""

from __future__ import annotations

import re

from crmgql.domain.people.identity import Identities
from crmgql.errors import StreamEnded
from crmgql.http import exchange
from crmgql.http.addresses import Addresses
from crmgql.http.bodies import Bodies
from crmgql.http.exchange import Answer, Arrived, encoded
from crmgql.http.metrics import Metrics
from crmgql.http.open_streams import OVER
from crmgql.http.refusals import Headers, Refused
from crmgql.http.renewals import Renewals
from crmgql.viewer import system_clock

PATH = "/graphql/streams/"
LAST = "/token"
ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")
ONLY_POST: Headers = ((b"allow", b"POST"),)


class Endpoint(exchange.Endpoint):
    """The ASGI application below `/graphql/streams/`."""

    kind = "token"

    def __init__(
        self, renewals: Renewals, identities: Identities, metrics: Metrics, *, bodies: Bodies, addresses: Addresses
    ) -> None:
        super().__init__(metrics, bodies, addresses)
        self.renewals = renewals
        self.identities = identities

    async def answer(self, arrived: Arrived) -> Answer:
        id = arrived.scope["path"].removeprefix(PATH)
        if not id.endswith(LAST):
            raise Refused(404, "NOT_FOUND", f"There is nothing here; a stream's new token goes to {PATH}<id>{LAST}.")
        if arrived.method != "POST":
            raise Refused(405, "METHOD_NOT_ALLOWED", "Use POST, with the new token as Authorization.", ONLY_POST)
        authorization = arrived.headers.get(b"authorization", b"").decode("latin-1")
        viewer = await self.identities.identify(authorization, system_clock)  # strangers make nobody look for a stream
        id = id.removesuffix(LAST)
        if ID.fullmatch(id) is None:
            raise StreamEnded(OVER)
        ends = await self.renewals.renew(id, authorization, viewer.user_id)
        return Answer(200, encoded({"tokenExpiresAt": ends}), kind=self.kind)
