"""Plans without a database: the metadata, the schema and the stages from text to SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphql import GraphQLSchema
from graphql.execution.values import VariableValues, get_variable_values

from crmgql.engine.documents import Documents, Limits
from crmgql.planner.metadata import Metadata
from crmgql.planner.plan import Plan, Plans, Prepared
from crmgql.schema import build
from crmgql.viewer import Who

LIMITS = Limits(tokens=4000, depth=15, aliases=50, directives=50, introspection=True)


@dataclass(frozen=True)
class Bench:
    schema: GraphQLSchema
    metadata: Metadata

    def documents(self, limits: Limits = LIMITS, *, size: int = 10) -> Documents:
        return Documents(self.schema, limits, size=size)

    def plans(self, *, size: int = 10, max_cost: int = 50_000) -> Plans:
        return Plans(self.schema, self.metadata, size=size, max_cost=max_cost)

    def read(self, query: str, variables: dict[str, Any]) -> tuple[Prepared, dict[str, Any]]:
        """A validated operation and its coerced variables."""
        prepared = self.documents().get(query).find(None).prepared
        coerced = get_variable_values(self.schema, prepared.operation.variable_definitions or (), variables)
        assert isinstance(coerced, VariableValues), coerced
        return prepared, coerced.coerced

    def plan(self, query: str, variables: dict[str, Any], who: Who, **options: int) -> tuple[Plan, dict[str, Any]]:
        prepared, coerced = self.read(query, variables)
        return self.plans(**options).make(prepared, coerced, who), coerced


async def made() -> Bench:
    await build.printed()  # initialises the models without a database
    schema, known = build.built()
    return Bench(schema._schema, known)
