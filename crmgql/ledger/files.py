"""Writes the books as text files, exactly as they are hashed, for whoever checks them without us.

Enters: a connection that sees one snapshot. All texts are in the order of owner, lane and number in the lane, so that a
reader checks digests and chains in one pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import asyncpg

from crmgql.ledger import chains, verify

BATCH = 10_000
Progress = Callable[[int, int], None]
README = """\
The books as they were hashed. Lines end with a line feed, values are separated by tabs, \\N stands for what is not there.
Hashes are SHA-256, in hexadecimal here and as 32 bytes where they are hashed. examples/verifier/verify.mjs of crmgql checks all of it.

entries.txt   Each entry, in the order of links.txt: a line that begins with 1 (the shape of the text), one for each of its postings (size),
              and one for each item that it opens (opens).
              1, {entry}
              {posting}
              {item}
              The digest of an entry is the hash of all its lines, line feeds included.
links.txt     The place of each entry: owner, lane, seq, entry, digest, hash.
              A lane is one of an owner's chains. seq counts from 1. hash = SHA-256(hash of the link before in its lane, nothing for the first; digest).
audit_links.txt
              The places of audit rows, in lanes below 0: owner, lane, seq, digest, hash, which follows as in links.txt. A digest is of the rows that
              one statement wrote; they are not exported.
anchors.txt   Each anchor: a line that begins with 1, and one for each chain that had moved since the anchor before it.
              1, number, hash of the anchor before, time, how many chains
              owner, lane, seq, hash: the end of a chain, which is the hash of that link in links.txt or audit_links.txt
hashes.txt    number, hash of each anchor, which is that of its line and those of its chains, line feeds included.
              The last line is what to keep in another place: with it all that is before can be proved.
"""

LINKS = """
SELECT owner_id, lane, seq, entry_id, encode(digest, 'hex'), encode(hash, 'hex') FROM public.ledger_links
WHERE (owner_id, lane, seq) > ('{owner}', {lane}, {seq}) ORDER BY owner_id, lane, seq LIMIT {limit}"""
WITHIN = """
FROM public.ledger_links AS link JOIN {table} ON {alias}.owner_id = link.owner_id AND {alias}.{key} = link.entry_id
WHERE (link.owner_id, link.lane, link.seq) > ('{owner}', {lane}, {seq}) AND link.owner_id <= '{to_owner}'
    AND (link.owner_id, link.lane, link.seq) <= ('{to_owner}', {to_lane}, {to_seq})
ORDER BY link.owner_id, link.lane, link.seq"""
AUDIT_LINKS = """
SELECT owner_id, lane, seq, encode(digest, 'hex'), encode(hash, 'hex') FROM public.audit_links ORDER BY owner_id, lane, seq"""
ANCHORS = f"SELECT {chains.anchor_columns('a')}, encode(a.hash, 'hex') FROM public.anchors AS a ORDER BY a.id"
HEADS = f"SELECT {chains.head_columns('h')} FROM public.anchor_heads AS h WHERE h.anchor_id = {{}} ORDER BY h.owner_id, h.lane"


@dataclass(frozen=True, slots=True)
class Written:
    entries: int
    anchors: int


async def write(connection: asyncpg.Connection, directory: Path, *, progress: Progress) -> Written:
    """Writes the files into a directory. Raises `OSError`."""
    texts = README.format(entry=", ".join(chains.ENTRY), posting=", ".join(chains.POSTING), item=", ".join(chains.ITEM))
    (directory / "README.txt").write_text(texts, "utf-8")
    total = await connection.fetchval("SELECT coalesce(sum(seq), 0)::bigint FROM public.ledger_heads WHERE lane >= 0")
    await connection.execute(verify.IN_ORDER)
    with (directory / "entries.txt").open("wb") as entries, (directory / "links.txt").open("wb") as links:
        count = await _entries(connection, entries, links, progress, total)
    with (directory / "audit_links.txt").open("wb") as trail:
        await _copy(connection, AUDIT_LINKS, trail)
    with (directory / "anchors.txt").open("wb") as anchors, (directory / "hashes.txt").open("wb") as hashes:
        return Written(count, await _anchors(connection, anchors, hashes))


async def _entries(
    connection: asyncpg.Connection, entries: BinaryIO, links: BinaryIO, progress: Progress, total: int
) -> int:
    count, at = 0, (verify.LOWEST, verify.NO_LANE, 0)
    while True:
        owner, lane, seq = at
        start = {"owner": owner, "lane": lane, "seq": seq}
        rows = await verify.copied(connection, LINKS.format(**start, limit=BATCH))
        if not rows:
            return count
        links.writelines(rows)
        last = rows[-1].decode().split("\t")
        at = (last[0], int(last[1]), int(last[2]))
        within = start | {"to_owner": at[0], "to_lane": at[1], "to_seq": at[2]}
        await _texts(connection, entries, within)
        count += len(rows)
        progress(count, max(count, total))


async def _texts(connection: asyncpg.Connection, entries: BinaryIO, within: dict[str, object]) -> None:
    where = WITHIN.format(table="public.ledger_entries AS e", alias="e", key="id", **within)
    lines = await verify.copied(connection, f"SELECT {chains.entry_columns('e')} {where}")
    parts = defaultdict(list)
    for table, columns in (("postings", chains.posting_columns("t")), ("open_items", chains.item_columns("t"))):
        where = WITHIN.format(table=f"public.{table} AS t", alias="t", key="entry_id", **within)
        for line in await verify.copied(connection, f"SELECT t.entry_id, {columns} {where}, t.n"):
            parts[line[:36]].append(line[37:])
    for line in lines:
        entries.write(b"".join((chains.SHAPE, line, *parts[line[:36]])))


async def _anchors(connection: asyncpg.Connection, anchors: BinaryIO, hashes: BinaryIO) -> int:
    lines = await verify.copied(connection, ANCHORS)
    for line in lines:
        text, hash = line.rstrip(b"\n").rsplit(b"\t", 1)
        number = text.partition(b"\t")[0].decode()
        anchors.write(chains.SHAPE + text + b"\n")
        await _copy(connection, HEADS.format(int(number)), anchors)
        hashes.write(f"{number}\t{hash.decode()}\n".encode())
    return len(lines)


async def _copy(connection: asyncpg.Connection, sql: str, file: BinaryIO) -> None:
    async def take(data: bytes) -> None:
        file.write(data)

    await connection.copy_from_query(sql, output=take)
