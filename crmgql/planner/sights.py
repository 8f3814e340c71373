"""What a follower is answered of what an event did to their sight of its subject (`access.sights`).

Enters: who follows. Leaves: a statement over ids of events, with rows of id, whether the subject was visible before the event,
and whether it is now; and, of what left their sight, the answer that says so and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crmgql.access import sights
from crmgql.access.sights import LEFT
from crmgql.planner import selection
from crmgql.planner.statement import EventIds
from crmgql.sql import ast
from crmgql.viewer import Who

SIGHT = "the sight"
"""Among the variables: what an event did to the sight of its subject; no client's variable can have this name."""


@dataclass(frozen=True, slots=True)
class SightNow:
    """Parameter source: what the events that are read did to the sight of their subjects."""


def compile_sights(who: Who) -> ast.Statement:
    return ast.Statement((), sights.select(who, ast.Param(EventIds(), "uuid[]")))


def left(wanted: selection.Object, known: Mapping[str, Any]) -> bytes:
    """What is answered of an event whose subject left the follower's sight, as JSON: what is `known` of it, by field, and
    nothing else."""
    known = {**known, "sight": LEFT, "payload": {}, "changed": []}
    return orjson.dumps({name: _part(item, known) for name, item in wanted.items})


def _part(item: selection.Item, known: Mapping[str, Any]) -> Any:
    match item:
        case selection.TypeName(name):
            return name
        case selection.LeafField(field) | selection.DerivedField(field):
            return known.get(field.name)
        case selection.DetailsField():
            return []
        case _:
            return None
