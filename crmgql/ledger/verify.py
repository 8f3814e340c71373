"""Checks the books from the texts that were hashed: whether anything was changed, taken out or put in, and where.

Enters: a connection in a transaction that sees one snapshot, and a range of owners. Leaves: what was counted, and where it
breaks. Digests and hashes are computed here and not by the database, where somebody may have replaced a function; what is
asked of it are rows, in the order of their keys, and sums, by functions of PostgreSQL alone. Memory is bounded by the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

import asyncpg

from crmgql.ledger import chains, rules, sums

BATCH = 5_000
LOWEST, HIGHEST = str(UUID(int=0)), str(UUID(int=2**128 - 1))
MOST = 100
"""Breaks that are told of each range; the others are counted."""

SETTINGS = """
SET LOCAL search_path = ''; SET LOCAL row_security = off; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO';
SET LOCAL statement_timeout = 0; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '64MB'"""
IN_ORDER = "".join(f"SET LOCAL enable_{each} = off;" for each in ("seqscan", "bitmapscan", "hashjoin", "sort"))
"""A batch is read along an index, from where the last one ended, whatever the planner thinks of the statistics."""

IN_ANY_ORDER = IN_ORDER.replace("off", "on")
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMON = "{0}.size, {0}.phase, {0}.effective_on, {0}.base_currency"
"""What postings repeat of their entry."""

STRANGER = b"stranger"
"""In place of a digest: the entry names another customer than its owner."""

ENTRIES = f"""
SELECT e.owner_id, e.id, {COMMON.format("e")}, {chains.entry_columns("e")},
    CASE WHEN e.customer_id IS DISTINCT FROM nullif(e.owner_id, e.company_id) THEN '{STRANGER.decode()}' ELSE encode(link.digest, 'hex') END
FROM public.ledger_entries AS e LEFT JOIN (
    SELECT * FROM public.ledger_links
    WHERE owner_id BETWEEN '{{first}}' AND '{{last}}' AND (owner_id, entry_id) > ('{{owner}}', '{{entry}}')
) AS link ON link.owner_id = e.owner_id AND link.entry_id = e.id
WHERE e.owner_id BETWEEN '{{first}}' AND '{{last}}' AND (e.owner_id, e.id) > ('{{owner}}', '{{entry}}')
ORDER BY e.owner_id, e.id LIMIT {{limit}}"""
WITHIN = """
WHERE t.owner_id BETWEEN '{owner}' AND '{to_owner}'
    AND (t.owner_id, t.entry_id) > ('{owner}', '{entry}') AND (t.owner_id, t.entry_id) <= ('{to_owner}', '{to_entry}')
ORDER BY t.owner_id, t.entry_id, t.n"""
POSTINGS = f"SELECT t.owner_id, t.entry_id, {COMMON.format('t')}, {chains.posting_columns('t')} FROM public.postings AS t {WITHIN}"
ITEMS = f"SELECT t.owner_id, t.entry_id, {chains.item_columns('t')} FROM public.open_items AS t {WITHIN}"
OF_LINKS = """
FROM public.ledger_links WHERE owner_id BETWEEN '{first}' AND '{last}' AND (owner_id, lane, seq) > ('{owner}', {lane}, {seq})
ORDER BY owner_id, lane, seq LIMIT {limit}"""
LINKS = f"SELECT owner_id, lane, seq, encode(digest, 'hex'), encode(hash, 'hex') {OF_LINKS}"
# The same, a row for each lane: what passes, as nearly all does, is read in a third of the time.
RUNS = f"""
SELECT owner_id::text, lane, array_agg(seq) AS seqs, string_agg(digest, '') AS digests, string_agg(hash, '') AS hashes,
    bool_and(octet_length(digest) = 32 AND octet_length(hash) = 32) AS are_hashes
FROM (SELECT owner_id, lane, seq, digest, hash {OF_LINKS}) AS link GROUP BY link.owner_id, lane ORDER BY link.owner_id, lane"""
HEADS = """
SELECT owner_id, lane, seq, encode(hash, 'hex') FROM public.ledger_heads
WHERE (owner_id, lane) > ('{owner}', {lane}) AND (owner_id, lane) <= ('{to_owner}', {to_lane}) AND lane >= 0"""
PLACES = "SELECT owner_id, entry_id, lane, seq FROM public.ledger_links WHERE entry_id = ANY ($1) AND owner_id BETWEEN $2 AND $3"
LOST = """
SELECT link.owner_id, link.lane, link.seq, link.entry_id FROM public.ledger_links AS link
LEFT JOIN public.ledger_entries AS e ON e.owner_id = link.owner_id AND e.id = link.entry_id
WHERE link.owner_id BETWEEN $1 AND $2 AND e.id IS NULL ORDER BY 1, 2, 3 LIMIT $3"""
NO_LANE = -(2**15)
Lane = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Broken:
    """A place, as far as it has one, and what is wrong there."""

    what: str
    owner: str | None = None
    lane: int | None = None
    seq: int | None = None
    entry: str | None = None

    def __str__(self) -> str:
        names = ("owner", "lane", "seq", "entry")
        place = " ".join(f"{name} {value}" for name in names if (value := getattr(self, name)) is not None)
        return f"{place}: {self.what}" if place else self.what


@dataclass(slots=True)
class Found:
    """What a check counted and found. `audited`: audit rows. `more`: breaks beyond those that are told."""

    entries: int = 0
    postings: int = 0
    links: int = 0
    lanes: int = 0
    audited: int = 0
    broken: list[Broken] = field(default_factory=list)
    more: int = 0

    def tell(self, *broken: Broken) -> None:
        room = max(0, MOST - len(self.broken))
        self.broken += broken[:room]
        self.more += len(broken[room:])

    def add(self, other: Found) -> None:
        self.entries += other.entries
        self.postings += other.postings
        self.links += other.links
        self.lanes += other.lanes
        self.audited += other.audited
        self.broken += other.broken
        self.more += other.more

    @property
    def is_whole(self) -> bool:
        return not self.broken


async def check(
    connection: asyncpg.Connection, first: str = LOWEST, last: str = HIGHEST, *, batch: int = BATCH
) -> Found:
    """Checks what belongs to the owners from `first` to `last`, both included."""
    await connection.execute(SETTINGS)
    found = Found()
    await connection.execute(IN_ORDER)
    linked = await _entries(connection, first, last, batch, found)
    await _links(connection, first, last, batch, found)
    await connection.execute(IN_ANY_ORDER)
    if linked != found.links:
        for row in await connection.fetch(LOST, first, last, MOST):
            place = (str(row["owner_id"]), row["lane"], row["seq"], str(row["entry_id"]))
            found.tell(Broken("the chain has an entry here that is not there any more", *place))
    for each in await sums.differences(connection, first, last):
        found.tell(Broken(each.words, each.owner))
    for rule in rules.RULES:
        for row in await connection.fetch(rule.sql, first, last, MOST):
            found.tell(Broken(row["what"], str(row["owner_id"]), row["lane"], row["seq"], row["entry_id"]))
    return found


async def copied(connection: asyncpg.Connection, sql: str) -> list[bytes]:
    """The lines that `COPY` writes, with their ends."""
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(data)

    await connection.copy_from_query(sql, output=take)
    return b"".join(parts).splitlines(keepends=True)


# Entries and their digests.


async def _entries(connection: asyncpg.Connection, first: str, last: str, batch: int, found: Found) -> int:
    """Compares each entry with the digest of its link; returns how many are linked."""
    linked, at = 0, (first, LOWEST)
    while True:
        sql = ENTRIES.format(first=first, last=last, owner=at[0], entry=at[1], limit=batch)
        rows = await copied(connection, sql)
        to = (last, HIGHEST) if len(rows) < batch else (rows[-1][:36].decode(), rows[-1][37:73].decode())
        within = {"owner": at[0], "entry": at[1], "to_owner": to[0], "to_entry": to[1]}
        postings = await copied(connection, POSTINGS.format(**within))
        items = await copied(connection, ITEMS.format(**within))
        found.entries += len(rows)
        found.postings += len(postings)
        if not _are_whole(rows, postings, items):
            found.tell(*await _placed(connection, _compared(rows, postings, items), first, last))
        linked += len(rows) - sum(row.endswith(b"N\n") for row in rows)
        if len(rows) < batch:
            return linked
        at = to


def _are_whole(rows: Sequence[bytes], postings: Sequence[bytes], items: Sequence[bytes]) -> bool:
    """Whether all is well, found as fast as Python can: each entry takes as many postings and items as it says, in their order."""
    at = opened = 0
    for row in rows:
        start = row.index(row[37:74], 74)  # the text begins with the entry's id, after what its postings repeat
        end = row.rindex(b"\t")
        size = int(row[74 : row.index(b"\t", 74)])
        opens = int(row[row.rindex(b"\t", start, end) + 1 : end])
        common = row[:start]
        text = b"".join(
            [
                chains.SHAPE,
                row[start:end],
                b"\n",
                *[line[start:] for line in postings[at : at + size] if line.startswith(common)],
                *[line[74:] for line in items[opened : opened + opens] if line.startswith(common[:74])],
            ]
        )
        if sha256(text).hexdigest().encode() != row[end + 1 : -1]:
            return False
        at += size
        opened += opens
    return at == len(postings) and opened == len(items)


def _compared(rows: Sequence[bytes], postings: Sequence[bytes], items: Sequence[bytes]) -> list[Broken]:
    """What is wrong with each entry of a batch in which something is."""
    given, opened = _by_entry(postings), _by_entry(items)
    broken = []
    for row in rows:
        what = _wrong(row, given.pop(row[:74], []), opened.pop(row[:74], []))
        if what is not None:
            broken.append(Broken(what, row[:36].decode(), entry=row[37:73].decode()))
    for what, lost in (("postings", given), ("open items", opened)):
        broken += [Broken(f"{what} without their entry", key[:36].decode(), entry=key[37:73].decode()) for key in lost]
    return broken


def _by_entry(lines: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        found.setdefault(line[:74], []).append(line)
    return found


def _wrong(row: bytes, postings: list[bytes], items: list[bytes]) -> str | None:
    start, end = row.index(row[37:74], 74), row.rindex(b"\t")
    size, digest = int(row[74 : row.index(b"\t", 74)]), row[end + 1 : -1]
    if digest == STRANGER:
        return "the entry names another customer than its owner"
    if digest == b"\\N":
        return "the entry is in no chain"
    if len(postings) != size:
        return f"the entry has {size} postings, and {len(postings)} are there"
    for n, line in enumerate(postings, start=1):
        if not line.startswith(row[:start]):
            return f"posting {n} has another size, phase, day or base currency than its entry"
    opens = int(row[row.rindex(b"\t", start, end) + 1 : end])
    if len(items) != opens:
        return f"the entry opens {opens} items, and {len(items)} are there"
    lines = [*(line[start:-1] for line in postings), *(line[74:-1] for line in items)]
    if chains.digest(row[start:end], lines).hex().encode() != digest:
        return "the entry, a posting or an item of it is not what the chain says: it was changed after it was posted"
    return None


async def _placed(connection: asyncpg.Connection, broken: list[Broken], first: str, last: str) -> list[Broken]:
    """The same, with the places of the entries in their chains."""
    rows = await connection.fetch(PLACES, [each.entry for each in broken], first, last)
    places = {(str(row["owner_id"]), str(row["entry_id"])): (row["lane"], row["seq"]) for row in rows}
    none = (None, None)
    return [
        Broken(each.what, each.owner, *places.get((str(each.owner), str(each.entry)), none), each.entry)
        for each in broken
    ]


# Chains and their heads.


async def _links(connection: asyncpg.Connection, first: str, last: str, batch: int, found: Found) -> None:
    """Follows each lane from its first link to its head."""
    walk = _Walk(found)
    at, done = (first, NO_LANE, -1), (first, NO_LANE)
    while True:
        given = {"first": first, "last": last, "owner": at[0], "lane": at[1], "seq": at[2], "limit": batch}
        runs = await connection.fetch(RUNS.format(**given))
        if walk.passes(runs):
            count = sum(len(run["seqs"]) for run in runs)
        else:
            rows = await copied(connection, LINKS.format(**given))
            walk.follow(rows)
            count = len(rows)
        found.links += count
        is_end = count < batch
        at = (*(walk.lane or at[:2]), walk.seq)
        if is_end:
            walk.end()
        done = await _heads(connection, done, (last, 2**15 - 1) if is_end else walk.before, walk)
        if is_end:
            return


class _Walk:
    """Where a walk along the links of many lanes stands, and the ends of the lanes that it has left behind."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.lane: Lane | None = None
        self.seq = 0
        self.hash = b""
        self.ends: dict[Lane, tuple[int, bytes]] = {}
        self.before: Lane = (LOWEST, NO_LANE)

    def passes(self, runs: Sequence[asyncpg.Record]) -> bool:
        """Follows runs of links, each in one lane; where anything is wrong with one of them it stays where it is."""
        ends: list[tuple[Lane, int, bytes]] = [] if self.lane is None else [(self.lane, self.seq, self.hash)]
        for run in runs:
            lane, seqs = (run["owner_id"], run["lane"]), run["seqs"]
            seq, hash = ends[-1][1:] if ends and ends[-1][0] == lane else (0, b"")
            hashes = _chained(hash, run["digests"] or b"")
            are_hashes = run["are_hashes"] and len(hashes) == len(seqs) and b"".join(hashes) == run["hashes"]
            if not are_hashes or seqs != list(range(seq + 1, seq + 1 + len(seqs))):
                return False
            ends.append((lane, seqs[-1], hashes[-1]))
        for lane, seq, hash in ends:
            if lane != self.lane:
                self._enter(lane)
            self.seq, self.hash = seq, hash
        return True

    def _enter(self, lane: Lane) -> None:
        self.end()
        self.lane, self.seq, self.hash = lane, 0, b""
        self.found.lanes += 1

    def follow(self, rows: Sequence[bytes]) -> None:
        ahead, seq, hash = self._ahead(), self.seq, self.hash
        for row in rows:
            if not row.startswith(b"%b%d\t" % (ahead, seq + 1)):
                self.seq, self.hash = seq, hash
                self._turn(row)
                ahead, seq, hash = self._ahead(), self.seq, self.hash
            at = row.index(b"\t", len(ahead)) + 1
            cut = row.index(b"\t", at)
            seq += 1
            follows = sha256(hash + bytes.fromhex(row[at:cut].decode())).digest()
            hash = bytes.fromhex(row[cut + 1 : -1].decode())
            if follows != hash:
                self._tell("the hash does not follow from the one before it and the entry's digest", seq)
        self.seq, self.hash = seq, hash

    def _ahead(self) -> bytes:
        return b"" if self.lane is None else f"{self.lane[0]}\t{self.lane[1]}\t".encode()

    def _turn(self, row: bytes) -> None:
        """Into another lane, or over a gap in this one."""
        owner, lane, seq, _, _ = row.decode().split("\t")
        if (owner, int(lane)) != self.lane:
            self._enter((owner, int(lane)))
        if int(seq) != self.seq + 1:
            missing = int(seq) - self.seq - 1
            self._tell(f"{missing} of the chain's links before this one are missing", int(seq))
            self.seq = int(seq) - 1

    def end(self) -> None:
        if self.lane is not None:
            self.ends[self.lane] = (self.seq, self.hash)
            self.before = self.lane
        self.lane = None

    def _tell(self, what: str, seq: int) -> None:
        assert self.lane is not None
        self.found.tell(Broken(what, *self.lane, seq))


def _chained(hash: bytes, digests: bytes) -> list[bytes]:
    """The hashes of links after one, by the digests of their entries."""
    hashes = []
    for at in range(0, len(digests), 32):
        hash = sha256(hash + digests[at : at + 32]).digest()
        hashes.append(hash)
    return hashes


async def _heads(connection: asyncpg.Connection, done: Lane, to: Lane, walk: _Walk) -> Lane:
    """Compares the heads of the lanes that are behind us with their last links."""
    if done == to:
        return done
    sql = HEADS.format(owner=done[0], lane=done[1], to_owner=to[0], to_lane=to[1])
    for line in await copied(connection, sql):
        owner, lane, seq, hash = line.decode().rstrip("\n").split("\t")
        end = walk.ends.pop((owner, int(lane)), (0, b""))
        if end != (int(seq), bytes.fromhex(hash)):
            what = (
                f"the head is at {seq}, and the chain ends at {end[0]}"
                if end[0] != int(seq)
                else ("the head's hash is not that of the chain's last link")
            )
            walk.found.tell(Broken(what, owner, int(lane), int(seq)))
    for at, (last, _) in walk.ends.items():
        walk.found.tell(Broken("the chain has no head", *at, last))
    walk.ends.clear()
    return to
