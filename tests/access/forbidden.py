"""Whether a query asks for what the viewer may not even ask for: a type outside an API key's scopes, or a filter or an
order by a field that is hidden. Read off the document alone, whatever rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)
from graphql.execution.values import get_argument_values, get_directive_values, get_variable_values
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective

from tests.access import oracle, relations
from tests.access.rules import TABLE_OF, Sight


def asks(document: DocumentNode, schema: GraphQLSchema, variables: dict[str, Any], sight: Sight) -> bool:
    return _Walk(document, schema, variables, sight).forbidden()


class _Walk:
    def __init__(self, document: DocumentNode, schema: GraphQLSchema, given: dict[str, Any], sight: Sight) -> None:
        self.schema, self.sight = schema, sight
        items = document.definitions
        self.fragments = {item.name.value: item for item in items if isinstance(item, FragmentDefinitionNode)}
        (self.operation,) = [item for item in items if isinstance(item, OperationDefinitionNode)]
        variables = get_variable_values(schema, self.operation.variable_definitions or (), given)
        assert not isinstance(variables, list), variables
        self.variables = variables

    def forbidden(self) -> bool:
        return any(self.walk(self.operation.selection_set, "Query"))

    def walk(self, selections: SelectionSetNode | None, kind: str) -> Iterable[bool]:
        for item in selections.selections if selections else ():
            if not self.included(item):
                continue
            if isinstance(item, FieldNode):
                if not item.name.value.startswith("__"):
                    yield from self.field(item, kind)
            elif isinstance(item, InlineFragmentNode):
                condition = item.type_condition.name.value if item.type_condition else kind
                if condition in (kind, "Node"):
                    yield from self.walk(item.selection_set, kind)
            elif isinstance(item, FragmentSpreadNode):
                fragment = self.fragments[item.name.value]
                if fragment.type_condition.name.value in (kind, "Node"):
                    yield from self.walk(fragment.selection_set, kind)

    def included(self, item: Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, item, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, item, self.variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    def field(self, node: FieldNode, kind: str) -> Iterable[bool]:
        field: GraphQLField = self.schema.type_map[kind].fields[node.name.value]  # type: ignore[attr-defined]
        given = get_argument_values(field, node, self.variables)
        target = get_named_type(field.type).name
        targets = [target]
        if target == "Node" and kind != "Query":  # what is out of scope is null
            targets = [each for each in TABLE_OF if self.sight.in_scope(each)]
        elif target == "Node":
            ids = given.get("ids", [given.get("id")])
            targets = [each for each, prefix in relations.PREFIXES.items() if any(i[:3] == prefix for i in ids)]
        for each in targets:
            record = each.removesuffix("Connection")
            if record in TABLE_OF:
                yield not self.sight.in_scope(record)
            if each.endswith("Connection"):
                yield from self.where(record, given.get("where") or {})
                yield from (
                    not self.sight.may_filter(record, oracle._camel(item["field"]))
                    for item in given.get("orderBy") or ()
                )
            yield from self.walk(node.selection_set, each)

    def where(self, kind: str, tree: Mapping[str, Any]) -> Iterable[bool]:
        for name, value in tree.items():
            if name in ("and", "or"):
                for item in value or ():
                    yield from self.where(kind, item)
            elif name == "not":
                yield from self.where(kind, value or {})
            else:
                yield not self.sight.may_filter(kind, name)
                yield from self.relation(kind, name, value)

    def relation(self, kind: str, name: str, value: Any) -> Iterable[bool]:
        input_type = self.schema.type_map[f"{kind}Where"]
        assert isinstance(input_type, GraphQLInputObjectType)
        filter_name = get_named_type(input_type.fields[name].type).name
        if filter_name.endswith("ListWhere"):
            for tree in (value or {}).values():
                if tree is not None:
                    yield not self.sight.in_scope(filter_name.removesuffix("ListWhere"))
                    yield from self.where(filter_name.removesuffix("ListWhere"), tree)
        elif filter_name.endswith("Where"):
            yield not self.sight.in_scope(filter_name.removesuffix("Where"))
            yield from self.where(filter_name.removesuffix("Where"), value or {})
