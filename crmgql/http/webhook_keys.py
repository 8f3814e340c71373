"""`GET /.well-known/webhook-keys/{endpoint}`: the public keys of an endpoint, as a JSON Web Key Set (RFC 7517, 8037).

For receivers that verify Ed25519 signatures: those of a rotation that goes on are both in it, the newer one first. A public
key tells nothing, and an endpoint's id can't be guessed, so nobody need log in.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crmgql.db import Database
from crmgql.domain.webhooks import keys
from crmgql.errors import BadUserInput
from crmgql.models.names import PREFIXES
from crmgql.planner.codecs import decode_id
from crmgql.viewer import system_clock

PATH = "/.well-known/webhook-keys/{endpoint}"
FRESH = {"cache-control": "public, max-age=60"}
FIND = """
SELECT public_key, CASE WHEN old_key_until > $2 THEN old_public_key END AS old
FROM webhook_endpoints WHERE id = $1 AND status <> 'DELETED'"""


def routes(database: Database) -> list[Route]:
    async def answer(request: Request) -> Response:
        try:
            id = decode_id(request.path_params["endpoint"], prefix=PREFIXES["WebhookEndpoint"])
        except BadUserInput:
            return _json(404, {"keys": []})
        async with database.reading() as connection:
            row = await connection.fetchrow(FIND, id, system_clock())
        found = [] if row is None else [key for key in row if key is not None]
        return _json(200 if found else 404, {"keys": [_jwk(key) for key in found]})

    return [Route(PATH, answer)]


def _jwk(key: str) -> dict[str, str]:
    raw = base64.b64decode(key.removeprefix(keys.PUBLIC_PREFIX))
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": key, "x": x}


def _json(status: int, value: Any) -> Response:
    return Response(orjson.dumps(value), status, FRESH, media_type="application/json")
