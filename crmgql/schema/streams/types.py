"""Subscriptions to events that have a name."""

from __future__ import annotations

from typing import Any

from crmgql import models
from crmgql.engine.declare import column, derived, node, one
from crmgql.planner import codecs
from crmgql.sql import ast
from crmgql.viewer import Who


def _cursor(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
    return (ast.Col(t, "cursor"),)


def _document(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
    same = ast.eq(ast.Col("d", "hash"), ast.Col(t, "document_hash"))
    return (ast.Subquery(ast.Select(((ast.Col("d", "text"), "text"),), ast.Table("documents", "d"), where=same)),)


def _lag(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
    behind = ast.Op(ast.Col("head", "position"), "-", ast.Col(t, "position"))
    positive = ast.Func("greatest", (behind, ast.Num(0)))
    lag = ast.Subquery(ast.Select(((positive, "lag"),), ast.Table("feed", "head")))
    return (ast.Func("coalesce", (lag, ast.Num(0))),)  # before the first pass there is no row


LAG = "How many events of all kinds came since the cursor."


@node(models.EventSubscription, order="name")
class EventSubscription:
    """What somebody follows: which events, and what is delivered of them. It reads with its owner's rights."""

    name: Any = column(sort=True, doc="Unique among its owner's.")
    owner: Any = one()
    kinds: Any = column(
        filter=False, doc="Kinds such as `order.confirmed`, or all of a noun such as `order.*`; none: all."
    )
    fields: Any = column(
        filter=False, doc="Fields whose change counts; none: any. What changed no field always counts."
    )
    filter: Any = column(filter=False, doc="An `EventWhere`: which of these events are delivered.")
    read_as: Any = column(enum=models.ReadAs)
    document: Any = derived(
        _document, codecs.STRING, "The fragment on `Event` that says what is delivered.", needs=("document_hash",)
    )
    document_hash: Any = column(doc="SHA-256 of the document's text, in hexadecimal digits.")
    scopes: Any = column(
        filter=False, doc="What it is limited to, as API keys made or changed it; null: all that its owner may read."
    )
    active: Any = column()
    cursor: Any = derived(
        _cursor, codecs.CURSOR, "The managed cursor: all events up to it are committed.", needs=("cursor",)
    )
    lag: Any = derived(_lag, codecs.LONG, LAG, needs=("position",))
    lease_by: Any = column(doc="What the worker that holds the lease calls itself.")
    lease_until: Any = column(doc="Until when a worker holds the lease, unless it prolongs it.")
    deleted_at: Any = column()


@node(models.Export, order="-id")
class Export:
    """All records of a type that its owner saw at one moment, as JSON Lines: fetch them from `/exports/` and its id."""

    owner: Any = one()
    job: Any = one("What writes it: its status and how far it is.")
    record_type: Any = column(doc="The name of the type.")
    document: Any = column(filter=False, doc="What each line has of its record: a fragment `Record` on the type.")
    filter: Any = column(filter=False, doc="Which records: a `where` of the type.")
    scopes: Any = column(filter=False, doc="Those of the API key that asked for it; null: all that its owner may read.")
    record_count: Any = column(doc="How many lines it has, when it is finished.")
    size_bytes: Any = column(doc="How long it is, not compressed.")
    cursor: Any = derived(
        _cursor, codecs.CURSOR, "Where the feed stood: go on from here.", nullable=True, needs=("cursor",)
    )
    finished_at: Any = column(doc="From when on it can be fetched.")
    expires_at: Any = column(doc="Until when it can be fetched.")
