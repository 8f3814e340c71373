"""What clients keep copies by: the types of `changesSince`, and cursors from which nobody can go on."""

from __future__ import annotations

import strawberry

from crmgql.engine import scalars
from crmgql.engine.strawberries import REQUIRED, Argument, Field, input_type, lazy, list_of, object_type
from crmgql.events import cursors
from crmgql.planner import changes, metadata

ROOTS = frozenset({"changesSince", "streamChecksum"})
"""The root fields."""


def types(known: metadata.Metadata) -> None:
    """Declares the types."""
    id, kind = strawberry.ID, Field("type", str, "The name of the record's type.")
    object_type("DeletedRecord", [kind, Field("id", id)], "A record that you see no more, for whatever reason.")
    object_type(
        "ChangedRange",
        [kind, Field("from", id | None, "None: from the first one."), Field("to", id | None, "None: to the last one.")],
        "Records of which any may have changed or gone: drop those that you keep, and fetch what there is.",
    )
    object_type(
        "Changes",
        [
            Field("cursor", scalars.Cursor, "What to ask with the next time, when everything here is applied."),
            Field("hasMore", bool, "Whether there is more to ask for at once."),
            Field("changed", list_of(lazy("Node")), "Records as they are now; of each the newest `version` counts."),
            Field("deleted", list_of(lazy("DeletedRecord")), "May name records that you never had."),
            Field("ranges", list_of(lazy("ChangedRange")), "What can't be told record by record. Apply it first."),
        ],
        "What changed of some types behind a cursor, as you see it now.",
    )
    object_type(
        "StreamChecksum",
        [
            kind,
            Field("count", int, "How many records you see."),
            Field(
                "checksum",
                str,
                "The sum, modulo 2^64, over these records of the first 8 bytes of SHA-256 over `id:version`; 16 hexadecimal digits.",
            ),
            Field("cursor", scalars.Cursor, "The newest one when this was counted."),
            Field(
                "current",
                bool,
                "Whether a copy that has applied all up to `at` (else up to `cursor`) must have the same sum. False: go on to `cursor`, and ask again with it.",
            ),
        ],
        "What a copy of a type must come to.",
    )
    wheres = [Field(node.singular, lazy(f"{node.name}Where")) for node in known.nodes.values() if node.followed]
    input_type("StreamFilter", wheres, "Which records count, by their type.")


def fields() -> list[Field]:
    """The root fields."""
    return [
        Field(
            "changesSince",
            lazy("Changes"),
            "What brings a copy up to date. Without a cursor it answers the newest one: then make the copy, and go on from there.",
            (
                Argument("cursor", scalars.Cursor),
                Argument("types", list[str], REQUIRED, "Of records that you keep, such as Order."),
                Argument(
                    "first", int, changes.DEFAULT_SIZE, f"How many events are looked at, {changes.MAX_SIZE} at most."
                ),
            ),
        ),
        Field(
            "streamChecksum",
            list_of(lazy("StreamChecksum")),
            "What a copy of these types must come to, for a proof that it is equal.",
            (
                Argument("types", list[str], REQUIRED, "Of records that you keep, such as Order."),
                Argument("filter", lazy("StreamFilter"), None, "If you keep only some of them."),
                Argument("at", scalars.Cursor, None, "Up to where your copy has applied changes."),
            ),
        ),
    ]


def check(standings: str) -> None:
    """Raises `CursorExpired` and `CursorOfAnotherHistory` by what a statement says of its cursors."""
    for standing in standings.split("\n"):
        state, _, newest = standing.partition(" ")
        if state == "expired":
            raise cursors.expired(newest)
        if state == "other":
            raise cursors.of_another_history(newest)
