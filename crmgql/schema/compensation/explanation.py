"""Why a commission has its amount, as it was worked out when it was posted."""

from __future__ import annotations

from crmgql.domain.compensation.dues import Why
from crmgql.engine import declare
from crmgql.engine.scalars import DecimalText
from crmgql.engine.strawberries import Field, enum_type, lazy, object_type, optional
from crmgql.planner.metadata import Parts
from crmgql.sql import ast
from crmgql.viewer import Who

FIELDS = [
    Field("why", enum_type("CommissionWhy", list(Why)), "What kind of line it is."),
    Field("order", str, "The order's number."),
    Field(
        "measure", optional(lazy("CompMeasure")), "What of the order it is about; null of POSTED_BEFORE, as the basis."
    ),
    Field("basis", optional(lazy("CompBasis")), "What of that."),
    Field("share", DecimalText, "Whose the order is: 0.5 is half of it. Below 0 where somebody's share became less."),
    Field("base", DecimalText, "What the rate is of, in the commission's currency."),
    Field("tierFrom", optional(DecimalText), "Where the tier begins; null of what is no tier's."),
    Field("tierTo", optional(DecimalText), "Where it ends; null: it has no end."),
    Field("tierUnit", optional(lazy("CompTierUnit")), "What the tier is counted in."),
    Field("rate", DecimalText, "The tier's, or the share of what was paid that is taken back; 0 where there is none."),
    Field("amount", DecimalText, "What it adds to the commission, in its currency."),
    Field("words", str, "The same for people."),
]
object_type("CommissionLine", FIELDS, "A part of a commission's amount; those of all lines sum to it.")


def attained(column: str, doc: str) -> object:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        same = ast.eq(ast.Col("version", "id"), ast.Col(t, "plan_version_id"))
        of_version = ast.Table("comp_plan_versions", "version")
        currency = ast.Subquery(ast.Select(((ast.Col("version", "currency"), "currency"),), of_version, where=same))
        return ast.Col(t, column), currency

    return declare.derived(build, None, doc, nullable=True, needs=(column, "plan_version_id"))


def explanation() -> object:
    def build(who: Who, t: str) -> Parts:
        def text(name: str) -> ast.Expr:
            value = ast.Op(ast.Col("part", "value"), "->", ast.Text(name))
            return ast.Func("coalesce", (ast.Cast(value, "text"), ast.Text("null")))

        return Parts(
            source=ast.Elements(ast.Col(t, "parts"), "part"),
            where=ast.TRUE,
            order=ast.Col("part", "position"),
            texts={field.name: text(field.name) for field in FIELDS},
        )

    doc = "Why it has its amount, line by line: this order, this fact, this share, this tier, this rate. Imported ones have none."
    return declare.details("CommissionLine", build, doc, needs=("parts",))
