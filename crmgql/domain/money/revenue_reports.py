"""Revenue by month, product, seller and so on: what was sold, earned, received, as far as the viewer may see it.

All comes from postings, so it is what the books say, as of their days. Currencies are never mixed: each has groups of its own, or
the amounts are those that were posted in base currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from crmgql import access
from crmgql.db import Database
from crmgql.domain.money import revenue_facts
from crmgql.domain.money.revenue_facts import FIGURES, OF_SALES, Scope, Spread
from crmgql.errors import BadUserInput
from crmgql.models import names
from crmgql.records import checks
from crmgql.sql import ast
from crmgql.viewer import Viewer, Who

MOST_GROUPS = 1000
BASE = "BASE"
CONVERSION = "As posted in the base currency of the books, each amount at the rate of its document."


@dataclass(frozen=True, slots=True)
class Dimension:
    """What groups are made by. `keys`: names and their SQL; `joins`: what they need besides the facts; `record`: the type whose
    rows are named. `reads`: the column of facts by customer that it needs, None where it takes facts by line, of which `spread` says
    how many orders have to be spread."""

    keys: dict[str, str]
    joins: tuple[str, ...] = ()
    record: str | None = None
    reads: str | None = None
    spread: Spread = Spread.NONE


CUSTOMER = "LEFT JOIN ({customers}) c ON c.id = f.customer_id"
COUNTED = "LEFT JOIN products counted ON counted.id = f.product_id"
PRODUCT = "LEFT JOIN ({products}) p ON p.id = f.product_id"
ORDER = "LEFT JOIN orders o ON o.customer_id = f.customer_id AND o.id = f.order_id"
SELLER = "LEFT JOIN ({users}) u ON u.id = coalesce(f.seller_id, o.seller_id)"
TEAM = "LEFT JOIN ({teams}) t ON t.id = u.team_id"
CHANNEL = """LEFT JOIN (
    SELECT DISTINCT ON (l.{key}) l.{key}, coalesce(campaign.channel, l.lead_source) AS channel
    FROM ({{leads}}) l LEFT JOIN ({{campaigns}}) campaign ON campaign.id = l.campaign_id
    WHERE l.{key} IS NOT NULL AND coalesce(campaign.channel, l.lead_source) IS NOT NULL ORDER BY l.{key}, l.received_at, l.id
) {alias} ON {alias}.{key} = {owner}"""
CHANNELS = (
    CHANNEL.format(key="opportunity_id", alias="by_deal", owner="o.opportunity_id"),
    CHANNEL.format(key="customer_id", alias="by_customer", owner="f.customer_id"),
)
DIMENSIONS = {
    "MONTH": Dimension({"month": "to_char(f.effective_on, 'YYYY-MM')"}, reads="effective_on"),
    "QUARTER": Dimension({"quarter": "to_char(f.effective_on, 'YYYY-\"Q\"Q')"}, reads="effective_on"),
    "CUSTOMER": Dimension({"customer_id": "c.id", "customer": "c.name"}, (CUSTOMER,), "Customer", "customer_id"),
    "REGION": Dimension({"region": "c.region"}, (CUSTOMER,), "Customer", "customer_id"),
    "STATE": Dimension({"state": "c.state"}, (CUSTOMER,), "Customer", "customer_id"),
    "PRODUCT": Dimension({"product_id": "p.id", "product": "p.name"}, (PRODUCT,), "Product", spread=Spread.ALL),
    "CATEGORY": Dimension({"category": "p.category"}, (PRODUCT,), "Product", spread=Spread.ALL),
    "SELLER": Dimension({"seller_id": "u.id", "seller": "u.name"}, (ORDER, SELLER), "User", spread=Spread.SELLERS),
    "DEPARTMENT": Dimension(
        {"department_id": "t.id", "department": "t.name"}, (ORDER, SELLER, TEAM), "Team", spread=Spread.SELLERS
    ),
    "CHANNEL": Dimension({"channel": "coalesce(by_deal.channel, by_customer.channel)"}, (ORDER, *CHANNELS), "Lead"),
}
IDS = {"customer_id": "Customer", "product_id": "Product", "seller_id": "User", "department_id": "Team"}
TIMES = ("month", "quarter")


async def revenue(
    database: Database,
    viewer: Viewer,
    *,
    group_by: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    currency: str | None = None,
    convert_to: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    """The groups of a period, by time, then the largest first. Without `group_by` there is one for each currency.

    `since`, `until`: the company's days, both included. `currency`: only what was sold and paid in it. `convert_to` BASE: in base
    currency, as posted. `first`: so many groups; without it, more than 1000 are refused. Raises `Forbidden` for a key that lacks
    a scope, `BadUserInput`.
    """
    who = viewer.who
    by = [DIMENSIONS[name] for name in dict.fromkeys(group_by or ())]
    for record in ("Order", *(each.record for each in by if each.record)):
        access.require_read(who, record)
    most = _most(first)
    given = {"since": since, "until": until, "currency": currency, "most": most + 1}
    scope, selects = scoped(who, since=since, until=until, currency=currency, converts=convert_to == BASE)
    selects |= {name: access.visible(record, who) for name, record in VISIBLE.items()}
    selects |= {"leads": access.counted("Lead", who)}
    hidden = _hidden(who)
    shown = [name for name in FIGURES if name not in hidden]
    template = _template(by, scope, shown, await counts_all(database))
    used = {name: select for name, select in selects.items() if f"{{{name}}}" in template}
    row = await database.fetch_json(*access.statement(template, viewer, selects=used, **given))
    found = orjson.loads(row["data"])
    if first is None and len(found["groups"]) > most:
        raise BadUserInput(f"There are more than {MOST_GROUPS} groups; say `first`, or group by less.", field="groupBy")
    return {
        "convertedTo": found["base"] if scope.converts else None,
        "conversion": CONVERSION if scope.converts else None,
        "groups": [_shown(group, hidden) for group in found["groups"][:most]],
        "hasMore": len(found["groups"]) > most,
    }


VISIBLE = {"customers": "Customer", "products": "Product", "users": "User", "teams": "Team", "campaigns": "Campaign"}


async def counts_all(database: Database) -> bool:
    """Whether there is no product that does not count as revenue: then nothing need be known of lines."""
    async with database.reading() as connection:
        return not await connection.fetchval("SELECT EXISTS (SELECT FROM products WHERE NOT counts_as_revenue)")


def _hidden(who: Who) -> set[str]:
    hidden = {name for name in ("cost", "margin") if access.field("Order", name, who, "t") != ast.TRUE}
    return hidden | ({"received", "refunded"} if access.rows("Payment", who, "t") == ast.FALSE else set())


def _most(first: int | None) -> int:
    if first is not None and not 1 <= first <= MOST_GROUPS:
        raise BadUserInput(f"Must be between 1 and {MOST_GROUPS}.", field="first")
    return first or MOST_GROUPS


def scoped(
    who: Who, *, since: date | None, until: date | None, currency: str | None, converts: bool = False
) -> tuple[Scope, dict[str, ast.Select]]:
    """What of the books the viewer's figures are about, and the selects that it takes. Raises `BadUserInput`.

    Orders and payments are seen with their customer, each as far as a permission of its own goes.
    """
    days = []
    for name, sign, day in (("since", ">=", since), ("until", "<=", until)):
        if day is not None:
            checks.check_year(day, name)
            days.append(f"{{0}} {sign} {{{{{name}}}}}::date")
    if since is not None and until is not None and since > until:
        raise BadUserInput("Can't be before since.", field="until")
    sales, money = access.rows("Order", who, "t"), access.rows("Payment", who, "t")
    scope = Scope(
        days=" AND ".join(days) or "true",
        currency="{0}.currency = {{currency}}" if currency else "true",
        converts=converts,
        sees_sales=sales == ast.TRUE,
        sees_money=money == ast.TRUE,
    )
    return scope, {} if scope.sees_all else {"seen": _seen(sales, money)}


def _seen(sales: ast.Expr, money: ast.Expr) -> ast.Select:
    customers = ast.Select(((ast.Col("c", "id"), "customer_id"),), ast.Table("customers", "c"))
    columns = ((ast.Col("t", "customer_id"), "customer_id"), (sales, "sales"), (money, "money"))
    return ast.Select(columns, ast.Derived(customers, "t"), where=ast.any_of([sales, money]))


def _template(by: Sequence[Dimension], scope: Scope, shown: Sequence[str], counts_all: bool) -> str:
    reads = [each.reads for each in by]
    if None in reads or not counts_all:
        needed = {each.spread for each in by} if counts_all else {Spread.ALL}
        facts = revenue_facts.by_line(scope, next(each for each in Spread if each in needed))
    else:
        facts = revenue_facts.by_customer(scope, *dict.fromkeys(each for each in reads if each))
    keys = {name: sql for each in by for name, sql in each.keys.items()}
    joins = " ".join(dict.fromkeys(join for each in by for join in each.joins))
    columns = "".join(f"{sql} AS {name}, " for name, sql in keys.items())
    values = {name: f"f.{name}" for name in FIGURES}
    if not counts_all:
        joins += f" {COUNTED}"
        values |= {name: f"f.{name} * (counted.counts_as_revenue IS NOT FALSE)::integer" for name in OF_SALES}
    sums = ", ".join(f"sum({value}) AS {name}" for name, value in values.items())
    grouped = ", ".join(map(str, range(1, len(keys) + 2)))
    times = [name for name in keys if name in TIMES]
    order = ", ".join(
        [*times, "currency", "booked DESC", "received DESC", *(name for name in keys if name not in times)]
    )
    exact = ", ".join(f"round({name}, currency_scale(currency))::text AS {name}" for name in FIGURES)
    some = " OR ".join(f"sum({values[name]}) <> 0" for name in shown)
    listed = "".join(f"{name}, " for name in keys)
    margin = "round(recognised - cost, currency_scale(currency))::text AS margin"
    return f"""
WITH {facts}, groups AS (
    SELECT {columns}f.currency, {sums} FROM facts f {joins} GROUP BY {grouped} HAVING {some}
    ORDER BY {order} LIMIT {{most}}
)
SELECT jsonb_build_object('base', (SELECT currency FROM books), 'groups', (
    SELECT coalesce(jsonb_agg(to_jsonb(g) - 'place' ORDER BY place), '[]')
    FROM (SELECT {listed}currency, {exact}, {margin}, row_number() OVER (ORDER BY {order}) AS place FROM groups) g
)) AS data, 0 AS nodes"""


def _shown(group: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    money = {name: (group.pop(name), group["currency"]) for name in (*FIGURES, "margin")}
    amounts = {
        name: None if name in hidden else {"amount": Decimal(amount), "currency": currency}
        for name, (amount, currency) in money.items()
    }
    ids = {name: names.api_id(record, UUID(group[name])) for name, record in IDS.items() if group.get(name)}
    return {names.api_name(name): value for name, value in (group | ids).items()} | amounts
