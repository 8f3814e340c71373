"""The results of campaigns, as SQL expressions under the viewer's own rules.

A lead that was merged into another is not counted, as the other one is. Revenue is that of the won opportunities that a
campaign's leads were converted to, each counted once.
"""

from __future__ import annotations

from typing import Any

from crmgql import access
from crmgql.engine import declare
from crmgql.planner import codecs
from crmgql.schema.customers import aggregates, receivables
from crmgql.sql import ast
from crmgql.viewer import Who

QUALIFIED = ("QUALIFIED", "CONVERTED")
MONEY = ("id", "currency")
SPEND = (*MONEY, "spend_amount")


def _leads(who: Who, t: str, *where: ast.Expr) -> ast.Expr:
    """The condition of a lead under the alias `r` that counts for campaign `t`."""
    own = ast.eq(ast.Col("r", "campaign_id"), ast.Col(t, "id"))
    merged = ast.Not(aggregates.is_one_of(ast.Col("r", "status"), "MERGED"))
    return ast.all_of([own, merged, access.figures("Lead", who, "r"), *where])


def _over_leads(who: Who, t: str, value: ast.Expr, *where: ast.Expr) -> ast.Expr:
    select = ast.Select(((value, "value"),), ast.Table("leads", "r"), where=_leads(who, t, *where))
    return ast.Subquery(select)


def _count(condition: ast.Expr | None = None) -> ast.Expr:
    return ast.Aggregate("count", (ast.Col("r", "id"),), where=condition)


def _over_won(who: Who, t: str, value: ast.Expr, *where: ast.Expr) -> ast.Expr:
    """A value over the won opportunities (alias `o`) that the campaign's leads were converted to."""
    converted = _leads(who, t, aggregates.is_one_of(ast.Col("r", "status"), "CONVERTED"))
    theirs = ast.Select(((ast.Col("r", "opportunity_id"), "id"),), ast.Table("leads", "r"), where=converted)
    conditions = [
        ast.InSelect(ast.Col("o", "id"), theirs),
        aggregates.is_one_of(ast.Col("o", "status"), "WON"),
        access.rows("Opportunity", who, "o"),
        *where,
    ]
    select = ast.Select(((value, "value"),), ast.Table("opportunities", "o"), where=ast.all_of(conditions))
    return ast.Subquery(select)


def _revenue(who: Who, t: str, currency: ast.Expr) -> ast.Expr:
    total = _over_won(who, t, ast.Func("sum", (ast.Col("o", "amount"),)), ast.eq(ast.Col("o", "currency"), currency))
    return ast.Func("coalesce", (total, receivables.zero(currency)))


def _ratio(part: ast.Expr, whole: ast.Expr, places: ast.Expr) -> ast.Expr:
    """The quotient rounded to a number of places; null if `whole` is 0."""
    quotient = ast.Op(ast.Cast(part, "numeric"), "/", ast.Func("nullif", (whole, ast.Num(0))))
    return ast.Func("round", (quotient, places))


def lead_count() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        return (_over_leads(who, t, _count()),)

    return declare.derived(build, codecs.LONG, "How many leads it brought, as far as you may see them.", nullable=True)


def qualified_count() -> Any:
    """An imported lead may be qualified without a transition."""

    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        moved = ast.all_of(
            [
                ast.eq(ast.Col("m", "lead_id"), ast.Col("r", "id")),
                aggregates.is_one_of(ast.Col("m", "to_status"), *QUALIFIED),
            ]
        )
        once = ast.Exists(ast.Select(((ast.Num(1), "one"),), ast.Table("lead_transitions", "m"), where=moved))
        ever = ast.any_of([aggregates.is_one_of(ast.Col("r", "status"), *QUALIFIED), once])
        return (_over_leads(who, t, _count(), ever),)

    doc = "How many of them ever were qualified or converted, whatever became of them then."
    return declare.derived(build, codecs.LONG, doc, nullable=True)


def converted_count() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        return (_over_leads(who, t, _count(), aggregates.is_one_of(ast.Col("r", "status"), "CONVERTED")),)

    return declare.derived(build, codecs.LONG, "How many of them were converted.", nullable=True)


def conversion_rate() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        converted = ast.Op(_count(aggregates.is_one_of(ast.Col("r", "status"), "CONVERTED")), "*", ast.Num(100))
        return (_over_leads(who, t, _ratio(converted, _count(), ast.Num(2))),)

    doc = "The per cent of its leads that were converted; null without leads."
    return declare.derived(build, codecs.DECIMAL, doc, nullable=True)


def won_count() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        return (_over_won(who, t, ast.Func("count", (ast.Col("o", "id"),))),)

    doc = "How many opportunities that its leads were converted to are won."
    return declare.derived(build, codecs.LONG, doc, nullable=True)


def won_revenue() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        return _revenue(who, t, currency), currency

    doc = "The amounts of these won opportunities in one currency, by default the campaign's own."
    return declare.derived(build, None, doc, nullable=True, needs=MONEY, currency_argument=True)


def cost_per_lead() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        leads = _over_leads(who, t, _count())
        return _ratio(ast.Col(t, "spend_amount"), leads, ast.Func("currency_scale", (currency,))), currency

    doc = "Spend / leads; null without either, and for managers, who see a part of the leads."
    return declare.derived(build, None, doc, nullable=True, needs=SPEND)


def return_on_spend() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        spend = ast.Col(t, "spend_amount")
        gain = ast.Op(_revenue(who, t, ast.Col(t, "currency")), "-", spend)
        return (_ratio(gain, spend, ast.Num(4)),)

    doc = "(Won revenue − spend) / spend, in the campaign's currency: 1.5 is 150 % above it; null without spend."
    return declare.derived(build, codecs.DECIMAL, doc, nullable=True, needs=SPEND)
