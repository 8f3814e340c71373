"""What a month may bring: what is booked already, and open opportunities by how likely they are."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from crmgql import access
from crmgql.db import Database
from crmgql.domain.money import revenue_facts, revenue_reports
from crmgql.records import checks
from crmgql.records.days import day_of
from crmgql.viewer import Viewer

MONTHS = 12
FORECAST = """
WITH {facts}, parts AS (
    SELECT to_char(f.effective_on, 'YYYY-MM') AS month, f.currency, {booked} AS booked, 0 AS opportunities, 0 AS amount, 0 AS weighted
    FROM facts f {joins}
    UNION ALL
    SELECT to_char(o.expected_close, 'YYYY-MM'), o.currency, 0, 1, coalesce(o.amount, 0),
        coalesce(o.amount * coalesce(o.probability, s.probability, 0) / 100, 0)
    FROM ({{opportunities}}) o JOIN stages s ON s.id = o.stage_id
    WHERE o.status = 'OPEN' AND (o.expected_close IS NULL OR o.expected_close BETWEEN {{since}}::date AND {{until}}::date)
        AND ({{currency}}::text IS NULL OR o.currency = {{currency}})
), months AS (
    SELECT month, currency, sum(booked) AS booked, sum(opportunities) AS opportunities, sum(amount) AS amount, sum(weighted) AS weighted
    FROM parts GROUP BY 1, 2 HAVING sum(booked) <> 0 OR sum(opportunities) > 0
)
SELECT coalesce(jsonb_agg(jsonb_build_object('month', month, 'currency', currency, 'opportunities', opportunities,
    'booked', round(booked, currency_scale(currency))::text, 'amount', round(amount, currency_scale(currency))::text,
    'weighted', round(weighted, currency_scale(currency))::text) ORDER BY month, currency), '[]') AS data, 0 AS nodes FROM months"""


async def forecast(
    database: Database,
    viewer: Viewer,
    *,
    since: date | None = None,
    until: date | None = None,
    currency: str | None = None,
) -> list[dict[str, Any]]:
    """The months from `since` to `until`, the company's days, both included, by currency; without them this month and the eleven
    after it. Open opportunities that have no day yet come last. Raises `Forbidden` for a key that lacks a scope, `BadUserInput`.
    """
    for record in ("Order", "Opportunity"):
        access.require_read(viewer.who, record)
    if since is not None:
        checks.check_year(since, "since")
    first = day_of(viewer.clock(), await database.zone()).replace(day=1)
    given: dict[str, Any] = {"since": since or first, "until": until or _end(since or first), "currency": currency}
    scope, selects = revenue_reports.scoped(viewer.who, since=given["since"], until=given["until"], currency=currency)
    counts_all = await revenue_reports.counts_all(database)
    facts = revenue_facts.by_customer(scope, "effective_on") if counts_all else revenue_facts.by_line(scope)
    booked = "booked" if counts_all else "booked * (counted.counts_as_revenue IS NOT FALSE)::integer"
    template = FORECAST.format(facts=facts, booked=booked, joins="" if counts_all else revenue_reports.COUNTED)
    selects |= {"opportunities": access.visible("Opportunity", viewer.who)}
    row = await database.fetch_json(*access.statement(template, viewer, selects=selects, **given))
    return [_shown(each) for each in orjson.loads(row["data"])]


def _end(first: date) -> date:
    """The last day of the eleventh month after."""
    months = first.year * 12 + first.month - 1 + MONTHS
    return date.fromordinal(date(months // 12, months % 12 + 1, 1).toordinal() - 1)


def _shown(month: dict[str, Any]) -> dict[str, Any]:
    amounts = {name: Decimal(month[name]) for name in ("booked", "amount", "weighted")}
    amounts["expected"] = amounts["booked"] + amounts["weighted"]
    return month | {name: {"amount": value, "currency": month["currency"]} for name, value in amounts.items()}
