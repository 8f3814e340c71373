"""How somebody stands in the current period of the plan that pays them."""

from __future__ import annotations

from typing import Any

from crmgql.engine import declare
from crmgql.engine.scalars import DateText, DecimalText
from crmgql.engine.strawberries import Field, lazy, object_type, optional
from crmgql.planner import codecs
from crmgql.planner.metadata import Amount, Inner, Sums, Value
from crmgql.sql import ast
from crmgql.viewer import Who

SHARE_DECIMALS = 4
TODAY = ast.Func("company_today", ())
MONEY = lazy("Money")

object_type(
    "Attainment",
    [
        Field("amount", MONEY, "What was credited in the period, in the measure and basis by which the plan attains."),
        Field("quota", optional(MONEY), "For the same days; null: there is none."),
        Field("share", optional(DecimalText), "The amount of the quota: 1 is all of it."),
    ],
    "What is attained: one's own, or the team's where the plan pays for the team alone.",
)
object_type(
    "NextTier",
    [
        Field("rule", str, "The name of the rule that has it."),
        Field("rate", DecimalText, "A share: 0.05 is 5 %."),
        Field("missing", MONEY, "What is still to be attained until it pays."),
    ],
    "The nearest tier that is not reached.",
)
object_type(
    "CommissionStanding",
    [
        Field(
            "startsOn",
            DateText,
            "The first day of the plan's period, as far as the plan pays the person without a break.",
        ),
        Field("endsOn", DateText, "The last one."),
        Field(
            "earned",
            MONEY,
            "What the plan's commissions for these days come to, in its currency at the rates of the days.",
        ),
        Field("attainment", lazy("Attainment")),
        Field("nextTier", optional(lazy("NextTier")), "Null: there is none."),
    ],
    "How somebody stands today in the plan that pays them.",
)


def standing() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> Sums:
        currency = ast.Col("now", "currency")

        def amount(name: str, *, nullable: bool = False) -> Amount:
            return Amount(ast.Col("now", name), currency, nullable)

        is_quoted = ast.Op(ast.Col("now", "quota"), ">", ast.Num(0))
        ratio = ast.Op(ast.Col("now", "attained"), "/", ast.Col("now", "quota"))
        share = codecs.DECIMAL.json(ast.Func("round", (ratio, ast.Num(SHARE_DECIMALS))))
        attainment: dict[str, Value] = {
            "amount": amount("attained"),
            "quota": amount("quota", nullable=True),
            "share": ast.Case(is_quoted, share, ast.Text("null")),
        }
        following: dict[str, Value] = {
            "rule": codecs.STRING.json(ast.Col("now", "next_rule")),
            "rate": codecs.DECIMAL.json(ast.Col("now", "next_rate")),
            "missing": amount("missing"),
        }
        return Sums(
            ast.Rows("commission_standing", (ast.Col(t, "id"), TODAY), "now"),
            {
                "startsOn": codecs.DATE.json(ast.Col("now", "starts_on")),
                "endsOn": codecs.DATE.json(ast.Col("now", "ends_on")),
                "earned": amount("earned"),
                "attainment": Inner(attainment),
                "nextTier": Inner(following, ast.IsNull(ast.Col("now", "next_rule"), negated=True)),
            },
        )

    doc = "How this person stands today in the plan that pays them; null without one. Seen as their commissions are."
    return declare.summary("CommissionStanding", build, doc)
