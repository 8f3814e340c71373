"""Documents that are made of fragments: what the server keeps of clients and puts into queries of its own."""

from __future__ import annotations

from typing import Any

from graphql import DocumentNode, FragmentDefinitionNode, VariableNode, Visitor, visit

from crmgql.errors import BadUserInput


def named(document: DocumentNode, example: str) -> dict[str, str]:
    """The fragments' names with the types that they are on. Raises `BadUserInput` for anything else, and for variables."""
    found = {}
    for item in document.definitions:
        if not isinstance(item, FragmentDefinitionNode):
            raise BadUserInput(f"It must be made of fragments only, such as “{example}”.", field="document")
        found[item.name.value] = item.type_condition.name.value
    visit(document, _WithoutVariables())
    return found


class _WithoutVariables(Visitor):
    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        raise BadUserInput(f"${node.name.value}: nobody gives it a value; write the value itself.", field="document")


def described(error: dict[str, Any]) -> str:
    """A validation error in one sentence, with its line."""
    places = error.get("locations") or []
    return f"{error['message']} (line {places[0]['line']})" if places else str(error["message"])
