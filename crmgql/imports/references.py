"""Keys to ids, a batch at a time: which record a reference means, and whose customer it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql.imports.bindings import Plan, Record, Reference
from crmgql.imports.placeholders import Rejected

_CACHE_LIMIT = 200_000
# Tables to find rows in by name that are no nouns themselves. A stage is one of the default pipeline by its name alone,
# of another one as "Pipeline/Stage".
STAGES = """
(SELECT p.name || '/' || s.name AS name, s.id, s.source, s.external_id FROM stages s JOIN pipelines p ON p.id = pipeline_id
    UNION ALL SELECT s.name, s.id, NULL, NULL FROM stages s JOIN pipelines p ON p.id = pipeline_id WHERE p.is_default)
AS stages"""


class NotYet(Exception):
    """The record meant is of the row's own noun and may come later in the file."""


@dataclass(frozen=True)
class Found:
    id: UUID
    customer: UUID | None
    ambiguous: bool = False


class Resolver:
    """Remembers what it found for the length of an import; what it did not find, it asks again."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._found: dict[tuple[str, str, str], dict[str, Found]] = {}

    def _known(self, reference: Reference) -> dict[str, Found]:
        return self._found.setdefault((reference.table, reference.by, reference.source), {})

    async def load(self, plan: Plan, records: Iterable[Record]) -> None:
        """Asks the database for the keys of these records that are not known yet: one statement per reference."""
        rows = list(records)
        if sum(map(len, self._found.values())) > _CACHE_LIMIT:
            self._found.clear()
        for reference in plan.references:
            known = self._known(reference)
            keys = {_fold(reference, row[reference.index]) for row in rows if row[reference.index] is not None}
            wanted = list(keys - known.keys())
            if not wanted:
                continue
            statement = _find(reference.table, reference.by, customer=reference.inherited)
            source = (reference.source,) if reference.by == "external_id" else ()
            for row in await self._connection.fetch(statement, wanted, *source):
                key = row["key"]
                known[key] = Found(row["id"], row["customer_id"], ambiguous=key in known)

    def resolve(self, plan: Plan, record: Record, *, final: bool) -> None:
        """Puts ids in place of keys and the customer where it follows. Rejected or, unless `final`, NotYet."""
        customers: list[tuple[Reference, UUID]] = []
        for reference in plan.references:
            key = record[reference.index]
            if key is None:
                continue
            found = self._known(reference).get(_fold(reference, key))
            name = f"{reference.field.name}: {reference.by} {key!r}"
            if found is None:
                if reference.table == plan.noun.name and not final:
                    raise NotYet
                origin = f" from source {reference.source!r}" if reference.by == "external_id" else ""
                raise Rejected(reference.label, f"{name} is unknown among {reference.table}{origin}")
            if found.ambiguous:
                raise Rejected(reference.label, f"{name} means several {reference.table}")
            record[reference.index] = found.id
            if reference.inherited and found.customer is not None:
                customers.append((reference, found.customer))
        if plan.customer is not None:
            _set_customer(plan, plan.customer, record, customers)


def _fold(reference: Reference, key: str) -> str:
    return key.lower() if (reference.table, reference.by) == ("users", "email") else key


def _set_customer(plan: Plan, place: int, record: Record, customers: list[tuple[Reference, UUID]]) -> None:
    for reference, customer in customers:
        if record[place] is None:
            record[place] = customer
        elif record[place] != customer:
            raise Rejected(reference.label, f"{reference.field.name}: belongs to another customer")
    if record[place] is None and not plan.noun.fields["customer"].null:
        names = ", ".join(reference.field.name for reference in plan.references if reference.inherited)
        raise Rejected("customer", f"customer: is blank and can't be taken from {names}")


def _find(table: str, by: str, *, customer: bool) -> str:
    """Ids by key. Parameters: the keys and, by external id, the source."""
    owner = "customer_id" if customer else "NULL::uuid"
    if by == "external_id":
        where = "source = $2 AND external_id = ANY($1::text[]) AND external_id IS NOT NULL"
    elif (table, by) == ("users", "email"):
        by = "lower(email)"
        where = "lower(email) = ANY($1::text[])"
    else:
        where = f"{by} = ANY($1::text[])"
    rows = STAGES if table == "stages" else table
    return f"SELECT {by} AS key, id, {owner} AS customer_id FROM {rows} WHERE {where}"
