"""Rendering: what a text may be made of, and that nothing breaks out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.planner import compiling
from crmgql.sql import ast, render
from tests.access.workshop import Company

ROW = ast.Table("customers", "t")


def one(expr: ast.Expr) -> tuple[str, tuple[object, ...]]:
    """The text of one expression, and its parameters."""
    text, sources = render.render_select(ast.Select(((expr, "v"),)))
    return text.removeprefix("SELECT ").removesuffix(' AS "v"'), sources


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (ast.Col("t", "name"), '"t"."name"'),
        (ast.Col('t"', 'na"me'), '"t"""."na""me"'),
        (ast.Text("it's"), "'it''s'"),
        (ast.Text("back\\slash"), "'back\\slash'"),
        (ast.Num(-3), "-3"),
        (ast.TRUE, "true"),
        (ast.eq(ast.Num(1), ast.Num(2)), "(1 = 2)"),
        (ast.Not(ast.IsTrue(ast.FALSE)), "(NOT (false IS TRUE))"),
        (ast.IsNull(ast.Num(1), negated=True), "(1 IS NOT NULL)"),
        (ast.Case(ast.TRUE, ast.Num(1)), "CASE WHEN true THEN 1 END"),
        (
            ast.Switch(ast.Col("t", "x"), ((ast.Text("a"), ast.Num(1)), (ast.Text("b"), ast.Num(2)))),
            """CASE "t"."x" WHEN 'a' THEN 1 WHEN 'b' THEN 2 END""",
        ),
        (ast.Cast(ast.Num(1), "int8"), "1::int8"),
        (ast.AnyOf(ast.Num(1), ast.Num(2)), "(1 = ANY (2))"),
        (ast.Row((ast.Num(1), ast.Num(2))), "ROW(1, 2)"),
        (ast.Element(ast.Num(1), ast.Num(2)), "(1)[2]"),
        (
            ast.Aggregate("string_agg", (ast.Num(1),), (ast.Order(ast.Num(2), True),), ast.FALSE),
            "string_agg(1 ORDER BY 2 DESC) FILTER (WHERE false)",
        ),
        (ast.RowNumber((ast.Num(1),), (ast.Order(ast.Num(2)),)), "row_number() OVER (PARTITION BY 1 ORDER BY 2)"),
        (ast.Exists(ast.Select(((ast.Num(1), "one"),), ROW)), 'EXISTS (SELECT 1 AS "one" FROM "customers" "t")'),
    ],
)
def test_expressions(expr: ast.Expr, text: str) -> None:
    assert one(expr) == (text, ())


def test_neighbouring_constants_become_one() -> None:
    inner = ast.Concat((ast.Text("b"), ast.Col("t", "x"), ast.Text("")))
    text, _ = one(ast.Concat((ast.Text("a"), inner, ast.Text("c"), ast.Text("d"))))
    assert text == """('ab' || "t"."x" || 'cd')"""
    assert one(ast.Concat(())) == ("('')", ())
    assert one(compiling.entries([])) == ("('{}')", ())


def test_equal_sources_share_a_number() -> None:
    first, again, other = ast.Param("a", "uuid"), ast.Param("a", "uuid"), ast.Param("b", "text")
    assert one(ast.Row((first, other, again))) == ("ROW($1::uuid, $2::text, $1::uuid)", ("a", "b"))


def test_conditions_collapse() -> None:
    x = ast.Col("t", "x")
    assert ast.all_of([]) == ast.TRUE
    assert ast.all_of([ast.TRUE, x]) == x
    assert ast.all_of([x, ast.FALSE]) == ast.FALSE
    assert ast.any_of([]) == ast.FALSE
    assert ast.any_of([ast.FALSE, x]) == x
    assert ast.any_of([x, ast.TRUE]) == ast.TRUE
    assert ast.any_of([x, x]) == ast.Or((x, x))


def test_what_is_not_ours_is_refused() -> None:
    with pytest.raises(TypeError, match="no SQL for Expr"):
        one(ast.Expr())


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
async def test_constants_and_names_come_back_as_they_were(company: Company, text: str) -> None:
    """Whatever is in them: quotes, backslashes, semicolons, comments, other scripts."""
    name = text[:15] or "x"
    statement = ast.Select(((ast.Text(text), name),))
    sql, _ = render.render_select(statement)
    row = await company.database.fetch_json(sql, ())
    assert dict(row) == {name: text}
