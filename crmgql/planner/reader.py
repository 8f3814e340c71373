"""GraphQL selection → tree of what is wanted (`selection`), resolved against the metadata.

First stage of a plan. Fragments are opened, directives applied, fields with the same response key merged, arguments
read; nothing here is about SQL. Enters only validated documents: unknown fields and wrong types are not met here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

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
    get_named_type,
)

from crmgql.errors import BadUserInput
from crmgql.planner import arguments, changes, checksums, metadata, selection
from crmgql.planner.arguments import Argument, Variables

MAX_IDS = 100


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

    def root(self, operation: OperationDefinitionNode, elsewhere: Collection[str] = ()) -> selection.Roots:
        """The root fields; those named in `elsewhere` are not read further."""
        fields = self.top("Query", operation)
        return tuple(
            (key, selection.Elsewhere() if nodes[0].name.value in elsewhere else self._root_field(nodes))
            for key, nodes in fields.items()
        )

    def events(self, operation: OperationDefinitionNode) -> tuple[str, selection.Events]:
        """The one root field of a subscription to events, with its response key."""
        ((key, nodes),) = self.top("Subscription", operation).items()
        assert self.schema.subscription_type is not None
        given = self.read_arguments(nodes[0], self.schema.subscription_type.fields[nodes[0].name.value])
        return key, selection.Events(self.object(self.metadata.nodes["Event"], nodes), given.get("where"))

    def job(self, operation: OperationDefinitionNode) -> tuple[str, selection.RootOne]:
        """The one root field of a subscription to a job, with its response key."""
        ((key, nodes),) = self.top("Subscription", operation).items()
        assert self.schema.subscription_type is not None
        given = self.read_arguments(nodes[0], self.schema.subscription_type.fields[nodes[0].name.value])
        return key, selection.RootOne(self.object(self.metadata.nodes["Job"], nodes), given["id"])

    def _root_field(self, nodes: list[FieldNode]) -> selection.Root:
        name = nodes[0].name.value
        if name == "__typename":
            return selection.TypeName("Query")
        assert self.schema.query_type is not None
        given = self.read_arguments(nodes[0], self.schema.query_type.fields[name])
        if name == "me":
            return selection.RootViewer(self.object(self.metadata.nodes["User"], nodes))
        if name == "node":
            return self._any_node(nodes, given["id"])
        if name == "nodes":
            return self._any_nodes(nodes, given["ids"])
        if name == "changesSince":
            return changes.read(self, nodes, given)
        if name == "streamChecksum":
            return checksums.read(self, nodes, given)
        if name in self.metadata.by_singular:
            wanted = self.object(self.metadata.by_singular[name], nodes)
            return selection.RootOnly(wanted) if wanted.node.only else selection.RootOne(wanted, given["id"])
        record = self.metadata.by_plural[name]
        return selection.RootMany(self._connection(record, record.order, nodes, given))

    def _any_node(self, nodes: list[FieldNode], id: Argument) -> selection.Root:
        """`node(id:)`: the prefix says the type, and so which fragments apply; an unknown prefix is a missing record."""
        assert isinstance(id, arguments.Scalar)
        node = self.metadata.by_prefix.get(str(id.value)[:3])
        return selection.Nothing() if node is None else selection.RootOne(self.object(node, nodes), id)

    def _any_nodes(self, nodes: list[FieldNode], ids: Argument) -> selection.Root:
        assert isinstance(ids, arguments.Scalar)
        if len(ids.value) > MAX_IDS:
            raise BadUserInput(f"nodes has {len(ids.value)} ids; {MAX_IDS} are the most.")
        prefixes = sorted({str(id)[:3] for id in ids.value})
        known = [self.metadata.by_prefix[prefix] for prefix in prefixes if prefix in self.metadata.by_prefix]
        return selection.RootNodes(tuple(self.object(node, nodes) for node in known), ids)

    def object(self, node: metadata.Node, fields: list[FieldNode]) -> selection.Object:
        selected = self.below(node.name, fields)
        kind = self.schema.type_map[node.name]
        assert isinstance(kind, GraphQLObjectType)
        items = tuple((key, self._item(node, kind, nodes)) for key, nodes in selected.items())
        return selection.Object(node, items)

    def _item(self, node: metadata.Node, kind: GraphQLObjectType, nodes: list[FieldNode]) -> selection.Item:
        name = nodes[0].name.value
        if name == "__typename":
            return selection.TypeName(node.name)
        field = node.fields[name]
        match field:
            case metadata.Leaf():
                return selection.LeafField(field)
            case metadata.Derived() if field.codec is not None:
                return selection.DerivedField(field)
            case metadata.Money() | metadata.Derived():
                return selection.MoneyField(
                    field, self._plain(nodes, "Money"), self.read_arguments(nodes[0], kind.fields[name])
                )
            case metadata.Details():
                return selection.DetailsField(field, self._plain(nodes, field.target))
            case metadata.Summary():
                given = self.read_arguments(nodes[0], kind.fields[name])
                return selection.SummaryField(field, tuple(self._summary(field.target, nodes)), given)
            case metadata.One():
                return selection.OneField(field, self.object(self.metadata.nodes[field.target], nodes))
            case metadata.AnyOne():
                return selection.AnyField(
                    field, tuple(self.object(each, nodes) for each in self.metadata.nodes.values())
                )
            case metadata.Many():
                given = self.read_arguments(nodes[0], kind.fields[name])
                return selection.ManyField(
                    field, self._connection(self.metadata.nodes[field.target], field.order, nodes, given)
                )

    def _connection(
        self,
        node: metadata.Node,
        order: tuple[tuple[str, bool], ...],
        fields: list[FieldNode],
        given: selection.Arguments,
    ) -> selection.Connection:
        name = f"{node.name}Connection"
        selected = self.below(name, fields)
        parts = tuple((key, self._part(node, nodes)) for key, nodes in selected.items())
        return selection.Connection(node, order, given, parts)

    def _part(self, node: metadata.Node, nodes: list[FieldNode]) -> selection.Part:
        match nodes[0].name.value:
            case "nodes":
                return selection.Nodes(self.object(node, nodes))
            case "edges":
                return selection.Edges(tuple(self._edge(node, nodes)))
            case "pageInfo":
                return selection.PageInfo(self._plain(nodes, "PageInfo"))
            case "totalCount":
                return selection.TotalCount()
            case "sums":
                return selection.Sums(tuple(self._sums(node, nodes)))
            case _:
                return selection.TypeName(f"{node.name}Connection")

    def _edge(self, node: metadata.Node, fields: list[FieldNode]) -> Iterator[tuple[str, str | selection.Object]]:
        for key, nodes in self.below(f"{node.name}Edge", fields).items():
            name = nodes[0].name.value
            yield key, self.object(node, nodes) if name == "node" else name

    def _sums(
        self, node: metadata.Node, fields: list[FieldNode]
    ) -> Iterator[tuple[str, metadata.Money | selection.TypeName, tuple[tuple[str, str], ...]]]:
        for key, nodes in self.below(f"{node.name}Sums", fields).items():
            name = nodes[0].name.value
            if name == "__typename":
                yield key, selection.TypeName(f"{node.name}Sums"), ()
                continue
            field = node.fields[name]
            assert isinstance(field, metadata.Money)
            yield key, field, self._plain(nodes, "Money")

    def _summary(self, kind: str, fields: list[FieldNode]) -> Iterator[selection.SummaryPart]:
        made = self.schema.type_map[kind]
        assert isinstance(made, GraphQLObjectType)
        for key, nodes in self.below(kind, fields).items():
            name = nodes[0].name.value
            if name == "__typename":
                yield selection.SummaryPart(key, selection.TypeName(kind), ())
                continue
            target = get_named_type(made.fields[name].type)
            below = self._summary(target.name, nodes) if isinstance(target, GraphQLObjectType) else ()
            yield selection.SummaryPart(key, name, tuple(below))

    def _plain(self, fields: list[FieldNode], kind: str) -> tuple[tuple[str, str], ...]:
        selected = self.below(kind, fields)
        return tuple((key, nodes[0].name.value) for key, nodes in selected.items())

    def top(self, kind: str, operation: OperationDefinitionNode) -> dict[str, list[FieldNode]]:
        """The root fields by response key, in document order."""
        return self._merged(kind, [operation.selection_set])

    def below(self, kind: str, nodes: list[FieldNode]) -> dict[str, list[FieldNode]]:
        """The fields below some that are merged, by response key; `kind` is the type of what these answer."""
        return self._merged(kind, [node.selection_set for node in nodes])

    def _merged(self, kind: str, sets: Iterable[SelectionSetNode | None]) -> dict[str, list[FieldNode]]:
        fields: dict[str, list[FieldNode]] = {}
        for selections in sets:
            if selections is not None:
                self._collect(kind, selections, fields, set())
        return fields

    def _collect(
        self, kind: str, selections: SelectionSetNode, fields: dict[str, list[FieldNode]], seen: set[str]
    ) -> None:
        for item in selections.selections:
            if not self._included(item):
                continue
            if isinstance(item, FieldNode):
                key = item.alias.value if item.alias else item.name.value
                fields.setdefault(key, []).append(item)
            elif isinstance(item, InlineFragmentNode):
                if item.type_condition is None or self._applies(item.type_condition.name.value, kind):
                    self._collect(kind, item.selection_set, fields, seen)
            elif isinstance(item, FragmentSpreadNode) and item.name.value not in seen:
                seen.add(item.name.value)
                fragment = self.fragments[item.name.value]
                if self._applies(fragment.type_condition.name.value, kind):
                    self._collect(kind, fragment.selection_set, fields, seen)

    def _applies(self, condition: str, kind: str) -> bool:
        return condition == kind or (condition == "Node" and kind in self.metadata.nodes)

    def _included(self, item: SelectionNode) -> bool:
        for directive in item.directives or ():
            if directive.name.value not in ("skip", "include"):
                continue
            (argument,) = directive.arguments or ()
            value = argument.value
            if isinstance(value, VariableNode):
                condition = bool(self.variables[value.name.value])  # null, which a default lets it be, counts as false
            else:
                condition = bool(getattr(value, "value", False))
            if condition == (directive.name.value == "skip"):
                return False
        return True

    def read_arguments(self, node: FieldNode, field: GraphQLField) -> selection.Arguments:
        """The arguments of a field; one whose variable is absent counts as absent."""
        given: selection.Arguments = {}
        for argument in node.arguments or ():
            value = argument.value
            if isinstance(value, VariableNode) and value.name.value not in self.variables:
                continue
            given[argument.name.value] = arguments.read(value, field.args[argument.name.value].type, self.variables)
        return given
