"""Anchors: a hash over the ends of all chains that moved, and over the anchor before.

Whoever keeps an anchor elsewhere can prove later that the books up to it are what they were: a chain that is computed anew
from its beginning agrees with itself, and no more with the anchor. One statement reads one snapshot and locks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crmgql.db import Transaction
from crmgql.ledger import chains

MOST = 500_000
"""Heads of one anchor: the text that is hashed stays well below what PostgreSQL can hold. What is left goes into the next."""

# Parameters: the time, the most heads. Of two at once the second finds the number taken, and writes nothing.
WRITE = f"""
WITH before AS (
    SELECT id, hash FROM anchors ORDER BY id DESC LIMIT 1
), moved AS MATERIALIZED (
    SELECT head.* FROM ledger_heads AS head LEFT JOIN LATERAL (
        SELECT hash FROM anchor_heads AS anchored WHERE anchored.owner_id = head.owner_id AND anchored.lane = head.lane
        ORDER BY anchor_id DESC LIMIT 1
    ) AS anchored ON true
    WHERE anchored.hash IS DISTINCT FROM head.hash ORDER BY head.owner_id, head.lane LIMIT $2
), fresh AS (
    SELECT coalesce((SELECT id FROM before), 0) + 1 AS id, $1::timestamptz AS made_at,
        coalesce((SELECT hash FROM before), '') AS previous, count(*) AS heads,
        string_agg(concat_ws(E'\\t', {chains.head_columns("moved")}) || E'\\n', '' ORDER BY owner_id, lane) AS lines
    FROM moved
), made AS (
    INSERT INTO anchors (id, made_at, previous, heads, hash)
    SELECT id, made_at, previous, heads, sha256(convert_to(concat_ws(E'\\t', '1', fresh.id,
        coalesce(nullif(encode(previous, 'hex'), ''), '\\N'), {chains.TIME.format("made_at")}, heads) || E'\\n' || lines, 'UTF8'))
    FROM fresh WHERE heads > 0 ON CONFLICT (id) DO NOTHING RETURNING id, hash, heads
), kept AS (
    INSERT INTO anchor_heads (anchor_id, owner_id, lane, seq, hash) SELECT made.id, moved.* FROM made, moved
)
SELECT id, hash, heads FROM made"""


@dataclass(frozen=True, slots=True)
class Anchor:
    """`hash` is in hexadecimal; `heads` is how many chains had moved."""

    number: int
    hash: str
    heads: int

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


async def write(tx: Transaction, *, now: datetime, most: int = MOST) -> Anchor | None:
    """Writes an anchor over up to `most` heads that moved since the last one; none where none did."""
    row = await tx.connection.fetchrow(WRITE, now, most)
    return None if row is None else Anchor(row["id"], row["hash"].hex(), row["heads"])
