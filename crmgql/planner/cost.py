"""The worst case of a query, in nodes: a page counts its size times what each of its nodes may bring along.

A value that is computed over a relation, a count and a sum count as a node each, and the rows that they read are noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crmgql.planner import changes, metadata, paging, selection
from crmgql.planner.arguments import Scalar
from crmgql.planner.sizes import Scan
from crmgql.viewer import Who


@dataclass
class Worst:
    """The most nodes that an operation can answer with, and the rows that it reads beside them."""

    who: Who
    nodes: int = 0
    scans: list[Scan] = field(default_factory=list)

    def root(self, item: selection.Root) -> None:
        match item:
            case selection.RootOne(wanted, _) | selection.RootViewer(wanted) | selection.RootOnly(wanted):
                self.object(wanted, 1)
            case selection.RootMany(connection):
                self._connection(connection, None, 1)
            case selection.RootNodes(objects, ids):
                assert isinstance(ids, Scalar)
                self._likeliest(objects, len(ids.value))
            case selection.RootChanges():
                changed = [part for _, part in item.parts if isinstance(part, tuple)]
                times = changes.most_records(item, self.who) if changed else 0
                for objects in changed:
                    self._likeliest(objects, times)
            case selection.RootChecksums(types):
                self.nodes += len(types)
                self.scans += [Scan(node.table) for node, _ in types]
            case _:
                pass

    def _likeliest(self, objects: tuple[selection.Object, ...], times: int) -> None:
        """The largest of several objects that an id may be of."""
        worst = [Worst(self.who) for _ in objects]
        for each, wanted in zip(worst, objects, strict=True):
            each.object(wanted, times)
        if worst:
            largest = max(worst, key=lambda each: each.nodes)
            self.nodes += largest.nodes
            self.scans += largest.scans

    def object(self, wanted: selection.Object, times: int) -> None:
        self.nodes += times
        for _, item in wanted.items:
            if isinstance(item, selection.OneField):
                self.object(item.object, times)
            elif isinstance(item, selection.AnyField):
                self._likeliest(item.objects, times)
            elif isinstance(item, selection.ManyField):
                self._connection(item.connection, wanted.node.table, times)
            elif isinstance(item, selection.DerivedField | selection.DetailsField | selection.SummaryField) or (
                isinstance(item, selection.MoneyField) and isinstance(item.field, metadata.Derived)
            ):
                self.nodes += times

    def _connection(self, connection: selection.Connection, parent: str | None, times: int) -> None:
        page = paging.read_page(connection.node, connection.default_order, connection.arguments, self.who)
        shown = times * page.size
        before = self.nodes
        for _, part in connection.parts:
            if isinstance(part, selection.Nodes):
                self.object(part.object, shown)
            elif isinstance(part, selection.Edges):
                self._edges(part, shown)
        if self.nodes == before and any(isinstance(part, selection.PageInfo) for _, part in connection.parts):
            self.nodes += shown  # the page is read for it, though nothing of it is shown
        for _, part in connection.parts:
            if isinstance(part, selection.TotalCount | selection.Sums):
                self.nodes += times
                self.scans.append(Scan(connection.node.table, parent, times))

    def _edges(self, edges: selection.Edges, shown: int) -> None:
        objects = [item for _, item in edges.parts if isinstance(item, selection.Object)]
        for each in objects:
            self.object(each, shown)
        if not objects:
            self.nodes += shown


def worst_case(root: selection.Roots, who: Who) -> Worst:
    worst = Worst(who)
    for _, item in root:
        worst.root(item)
    return worst


def worst_event(wanted: selection.Events, who: Who) -> Worst:
    """Of one event."""
    return worst_object(wanted.object, who)


def worst_object(wanted: selection.Object, who: Who) -> Worst:
    """Of one record."""
    worst = Worst(who)
    worst.object(wanted, 1)
    return worst
