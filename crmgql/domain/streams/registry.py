"""Registered documents: GraphQL texts that the server keeps by their hash, so that others name them instead of sending them.

Enters: a text that the engine has found to be in order. Leaves: its hash, SHA-256 in hexadecimal digits. Always holds: a text
is kept once, whoever registers it, and never changes.
"""

from __future__ import annotations

import hashlib

from crmgql.models.streams import DocumentPurpose
from crmgql.records.records import Act

LONGEST = 16_384
"""Characters."""

INSERT = """
INSERT INTO documents (hash, text, purpose, created_by_id, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (hash) DO NOTHING"""


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def register(act: Act, text: str, purpose: DocumentPurpose) -> str:
    """The hash under which the text is kept from now on."""
    hash = hash_of(text)
    await act.tx.connection.execute(INSERT, hash, text, purpose, act.viewer.actor_id, act.now)
    return hash


async def text_of(act: Act, hash: str) -> str | None:
    return await act.tx.connection.fetchval("SELECT text FROM documents WHERE hash = $1", hash)  # type: ignore[no-any-return]
