"""What revenue reports add up, as SQL whose last CTE is `facts`: postings by what they say of sales and of money. Pure.

By customer, postings are summed up as they are. By line, where a group is a product, what was posted for an order is spread over
its lines by their amounts, cumulatively rounded, so that parts always sum to the whole; what an amendment changed goes to the lines
that it changed. Where it is a seller, only orders are spread of which a line has a seller of its own; where it is a channel, none.
What is of no order, as what of a payment is not allocated, stands by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FIGURES = ("booked", "recognised", "credited", "received", "refunded", "cost")
OF_SALES = frozenset({"booked", "recognised", "credited", "cost"})

SALES = "('REVENUE', 'DEFERRED', 'REFUNDS', 'UNDEFERRED')"
INCOME = "('REVENUE', 'REFUNDS')"
CREDITED = "('REFUNDS', 'UNDEFERRED')"
COST = "('COST')"
REST = "('UNEARNED', 'CREDIT')"
MONEY = "('BANK', 'CLEARING')"
INCOMING = "('BANK', 'CLEARING', 'ARRIVED')"
SETTLING = "('UNEARNED', 'CREDIT', 'EXCHANGE')"
REFUND = f"debit IN {REST} AND credit IN {MONEY}"


def _moved(accounts: str) -> tuple[str, str]:
    """Conditions on a posting that it credits one of the accounts, and that it debits one; what moves among them does neither."""
    credits, debits = (
        f"{one} IN {accounts} AND {other} NOT IN {accounts}"
        for one, other in (("credit", "debit"), ("debit", "credit"))
    )
    return credits, debits


# Which postings, by their accounts, a figure has more by, and which less.
COUNTED = {
    "booked": _moved(SALES),
    "recognised": _moved(INCOME),
    "credited": _moved(CREDITED)[::-1],
    "received": (f"credit IN {REST} AND debit IN {INCOMING}", "false"),
    "refunded": (REFUND, "false"),
    "cost": _moved(COST)[::-1],
    # What an order has got of what was received; it is taken from what is of no order.
    "settled": (
        f"credit = 'RECEIVABLE' AND debit IN {SETTLING} OR {REFUND}",
        f"debit = 'RECEIVABLE' AND credit IN {SETTLING}",
    ),
}
ARRIVED, UNDEFERRED = "ARRIVED", "UNDEFERRED"
# Money that was nobody's arrives over TRANSFER. What else goes over it is no money: from a parent, between merged customers. What a
# credit note takes from DEFERRED is credited; what else is taken from it is recognised, or of an order that changed.
ACCOUNTS = f"""
    CASE WHEN p.debit = 'TRANSFER' AND {{arrives}} THEN '{ARRIVED}'
        WHEN p.debit = 'DEFERRED' AND p.credit IN ('RECEIVABLE', 'CREDIT') AND {{credits}} THEN '{UNDEFERRED}'
        ELSE p.debit END AS debit, p.credit"""
ARRIVES = (
    "r.key = 'received ' || r.source_id AND EXISTS (SELECT FROM payments paid"
    " WHERE paid.customer_id = r.owner_id AND paid.id = r.source_id AND paid.suspense_id IS NOT NULL)"
)
CREDITS = "r.source_type = 'CreditNote'"
ENTRY = "EXISTS (SELECT FROM ledger_entries r WHERE r.owner_id = p.owner_id AND r.id = p.entry_id AND {0})"
BY_ENTRY = ACCOUNTS.format(arrives=ARRIVES.replace("r.", "e."), credits=CREDITS.replace("r.", "e."))
BY_POSTING = ACCOUNTS.format(arrives=ENTRY.format(ARRIVES), credits=ENTRY.format(CREDITS))

ORDER = f"""
    CASE WHEN p.credit IN {REST} AND p.debit IN {MONEY} THEN NULL ELSE coalesce(
        CASE p.credit WHEN 'RECEIVABLE' THEN credited.order_id END, debited.order_id, credited.order_id,
        CASE WHEN p.credit IN {MONEY} THEN payment.order_id END, CASE e.source_type WHEN 'Order' THEN e.source_id END) END"""
DOCUMENTS = """
    JOIN ledger_entries e ON e.owner_id = p.owner_id AND e.id = p.entry_id
    LEFT JOIN open_items debited ON debited.id = p.debit_item_id LEFT JOIN open_items credited ON credited.id = p.credit_item_id
    LEFT JOIN payments payment ON payment.id = debited.payment_id"""


class Spread(Enum):
    """Which orders are spread over their lines: all, those of which a line has a seller of its own, or none."""

    ALL = "true"
    SELLERS = "order_id IN (SELECT order_id FROM order_lines WHERE seller_id IS NOT NULL)"
    NONE = "false"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which postings count: `days` is a condition on the day `{0}`, `currency` on the table `{0}`. `sees_sales`, `sees_money`: of
    all customers; otherwise the template's select `{seen}` says of which, by its columns `customer_id`, `sales` and `money`."""

    days: str
    currency: str
    converts: bool
    sees_sales: bool
    sees_money: bool

    @property
    def sees_all(self) -> bool:
        return self.sees_sales and self.sees_money

    def seen(self, owner: str) -> str:
        return "" if self.sees_all else f"JOIN seen ON seen.customer_id = {owner}"

    def sums(self, *names: str) -> str:
        return ", ".join(f"coalesce(sum({self._value(name)}), 0) AS {name}" for name in names)

    def _value(self, name: str) -> str:
        """What a posting counts for a figure; null where it does not, which costs a sum nothing."""
        more, less = COUNTED[name]
        flag, whole = ("sales", self.sees_sales) if name in OF_SALES else ("money", self.sees_money)
        seen = "" if whole else f"WHEN NOT {flag} THEN NULL "
        return f"CASE {seen}WHEN {more} THEN amount WHEN {less} THEN -amount END"

    @property
    def is_narrow(self) -> bool:
        """Whether some postings of the books do not count."""
        return not (self.sees_all and self.days == self.currency == "true")

    @property
    def moves(self) -> tuple[str, str]:
        """The currency of a posting with what decides on it beside its accounts, and its amount."""
        currency, amount = ("base_currency", "base_amount") if self.converts else ("currency", "amount")
        flags = "" if self.sees_all else ", seen.sales, seen.money"
        return f"p.{currency} AS currency{flags}", f"p.{amount}"

    @property
    def condition(self) -> str:
        # NOT IN is hashed; for NOT EXISTS PostgreSQL takes the few that it expects, and goes through all of them for each posting.
        counts = "p.owner_id NOT IN (SELECT company_id FROM books) AND p.entry_id NOT IN (SELECT id FROM uncounted)"
        return (
            f"p.phase = 'POSTED' AND {counts} AND {self.days.format('p.effective_on')} AND {self.currency.format('p')}"
        )

    @property
    def first(self) -> str:
        """The CTEs that others read: whose figures are seen, and entries of orders in a status that does not count. A cancelled
        one counts, and back on the day of its cancellation: months that are over stay as they were."""
        seen = "" if self.sees_all else "seen AS MATERIALIZED ({seen}), "
        return f"""{seen}uncounted AS MATERIALIZED (
    SELECT e.id, o.id AS order_id FROM orders o JOIN ledger_entries e ON e.source_id = o.id AND e.source_type = 'Order'
    WHERE o.committed AND o.status <> ALL ((SELECT revenue_statuses FROM companies)::text[])
), """


def by_customer(scope: Scope, *keys: str) -> str:
    """The facts with the columns of `keys`: `effective_on`, `customer_id`, both or none."""
    names = {"effective_on": "p.effective_on", "customer_id": "p.owner_id AS customer_id"}
    currency, amount = scope.moves
    columns = ", ".join([*(names[key] for key in keys), currency, BY_POSTING])
    count = len(keys) + (3 if scope.sees_all else 5)
    own = ", ".join([*keys, "currency"])
    return f"""
{scope.first}moves AS MATERIALIZED (
    SELECT {columns}, sum({amount}) AS amount FROM postings p {scope.seen("p.owner_id")}
    WHERE {scope.condition} GROUP BY {_positions(count)}
), facts AS (
    SELECT {own}, {scope.sums(*FIGURES)} FROM moves GROUP BY {own}
)"""


def by_line(scope: Scope, spread: Spread = Spread.ALL) -> str:
    """The facts with order, customer, day, and of orders that are spread product and, where a line has its own, seller."""
    currency, amount = scope.moves
    own = "order_id, customer_id, effective_on, currency"
    whole = f"""
{scope.first}whole AS MATERIALIZED (
    SELECT {own}, {scope.sums(*FIGURES, "settled")}
    FROM (
        SELECT {ORDER} AS order_id, p.owner_id AS customer_id, p.effective_on, {currency}, {BY_ENTRY}, {amount} AS amount
        FROM postings p {scope.seen("p.owner_id")} {DOCUMENTS} WHERE {scope.condition}
        OFFSET 0 -- accounts and order are made out once, not for each figure
    ) moves GROUP BY {own}
)"""
    received = "CASE WHEN order_id IS NULL THEN received ELSE received + settled END"
    # What orders have got of what was received is taken from what is of no order, of their customers on their days.
    unallocated = "SELECT NULL::uuid, customer_id, effective_on, currency, NULL::uuid, NULL::uuid, 0, 0, 0, -settled, 0, 0 FROM whole WHERE order_id IS NOT NULL AND settled <> 0"
    if spread is Spread.NONE:
        return f"""{whole}, facts AS (
    SELECT {own}, NULL::uuid AS product_id, NULL::uuid AS seller_id, booked, recognised, credited, {received} AS received, refunded, cost
    FROM whole UNION ALL {unallocated}
)"""
    of_rest, of_revised = (", ".join(f"{table}.{name}" for name in own.split(", ")) for table in ("rest", "r"))
    shares = ", ".join(f"{_share(f'rest.{name}', name, f'scale(rest.{name})')} AS {name}" for name in FIGURES)
    less = {"booked": "booked", "recognised": "booked", "cost": "cost"}
    rests = ", ".join(
        f"{f'coalesce(w.{name}, 0) - coalesce(r.{less[name]}, 0)' if name in less else received if name == 'received' else name} AS {name}"
        for name in FIGURES
    )
    some = f"{spread.value} AND (customer_id, order_id) IN (SELECT customer_id, order_id FROM rest)"
    lines = _weighted(
        "order_lines", "id", "customer_id, order_id", "seller_id", some if scope.is_narrow else spread.value
    )
    return f"""{whole}, {_revised(scope, spread)}, rest AS MATERIALIZED (
    SELECT {own}, {rests} FROM whole w FULL JOIN (
        SELECT {own}, sum(booked) AS booked, sum(cost) AS cost FROM revised GROUP BY {own}
    ) r USING ({own})
), lines AS MATERIALIZED (
    {lines}
), facts AS (
    SELECT {of_rest}, l.product_id, l.seller_id, {shares}
    FROM rest LEFT JOIN lines l ON l.customer_id = rest.customer_id AND l.order_id = rest.order_id
    UNION ALL {unallocated}
    UNION ALL
    SELECT {of_revised}, r.product_id, l.seller_id, booked, booked, 0, 0, 0, cost
    FROM revised r LEFT JOIN order_lines l ON l.id = r.id
)"""


def _revised(scope: Scope, spread: Spread) -> str:
    """What each line of an order that was amended was booked with, from the day of a revision on until that of the next."""
    currency = "books.currency" if scope.converts else "r.currency"
    rate = " * r.rate" if scope.converts else ""
    net, cost = f"(r.subtotal_amount - r.discount_amount){rate}", f"r.cost_amount{rate}"
    sales = "" if scope.sees_all else "AND seen.sales"
    weighted = _weighted(
        "revenue_lines",
        "line_id",
        "customer_id, order_id, revision",
        "revision",
        "order_id IN (SELECT order_id FROM amended)",
    )
    return f"""amended AS MATERIALIZED (
    SELECT r.*, lead(r.booked_on) OVER (PARTITION BY r.customer_id, r.order_id ORDER BY r.revision) AS until_on
    FROM revenue_records r {scope.seen("r.customer_id")}
    WHERE r.order_id IN (SELECT order_id FROM revenue_records WHERE revision > 1 AND {spread.value})
        AND NOT EXISTS (SELECT FROM uncounted WHERE uncounted.order_id = r.order_id) AND {scope.currency.format("r")} {sales}
), revised_lines AS MATERIALIZED (
    {weighted}
), revised AS MATERIALIZED (
    SELECT r.order_id, r.customer_id, days.day AS effective_on, {currency} AS currency, l.product_id, l.id,
        days.sign * {_share(net, "booked", f"currency_scale({currency})")} AS booked,
        days.sign * {_share(cost, "cost", f"currency_scale({currency})")} AS cost
    FROM amended r JOIN revised_lines l ON l.customer_id = r.customer_id AND l.order_id = r.order_id AND l.revision = r.revision
    CROSS JOIN books CROSS JOIN LATERAL (VALUES (r.booked_on, 1), (r.until_on, -1)) days (day, sign)
    WHERE days.day IS NOT NULL AND {scope.days.format("days.day")}
)"""


def _weighted(table: str, id: str, keys: str, more: str, where: str) -> str:
    """The lines of orders with their weights, and the weights up to each: of amounts, and of costs."""
    cost = "quantity * coalesce(unit_cost_amount, 0)"
    return f"""SELECT customer_id, order_id, {id} AS id, product_id, {more}, row_number() OVER upto AS n,
        line_amount AS weight, sum(line_amount) OVER upto AS upto, sum(line_amount) OVER of_order AS total,
        {cost} AS cost_weight, sum({cost}) OVER upto AS cost_upto, sum({cost}) OVER of_order AS cost_total
    FROM {table} WHERE {where} WINDOW of_order AS (PARTITION BY {keys}), upto AS (of_order ORDER BY {id})"""


def _share(amount: str, figure: str, scale: str) -> str:
    """A line's part of an amount of its order; all of it, where there is no line, or nothing to weigh by, for the first."""
    weight, upto, total = (f"l.{'cost_' if figure == 'cost' else ''}{name}" for name in ("weight", "upto", "total"))
    return (
        f"CASE WHEN {total} IS NULL OR {amount} = 0 THEN {amount} WHEN {total} = 0 THEN {amount} * (l.n = 1)::integer"
        f" ELSE CASE {upto} WHEN {total} THEN round({amount}, {scale}) ELSE round({amount} * {upto} / {total}, {scale}) END"
        f" - CASE {upto} WHEN {weight} THEN 0 ELSE round({amount} * ({upto} - {weight}) / {total}, {scale}) END END"
    )


def _positions(count: int) -> str:
    return ", ".join(map(str, range(1, count + 1)))
