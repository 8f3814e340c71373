"""Random valid queries out of the schema itself: any root field, any relation, any filter, order, page and cursor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
)

from tests.access import oracle, relations, rules
from tests.access.oracle import Oracle
from tests.access.rules import TABLE_OF, Row

MONEY = "{ amount currency }"
CHANGE = "{ field before after }"
RECEIVABLES = f"{{ outstanding {MONEY} overdue {MONEY} creditBalance {MONEY} unearned {MONEY} ageing {{ bucket amount {MONEY} }} }}"
REVENUE = ("booked", "recognised", "deferred", "received", "outstanding", "margin")
ORDER_REVENUE = f"{{ {' '.join(f'{name} {MONEY}' for name in REVENUE)} }}"
STANDING = (
    f"{{ startsOn endsOn earned {MONEY} attainment {{ amount {MONEY} quota {MONEY} share }}"
    f" nextTier {{ rule rate missing {MONEY} }} }}"
)
COMMISSION_LINE = "{ why order measure basis share base tierFrom tierTo tierUnit rate amount words }"
POSTING = "{ n debit credit amount currency baseAmount }"
DETAILS = {"EventChange": CHANGE, "LedgerPosting": POSTING, "CommissionLine": COMMISSION_LINE}
DEPTH = 4


class Enum(str):
    """An enum value: bare in a document, a string in JSON."""


@dataclass(frozen=True)
class Var:
    name: str


@dataclass
class Query:
    """A document with its variables."""

    text: str
    variables: dict[str, Any]


@dataclass
class Writer:
    """Writes one query. `seen` answers as the viewer would get them; `rows` has everything, for probing."""

    schema: GraphQLSchema
    rows: dict[str, list[Row]]
    seen: Oracle
    dice: Random
    budget: int = 45
    subjects: int = 0
    aliases: int = 0
    names: int = 0
    variables: dict[str, tuple[str, Any]] = field(default_factory=dict)
    fragments: list[str] = field(default_factory=list)

    def query(self) -> Query:
        fields = [self.root() for _ in range(self.dice.randint(1, 2))]
        body = f"{{ {' '.join(fields)} }} {' '.join(self.fragments)}"
        used = {name: self.variables[name] for name in self.variables if re.search(rf"\${name}\b", body)}
        head = ", ".join(f"${name}: {kind}" for name, (kind, _) in used.items())
        return Query(
            f"query{f'({head})' if head else ''} {body}", {name: plain(value) for name, (_, value) in used.items()}
        )

    @cached_property
    def clashing(self) -> set[str]:
        """Fields that have the same name and another type elsewhere."""
        kinds: dict[str, set[str]] = {}
        for kind in TABLE_OF:
            for name, made in self.schema.type_map[kind].fields.items():  # type: ignore[attr-defined]
                kinds.setdefault(name, set()).add(str(made.type))
        return {name for name, types in kinds.items() if len(types) > 1}

    # Choices.

    def chance(self, per_cent: int) -> bool:
        return self.dice.randint(1, 100) <= per_cent

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.dice.randint(0, len(items) - 1)]

    def row(self, kind: str) -> Row:
        """Any row, hidden or not."""
        return self.pick(self.rows[TABLE_OF[kind]])  # type: ignore[no-any-return]

    def allowed(self, kind: str) -> bool:
        return self.seen.sight.in_scope(kind) or self.chance(3)

    def alias(self) -> str:
        self.aliases += 1
        return f"f{self.aliases}"

    def given(self, kind: str, value: Any, per_cent: int = 40) -> Any:
        """A value as it is, or as a variable of a type."""
        if not self.chance(per_cent):
            return value
        self.names += 1
        name = f"v{self.names}"
        self.variables[name] = (kind, self.settled(value))
        return Var(name)

    def settled(self, value: Any) -> Any:
        """A value without variables in it, for a variable's value can't have any."""
        match value:
            case Var(name):
                return self.variables.pop(name)[1]
            case dict():
                return {name: self.settled(item) for name, item in value.items()}
            case list():
                return [self.settled(item) for item in value]
            case _:
                return value

    # Selections.

    def root(self) -> str:
        assert self.schema.query_type is not None
        kinds = [kind for kind in TABLE_OF if self.allowed(kind)] or ["Customer"]
        kind = self.pick(kinds)
        way = self.pick(("many", "many", "many", "many", "one", "node", "nodes", "me"))
        if way == "me":
            return f"{self.alias()}: me {self.object('User', DEPTH)}" if self.allowed("User") else "__typename"
        if way == "many":
            plural = next(name for name, each in oracle.PLURAL.items() if each == kind)
            return self.connected(self.schema.query_type.fields[plural], plural, relations.ROOT_ORDER[kind], DEPTH)
        if way == "one":
            name = kind[0].lower() + kind[1:]
            id = literal(self.given("ID!", oracle.gid(kind, self.row(kind)["id"])))
            if kind == "Company":  # of which there is one
                return f"{self.alias()}: {name} {self.object(kind, DEPTH)}"
            return f"{self.alias()}: {name}(id: {id}) {self.object(kind, DEPTH)}"
        several = [self.pick(kinds) for _ in range(3 if way == "nodes" else 1)]
        ids = [oracle.gid(each, self.row(each)["id"]) for each in several]
        parts = " ".join(f"... on {each} {self.object(each, 2)}" for each in sorted(set(several)))
        if way == "node":
            return f"{self.alias()}: node(id: {literal(self.given('ID!', ids[0]))}) {{ __typename id {parts} }}"
        ids += [ids[0], "xyz_00", f"{ids[0][:4]}{'0' * 32}"]
        return f"{self.alias()}: nodes(ids: {literal(self.given('[ID!]!', ids))}) {{ id {parts} }}"

    def object(self, kind: str, depth: int) -> str:
        """A selection set on a record."""
        made = self.schema.type_map[kind]
        assert isinstance(made, GraphQLObjectType)
        chosen = [self.pick(list(made.fields.items())) for _ in range(self.dice.randint(1, 5))]
        if depth > 0 and self.chance(60):
            related = [(n, f) for n, f in made.fields.items() if is_relation(f)]
            chosen += [self.pick(related)] if related else []
        parts = [self.included(text) for name, each in chosen if (text := self.item(kind, name, each, depth))]
        text = " ".join(parts or ["id"])
        return self.wrapped(kind, text)

    def wrapped(self, kind: str, text: str) -> str:
        way = self.dice.randint(1, 12)
        if way == 1:
            return f"{{ id ... on {kind} {{ {text} }} }}"
        if way == 2:
            name = f"F{len(self.fragments)}"
            self.fragments.append(f"fragment {name} on {kind} {{ {text} }}")
            return f"{{ __typename ...{name} }}"
        if way == 3:
            return f"{{ ... on Node {{ id }} ... {{ {text} }} }}"
        return f"{{ {text} }}"

    def included(self, text: str) -> str:
        if not self.chance(5):
            return text
        condition = literal(self.given("Boolean!", self.chance(50)))
        return f"... @{self.pick(('include', 'skip'))}(if: {condition}) {{ {text} }}"

    def item(self, kind: str, name: str, made: GraphQLField, depth: int) -> str | None:
        self.budget -= 1
        target = get_named_type(made.type).name
        if target == "Money":
            currency = ""
            if made.args and self.chance(50):
                currency = f"(currency: {literal(self.given('CurrencyCode', self.pick(('USD', 'EUR', 'JPY'))))})"
            return f"{self.alias()}: {name}{currency} {MONEY}"
        if target == "CustomerReceivables":
            currency = f"(currency: {literal(self.given('CurrencyCode', self.pick(('USD', 'EUR', 'JPY'))))})"
            return f"{self.alias()}: {name}{currency if self.chance(50) else ''} {RECEIVABLES}"
        if target == "OrderRevenue":
            return f"{self.alias()}: {name} {ORDER_REVENUE}"
        if target == "CommissionStanding":
            return f"{self.alias()}: {name} {STANDING}"
        if target in DETAILS:
            return f"{self.alias()}: {name} {DETAILS[target]}"
        if target == "Node":
            if self.subjects:  # it is a relation to each type there is, of which a query has only so many
                return None
            self.subjects += 1
            return f"{self.alias()}: {name} {{ __typename id ... on Order {{ number }} }}"
        if not is_relation(made):
            return f"{self.alias()}: {name}" if name in self.clashing or self.chance(20) else name
        if depth <= 0 or self.budget <= 0 or not self.allowed(target.removesuffix("Connection")):
            return None
        if target.endswith("Connection"):
            return self.connected(made, name, relations.MANY[kind, name][2], depth - 1)
        return f"{self.alias()}: {name} {self.object(target, depth - 1)}"

    def connected(self, made: GraphQLField, name: str, default: str, depth: int) -> str:
        """A connection with arguments and a selection."""
        kind = get_named_type(made.type).name.removesuffix("Connection")
        parts = self.pick(
            (
                ("nodes",),
                ("nodes",),
                ("nodes", "totalCount"),
                ("edges", "pageInfo"),
                ("nodes", "pageInfo", "totalCount", "sums"),
                ("totalCount", "sums"),
                ("edges", "nodes"),
                ("pageInfo",),
            )
        )
        texts = [text for part in parts if (text := self.part(kind, part, depth))]
        return f"{self.alias()}: {name}{self.arguments(kind, default, depth)} {{ {' '.join(texts) or '__typename'} }}"

    def part(self, kind: str, part: str, depth: int) -> str | None:
        if part == "totalCount":
            return part
        if part == "pageInfo":
            return "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
        if part == "nodes":
            return f"nodes {self.object(kind, depth)}"
        if part == "edges":
            return f"edges {{ cursor node {self.object(kind, depth)} }}"
        sums = self.schema.type_map.get(f"{kind}Sums")
        if not isinstance(sums, GraphQLObjectType):
            return None
        return f"sums {{ {self.pick(list(sums.fields))} {MONEY} __typename }}"

    # Arguments.

    def arguments(self, kind: str, default: str, depth: int) -> str:
        given: dict[str, Any] = {}
        order = None
        if self.chance(40):
            order = [self.order(kind) for _ in range(self.dice.randint(0, 3))]
            given["orderBy"] = self.given(f"[{kind}OrderBy!]", order)
        if self.chance(50):
            given["where"] = self.given(f"{kind}Where", self.where(kind, 3))
        sizes = (0, 1, 2, 3, 5, 20) if depth >= DEPTH - 1 else (1, 2, 4)
        if depth < DEPTH - 1 or self.chance(70):
            given[self.pick(("first", "first", "last"))] = self.given("Int", self.pick(sizes))
        if self.chance(15):
            keys = self.seen.keys(kind, default, plain(order))
            cursor = self.seen.cursor(kind, keys, self.row(kind))
            given[self.pick(("after", "before"))] = self.given("String", cursor)
        if not given:
            return ""
        return f"({', '.join(f'{name}: {literal(value)}' for name, value in given.items())})"

    def order(self, kind: str) -> dict[str, Any]:
        enum = self.schema.type_map[f"{kind}OrderField"]
        assert isinstance(enum, GraphQLEnumType)
        item: dict[str, Any] = {"field": Enum(self.pick(list(enum.values)))}
        if self.chance(70):
            item["direction"] = Enum(self.pick(("ASC", "DESC")))
        return item

    def where(self, kind: str, depth: int) -> dict[str, Any]:
        made = self.schema.type_map[f"{kind}Where"]
        assert isinstance(made, GraphQLInputObjectType)
        tree: dict[str, Any] = {}
        for _ in range(self.dice.randint(1, 2)):
            name = self.pick(list(made.fields))
            if self.chance(3):  # hidden fields are few: look for them
                hidden = [each for each in made.fields if not self.seen.sight.may_filter(kind, each)]
                name = self.pick(hidden or [name])
            elif self.chance(10):
                name = self.pick(("and", "or", "not", "not"))
            value = self.condition(kind, name, get_named_type(made.fields[name].type).name, depth)
            if value != ():
                tree[name] = value
        return tree

    def condition(self, kind: str, name: str, filter_name: str, depth: int) -> Any:
        """A value for one entry of a `where`; () for none."""
        if self.chance(3):
            return None
        if name in ("and", "or"):
            return [self.where(kind, depth - 1) for _ in range(self.dice.randint(0, 2))] if depth else ()
        if name == "not":
            return self.where(kind, depth - 1) if depth else ()
        if filter_name.endswith("Where"):
            target = filter_name.removesuffix("Where").removesuffix("List")
            if not depth or not self.allowed(target):
                return ()
            tree = self.where(target, depth - 1)
            return {self.pick(("some", "none", "every")): tree} if filter_name.endswith("ListWhere") else tree
        return self.compared(kind, name, filter_name)

    def compared(self, kind: str, name: str, filter_name: str) -> Any:
        made = self.schema.type_map[filter_name]
        assert isinstance(made, GraphQLInputObjectType)
        operator = self.pick(list(made.fields))
        if operator == "isNull":
            return {"isNull": self.given("Boolean", self.chance(50))}
        if operator == "currency":
            return {"currency": self.pick(("USD", "EUR", "KWD"))}
        named = get_named_type(made.fields[operator].type)
        scalar = named.name
        tries = (self.sample(kind, name, filter_name) for _ in range(4))
        value = next((found for found in tries if found is not None), None)
        if value is None:
            return {"eq": None} if "eq" in made.fields and self.chance(50) else {"isNull": True}
        if operator in ("contains", "startsWith"):
            start = self.dice.randint(0, len(value) // 2) if operator == "contains" else 0
            value = value[start : start + 4]
            return {
                operator: self.given("String", value.upper() if operator == "contains" and self.chance(50) else value)
            }
        value = Enum(value) if isinstance(named, GraphQLEnumType) else value
        if operator == "in":
            return {"in": [self.given(f"{scalar}!", value), value] if self.chance(80) else []}
        return {operator: self.given(scalar, value)}

    def sample(self, kind: str, name: str, filter_name: str) -> Any:
        """A value that some row has, as a client would write it."""
        if (kind, name) in rules.KEPT:
            value = self.seen.values.kept(kind, name, self.row(kind))
            return None if value is None else format(value, "f")
        if filter_name == "MoneyFilter":
            value = self.row(kind)[oracle.money_columns(kind, name)[0]]
            return None if value is None else format(value, "f")
        row = self.row(kind)
        written = self.seen.written(kind, name, row)
        value = row[oracle.column(kind, name)]
        return value.isoformat() if isinstance(value, datetime) else written


def is_relation(made: GraphQLField) -> bool:
    target = get_named_type(made.type).name
    return target.removesuffix("Connection") in TABLE_OF


def literal(value: Any) -> str:
    """A value in a document."""
    match value:
        case Var(name):
            return f"${name}"
        case Enum():
            return str(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case dict():
            return f"{{{', '.join(f'{name}: {literal(item)}' for name, item in value.items())}}}"
        case list():
            return f"[{', '.join(literal(item) for item in value)}]"
        case _:
            return str(value)


def quoted(text: str) -> str:
    escapes: dict[str, str] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def plain(value: Any) -> Any:
    """A value in JSON."""
    match value:
        case Enum():
            return str.__str__(value)
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value
