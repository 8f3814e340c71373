"""GraphQL selection → tree of what is wanted, resolved against the metadata.

First stage of a plan. Fragments are opened, directives applied, fields with the same response key merged, arguments
read; nothing is said yet about SQL. Enters only validated documents: unknown fields and wrong types are not met here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

from crmgql.errors import BadUserInput
from crmgql.planner import arguments, metadata
from crmgql.planner.arguments import Argument, Variables

Arguments = dict[str, Argument]
MAX_IDS = 100


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


Item = TypeName | LeafField | MoneyField | DerivedField | OneField | AnyField | ManyField


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
class Nothing:
    """A root field whose answer is null whatever the data says."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A root field that the statement does not answer: in its text there is a hole for it."""


Root = RootOne | RootViewer | RootOnly | RootMany | RootNodes | TypeName | Nothing | Elsewhere


class Reader:
    """Reads one operation. `root` is the way in."""

    def __init__(
        self,
        schema: GraphQLSchema,
        known: metadata.Metadata,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Variables,
    ) -> None:
        self.schema = schema
        self.metadata = known
        self.fragments = fragments
        self.variables = variables

    def root(self, operation: OperationDefinitionNode, elsewhere: Collection[str] = ()) -> tuple[tuple[str, Root], ...]:
        """The root fields; those named in `elsewhere` are not read further."""
        fields = self.collect("Query", [operation.selection_set])
        return tuple(
            (key, Elsewhere() if nodes[0].name.value in elsewhere else self._root_field(nodes))
            for key, nodes in fields.items()
        )

    def _root_field(self, nodes: list[FieldNode]) -> Root:
        name = nodes[0].name.value
        if name == "__typename":
            return TypeName("Query")
        assert self.schema.query_type is not None
        given = self.read_arguments(nodes[0], self.schema.query_type.fields[name])
        if name == "me":
            return RootViewer(self.object(self.metadata.nodes["User"], nodes))
        if name == "node":
            return self._any_node(nodes, given["id"])
        if name == "nodes":
            return self._any_nodes(nodes, given["ids"])
        if name in self.metadata.by_singular:
            wanted = self.object(self.metadata.by_singular[name], nodes)
            return RootOnly(wanted) if wanted.node.only else RootOne(wanted, given["id"])
        record = self.metadata.by_plural[name]
        return RootMany(self._connection(record, record.order, nodes, given))

    def _any_node(self, nodes: list[FieldNode], id: Argument) -> Root:
        """`node(id:)`: the prefix says the type, and so which fragments apply; an unknown prefix is a missing record."""
        assert isinstance(id, arguments.Scalar)
        node = self.metadata.by_prefix.get(str(id.value)[:3])
        return Nothing() if node is None else RootOne(self.object(node, nodes), id)

    def _any_nodes(self, nodes: list[FieldNode], ids: Argument) -> Root:
        assert isinstance(ids, arguments.Scalar)
        if len(ids.value) > MAX_IDS:
            raise BadUserInput(f"nodes has {len(ids.value)} ids; {MAX_IDS} are the most.")
        prefixes = sorted({str(id)[:3] for id in ids.value})
        known = [self.metadata.by_prefix[prefix] for prefix in prefixes if prefix in self.metadata.by_prefix]
        return RootNodes(tuple(self.object(node, nodes) for node in known), ids)

    def object(self, node: metadata.Node, fields: list[FieldNode]) -> Object:
        selected = self.collect(node.name, [field.selection_set for field in fields if field.selection_set])
        kind = self.schema.type_map[node.name]
        assert isinstance(kind, GraphQLObjectType)
        items = tuple((key, self._item(node, kind, nodes)) for key, nodes in selected.items())
        return Object(node, items)

    def _item(self, node: metadata.Node, kind: GraphQLObjectType, nodes: list[FieldNode]) -> Item:
        name = nodes[0].name.value
        if name == "__typename":
            return TypeName(node.name)
        field = node.fields[name]
        match field:
            case metadata.Leaf():
                return LeafField(field)
            case metadata.Derived() if field.codec is not None:
                return DerivedField(field)
            case metadata.Money() | metadata.Derived():
                return MoneyField(field, self._plain(nodes, "Money"), self.read_arguments(nodes[0], kind.fields[name]))
            case metadata.One():
                return OneField(field, self.object(self.metadata.nodes[field.target], nodes))
            case metadata.AnyOne():
                return AnyField(field, tuple(self.object(each, nodes) for each in self.metadata.nodes.values()))
            case metadata.Many():
                given = self.read_arguments(nodes[0], kind.fields[name])
                return ManyField(field, self._connection(self.metadata.nodes[field.target], field.order, nodes, given))

    def _connection(
        self, node: metadata.Node, order: tuple[tuple[str, bool], ...], fields: list[FieldNode], given: Arguments
    ) -> Connection:
        name = f"{node.name}Connection"
        selected = self.collect(name, [field.selection_set for field in fields if field.selection_set])
        parts = tuple((key, self._part(node, nodes)) for key, nodes in selected.items())
        return Connection(node, order, given, parts)

    def _part(self, node: metadata.Node, nodes: list[FieldNode]) -> Part:
        match nodes[0].name.value:
            case "nodes":
                return Nodes(self.object(node, nodes))
            case "edges":
                return Edges(tuple(self._edge(node, nodes)))
            case "pageInfo":
                return PageInfo(self._plain(nodes, "PageInfo"))
            case "totalCount":
                return TotalCount()
            case "sums":
                return Sums(tuple(self._sums(node, nodes)))
            case _:
                return TypeName(f"{node.name}Connection")

    def _edge(self, node: metadata.Node, fields: list[FieldNode]) -> Iterator[tuple[str, str | Object]]:
        for key, nodes in self.collect(
            f"{node.name}Edge", [f.selection_set for f in fields if f.selection_set]
        ).items():
            name = nodes[0].name.value
            yield key, self.object(node, nodes) if name == "node" else name

    def _sums(
        self, node: metadata.Node, fields: list[FieldNode]
    ) -> Iterator[tuple[str, metadata.Money | TypeName, tuple[tuple[str, str], ...]]]:
        for key, nodes in self.collect(
            f"{node.name}Sums", [f.selection_set for f in fields if f.selection_set]
        ).items():
            name = nodes[0].name.value
            if name == "__typename":
                yield key, TypeName(f"{node.name}Sums"), ()
                continue
            field = node.fields[name]
            assert isinstance(field, metadata.Money)
            yield key, field, self._plain(nodes, "Money")

    def _plain(self, fields: list[FieldNode], kind: str) -> tuple[tuple[str, str], ...]:
        selected = self.collect(kind, [field.selection_set for field in fields if field.selection_set])
        return tuple((key, nodes[0].name.value) for key, nodes in selected.items())

    def collect(self, kind: str, sets: list[SelectionSetNode | None]) -> dict[str, list[FieldNode]]:
        """Fields by response key, in document order."""
        fields: dict[str, list[FieldNode]] = {}
        for selections in sets:
            if selections is not None:
                self._collect(kind, selections, fields, set())
        return fields

    def _collect(
        self, kind: str, selections: SelectionSetNode, fields: dict[str, list[FieldNode]], seen: set[str]
    ) -> None:
        for selection in selections.selections:
            if not self._included(selection):
                continue
            if isinstance(selection, FieldNode):
                key = selection.alias.value if selection.alias else selection.name.value
                fields.setdefault(key, []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                if selection.type_condition is None or self._applies(selection.type_condition.name.value, kind):
                    self._collect(kind, selection.selection_set, fields, seen)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                seen.add(selection.name.value)
                fragment = self.fragments[selection.name.value]
                if self._applies(fragment.type_condition.name.value, kind):
                    self._collect(kind, fragment.selection_set, fields, seen)

    def _applies(self, condition: str, kind: str) -> bool:
        return condition == kind or (condition == "Node" and kind in self.metadata.nodes)

    def _included(self, selection: SelectionNode) -> bool:
        for directive in selection.directives or ():
            if directive.name.value not in ("skip", "include"):
                continue
            (argument,) = directive.arguments or ()
            value = argument.value
            if isinstance(value, VariableNode):
                condition = bool(self.variables[value.name.value])
            else:
                condition = bool(getattr(value, "value", False))
            if condition == (directive.name.value == "skip"):
                return False
        return True

    def read_arguments(self, node: FieldNode, field: GraphQLField) -> Arguments:
        """The arguments that were given; an absent variable counts as not given."""
        given: Arguments = {}
        for argument in node.arguments or ():
            value = argument.value
            if isinstance(value, VariableNode) and value.name.value not in self.variables:
                continue
            given[argument.name.value] = arguments.read(value, field.args[argument.name.value].type, self.variables)
        return given
