"""What revenue reports add up, as SQL whose last CTE is `facts`: postings by what they say of sales and of money. Pure.

By customer, postings are summed up as they are. By line, where a group is a product, a seller or a channel, what was posted for an
order is spread over its lines by their amounts, cumulatively rounded, so that parts always sum to the whole; what an amendment
changed goes to the lines that it changed. What is of no order, as what of a payment is not allocated, stands by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

FIGURES = ("booked", "recognised", "credited", "received", "refunded", "cost")
OF_SALES = frozenset({"booked", "recognised", "credited", "cost"})

SALES = "('REVENUE', 'DEFERRED', 'REFUNDS')"
INCOME = "('REVENUE', 'REFUNDS')"
CREDITED = "('REFUNDS')"
COST = "('COST')"
REST = "('UNEARNED', 'CREDIT')"
MONEY = "('BANK', 'CLEARING')"
INCOMING = "('BANK', 'CLEARING', 'ARRIVED')"
SETTLING = "('UNEARNED', 'CREDIT', 'EXCHANGE')"
REFUND = f"debit IN {REST} AND credit IN {MONEY}"


def _net(accounts: str) -> str:
    """What was credited to accounts, less what was debited; what moves among them is 0."""
    return f"amount * ((credit IN {accounts})::integer - (debit IN {accounts})::integer)"


VALUES = {
    "booked": _net(SALES),
    "recognised": _net(INCOME),
    "credited": f"-{_net(CREDITED)}",
    "received": f"amount * (credit IN {REST} AND debit IN {INCOMING})::integer",
    "refunded": f"amount * ({REFUND})::integer",
    "cost": f"-{_net(COST)}",
    # What an order has got of what was received; it is taken from what is of no order.
    "settled": f"amount * ((credit = 'RECEIVABLE' AND debit IN {SETTLING} OR {REFUND})::integer"
    f" - (debit = 'RECEIVABLE' AND credit IN {SETTLING})::integer)",
}
ACCOUNTS = """
    CASE WHEN p.debit = 'TRANSFER' AND EXISTS (
        SELECT FROM ledger_entries r JOIN payments paid ON paid.customer_id = r.owner_id AND paid.id = r.source_id AND paid.suspense_id IS NOT NULL
        WHERE r.owner_id = p.owner_id AND r.id = p.entry_id AND r.key = 'received ' || r.source_id
    ) THEN 'ARRIVED' ELSE p.debit END AS debit, p.credit"""
"""Money that was nobody's arrives over TRANSFER. What else goes over it is no money: from a parent, between merged customers."""

ORDER = f"""
    CASE WHEN p.credit IN {REST} AND p.debit IN {MONEY} THEN NULL ELSE coalesce(
        CASE p.credit WHEN 'RECEIVABLE' THEN credited.order_id END, debited.order_id, credited.order_id,
        CASE WHEN p.credit IN {MONEY} THEN payment.order_id END, CASE e.source_type WHEN 'Order' THEN e.source_id END) END"""
DOCUMENTS = """
    JOIN ledger_entries e ON e.owner_id = p.owner_id AND e.id = p.entry_id
    LEFT JOIN open_items debited ON debited.id = p.debit_item_id LEFT JOIN open_items credited ON credited.id = p.credit_item_id
    LEFT JOIN payments payment ON payment.id = debited.payment_id"""


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
        return ", ".join(f"sum({self._value(name)}) AS {name}" for name in names)

    def _value(self, name: str) -> str:
        flag, whole = ("sales", self.sees_sales) if name in OF_SALES else ("money", self.sees_money)
        return VALUES[name] if whole else f"{VALUES[name]} * {flag}::integer"

    @property
    def moves(self) -> tuple[str, ...]:
        """The currency and the amount of a posting, and what decides on it."""
        currency, amount = ("base_currency", "base_amount") if self.converts else ("currency", "amount")
        flags = "" if self.sees_all else ", seen.sales, seen.money"
        return f"p.{currency} AS currency{flags}, {ACCOUNTS}", f"sum(p.{amount}) AS amount"

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
    accounts, amount = scope.moves
    columns = ", ".join([*(names[key] for key in keys), accounts])
    count = len(keys) + (3 if scope.sees_all else 5)
    own = ", ".join([*keys, "currency"])
    return f"""
{scope.first}moves AS MATERIALIZED (
    SELECT {columns}, {amount} FROM postings p {scope.seen("p.owner_id")}
    WHERE {scope.condition} GROUP BY {_positions(count)}
), facts AS (
    SELECT {own}, {scope.sums(*FIGURES)} FROM moves GROUP BY {own}
)"""


def by_line(scope: Scope) -> str:
    """The facts with order, customer, day, product and, where a line has its own, seller."""
    accounts, amount = scope.moves
    count = 3 + (3 if scope.sees_all else 5)
    own = "order_id, customer_id, effective_on, currency"
    of_rest, of_revised = (", ".join(f"{table}.{name}" for name in own.split(", ")) for table in ("rest", "r"))
    spread = ", ".join(f"{_share(f'rest.{name}', name, 'rest.scale')} AS {name}" for name in FIGURES)
    sums = ", ".join(f"sum({name}) AS {name}" for name in FIGURES)
    booked = "(customer_id, order_id) IN (SELECT customer_id, order_id FROM rest)"
    return f"""
{scope.first}moves AS MATERIALIZED (
    SELECT {ORDER} AS order_id, p.owner_id AS customer_id, p.effective_on, {accounts}, {amount}
    FROM postings p {scope.seen("p.owner_id")} {DOCUMENTS}
    WHERE {scope.condition} GROUP BY {_positions(count)}
), whole AS MATERIALIZED (
    SELECT {own}, {scope.sums(*FIGURES, "settled")} FROM moves GROUP BY {own}
), {_revised(scope)}, rest AS MATERIALIZED (
    SELECT {own}, currency_scale(currency) AS scale, {sums} FROM (
        SELECT {own}, booked, recognised, credited, CASE WHEN order_id IS NULL THEN received ELSE received + settled END AS received,
            refunded, cost FROM whole
        UNION ALL
        SELECT NULL, customer_id, effective_on, currency, 0, 0, 0, -settled, 0, 0 FROM whole WHERE order_id IS NOT NULL
        UNION ALL
        SELECT {own}, -booked, -booked, 0, 0, 0, -cost FROM revised
    ) parts GROUP BY {own}
), lines AS MATERIALIZED (
    {_weighted("order_lines", "id", "customer_id, order_id", "seller_id", booked)}
), facts AS (
    SELECT {of_rest}, l.product_id, l.seller_id, {spread}
    FROM rest LEFT JOIN lines l ON l.customer_id = rest.customer_id AND l.order_id = rest.order_id
    UNION ALL
    SELECT {of_revised}, r.product_id, l.seller_id, booked, booked, 0, 0, 0, cost
    FROM revised r LEFT JOIN order_lines l ON l.id = r.id
)"""


def _revised(scope: Scope) -> str:
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
    WHERE r.order_id IN (SELECT order_id FROM revenue_records WHERE revision > 1)
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
        f" ELSE round({amount} * {upto} / {total}, {scale}) - round({amount} * ({upto} - {weight}) / {total}, {scale}) END"
    )


def _positions(count: int) -> str:
    return ", ".join(map(str, range(1, count + 1)))
