"""What a customer owes and has, as the books say: summed up from open items to be shown, and kept in standings to filter and
order by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry

from crmgql import access
from crmgql.domain.money.ageing import FIRST_DAYS, AgeingBucket
from crmgql.engine import declare
from crmgql.engine.strawberries import Field, lazy, list_of, object_type, publish
from crmgql.planner import codecs
from crmgql.planner.metadata import Amount, Kept, Sums, Value
from crmgql.sql import ast
from crmgql.viewer import Who

NEEDS = ("id", "currency")
ITEM = "item"
Build = Callable[[Who, str, ast.Expr], tuple[ast.Expr, ...]]
DUE_ON = ast.Col(ITEM, "due_on")
TODAY = ast.Subquery(ast.Select(((ast.Func("company_today", ()), "today"),)))
OVERDUE = ast.Op(DUE_ON, "<", TODAY)

publish("AgeingBucket", strawberry.enum(AgeingBucket))
object_type(
    "AgeingAmount",
    [Field("bucket", lazy("AgeingBucket")), Field("amount", lazy("Money"))],
    "What is owed and as long due as the bucket says.",
)
object_type(
    "CustomerReceivables",
    [
        Field("outstanding", lazy("Money"), "What the customer owes."),
        Field("overdue", lazy("Money"), "What of it was due before today."),
        Field("creditBalance", lazy("Money"), "What the customer may use or get back."),
        Field("unearned", lazy("Money"), "What of payments is not allocated yet."),
        Field("ageing", list_of(lazy("AgeingAmount")), "What the customer owes, by how long it is due: all buckets."),
    ],
    "What a customer owes and has in one currency.",
)


def zero(currency: ast.Expr) -> ast.Expr:
    """0, 0.00 or 0.000, as the currency is written."""
    return ast.Func("round", (ast.Cast(ast.Num(0), "numeric"), ast.Func("currency_scale", (currency,))))


def _seen(*records: str) -> Callable[[Who, str], ast.Expr]:
    """The condition that the viewer sees what such records of the customer come to: a row with the `customer_id`."""
    return lambda who, t: ast.all_of([access.rows(record, who, t, trusted=True) for record in records])


OWED = _seen("Order", "Payment")
PAID = _seen("Payment")
SOLD = _seen("Order")


def kept(column: str, seen: Callable[[Who, str], ast.Expr], *, nullable: bool = False) -> Kept:
    return Kept("customer_standings", "customer_id", column, seen, nullable)


def _items(seen: ast.Expr, t: str, currency: ast.Expr, purposes: Sequence[str]) -> tuple[ast.Table, ast.Expr]:
    """The customer's open items of some purposes in a currency."""
    is_one = [ast.eq(ast.Col(ITEM, "purpose"), ast.Text(each)) for each in purposes]
    own = [
        ast.eq(ast.Col(ITEM, "owner_id"), ast.Col(t, "id")),
        ast.eq(ast.Col(ITEM, "currency"), currency),
        ast.Op(ast.Col(ITEM, "open"), ">", ast.Num(0)),
    ]
    return ast.Table("open_items", ITEM), ast.all_of([ast.any_of(is_one), *own, seen])


def _counts(t: str) -> ast.Expr:
    """The condition that an item is of no order on hold: what is booked of such an order does not count for the time being."""
    held = ast.Select(
        ((ast.Col("held", "id"), "id"),),
        ast.Table("orders", "held"),
        where=ast.all_of(
            [
                ast.eq(ast.Col("held", "customer_id"), ast.Col(t, "id")),
                ast.eq(ast.Col("held", "status"), ast.Text("UNAVAILABLE")),
            ]
        ),
    )
    order_id = ast.Col(ITEM, "order_id")
    return ast.any_of([ast.IsNull(order_id), ast.Not(ast.AnyOf(order_id, ast.ArrayOf(held)))])


def _open(currency: ast.Expr, where: ast.Expr | None = None) -> ast.Expr:
    """What is open of items under the alias `item`."""
    return ast.Func("coalesce", (ast.Aggregate("sum", (ast.Col(ITEM, "open"),), where=where), zero(currency)))


def _amount(
    purpose: str, seen: Callable[[Who, str], ast.Expr], column: str, doc: str, where: ast.Expr = ast.TRUE
) -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        items, own = _items(seen(who, ITEM), t, currency, [purpose])
        counts = _counts(t) if purpose == "RECEIVABLE" else ast.TRUE
        select = ast.Select(((_open(currency), "amount"),), items, where=ast.all_of([own, where, counts]))
        return ast.Subquery(select), currency

    return _declared(build, doc, kept(column, seen))


def _declared(build: Build, doc: str, kept: Kept) -> Any:
    doc = f"{doc} in one currency, by default the customer's own."
    return declare.derived(build, None, doc, nullable=True, needs=NEEDS, currency_argument=True, kept=kept)


def outstanding() -> Any:
    """What is open of each order, less the credit that names it, as it is of the order itself."""

    def build(who: Who, t: str, currency: ast.Expr) -> tuple[ast.Expr, ...]:
        items, own = _items(OWED(who, ITEM), t, currency, ["RECEIVABLE", "CREDIT"])
        order_id = ast.Col(ITEM, "order_id")
        by_order = ast.Select(
            (
                (order_id, "order_id"),
                (_open(currency, ast.eq(ast.Col(ITEM, "purpose"), ast.Text("RECEIVABLE"))), "owed"),
                (_open(currency, ast.eq(ast.Col(ITEM, "purpose"), ast.Text("CREDIT"))), "credit"),
            ),
            items,
            where=ast.all_of([own, _counts(t)]),
            group_by=(order_id,),
        )
        owed = ast.Col("sums", "owed")
        left = ast.Func("greatest", (ast.Op(owed, "-", ast.Col("sums", "credit")), zero(currency)))
        part = ast.Case(ast.IsNull(ast.Col("sums", "order_id")), owed, left)
        total = ast.Func("coalesce", (ast.Func("sum", (part,)), zero(currency)))
        return ast.Subquery(ast.Select(((total, "amount"),), ast.Derived(by_order, "sums"))), currency

    doc = "What is still unpaid of confirmed and later orders, except those on hold and what credit for an order covers of it,"
    return _declared(build, doc, kept("outstanding", OWED))


def overdue() -> Any:
    doc = "What was due before today and is still unpaid"
    return _amount("RECEIVABLE", OWED, "overdue", doc, OVERDUE)


def credit_balance() -> Any:
    return _amount("CREDIT", PAID, "credit_balance", "What the customer may use or get back")


def unearned() -> Any:
    return _amount("UNEARNED", PAID, "unearned", "What of payments is not allocated yet")


def oldest_due_on() -> Any:
    def build(who: Who, t: str, _: ast.Expr) -> tuple[ast.Expr, ...]:
        items, own = _items(OWED(who, ITEM), t, ast.Col(t, "currency"), ["RECEIVABLE"])
        first = ast.Func("min", (DUE_ON,))
        select = ast.Select(((first, "due_on"),), items, where=ast.all_of([own, _counts(t)]))
        return (ast.Subquery(select),)

    return declare.derived(
        build,
        codecs.DATE,
        "The first day on which something was, or is, due of what is unpaid in the customer's own currency.",
        nullable=True,
        needs=NEEDS,
        kept=kept("oldest_due_on", OWED, nullable=True),
    )


def receivables() -> Any:
    def build(who: Who, t: str, currency: ast.Expr) -> Sums:
        items, own = _items(OWED(who, ITEM), t, currency, ["RECEIVABLE", "CREDIT", "UNEARNED"])
        is_owed = ast.eq(ast.Col(ITEM, "purpose"), ast.Text("RECEIVABLE"))
        columns = {
            "outstanding": _open(currency, is_owed),
            "overdue": _open(currency, ast.all_of([is_owed, OVERDUE])),
            "creditBalance": _open(currency, ast.eq(ast.Col(ITEM, "purpose"), ast.Text("CREDIT"))),
            "unearned": _open(currency, ast.eq(ast.Col(ITEM, "purpose"), ast.Text("UNEARNED"))),
        }
        columns |= {bucket: _open(currency, ast.all_of([is_owed, _in(bucket)])) for bucket in AgeingBucket}
        row = ast.Select(tuple((value, name) for name, value in columns.items()), items, where=own)
        amounts = {name: Amount(ast.Col("sums", name), currency) for name in columns}
        ageing: tuple[dict[str, Value], ...] = tuple(
            {"bucket": ast.Text(f'"{each}"'), "amount": amounts[each]} for each in AgeingBucket
        )
        return Sums(ast.Derived(row, "sums"), {**amounts, "ageing": ageing})

    doc = (
        "What the customer owes and has in one currency, by default the customer's own: as the books say, with what is owed for"
        " orders on hold."
    )
    return declare.summary("CustomerReceivables", build, doc, needs=NEEDS, currency_argument=True)


def _in(bucket: AgeingBucket) -> ast.Expr:
    """The condition that an item is in a bucket today."""
    number = list(AgeingBucket).index(bucket)
    days = ast.Op(TODAY, "-", DUE_ON)
    if bucket is AgeingBucket.NOT_DUE:
        return ast.any_of([ast.IsNull(DUE_ON), ast.Op(DUE_ON, ">=", TODAY)])
    from_day = ast.Op(days, ">=", ast.Num(FIRST_DAYS[number - 1]))
    if number == len(FIRST_DAYS):
        return from_day
    return ast.all_of([from_day, ast.Op(days, "<", ast.Num(FIRST_DAYS[number]))])
