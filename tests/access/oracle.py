"""The answer that a query ought to have, found by walking over Python rows with graphql-core's own executor.

Nothing here comes from the product but the printed schema. `Oracle.answer` returns the data as JSON text, or
FORBIDDEN. `rules.Sight` says what is visible, `values` what is computed.
"""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from graphql import DocumentNode, GraphQLResolveInfo, GraphQLSchema, execute_sync, parse

from tests.access import company_books, forbidden, rules, values
from tests.access.relations import MANY, ONE, PREFIXES, ROOT_ORDER
from tests.access.rules import TABLE_OF, Row, Sight

BARE_AMOUNTS = {"amount", "line_amount", "amount_before", "amount_after"}
SINGULAR = {kind[0].lower() + kind[1:]: kind for kind in TABLE_OF}
PLURAL = {re.sub(r"_(\w)", lambda m: m[1].upper(), table): kind for kind, table in TABLE_OF.items()}
PARSERS: dict[str, Callable[[Any], Any]] = {
    "Int": int,
    "Boolean": bool,
    "ID": lambda value: UUID(hex=value[4:]),
    "Decimal": Decimal,
    "DateTime": datetime.fromisoformat,
    "Date": date.fromisoformat,
}


@lru_cache(maxsize=64)
def parsed(query: str) -> DocumentNode:
    return parse(query)


@cache
def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


@cache
def column(kind: str, field: str) -> str:
    """The column behind a plain or a money field."""
    odd = {
        ("Contact", "primary"): "is_primary",
        ("OrderLine", "amount"): "line_amount",
        ("InvoiceLine", "amount"): "line_amount",
    }
    odd |= {(kind, "amount"): "amount" for kind in ("Payment", "Commission", "Opportunity", "Instalment")}
    odd |= {("CompRule", "group"): "group_name"}
    odd |= {("Pipeline", "default"): "is_default", ("LedgerEntry", "adjusting"): "is_adjusting"}
    odd |= {("Event", "payload"): "kept", ("AuditEntry", "changes"): "kept"}
    return odd.get((kind, field), snake(field))


@cache
def money_columns(kind: str, field: str) -> tuple[str, str]:
    name = column(kind, field)
    amount = name if name in BARE_AMOUNTS else f"{name}_amount"
    own = {("User", "salary"): "salary_currency", ("Allocation", "paid"): "paid_currency"}
    return amount, own.get((kind, field), "currency")


def gid(kind: str, id: UUID) -> str:
    return f"{PREFIXES[kind]}_{id.hex}"


def moment(value: datetime, between: str = "T", offset: str = "+00:00") -> str:
    """A time as PostgreSQL writes it: fractions without trailing zeros."""
    text = value.astimezone(UTC).strftime(f"%Y-%m-%d{between}%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + offset


def posting(row: Row) -> dict[str, Any]:
    shown = {name: row[name] for name in ("n", "debit", "credit", "currency")}
    return shown | {"amount": format(row["amount"], "f"), "baseAmount": format(row["base_amount"], "f")}


UNPLACED = {("Event", "cursor"), ("Event", "isLast")}
"""Known once the relay has been there, which it never is."""


def target_of(kind: str, field: str) -> str | None:
    return ONE.get((kind, field)) or ONE.get(("*", field))


ANY_RECORD = {
    *(("Event", "subject"), ("AuditEntry", "subject"), ("ReconciliationException", "subject")),
    ("LedgerEntry", "source"),
}
"""Fields that are a record of any type."""


class Oracle:
    """Answers for one viewer."""

    def __init__(self, schema: GraphQLSchema, rows: dict[str, list[Row]], sight: Sight) -> None:
        self.schema = schema
        self.sight = sight
        self.visible = {kind: [row for row in rows[t] if sight.sees(kind, row)] for kind, t in TABLE_OF.items()}
        self.by_id = {kind: {row["id"]: row for row in listed} for kind, listed in self.visible.items()}
        between = _between(rows)
        self.related: dict[tuple[str, str], dict[Any, list[Row]]] = {}
        for kind, key, _ in MANY.values():
            index = self.related.setdefault((kind, key), defaultdict(list))
            if not index:
                for row in self.visible[kind]:
                    for parent in between[key][row["id"]] if key in between else [row[key]]:
                        index[parent].append(row)
        self.values = values.Values(rows, sight)
        self.audit = {row["id"]: row for row in rows["audit_entries"]}

    def answer(self, query: str, variables: dict[str, Any]) -> str:
        document = parsed(query)
        if forbidden.asks(document, self.schema, variables, self.sight):
            return "FORBIDDEN"
        result = execute_sync(
            self.schema,
            document,
            variable_values=variables,
            field_resolver=self.resolve,
            type_resolver=lambda value, *_: str(value["kind"]),
        )
        if result.errors:
            raise AssertionError(f"the oracle has no answer: {result.errors}")
        return json.dumps(result.data)

    def resolve(self, source: Any, info: GraphQLResolveInfo, **given: Any) -> Any:
        field = info.field_name
        if source is None:
            return self.root(field, given)
        if "row" in source:
            return self.field(source["kind"], source["row"], info, field, given)
        found = source[field]
        return found() if callable(found) else found

    def root(self, field: str, given: dict[str, Any]) -> Any:
        if field == "me":
            return self.record("User", self.sight.user_id)
        if field == "node":
            return self.any_node(given["id"])
        if field == "nodes":
            return [self.any_node(id) for id in given["ids"]]
        if field == "company":
            return next(({"kind": "Company", "row": row} for row in self.visible["Company"]), None)
        if field in SINGULAR:
            return self.record(SINGULAR[field], UUID(hex=given["id"][4:]))
        kind = PLURAL[field]
        return self.connection(kind, self.visible[kind], ROOT_ORDER[kind], given)

    def any_node(self, id: str) -> Any:
        kind = next((kind for kind, prefix in PREFIXES.items() if id.startswith(f"{prefix}_")), None)
        return None if kind is None else self.record(kind, UUID(hex=id[4:]))

    def record(self, kind: str, id: UUID | None) -> Any:
        row = self.by_id[kind].get(id)
        return None if row is None else {"kind": kind, "row": row}

    def field(self, kind: str, row: Row, info: GraphQLResolveInfo, field: str, given: dict[str, Any]) -> Any:
        if (kind, field) in MANY:
            target, key, order = MANY[kind, field]
            return self.connection(target, self.related[target, key].get(row["id"], []), order, given)
        target = target_of(kind, field)
        if target is not None:
            return self.record(target, row[f"{snake(field)}_id"])
        if (kind, field) in ANY_RECORD:
            about, id = row[f"{field}_type"], row[f"{field}_id"]
            return self.record(about, id) if about in TABLE_OF else None
        if (kind, field) == ("LedgerEntry", "postings"):
            return [posting(each) for each in company_books.postings(row)]
        if kind == "LedgerEntry" and field in ("reversesId", "resolvesId"):
            return row[snake(field)] and gid(kind, row[snake(field)])
        if (kind, field) == ("Event", "changes"):
            return list(self.changes(row))
        if (kind, field) == ("Event", "sight"):
            return "SEEN"
        if (kind, field) in (("Event", "subjectId"), ("LedgerEntry", "sourceId")):
            about, id = row[f"{snake(field)[:-3]}_type"], row[snake(field)]
            return gid(about, id) if about in PREFIXES else None
        if (kind, field) in UNPLACED:
            return None
        if not self.sight.may_read(kind, field, row):
            return None
        if (kind, field) in values.COMPUTED:
            value = self.values.of(kind, field, row, given.get("currency"))
            return moment(value) if isinstance(value, datetime) else value
        if str(info.return_type).rstrip("!") == "Money":
            amount, currency = money_columns(kind, field)
            return None if row[amount] is None else values.money(row[amount], row[currency])
        return self.written(kind, field, row)

    def changes(self, event: Row) -> Iterator[dict[str, Any]]:
        """Those of the event's audit entry, of fields that the viewer may read whatever the row. What leads to a record is no such field."""
        kind = event["subject_type"]
        fields = getattr(self.schema.type_map.get(kind), "fields", {})
        for column, (before, after) in sorted(json.loads(self.audit[event["id"]]["kept"]).items()):
            leads_on = (kind, column) in ONE or ("*", column) in ONE
            if column in fields and not leads_on and self.sight.may_filter(kind, column):
                yield {"field": column, "before": before, "after": after}

    def written(self, kind: str, field: str, row: Row) -> Any:
        """A column's value as JSON has it."""
        value = row[column(kind, field)]
        if field == "id":
            return gid(kind, value)
        if isinstance(value, datetime):
            return moment(value)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Decimal):
            return format(value, "f")
        if value is not None and self.type_of(kind, field) == "JSON":
            return json.loads(value)
        return value

    def type_of(self, kind: str, field: str) -> str:
        return str(self.schema.type_map[kind].fields[field].type).rstrip("!")  # type: ignore[attr-defined]

    def keys(self, kind: str, default: str, order: list[dict[str, str]] | None) -> list[tuple[str, bool]]:
        """Fields and whether they descend, down to the id."""
        wanted = [(default.lstrip("-"), default.startswith("-"))]
        if order:
            wanted = [(_camel(item["field"]), item.get("direction") == "DESC") for item in order]
        first: dict[str, bool] = {}
        for name, descending in wanted:
            first.setdefault(name, descending)
        keys = list(first.items())
        if "id" not in dict(keys):
            keys.append(("id", keys[-1][1]))
        names = [name for name, _ in keys]
        return keys[: names.index("id") + 1]

    def own(self, kind: str, name: str, row: Row) -> Any:
        """What a row is filtered and ordered by under a name."""
        if (kind, name) in rules.KEPT:
            return self.values.kept(kind, name, row)
        return row[column(kind, name)]

    def cursor(self, kind: str, keys: list[tuple[str, bool]], row: Row) -> str:
        values = [self.own(kind, name, row) for name, _ in keys]
        texts = [
            None if value is None else moment(value, " ", "+00") if isinstance(value, datetime) else str(value)
            for value in values
        ]
        signature = ",".join(f"{'-' if descending else ''}{name}" for name, descending in keys)
        raw = json.dumps([signature, *texts], ensure_ascii=False).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def connection(self, kind: str, rows: list[Row], default: str, given: dict[str, Any]) -> Any:
        rows = [row for row in rows if self.holds(kind, row, given.get("where"))]
        keys = self.keys(kind, default, given.get("orderBy"))
        page, before, after = self.page(kind, rows, keys, given)

        def node(row: Row) -> Any:
            return {"kind": kind, "row": row}

        def cursor(row: Row) -> str:
            return self.cursor(kind, keys, row)

        return {
            "nodes": [node(row) for row in page],
            "edges": lambda: [{"cursor": cursor(row), "node": node(row)} for row in page],
            "pageInfo": {
                "hasNextPage": after,
                "hasPreviousPage": before,
                "startCursor": lambda: cursor(page[0]) if page else None,
                "endCursor": lambda: cursor(page[-1]) if page else None,
            },
            "totalCount": len(rows),
            "sums": _Sums(self, kind, rows),
        }

    def page(
        self, kind: str, rows: list[Row], keys: list[tuple[str, bool]], given: dict[str, Any]
    ) -> tuple[list[Row], bool, bool]:
        """The page's rows, and whether there are more before and after it."""
        rows = list(rows)
        for name, descending in reversed(keys):
            rows.sort(key=lambda row, name=name: _rank(self.own(kind, name, row)), reverse=descending)  # type: ignore[misc]
        for way in ("after", "before"):
            if given.get(way) is not None:
                at = [_rank(value) for value in self.read_cursor(kind, keys, given[way])]
                rows = [row for row in rows if self.beyond(kind, keys, row, at) == (way == "after")]
                rows = [row for row in rows if self.ranks(kind, keys, row) != at]
        first, last = given.get("first"), given.get("last")
        if last is not None:
            return rows[max(len(rows) - last, 0) :], len(rows) > last, given.get("before") is not None
        size = 20 if first is None else first
        return rows[:size], given.get("after") is not None, len(rows) > size

    def ranks(self, kind: str, keys: list[tuple[str, bool]], row: Row) -> list[Any]:
        return [_rank(self.own(kind, name, row)) for name, _ in keys]

    def beyond(self, kind: str, keys: list[tuple[str, bool]], row: Row, at: list[Any]) -> bool:
        """Whether a row comes after a place in the order."""
        for (_, descending), own, other in zip(keys, self.ranks(kind, keys, row), at, strict=True):
            if own != other:
                return bool(own < other) if descending else bool(own > other)
        return False

    def read_cursor(self, kind: str, keys: list[tuple[str, bool]], cursor: str) -> list[Any]:
        _, *texts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        parsers = [UUID if name == "id" else PARSERS.get(self.type_of(kind, name), str) for name, _ in keys]
        return [None if text is None else parse(text) for text, parse in zip(texts, parsers, strict=True)]

    def holds(self, kind: str, row: Row, where: dict[str, Any] | None) -> bool:
        """Whether a `where` tree holds for a row, as far as the viewer sees."""
        return all(self.condition(kind, row, name, value) for name, value in (where or {}).items())

    def condition(self, kind: str, row: Row, name: str, value: Any) -> bool:
        if name == "and":
            return all(self.holds(kind, row, item) for item in value or ())
        if name == "or":
            return not value or any(self.holds(kind, row, item) for item in value)
        if name == "not":
            return value is None or not self.holds(kind, row, value)
        if (kind, name) in MANY:
            return self.listed(kind, row, name, value or {})
        target = target_of(kind, name)
        if target is not None:
            other = self.by_id[target].get(row[f"{snake(name)}_id"])
            return other is None if value is None else other is not None and self.holds(target, other, value)
        filter_type = self.schema.type_map[f"{kind}Where"].fields[name].type  # type: ignore[attr-defined]
        if filter_type.name == "MoneyFilter":
            value = value if value is None else dict(value)
            wanted = None if value is None else value.pop("currency", None)
            if (kind, name) in rules.KEPT:
                kept = self.values.kept(kind, name, row, wanted)
                return kept is not ... and _compared(kept, value, Decimal)
            amount, currency = money_columns(kind, name)
            return (wanted is None or row[currency] == wanted) and _compared(row[amount], value, Decimal)
        parser = PARSERS.get(filter_type.name.removesuffix("Filter"), lambda text: text)
        return _compared(self.own(kind, name, row), value, parser)

    def listed(self, kind: str, row: Row, name: str, value: dict[str, Any]) -> bool:
        target, key, _ = MANY[kind, name]
        others = self.related[target, key].get(row["id"], [])
        checks: dict[str, Callable[[list[bool]], bool]] = {"some": any, "every": all, "none": lambda x: not any(x)}
        return all(
            checks[quantifier]([self.holds(target, other, tree) for other in others])
            for quantifier, tree in value.items()
            if tree is not None
        )


def _between(rows: dict[str, list[Row]]) -> dict[str, dict[Any, list[Any]]]:
    """The parents of payments that are an order's, and of orders that are a payment's: it names the order, or settles it."""
    undone = {row["undoes_id"] for row in rows["allocations"]}
    pairs = {(row["order_id"], row["id"]) for row in rows["payments"] if row["order_id"] is not None}
    parts = [row for row in rows["allocations"] if row["undoes_id"] is None and row["id"] not in undone]
    pairs |= {(row["order_id"], row["payment_id"]) for row in parts if row["order_id"] and row["payment_id"]}
    found: dict[str, dict[Any, list[Any]]] = {"of an order": defaultdict(list), "of a payment": defaultdict(list)}
    for order, payment in sorted(pairs):
        found["of an order"][payment].append(order)
        found["of a payment"][order].append(payment)
    return found | _entries(rows)


def _entries(rows: dict[str, list[Row]]) -> dict[str, dict[Any, list[Any]]]:
    """The parents of entries of the books that are an order's, a payment's or an invoice's, and of the same customer. None of the
    company's postings names an item."""
    found: dict[str, dict[Any, list[Any]]] = {}
    for kind, table in (("Order", "orders"), ("Payment", "payments"), ("Invoice", "invoices")):
        parents = found[f"entries of {kind}"] = defaultdict(list)
        customers = {row["id"]: row["customer_id"] for row in rows[table]}
        for entry in rows["ledger_entries"]:
            owner = customers.get(entry["source_id"])
            if entry["source_type"] == kind and owner is not None and owner == entry["customer_id"]:
                parents[entry["id"]].append(entry["source_id"])
    return found


def _camel(constant: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), constant.lower())


def _rank(value: Any) -> tuple[Any, ...]:
    """Missing values count as the largest."""
    return (1,) if value is None else (0, value)


def _compared(own: Any, wanted: dict[str, Any] | None, parser: Callable[[Any], Any]) -> bool:
    if wanted is None:
        return own is None
    return all(_operation(own, operator, value, parser) for operator, value in wanted.items())


def _operation(own: Any, operator: str, value: Any, parser: Callable[[Any], Any]) -> bool:
    if operator == "isNull":
        return value is None or (own is None) == value
    if operator in ("eq", "ne") and value is None:
        return (own is None) == (operator == "eq")
    if operator == "ne":
        return own is None or bool(own != parser(value))
    if own is None:
        return False
    if operator == "in":
        return own in [parser(item) for item in value]
    if operator == "contains":
        return value.lower() in own.lower()
    if operator == "startsWith":
        return bool(own.startswith(value))
    other = parser(value)
    return bool({"eq": own == other}.get(operator, False)) if operator == "eq" else _ordered(own, operator, other)


def _ordered(own: Any, operator: str, other: Any) -> bool:
    return bool({"gt": own > other, "gte": own >= other, "lt": own < other, "lte": own <= other}[operator])


class _Sums(dict[str, Any]):
    """Sums by field, made when asked for: an entry per currency of what may be read."""

    def __init__(self, oracle: Oracle, kind: str, rows: list[Row]) -> None:
        super().__init__()
        self.oracle, self.kind, self.rows = oracle, kind, rows

    def __missing__(self, field: str) -> Any:
        amount, currency = money_columns(self.kind, field)
        totals: dict[str, Decimal] = {}
        for row in self.rows:
            if row[amount] is not None and self.oracle.sight.may_read(self.kind, field, row):
                totals[row[currency]] = totals.get(row[currency], Decimal(0)) + row[amount]
        return [values.money(totals[code], code) for code in sorted(totals)]
