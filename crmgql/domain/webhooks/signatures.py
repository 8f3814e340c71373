"""The headers of a request, as Standard Webhooks has them (https://www.standardwebhooks.com).

`webhook-id` is the same at every attempt, `webhook-timestamp` is the attempt's own time, `webhook-signature` holds for
each live pair of keys a `v1` (HMAC-SHA256) and, if the endpoint wants it, a `v1a` (Ed25519), both over id, time and body with dots between them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from crmgql.domain.webhooks.keys import Pair

AGENT = "crmgql-webhooks/1"


def headers(
    message_id: str, body: str, pairs: Sequence[Pair], *, now: datetime, ed25519: bool = True
) -> list[tuple[str, str]]:
    """All headers of an attempt. While a secret is being rotated there are two pairs, the newer one first.

    `ed25519`: whether it is also signed with the private keys, which takes ten times as long.
    """
    return [
        ("Content-Type", "application/json"),
        ("User-Agent", AGENT),
        ("webhook-id", message_id),
        ("webhook-timestamp", str(int(now.timestamp()))),
        ("webhook-signature", " ".join(_signed(message_id, body, pair, now, ed25519) for pair in pairs)),
    ]


def _signed(message_id: str, body: str, pair: Pair, now: datetime, ed25519: bool) -> str:
    shared = pair.hmac.sign(message_id, now, body)
    if not ed25519:
        return shared
    text = f"{message_id}.{int(now.timestamp())}.{body}".encode()
    signature = base64.b64encode(pair.private.sign(text)).decode()
    return f"{shared} v1a,{signature}"
