"""Events as somebody sees them: read under their rules, with what each event did to their sight of its subject.

Enters: ids of events. Leaves: `Sighting`s in the order of the feed, by one statement for any number. What one may not see is left
out, unless it was this very event that took it out of one's sight: that is told, once, and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from crmgql import access
from crmgql.access import sights
from crmgql.access.sights import ENTERED, LEFT, SEEN
from crmgql.db import Connection
from crmgql.events import positions
from crmgql.events.positions import Placed
from crmgql.sql import ast
from crmgql.viewer import Viewer, Who

MOST_SIGHTS = 100
"""Statements that are kept."""

READ = f"""
WITH sights AS MATERIALIZED ({{sights}})
SELECT {positions.COLUMNS}, e.payload::text AS payload, CASE WHEN s.now AND NOT s.before THEN '{ENTERED}' ELSE '{SEEN}' END AS sight
FROM ({{events}}) e JOIN event_positions p ON p.event_id = e.id LEFT JOIN sights s ON s.id = e.id WHERE e.id = ANY ({{ids}})
UNION ALL
SELECT {positions.COLUMNS}, '{{{{}}}}', '{LEFT}'
FROM sights s JOIN events e ON e.id = s.id JOIN event_positions p ON p.event_id = e.id WHERE s.before AND NOT s.now
ORDER BY position"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An event, its payload (JSON text), and what it did to the sight of its subject. Of one that `LEFT` it, no more may be told
    than what kind of event it was, when, and which record it was about."""

    event: Placed
    payload: str
    sight: str


async def read(connection: Connection, viewer: Viewer, ids: Iterable[UUID]) -> list[Sighting]:
    """What the viewer sees of these events, and what left their sight by one of them."""
    sql, sources = _read(access.sight(viewer.who), viewer.who)
    rows = await connection.fetch(sql, *access.bind(sources, viewer, ids=list(ids)))
    return [Sighting(Placed(*event), payload, sight) for *event, payload, sight in rows]


@lru_cache(maxsize=MOST_SIGHTS)
def _read(sight: Hashable, who: Who) -> tuple[str, list[Hashable]]:
    """Kept by all that rules depend on: it takes some ten milliseconds to write."""
    ids = ast.Param("ids", "uuid[]")
    selects = {"events": access.visible("Event", who), "sights": sights.select(who, ids)}
    return access.written(READ, selects, "ids")


def both(one: str, other: str) -> str | None:
    """What an event did to the sight of somebody who sees what each of two others sees; None: nothing that they know of."""
    if one == SEEN:
        return other
    return one if other in (SEEN, one) else None
