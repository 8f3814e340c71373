"""Checks the audit trail from the texts that were hashed: each row, each chain, and that no row is in none.

Rows and links come as one `COPY` stream in the order of the chains, and are hashed here, line by line: memory is bounded by the
lanes of the range. Of months that were dropped the links are still there, so their chains are followed without the rows.
"""

from __future__ import annotations

from hashlib import sha256

import asyncpg

from crmgql.ledger import chains
from crmgql.ledger.verify import IN_ANY_ORDER, IN_ORDER, MOST, Broken, Found, Lane, copied

# What there is of a row: kept, or gone with its month; else what is wrong with it.
STATE = """
    CASE WHEN a.id IS NULL THEN CASE WHEN EXISTS (
            SELECT FROM public.event_checkpoints AS dropped WHERE relation = 'audit_entries'
                AND uuid_extract_timestamp(part.id) >= month AND uuid_extract_timestamp(part.id) < month + interval '1 month'
        ) THEN 'gone' ELSE 'missing' END
    WHEN a.personal IS NULL AND a.commitment IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.tombstones WHERE subject_id IN (a.subject_id, a.customer_id)
    ) THEN 'blanked'
    WHEN a.personal IS NOT NULL AND a.commitment LIKE 'sha256-1:%'
        AND a.commitment <> 'sha256-1:' || encode(sha256(a.salt || convert_to(a.personal, 'UTF8')), 'hex') THEN 'personal'
    ELSE 'kept' END"""
WRONG = {
    b"missing": "the chain has an audit row here that is not there any more",
    b"blanked": "the personal values of an audit row are missing, and nobody erased the person",
    b"personal": "the personal values of an audit row are not those that were committed to",
}
ROWS = f"""
SELECT link.owner_id, link.lane, link.seq, encode(link.digest, 'hex'), encode(link.hash, 'hex'), {STATE}, part.id,
    {chains.audit_columns("a")}
FROM public.audit_links AS link CROSS JOIN LATERAL unnest(link.ids) WITH ORDINALITY AS part(id, n)
LEFT JOIN public.audit_entries AS a ON a.id = part.id
WHERE link.owner_id BETWEEN '{{first}}' AND '{{last}}' ORDER BY link.owner_id, link.lane, link.seq, part.n"""
HEADS = """
SELECT owner_id, lane, seq, encode(hash, 'hex') FROM public.ledger_heads
WHERE owner_id BETWEEN '{first}' AND '{last}' AND lane < 0"""
UNLINKED = """
SELECT a.id FROM public.audit_entries AS a LEFT JOIN (
    SELECT unnest(ids) AS id FROM public.audit_links
) AS linked ON linked.id = a.id WHERE linked.id IS NULL ORDER BY a.id LIMIT $1"""


async def check(connection: asyncpg.Connection, first: str, last: str, found: Found) -> None:
    """Follows the chains of the owners from `first` to `last`, both included; adds to what was found."""
    walk = _Walk(found)
    await connection.execute(IN_ORDER)
    await connection.copy_from_query(ROWS.format(first=first, last=last), output=walk.take)
    await connection.execute(IN_ANY_ORDER)
    walk.end()
    for line in await copied(connection, HEADS.format(first=first, last=last)):
        owner, lane, seq, hash = line.decode().rstrip("\n").split("\t")
        end = walk.ends.pop((owner, int(lane)), (0, b""))
        if end != (int(seq), bytes.fromhex(hash)):
            what = f"the head is at {seq}, and the audit trail ends at {end[0]}, or with another hash"
            found.tell(Broken(what, owner, int(lane), int(seq)))
    found.tell(*(Broken("the audit trail has no head", *lane, seq) for lane, (seq, _) in walk.ends.items()))


async def unlinked(connection: asyncpg.Connection) -> list[Broken]:
    """The audit rows that are in no chain, of all owners."""
    rows = await connection.fetch(UNLINKED, MOST)
    return [Broken("the audit row is in no chain", entry=str(row["id"])) for row in rows]


class _Walk:
    """Where a walk along the links of many lanes stands, with the text of the link that it is at."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.ends: dict[Lane, tuple[int, bytes]] = {}
        self.lane: Lane | None = None
        self.seq, self.hash = 0, b""
        self.link: list[bytes] = []
        self.text, self.is_there = sha256(), True
        self.rest = b""

    async def take(self, data: bytes) -> None:
        """What `COPY` gives, in pieces of any size."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            *link, state, id, text = line.split(b"\t", 7)
            if link != self.link:
                self.end()
                self._turn(link)
            if state in WRONG:
                self._tell(WRONG[state], id.decode())
            self.is_there &= state not in (b"missing", b"gone")
            self.found.audited += state != b"missing"
            self.text.update(b"".join((chains.SHAPE, text, b"\n")))

    def _turn(self, link: list[bytes]) -> None:
        """To the next link, mostly in the same lane."""
        owner, lane, seq, *_ = link
        if (owner.decode(), int(lane)) != self.lane:
            self.lane, self.seq, self.hash = (owner.decode(), int(lane)), 0, b""
        missing, self.seq = int(seq) - self.seq - 1, int(seq)
        if missing:
            self._tell(f"{missing} of the audit trail's links before this one are missing")
        self.link, self.text, self.is_there = link, sha256(), True

    def end(self) -> None:
        """Of a link, whose text is complete."""
        if not self.link or self.lane is None:
            return
        digest, hash = (bytes.fromhex(each.decode()) for each in self.link[3:])
        if self.is_there and self.text.digest() != digest:
            self._tell("an audit row is not what the chain says: it was changed after it was written")
        if chains.link(self.hash, digest) != hash:
            self._tell("the hash does not follow from the one before it and the digest of the audit rows")
        self.hash = hash
        self.ends[self.lane] = (self.seq, hash)
        self.link = []

    def _tell(self, what: str, row: str | None = None) -> None:
        assert self.lane is not None
        self.found.tell(Broken(what, *self.lane, self.seq, row))
