"""What an operation wants, as a tree that is resolved against the metadata: `reader` makes it, the next stages read it."""

from __future__ import annotations

from dataclasses import dataclass

from crmgql.planner import arguments, metadata
from crmgql.planner.arguments import Argument, Origin

Arguments = dict[str, Argument]


@dataclass(frozen=True, slots=True)
class TypeName:
    name: str


@dataclass(frozen=True, slots=True)
class LeafField:
    field: metadata.Leaf


@dataclass(frozen=True, slots=True)
class MoneyField:
    """`parts` are (response key, amount | currency | __typename)."""

    field: metadata.Money | metadata.Derived
    parts: tuple[tuple[str, str], ...]
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class DerivedField:
    field: metadata.Derived


@dataclass(frozen=True, slots=True)
class DetailsField:
    """`parts` are (response key, name)."""

    field: metadata.Details
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SummaryPart:
    """A value of a summary under its response key: a plain one, an amount or a list, with what is wanted `below`."""

    key: str
    name: str | TypeName
    below: tuple[SummaryPart, ...]


@dataclass(frozen=True, slots=True)
class SummaryField:
    field: metadata.Summary
    parts: tuple[SummaryPart, ...]
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class OneField:
    field: metadata.One
    object: Object


@dataclass(frozen=True, slots=True)
class AnyField:
    """What is wanted of a record of each type that it may be of."""

    field: metadata.AnyOne
    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class ManyField:
    field: metadata.Many
    connection: Connection


Item = TypeName | LeafField | MoneyField | DerivedField | DetailsField | SummaryField | OneField | AnyField | ManyField


@dataclass(frozen=True, slots=True)
class Object:
    node: metadata.Node
    items: tuple[tuple[str, Item], ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    object: Object


@dataclass(frozen=True, slots=True)
class Edges:
    """Parts of an edge: a cursor, a type name, or the node."""

    parts: tuple[tuple[str, str | Object], ...]


@dataclass(frozen=True, slots=True)
class PageInfo:
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TotalCount:
    pass


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of money fields, each a list with one entry per currency."""

    parts: tuple[tuple[str, metadata.Money | TypeName, tuple[tuple[str, str], ...]], ...]


Part = Nodes | Edges | PageInfo | TotalCount | Sums | TypeName


@dataclass(frozen=True, slots=True)
class Connection:
    node: metadata.Node
    default_order: tuple[tuple[str, bool], ...]
    arguments: Arguments
    parts: tuple[tuple[str, Part], ...]


@dataclass(frozen=True, slots=True)
class RootOne:
    object: Object
    id: Argument


@dataclass(frozen=True, slots=True)
class RootViewer:
    object: Object


@dataclass(frozen=True, slots=True)
class RootOnly:
    """The one row of a type that has one."""

    object: Object


@dataclass(frozen=True, slots=True)
class RootMany:
    connection: Connection


@dataclass(frozen=True, slots=True)
class RootNodes:
    objects: tuple[Object, ...]
    ids: Argument


@dataclass(frozen=True, slots=True)
class ChangedIds:
    """`deleted` or `ranges`, with the plain fields that are wanted of each."""

    name: str
    parts: tuple[tuple[str, str], ...]


ChangesPart = str | ChangedIds | tuple[Object, ...]
"""A plain field by its name, ids, or what is wanted of a changed record of each type."""


@dataclass(frozen=True, slots=True)
class RootChanges:
    """`changesSince`. `after`: where the cursor comes from; None: there is none yet. `size`: events that are looked at."""

    types: tuple[metadata.Node, ...]
    size: int
    after: Origin | None
    parts: tuple[tuple[str, ChangesPart], ...]


@dataclass(frozen=True, slots=True)
class RootChecksums:
    """`streamChecksum` of types, each with the filter of the records that count. `at`: where the copy's cursor comes from."""

    types: tuple[tuple[metadata.Node, Argument | None], ...]
    at: Origin | None
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Events:
    """Events whose ids the feed gives; `where` is what a subscriber asks for besides."""

    object: Object
    where: Argument | None

    @property
    def is_filtered(self) -> bool:
        """Whether something is asked for besides: an empty `where` asks for nothing."""
        empty = isinstance(self.where, arguments.Object) and not self.where.fields
        return self.where is not None and not empty


@dataclass(frozen=True, slots=True)
class Nothing:
    """A root field whose answer is null whatever the data says."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A root field that the statement does not answer: in its text there is a hole for it."""


Root = (
    RootOne
    | RootViewer
    | RootOnly
    | RootMany
    | RootNodes
    | RootChanges
    | RootChecksums
    | TypeName
    | Nothing
    | Elsewhere
)
Roots = tuple[tuple[str, Root], ...]
"""The root fields by response key."""
