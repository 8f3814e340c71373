"""What an answer depends on, read from its selection: so that a live query is asked again only when something of it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from crmgql.errors import BadUserInput
from crmgql.planner import codecs, selection
from crmgql.planner.arguments import Scalar


@dataclass(frozen=True, slots=True)
class Interest:
    """The types that it reads; `customers`: those that it is about, where all of it hangs on single customers."""

    types: frozenset[str]
    customers: frozenset[UUID] | None


def interest(root: selection.Roots) -> Interest:
    types: set[str] = set()
    customers: set[UUID] | None = set()
    for _, item in root:
        if isinstance(item, selection.TypeName | selection.Nothing):
            continue
        types |= set(_root(item))
        customer = _customer(item)
        customers = None if customers is None or customer is None else {*customers, customer}
    return Interest(frozenset(types), None if customers is None else frozenset(customers))


def _root(item: selection.Root) -> Iterator[str]:
    match item:
        case selection.RootOne(wanted, _) | selection.RootViewer(wanted) | selection.RootOnly(wanted):
            yield from _object(wanted)
        case selection.RootMany(connection):
            yield from _connection(connection)
        case selection.RootNodes(objects, _):
            for each in objects:
                yield from _object(each)
        case _:
            pass


def _customer(item: selection.Root) -> UUID | None:
    if not isinstance(item, selection.RootOne) or item.object.node.name != "Customer":
        return None
    assert isinstance(item.id, Scalar)
    try:
        return codecs.decode_id(str(item.id.value), prefix=item.object.node.prefix)
    except BadUserInput:
        return None


def _object(wanted: selection.Object) -> Iterator[str]:
    yield wanted.node.name
    for _, item in wanted.items:
        match item:
            case selection.OneField(_, below):
                yield from _object(below)
            case selection.AnyField(_, objects):
                for each in objects:
                    yield from _object(each)
            case selection.ManyField(field, connection):
                if field.through is not None:
                    yield field.through.record
                yield from _connection(connection)
            case _:
                pass


def _connection(connection: selection.Connection) -> Iterator[str]:
    yield connection.node.name
    for _, part in connection.parts:
        match part:
            case selection.Nodes(below):
                yield from _object(below)
            case selection.Edges(parts):
                for _, each in parts:
                    if isinstance(each, selection.Object):
                        yield from _object(each)
            case _:
                pass
