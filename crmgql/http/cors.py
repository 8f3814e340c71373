"""Which web pages of other origins may use the API from a browser: those of `CRMGQL_CORS_ORIGINS`.

No cookie is ever used, so no credentials are allowed, and `*` opens nothing that a token doesn't guard.
Starlette's middleware is not used: it answers in plain text, and names `Vary: Origin` only when an origin matched.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crmgql.errors import SetupError

ANY = "*"
EXPOSED = b"x-request-id, retry-after, www-authenticate, crmgql-cursor, crmgql-stream"
KEEP_PREFLIGHT_S = b"600"
FIELD_NAMES = re.compile(rb"[A-Za-z0-9\-_, ]{1,1000}")
DEFAULT_FIELDS = b"authorization, content-type"

Headers = list[tuple[bytes, bytes]]


def origins(setting: str) -> frozenset[str]:
    """The origins of the setting. Raises `SetupError` for what no browser would ever send."""
    listed = frozenset(part.strip().rstrip("/").lower() for part in setting.split(",") if part.strip())
    for origin in listed - {ANY}:
        parts = urlsplit(origin)
        if not parts.scheme or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise SetupError(
                f"CRMGQL_CORS_ORIGINS: {origin!r} is no origin; write https://host, with :port if it has one."
            )
    return listed


class Cors:
    """Wraps an application; answers preflights itself."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin: bytes | None = headers.get(b"origin")
        if scope["method"] == "OPTIONS" and origin is not None and b"access-control-request-method" in headers:
            await self._preflight(origin, headers.get(b"access-control-request-headers"), send)
            return
        extra = self._granted(origin)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self.app(scope, receive, with_headers)

    def _granted(self, origin: bytes | None) -> Headers:
        if ANY in self.allowed:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
        varies = (b"vary", b"Origin")
        if origin is None or origin.decode("latin-1").lower() not in self.allowed:
            return [varies]
        return [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED), varies]

    async def _preflight(self, origin: bytes, fields: bytes | None, send: Send) -> None:
        granted = self._granted(origin)
        body, status = b"", 204
        if granted[0][0] == b"access-control-allow-origin":
            harmless = fields is not None and FIELD_NAMES.fullmatch(fields)
            granted += [
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", fields if fields is not None and harmless else DEFAULT_FIELDS),
                (b"access-control-max-age", KEEP_PREFLIGHT_S),
                (b"vary", b"Access-Control-Request-Headers"),
            ]
        else:
            status = 403
            message = "Pages of this origin may not use the API; an operator can add it to CRMGQL_CORS_ORIGINS."
            body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": "FORBIDDEN"}}]})
            granted += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": granted})
        await send({"type": "http.response.body", "body": body})
