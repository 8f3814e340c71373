"""The JSON text of one row: its columns, computed values and what hangs on it.

Enters: a level and the selection on it. Leaves: a text expression over the level's CTE; the JSON CTEs of related
records are joined to the level.
"""

from __future__ import annotations

from crmgql import access
from crmgql.errors import Forbidden
from crmgql.planner import arguments, codecs, connections, levels, metadata, selection
from crmgql.planner.compiling import NULL, Build, entries, money_text, or_else
from crmgql.planner.levels import Level
from crmgql.sql import ast


def object_text(build: Build, level: Level, wanted: selection.Object) -> ast.Expr:
    """The row as a JSON object."""
    return entries([(key, _item(build, level, item)) for key, item in wanted.items])


def _item(build: Build, level: Level, item: selection.Item) -> ast.Expr:
    match item:
        case selection.TypeName(name):
            return ast.Text(f'"{name}"')
        case selection.LeafField(field):
            return _leaf(build, level, field)
        case selection.MoneyField(field, parts, given):
            if isinstance(field, metadata.Derived):
                return _derived_money(build, level, field, parts, given)
            return _money(build, level, field, parts)
        case selection.DerivedField(field):
            return _derived(build, level, field)
        case selection.DetailsField(field, parts):
            return _details(build, level, field, parts)
        case selection.SummaryField(field, wanted_parts, given):
            return _summary(build, level, field, wanted_parts, given)
        case selection.OneField(field, wanted):
            return _one(build, level, field, wanted)
        case selection.AnyField(field, objects):
            return _any(build, level, field, objects)
        case selection.ManyField(field, connection):
            return connections.nested(build, level, field, connection, object_text)


def _leaf(build: Build, level: Level | levels.Joined, field: metadata.Leaf) -> ast.Expr:
    rule = access.field(level.node.name, field.name, build.who, level.alias)
    if rule == ast.FALSE:
        return NULL
    column = level.column(field.column) if rule == ast.TRUE else level.guarded(field.column, rule)
    text = field.codec.json(column)
    if rule == ast.TRUE and not field.nullable:
        return text
    return or_else(text, NULL)


def _money(
    build: Build, level: Level | levels.Joined, field: metadata.Money, parts: tuple[tuple[str, str], ...]
) -> ast.Expr:
    rule = access.field(level.node.name, field.name, build.who, level.alias)
    if rule == ast.FALSE:
        return NULL
    amount = level.column(field.column) if rule == ast.TRUE else level.guarded(field.column, rule)
    text = money_text(amount, level.column(field.currency), parts)
    if rule == ast.TRUE and not field.nullable:
        return text
    return ast.Case(ast.IsNull(amount), NULL, text)


def _derived(build: Build, level: Level, field: metadata.Derived) -> ast.Expr:
    assert field.codec is not None
    rule = access.field(level.node.name, field.name, build.who, levels.OUTER)
    if rule == ast.FALSE:
        return NULL
    _needs(level, field)
    (expr,) = field.build(build.who, levels.OUTER, ast.Text(""))
    value = level.compute(f"{field.name} computed", expr if rule == ast.TRUE else ast.Case(rule, expr))
    text = field.codec.json(value)
    return or_else(text, NULL) if field.nullable else text


def _derived_money(
    build: Build,
    level: Level,
    field: metadata.Derived,
    parts: tuple[tuple[str, str], ...],
    given: selection.Arguments,
) -> ast.Expr:
    rule = access.field(level.node.name, field.name, build.who, levels.OUTER)
    if rule == ast.FALSE:
        return NULL
    _needs(level, field)
    wanted, is_own = _currency(given)
    alias = field.name if is_own else f"{field.name} {len(level.computed)}"
    amount, currency = field.build(build.who, levels.OUTER, wanted)
    amount_column = level.compute(f"{alias} amount", amount if rule == ast.TRUE else ast.Case(rule, amount))
    text = money_text(amount_column, level.compute(f"{alias} currency", currency), parts)
    return ast.Case(ast.IsNull(amount_column), NULL, text) if field.nullable else text


def _currency(given: selection.Arguments) -> tuple[ast.Expr, bool]:
    """The currency in which a value is wanted, and whether it is the record's own."""
    chosen = given.get("currency")
    if isinstance(chosen, arguments.Scalar):
        return ast.Param(arguments.Bound(chosen.origin, codecs.CURRENCY), "text"), False
    return ast.Col(levels.OUTER, "currency"), True


def _summary(
    build: Build,
    level: Level,
    field: metadata.Summary,
    parts: tuple[selection.SummaryPart, ...],
    given: selection.Arguments,
) -> ast.Expr:
    """An object of computed values, in one subquery per row of the page."""
    rule = access.field(level.node.name, field.name, build.who, levels.OUTER)
    if rule == ast.FALSE:
        return NULL
    _needs(level, field)
    made = field.build(build.who, levels.OUTER, _currency(given)[0])
    found = ast.Subquery(ast.Select(((_summed(made.values, parts), "v"),), made.source))
    text = found if rule == ast.TRUE else ast.Case(rule, found)
    return or_else(level.compute(f"{field.name} {len(level.computed)}", text), NULL)


def _summed(values: dict[str, metadata.Value], parts: tuple[selection.SummaryPart, ...]) -> ast.Expr:
    texts: list[tuple[str, ast.Expr]] = []
    for part in parts:
        if isinstance(part.name, selection.TypeName):
            texts.append((part.key, ast.Text(f'"{part.name.name}"')))
            continue
        match values[part.name]:
            case metadata.Amount(amount, currency, nullable):
                named = tuple((e.key, e.name if isinstance(e.name, str) else "__typename") for e in part.below)
                text = money_text(amount, currency, named)
                texts.append((part.key, ast.Case(ast.IsNull(amount), NULL, text) if nullable else text))
            case metadata.Inner(inner, given):
                text = _summed(inner, part.below)
                texts.append((part.key, text if given == ast.TRUE else ast.Case(given, text, NULL)))
            case tuple() as listed:
                pieces: list[ast.Expr] = []
                for each in listed:
                    pieces += [ast.Text(","), _summed(each, part.below)]
                texts.append((part.key, ast.Concat((ast.Text("["), *pieces[1:], ast.Text("]")))))
            case text:
                texts.append((part.key, text))
    return entries(texts)


def _details(build: Build, level: Level, field: metadata.Details, parts: tuple[tuple[str, str], ...]) -> ast.Expr:
    """A list of objects that hang on nothing else, in one subquery per row of the page."""
    _needs(level, field)
    made = field.build(build.who, levels.OUTER)
    texts = {**made.texts, "__typename": ast.Text(f'"{field.target}"')}
    each = entries([(key, texts[name]) for key, name in parts])
    joined = ast.Aggregate("string_agg", (each, ast.Text(",")), (ast.Order(made.order),))
    listed = ast.Select(((joined, "v"),), made.source, made.joins, where=made.where)
    text = ast.Concat((ast.Text("["), or_else(ast.Subquery(listed), ast.Text("")), ast.Text("]")))
    return level.compute(f"{field.name} {len(level.computed)}", text)


def _needs(level: Level, field: metadata.Derived | metadata.Details | metadata.Summary) -> None:
    for column in field.needs:
        level.column(column)


def _one(build: Build, level: Level, field: metadata.One, wanted: selection.Object) -> ast.Expr:
    """The record that a row points at. Raises `Forbidden` where there always is one, of a type that the viewer sees nothing
    of: neither its text nor null would be an answer."""
    access.require_read(build.who, wanted.node.name)
    hidden = access.rows(wanted.node.name, build.who, levels.INNER, trusted=field.trusted) == ast.FALSE
    if hidden and not field.nullable and ast.all_of(level.conditions) != ast.FALSE:
        raise Forbidden(f"You may not see {wanted.node.plural}, and so not {level.node.name}.{field.name}.")
    if all(_is_plain(item) for _, item in wanted.items):
        return _joined(build, level, field, wanted)
    target = build.level(wanted.node, levels.ByKey(level, field.column), [], trusted=field.trusted)
    text = object_text(build, target, wanted)
    columns = ((target.column("id"), "k"), (text, "v"), (target.nodes(), "n"))
    name = build.text(f"j{target.name}", target.texts(columns))
    level.below(name, level.column(field.column))
    level.counted(name)
    return or_else(ast.Col(name, "v"), NULL)


def _any(build: Build, level: Level, field: metadata.AnyOne, wanted: tuple[selection.Object, ...]) -> ast.Expr:
    """A record of whichever type: null where it is hidden. Types of which only plain columns are wanted share one CASE,
    of which a row runs one branch; each of the others is a level."""
    texts: list[ast.Expr] = []
    branches: list[tuple[ast.Expr, ast.Expr]] = []
    for each in wanted:
        if access.rows(each.node.name, build.who, levels.OUTER) == ast.FALSE:
            continue
        if all(_is_plain(item) for _, item in each.items):
            branches.append(_branch(build, field, each))
        else:
            texts.append(_any_level(build, level, field, each))
    if branches:
        level.column(field.type_column)
        level.column(field.column)
        case = ast.Switch(ast.Col(levels.OUTER, field.type_column), tuple(branches))
        found = level.compute(f"{field.name} {len(level.computed)}", case)
        level.counts.append(ast.Cast(ast.IsNull(found, negated=True), "int4"))
        texts.append(found)
    return ast.Func("coalesce", (*texts, NULL))


def _branch(build: Build, field: metadata.AnyOne, wanted: selection.Object) -> tuple[ast.Expr, ast.Expr]:
    """A type's name, and the text of the record of this type if it is visible."""
    build.count_relation()
    record = levels.Joined(wanted.node, build.fresh("o"))
    rule = access.rows(wanted.node.name, build.who, record.alias)
    same = ast.eq(record.column("id"), ast.Col(levels.OUTER, field.column))
    text = entries([(key, _plain_text(build, record, item)) for key, item in wanted.items])
    source = ast.Table(wanted.node.table, record.alias)
    found = ast.Select(((text, "v"),), source, where=ast.all_of([same, rule]))
    return ast.Text(wanted.node.name), ast.Subquery(found)


def _any_level(build: Build, level: Level, field: metadata.AnyOne, wanted: selection.Object) -> ast.Expr:
    target = build.level(wanted.node, levels.ByKey(level, field.column), [])
    text = object_text(build, target, wanted)
    columns = ((target.column("id"), "k"), (text, "v"), (target.nodes(), "n"))
    name = build.text(f"j{target.name}", target.texts(columns))
    level.below(name, level.column(field.column))
    level.counted(name)
    is_type = ast.eq(level.column(field.type_column), ast.Text(wanted.node.name))
    return ast.Case(is_type, ast.Col(name, "v"))


def _is_plain(item: selection.Item) -> bool:
    """Whether a field is read from the row alone."""
    if isinstance(item, selection.MoneyField):
        return isinstance(item.field, metadata.Money)
    return isinstance(item, selection.TypeName | selection.LeafField)


def _joined(build: Build, level: Level, field: metadata.One, wanted: selection.Object) -> ast.Expr:
    """A related record of which only its own columns are wanted: a join instead of a level of its own."""
    build.count_relation()
    record = levels.Joined(wanted.node, build.fresh("o"))
    rule = access.rows(wanted.node.name, build.who, record.alias, trusted=field.trusted)
    same = ast.eq(record.column("id"), level.column(field.column))
    source = ast.Table(wanted.node.table, record.alias)
    level.joins.append(ast.Join("LEFT JOIN", source, ast.all_of([same, rule])))
    found = ast.IsNull(record.column("id"), negated=True)
    level.counts.append(ast.Cast(found, "int4") if field.nullable else ast.Num(1))
    text = entries([(key, _plain_text(build, record, item)) for key, item in wanted.items])
    return ast.Case(found, text, NULL) if field.nullable else text


def _plain_text(build: Build, record: levels.Joined, item: selection.Item) -> ast.Expr:
    match item:
        case selection.LeafField(field):
            return _leaf(build, record, field)
        case selection.MoneyField(field=metadata.Money() as field, parts=parts):
            return _money(build, record, field, parts)
        case _:
            return ast.Text(f'"{record.node.name}"')
