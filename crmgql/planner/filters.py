"""`where` → condition. Related rows count only when the viewer may see them; hidden fields are refused."""

from __future__ import annotations

from collections.abc import Iterator

from crmgql import access
from crmgql.errors import BadUserInput, Forbidden
from crmgql.planner import codecs, metadata
from crmgql.planner.arguments import MAX_LIST, Argument, Bound, Object, Objects, Scalar
from crmgql.sql import ast
from crmgql.viewer import Who

MAX_CONDITIONS = 200
MAX_NESTING = 12
MAX_RELATIONS = 12
MAX_RELATIONS_IN_ALL = 120
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Filters:
    """Compiles `where` trees. Each related table gets an alias of its own."""

    def __init__(self, known: metadata.Metadata, who: Who) -> None:
        self.metadata = known
        self.who = who
        self._aliases = 0
        self._conditions = 0
        self._nesting = 0
        self._relations = 0
        self._all_relations = 0

    def where(self, node: metadata.Node, t: str, tree: Argument) -> ast.Expr:
        """The condition on row `t`. An absent or null tree is TRUE."""
        if not isinstance(tree, Object):
            return ast.TRUE
        if self._nesting == 0:
            self._conditions = self._relations = 0
        self._conditions += max(1, len(tree.fields))
        if self._conditions > MAX_CONDITIONS or self._nesting >= MAX_NESTING:
            raise BadUserInput(f"A where can have {MAX_CONDITIONS} conditions, {MAX_NESTING} deep; this has more.")
        self._nesting += 1
        condition = ast.all_of([self._entry(node, t, name, value) for name, value in tree.fields.items()])
        self._nesting -= 1
        return condition

    def _entry(self, node: metadata.Node, t: str, name: str, value: Argument) -> ast.Expr:
        if name in ("and", "or"):
            items = value.items if isinstance(value, Objects) else ()
            combine = ast.all_of if name == "and" else ast.any_of
            return combine([self.where(node, t, item) for item in items]) if items else ast.TRUE
        if name == "not":
            inner = self.where(node, t, value)
            return ast.Not(_certain(inner)) if isinstance(value, Object) else ast.TRUE
        field = node.fields[name]
        if access.field(node.name, name, self.who, t) != ast.TRUE:
            raise Forbidden(f"You may not filter by {node.name}.{name}.")
        match field:
            case metadata.One():
                return self._one(field, t, value)
            case metadata.Many():
                return self._many(field, t, value)
            case metadata.Money():
                return self._money(field, t, value)
            case metadata.Leaf():
                return ast.all_of(list(_leaf(field.codec, ast.Col(t, field.column), value, f"{node.name}.{name}")))
            case metadata.Derived() if field.kept is not None:
                if not field.kept.is_seen(self.who):
                    raise Forbidden(f"You may not filter by {node.name}.{name}.")
                return self._kept(field, field.kept, t, value)
            case metadata.Derived() | metadata.Details() | metadata.Summary() | metadata.AnyOne():
                raise BadUserInput(f"{node.name}.{name} can't be filtered by.")

    def _alias(self) -> str:
        self._aliases += 1
        return f"f{self._aliases}"

    def _count_relation(self) -> None:
        self._relations += 1
        if self._relations > MAX_RELATIONS:
            raise BadUserInput(f"A where can look into {MAX_RELATIONS} relations; this looks into more.")
        self._all_relations += 1
        if self._all_relations > MAX_RELATIONS_IN_ALL:
            raise BadUserInput(f"A query's filters can look into {MAX_RELATIONS_IN_ALL} relations; split the query.")

    def _related(self, target: metadata.Node, link: ast.Expr, alias: str, trusted: bool, *more: ast.Expr) -> ast.Expr:
        access.require_read(self.who, target.name)
        self._count_relation()
        rule = access.rows(target.name, self.who, alias, trusted=trusted)
        condition = ast.all_of([link, rule, *more])
        if condition == ast.FALSE:
            return ast.FALSE
        return ast.Exists(ast.Select(((ast.Num(1), "one"),), ast.Table(target.table, alias), where=condition))

    def _one(self, field: metadata.One, t: str, value: Argument) -> ast.Expr:
        target, alias = self.metadata.nodes[field.target], self._alias()
        link = ast.eq(ast.Col(alias, "id"), ast.Col(t, field.column))
        if value is None:
            return ast.Not(self._related(target, link, alias, field.trusted))
        return self._related(target, link, alias, field.trusted, self.where(target, alias, value))

    def _many(self, field: metadata.Many, t: str, value: Argument) -> ast.Expr:
        target = self.metadata.nodes[field.target]
        conditions = []
        for quantifier, tree in value.fields.items() if isinstance(value, Object) else ():
            if tree is None:
                continue
            alias = self._alias()
            link = ast.eq(ast.Col(alias, field.column), ast.Col(t, "id"))
            if field.through is not None:
                link = _between(field.through, alias, t)
            elif field.trusted and field.column != "customer_id":
                # The same customer by a key that the database checks: so the index on both is found.
                link = ast.all_of([ast.eq(ast.Col(alias, "customer_id"), ast.Col(t, "customer_id")), link])
            inner = self.where(target, alias, tree)
            if quantifier == "every":
                inner = ast.Not(_certain(inner))
            exists = self._related(target, link, alias, field.trusted, inner)
            conditions.append(exists if quantifier == "some" else ast.Not(exists))
        return ast.all_of(conditions)

    def _money(self, field: metadata.Money, t: str, value: Argument) -> ast.Expr:
        amount, currency = _apart(value)
        conditions = list(_leaf(codecs.DECIMAL, ast.Col(t, field.column), amount, field.name))
        if currency is not None:
            conditions.append(ast.eq(ast.Col(t, field.currency), currency))
        return ast.all_of(conditions)

    def _kept(self, field: metadata.Derived, kept: metadata.Kept, t: str, value: Argument) -> ast.Expr:
        """The kept row of the currency that is named, else of the record's own, is there and fits."""
        self._count_relation()
        alias = self._alias()
        operators, currency = _apart(value) if field.codec is None else (value, None)
        conditions = [
            kept.link(alias, t),
            ast.eq(ast.Col(alias, "currency"), ast.Col(t, "currency") if currency is None else currency),
            *_leaf(field.codec or codecs.DECIMAL, ast.Col(alias, kept.column), operators, field.name),
        ]
        where = ast.all_of(conditions)
        return ast.Exists(ast.Select(((ast.Num(1), "one"),), ast.Table(kept.table, alias), where=where))


def _between(through: metadata.Through, alias: str, t: str) -> ast.Expr:
    """The child under `alias` is one of the parent `t`."""
    customer = ast.Col(t, "customer_id")
    own = [
        ast.eq(ast.Col(metadata.OF, "customer_id"), customer),
        ast.eq(ast.Col(metadata.OF, through.parent), ast.Col(t, "id")),
    ]
    # An array rather than IN: PostgreSQL then looks the children up, and does not compare each of the customer's with each parent.
    children = ast.AnyOf(ast.Col(alias, "id"), ast.ArrayOf(through.rows(*own)))
    return ast.all_of([ast.eq(ast.Col(alias, "customer_id"), customer), children])


def _apart(value: Argument) -> tuple[Argument, ast.Expr | None]:
    """The operators of a filter on an amount, and the currency that it names."""
    if not isinstance(value, Object):
        return value, None
    currency = value.fields.get("currency")
    operators = Object({name: item for name, item in value.fields.items() if name != "currency"})
    if not isinstance(currency, Scalar):
        return operators, None
    return operators, ast.Param(Bound(currency.origin, codecs.CURRENCY), "text")


def _certain(condition: ast.Expr) -> ast.Expr:
    """The condition with unknown as false. What is never unknown stays bare: PostgreSQL can then un-nest it."""
    return condition if _two_valued(condition) else ast.IsTrue(condition)


def _two_valued(condition: ast.Expr) -> bool:
    match condition:
        case ast.And(items) | ast.Or(items):
            return all(_two_valued(item) for item in items)
        case ast.Not(item):
            return _two_valued(item)
        case ast.Op(_, operator, _):
            return operator in ("IS DISTINCT FROM", "IS NOT DISTINCT FROM")
        case _:
            return isinstance(condition, ast.Exists | ast.IsNull | ast.IsTrue | ast.Bool)


def _leaf(codec: codecs.Codec, column: ast.Expr, value: Argument, where: str) -> Iterator[ast.Expr]:
    if value is None:
        yield ast.IsNull(column)
    elif isinstance(value, Object):
        for operator, operand in value.fields.items():
            yield _operation(codec, column, operator, operand, where)


def _operation(codec: codecs.Codec, column: ast.Expr, operator: str, operand: Argument, where: str) -> ast.Expr:
    if operator == "isNull":
        wanted = isinstance(operand, Scalar) and bool(operand.value)
        return ast.TRUE if operand is None else ast.IsNull(column, negated=not wanted)
    if operand is None:
        if operator in ("eq", "ne"):
            return ast.IsNull(column, negated=operator == "ne")
        raise BadUserInput(f"{where}: {operator} needs a value; to look for missing values use isNull.")
    assert isinstance(operand, Scalar)
    if operator == "in":
        if len(operand.value) > MAX_LIST:
            raise BadUserInput(f"{where}: in has {len(operand.value)} values; {MAX_LIST} are the most.")
        return ast.AnyOf(column, ast.Param(Bound(operand.origin, codec, "list"), f"{codec.sql_type}[]"))
    if operator in ("contains", "startsWith"):
        pattern = ast.Param(Bound(operand.origin, codec, operator), "text")
        return ast.Op(column, "ILIKE" if operator == "contains" else "LIKE", pattern)
    bound = ast.Param(Bound(operand.origin, codec), codec.sql_type)
    if operator == "ne":
        return ast.Op(column, "IS DISTINCT FROM", bound)
    return ast.Op(column, COMPARISONS.get(operator, "="), bound)
