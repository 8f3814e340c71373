"""A first look at a step's file: how many rows, and which line counts for each external id that occurs twice.

Memory: eight bytes a row, and the keys that repeat. Looking ahead makes a rerun and a resumed run decide alike.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from crmgql.imports import lookups, reader
from crmgql.imports.bindings import Plan
from crmgql.imports.placeholders import Rejected
from crmgql.imports.reader import Row

_BUCKETS = 256
_CHUNK = 5000


@dataclass
class Scan:
    """`winners`: for each key that several rows have, the line of the one that counts."""

    rows: int = 0
    winners: dict[str, int] = field(default_factory=dict)


def chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, size)):
        yield chunk


async def _keys(connection: Any, plan: Plan) -> AsyncIterator[tuple[int, str]]:
    """Line and external id of each row, "" where it has none."""
    for chunk in chunks(reader.rows(plan.step.file), _CHUNK):
        if plan.key_joined:
            await lookups.join(connection, plan.joins, chunk)
        for row in chunk:
            try:
                yield row.line, "" if row.problem is not None else plan.key(row.cells)
            except Rejected:
                yield row.line, ""


async def scan(connection: Any, plan: Plan) -> Scan:
    result = Scan()
    buckets = [array("q") for _ in range(_BUCKETS)]
    async for _, key in _keys(connection, plan):
        result.rows += 1
        if key:
            hashed = hash(key)
            buckets[hashed % _BUCKETS].append(hashed)
    repeated: set[int] = set()
    for bucket in buckets:
        if len(set(bucket)) < len(bucket):
            seen: set[int] = set()
            repeated.update(hashed for hashed in bucket if hashed in seen or seen.add(hashed))  # type: ignore[func-returns-value]
    if repeated:
        async for line, key in _keys(connection, plan):
            if key and hash(key) in repeated:
                if plan.step.duplicates == "last":
                    result.winners[key] = line
                else:
                    result.winners.setdefault(key, line)
    return result
