"""Challenges: who registers a URL proves that the server behind it wants our events, before it gets any.

Enters: a pending endpoint. Leaves: one that is active, or pending with a reason. The request is signed like any other. Its
header `webhook-challenge` and its body have a random text, and the answer is that text, alone or as {"challenge": "…"}.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import orjson

from crmgql.domain.webhooks import signatures
from crmgql.domain.webhooks.attempts import Tried, record, tried
from crmgql.domain.webhooks.endpoints import LONGEST_REASON, MOVES
from crmgql.domain.webhooks.keys import KEYS
from crmgql.models import WebhookEndpoint
from crmgql.outbound import targets
from crmgql.outbound.client import Answer, Client, Failure
from crmgql.records import records
from crmgql.records.records import Act, Row

KIND = "webhook.challenge"
HEADER = "webhook-challenge"
FIND = "SELECT * FROM webhook_endpoints WHERE id = $1 AND public_key = $2 AND status = 'PENDING'"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason`: why the endpoint stays pending; None: it has answered."""

    reason: str | None
    tried: Tried


async def pending(act: Act, *, id: UUID, public_key: str) -> Row | None:
    """The endpoint, if it still waits for this challenge: not if it was verified, changed or deleted meanwhile."""
    row = await act.tx.connection.fetchrow(FIND, id, public_key)
    return None if row is None else dict(row)


async def pose(client: Client, endpoint: Row, *, now: datetime) -> Outcome:
    """Sends the challenge, outside of any transaction."""
    text, message_id = secrets.token_urlsafe(24), f"msg_{uuid4().hex}"
    body = orjson.dumps({"type": KIND, "timestamp": now, "data": {"challenge": text}}).decode()
    pair = KEYS.pair(endpoint["key_salt"])
    headers = [*signatures.headers(message_id, body, [pair], now=now, ed25519=endpoint["ed25519"]), (HEADER, text)]
    came = await client.post(targets.target(endpoint["url"]), headers, body.encode())
    return Outcome(_reason(came, text), tried(endpoint, message_id, KIND, headers, body, came, now=now))


async def finish(act: Act, endpoint: Row, outcome: Outcome) -> Row | None:
    """Writes the outcome, unless the endpoint changed meanwhile. Returns it as the job's result."""
    await record(act.tx.connection, [outcome.tried])
    if await pending(act, id=endpoint["id"], public_key=endpoint["public_key"]) is None:
        return None
    current, move = await MOVES.lock(act, "verify", endpoint["id"])
    if outcome.reason is None:
        changes = move.changes(act.now) | {"status_reason": None}
        await records.change(act, WebhookEndpoint, current, changes, kind=move.event)
    else:
        changes = {"status_reason": outcome.reason[:LONGEST_REASON]}
        kind = "webhookEndpoint.challengeFailed"
        await records.change(act, WebhookEndpoint, current, changes, kind=kind, touch=True)
    return {"verified": outcome.reason is None, "reason": outcome.reason}


def _reason(came: Answer | Failure, text: str) -> str | None:
    if isinstance(came, Failure):
        return came.message
    if not came.is_accepted:
        return f"The challenge was answered with status {came.status} instead of 200."
    if not hmac.compare_digest(_answered(came.body).encode(), text.encode()):
        return f"The answer was not the challenge, as in the header {HEADER}."
    return None


def _answered(body: bytes) -> str:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict):
        answer = answer.get("challenge")
    return answer if isinstance(answer, str) else body.decode("utf-8", "replace").strip()
