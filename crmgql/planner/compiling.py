"""What the compiling stages share: the metadata, who asks, and the CTEs made so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from crmgql import access
from crmgql.errors import QueryTooComplex
from crmgql.planner import codecs, levels, metadata
from crmgql.planner.filters import Filters
from crmgql.planner.levels import Level
from crmgql.sql import ast
from crmgql.viewer import Who

MAX_RELATIONS = 120
NULL = ast.Text("null")


@dataclass
class Build:
    """One statement in the making. `texts` are the JSON CTEs, deepest first; `counts` the nodes of each root.

    `first` are the CTEs that rows are looked up by; `standings` say of cursors of the feed whether they are any good.
    """

    known: metadata.Metadata
    who: Who
    filters: Filters
    rows: list[Level] = field(default_factory=list)
    texts: list[ast.Cte] = field(default_factory=list)
    counts: list[ast.Expr] = field(default_factory=list)
    first: list[ast.Cte] = field(default_factory=list)
    standings: list[ast.Expr] = field(default_factory=list)
    names: int = 0
    relations: int = 0

    def level(
        self,
        node: metadata.Node,
        link: levels.Link,
        conditions: list[ast.Expr],
        *,
        trusted: bool = False,
        rule: ast.Expr | None = None,
    ) -> Level:
        """A new level of rows of one type, under the viewer's row rule, or under a `rule` that is narrower."""
        whole = self.rule(node, trusted=trusted)
        rule = whole if rule is None or whole == ast.FALSE else rule
        level = Level(f"l{len(self.rows)}", node, [*conditions, rule], link, trusted=trusted)
        self.rows.append(level)
        self.count_relation()
        return level

    def count_relation(self) -> None:
        """Raises `QueryTooComplex` past the cap: PostgreSQL's planning grows with each list and related record."""
        self.relations += 1
        if self.relations > MAX_RELATIONS:
            raise QueryTooComplex(f"The query has more than {MAX_RELATIONS} lists and related records; split it.")

    def rule(self, node: metadata.Node, *, trusted: bool) -> ast.Expr:
        access.require_read(self.who, node.name)
        return access.rows(node.name, self.who, levels.INNER, trusted=trusted)

    def field_rule(self, node: metadata.Node, name: str) -> ast.Expr:
        return access.field(node.name, name, self.who, levels.INNER)

    def fresh(self, letter: str) -> str:
        """A CTE name that is not taken."""
        self.names += 1
        return f"{letter}{self.names}"

    def text(self, name: str, select: ast.Select) -> str:
        """Adds a JSON CTE; returns its name."""
        self.texts.append(ast.Cte(name, select))
        return name


def or_else(expr: ast.Expr, fallback: ast.Expr) -> ast.Expr:
    return ast.Func("coalesce", (expr, fallback))


def entries(parts: list[tuple[str, ast.Expr]]) -> ast.Concat:
    """A JSON object's text from response keys and texts."""
    pieces: list[ast.Expr] = [ast.Text("{")]
    for index, (key, text) in enumerate(parts):
        pieces += [ast.Text(f'{"," if index else ""}"{key}":'), text]
    return ast.Concat((*pieces, ast.Text("}")))


def money_text(amount: ast.Expr, currency: ast.Expr, parts: tuple[tuple[str, str], ...]) -> ast.Expr:
    texts = {
        "amount": codecs.DECIMAL.json(amount),
        "currency": codecs.CURRENCY.json(currency),
        "__typename": ast.Text('"Money"'),
    }
    return entries([(key, texts[name]) for key, name in parts])
