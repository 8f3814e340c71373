"""The page `docs/reference/events.md`, written from the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crmgql.events import guarantees
from crmgql.events.declarations import Changed, Kind, Nothing, Payload
from crmgql.events.kinds import CHAPTERS

HEAD = """\
# Events: what followers can rely on, and all kinds

Written by `crmgql events` from `crmgql/events/guarantees` and `kinds`; a test checks that it is current. [Events](../events.md) explains how they are
stored, [the feed](../feed.md) how they are ordered, [subscriptions](subscriptions.md) how they are followed.

## Guarantees

{guarantees}

## Kinds

*Customer*: whether the event has a customer's id. The payload `version` is the subject's version after the change. Fields without a value
are left out. *Personal* fields are blanked when the person is erased.
"""


def page() -> str:
    head = HEAD.format(guarantees=guarantees.table())
    return "\n".join([head, *(_chapter(name, kinds) for name, kinds in CHAPTERS.items())])


def _chapter(name: str, kinds: tuple[Kind, ...]) -> str:
    rows = [f"| `{kind.name}` | {kind.subject} | {kind.customer} | {_payload(kind)} | {kind.doc} |" for kind in kinds]
    head = ["| kind | subject | customer | payload | what happened |", "|---|---|---|---|---|"]
    return "\n".join([f"### {name.capitalize()}", "", *head, *rows, ""])


def _payload(kind: Kind) -> str:
    version = "" if kind.version == 1 else f"version {kind.version}: "
    if kind.payload is Changed:
        return version + "`version`"
    if kind.payload is Nothing:
        return version + "nothing"
    return version + ", ".join(_fields(kind.payload, kind.personal))


def _fields(payload: type[Payload], personal: frozenset[str]) -> Iterator[str]:
    schema = payload.model_json_schema(by_alias=True)
    known = schema.get("$defs", {})
    for name, field in schema["properties"].items():
        optional = "" if name in schema.get("required", ()) else "?"
        text = f"`{name}{optional}: {_type(field, known)}`"
        yield f"{text} (personal)" if name in personal else text


def _type(field: dict[str, Any], known: dict[str, Any]) -> str:
    if "anyOf" in field:
        return next(_type(each, known) for each in field["anyOf"] if each.get("type") != "null")
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return "Money" if name == "Amount" else "{" + ", ".join(known[name]["properties"]) + "}"
    if "record" in field:
        return f"ID of {field['record']}"
    if field.get("format") == "date-time":
        return "DateTime"
    return {"string": "String", "integer": "Int", "boolean": "Boolean"}[field["type"]]
