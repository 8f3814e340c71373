"""The worst case of a query, in nodes: a page counts its size times what each of its nodes may bring along.

A value that is computed over a relation, a count and a sum count as a node each.
"""

from __future__ import annotations

from crmgql.planner import catalog, paging, selection
from crmgql.planner.arguments import Scalar
from crmgql.viewer import Who


def worst_case(root: tuple[tuple[str, selection.Root], ...], who: Who) -> int:
    """The most nodes that an operation can answer with."""
    return sum(_root(item, who) for _, item in root)


def _root(item: selection.Root, who: Who) -> int:
    match item:
        case selection.RootOne(wanted, _) | selection.RootViewer(wanted):
            return _object(wanted, who)
        case selection.RootMany(connection):
            return _connection(connection, who)
        case selection.RootNodes(objects, ids):
            assert isinstance(ids, Scalar)
            return len(ids.value) * max((_object(wanted, who) for wanted in objects), default=0)
        case _:
            return 0


def _object(wanted: selection.Object, who: Who) -> int:
    total = 1
    for _, item in wanted.items:
        if isinstance(item, selection.OneField):
            total += _object(item.object, who)
        elif isinstance(item, selection.ManyField):
            total += _connection(item.connection, who)
        elif isinstance(item, selection.DerivedField) or (
            isinstance(item, selection.MoneyField) and isinstance(item.field, catalog.Derived)
        ):
            total += 1
    return total


def _connection(connection: selection.Connection, who: Who) -> int:
    size = paging.read_page(connection.node, connection.default_order, connection.arguments, who).size
    each = 0
    extra = 0
    for _, part in connection.parts:
        if isinstance(part, selection.Nodes):
            each += _object(part.object, who)
        elif isinstance(part, selection.Edges):
            each += sum(_object(item, who) for _, item in part.parts if isinstance(item, selection.Object)) or 1
        elif isinstance(part, selection.PageInfo):
            each = max(each, 1)  # the page is read for it, though nothing of it is shown
        elif isinstance(part, selection.TotalCount | selection.Sums):
            extra += 1
    return size * each + extra
