"""The same request sent twice has one effect: for each client's key, the request's hash and the record that it made.

The key's row is inserted first, in the verb's own transaction. A second request with the key waits for the first: if that
commits, the second finds its record; if it fails, the second is carried out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from crmgql.db import Transaction
from crmgql.errors import IdempotencyConflict
from crmgql.events.outbox import as_json
from crmgql.records import purges
from crmgql.records.checks import check_text
from crmgql.records.records import Act
from crmgql.viewer import Viewer

CLAIM = """
INSERT INTO idempotency_records (actor_id, key, mutation, request_hash, result) VALUES ($1, $2, $3, $4, '{}')
ON CONFLICT ON CONSTRAINT idempotency_records_key DO NOTHING RETURNING id"""
FIND = "SELECT mutation, request_hash, result FROM idempotency_records WHERE actor_id = $1 AND key = $2"
PURGE = purges.sql("idempotency_records", "created_at < $1", order="created_at")
SAVE_RESULT = "UPDATE idempotency_records SET result = $3 WHERE actor_id = $1 AND key = $2"


@dataclass(frozen=True, slots=True)
class Key:
    """A client's key, the mutation it is for, and the hash of the request."""

    text: str
    mutation: str
    digest: str


async def key(viewer: Viewer, text: str, *, mutation: str, body: dict[str, Any]) -> Key:
    """The key of a request. Made before the transaction opens, as hashing may take long. Raises `BadUserInput`."""
    check_text(text, "idempotencyKey", longest=200)
    return Key(text, mutation, await _digest(viewer, text, mutation, body))


async def claim(act: Act, key: Key) -> UUID | None:
    """None if the key is new; the id of the record that the request made if it was made before.

    Raises `IdempotencyConflict` if the key was used for another request.
    """
    values = (act.viewer.user_id, key.text, key.mutation, key.digest)
    if await act.tx.connection.fetchval(CLAIM, *values) is not None:
        return None
    found = await act.tx.connection.fetchrow(FIND, act.viewer.user_id, key.text)
    if found["request_hash"] != key.digest:
        raise IdempotencyConflict(
            "This idempotency key was used for another request; use a new key for a new request.",
            field="idempotencyKey",
        )
    return UUID(orjson.loads(found["result"])["record"])


async def _digest(viewer: Viewer, key: str, mutation: str, body: dict[str, Any]) -> str:
    """The hash of a request. A slow one if it has a password, so that the stored hash does not help to guess it."""
    # ASCII only, so that a text that is refused later, such as half of a surrogate pair, has a hash, too.
    text = json.dumps({"mutation": mutation, "body": body}, default=str, sort_keys=True).encode()
    if body.get("password") is None:
        return hashlib.sha256(text).hexdigest()
    salt = f"{viewer.user_id} {key}".encode()
    hashed = await asyncio.to_thread(hashlib.scrypt, text, salt=salt, n=2**14, r=8, p=1, dklen=32)
    return hashed.hex()


async def finish(act: Act, key: Key, *, record: UUID) -> None:
    """Stores the id of the record that the request made."""
    await act.tx.connection.execute(SAVE_RESULT, act.viewer.user_id, key.text, as_json({"record": record}))


async def purge(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Deletes up to `limit` keys older than a time; their requests can then be made again. Returns how many."""
    return await tx.connection.fetchval(PURGE, before, limit)  # type: ignore[no-any-return]
