"""Checks the anchors: each follows from the one before and from its heads, none is missing, and those that somebody kept are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import asyncpg

from crmgql.ledger import chains
from crmgql.ledger.verify import MOST, SETTINGS, Broken, copied

BATCH = 10_000
ANCHORS = f"""
SELECT {chains.anchor_columns("a")}, encode(a.hash, 'hex') FROM public.anchors AS a WHERE a.id > {{after}} ORDER BY a.id LIMIT {{limit}}"""
HEADS = f"""
SELECT h.anchor_id, {chains.head_columns("h")} FROM public.anchor_heads AS h
WHERE h.anchor_id BETWEEN {{first}} AND {{last}} ORDER BY h.anchor_id, h.owner_id, h.lane"""
LOST = """
SELECT h.anchor_id, count(*) AS heads FROM public.anchor_heads AS h LEFT JOIN public.anchors AS a ON a.id = h.anchor_id
WHERE a.id IS NULL GROUP BY h.anchor_id ORDER BY h.anchor_id LIMIT $1"""


@dataclass(slots=True)
class Anchors:
    """How many there are, the last one's number and hash, and what is wrong."""

    count: int = 0
    last: str | None = None
    broken: list[Broken] = field(default_factory=list)


async def check(
    connection: asyncpg.Connection, kept: Mapping[int, str] | None = None, *, batch: int = BATCH
) -> Anchors:
    """Follows the anchors from the first to the last. `kept`: hashes that were kept elsewhere, by the anchors' numbers."""
    await connection.execute(SETTINGS)
    found, missing = Anchors(), dict(kept or {})
    last, before = 0, "\\N"
    while True:
        lines = await copied(connection, ANCHORS.format(after=last, limit=batch))
        anchors = [_Anchor(*line.decode().rstrip("\n").rsplit("\t", 1)) for line in lines]
        if anchors:
            heads = _Heads(anchors)
            sql = HEADS.format(first=anchors[0].number, last=anchors[-1].number)
            await connection.copy_from_query(sql, output=heads.take)
        for anchor in anchors:
            found.broken += anchor.wrong(last, before, missing.pop(anchor.number, anchor.hash))
            last, before = anchor.number, anchor.hash
        found.count += len(anchors)
        if len(anchors) < batch:
            break
    found.last = f"{last}:{before}" if found.count else None
    found.broken += [Broken(f"anchor {number}: it was kept elsewhere, and is missing here") for number in missing]
    for row in await connection.fetch(LOST, MOST):
        found.broken.append(Broken(f"anchor {row['anchor_id']}: it is missing, and its heads are there"))
    return found


class _Anchor:
    """An anchor's line and hash, and what was computed of its heads so far."""

    def __init__(self, line: str, hash: str) -> None:
        number, self.previous, _, self.heads = line.split("\t")
        self.number, self.hash = int(number), hash
        self.count = 0
        self.digest = sha256(chains.SHAPE + line.encode() + b"\n")

    def wrong(self, last: int, before: str, kept: str) -> list[Broken]:
        told = []
        if self.number != last + 1:
            told.append(f"{self.number - last - 1} anchors before it are missing")
        elif self.previous != before:
            told.append("it does not follow the one before it")
        if self.count != int(self.heads):
            told.append(f"it has {self.heads} heads, and {self.count} are there")
        if self.digest.hexdigest() != self.hash:
            told.append("its hash is not that of its line and its heads")
        if self.hash != kept:
            told.append(f"its hash is {self.hash}, and that of the one that was kept is {kept}")
        return [Broken(f"anchor {self.number}: {what}") for what in told]


class _Heads:
    """Hands the lines of heads, which `COPY` gives in pieces of any size, to their anchors."""

    def __init__(self, anchors: Sequence[_Anchor]) -> None:
        self.anchors = {str(each.number).encode(): each for each in anchors}
        self.rest = b""

    async def take(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            number, head = line.split(b"\t", 1)
            if (anchor := self.anchors.get(number)) is not None:
                anchor.digest.update(head + b"\n")
                anchor.count += 1
