"""What is computed rather than stored, over Python rows: counts, sums, what is owed, margins, the latest activity."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.access.rules import TABLE_OF, Row, Sight

DOCUMENT = "fragment Payload on Event { kind }"
"""What all subscriptions deliver."""

SOLD = {"CONFIRMED", "PROCESSING", "INVOICED", "SHIPPED", "DELIVERED"}
COMMITTED = SOLD | {"UNAVAILABLE"}
DECIMALS = {"JPY": 0, "KWD": 3}
COMPUTED = {
    *(("Order", name) for name in ("paid", "outstanding", "invoiced", "cost", "margin", "revenue")),
    *(("Customer", name) for name in ("orderCount", "currencies", "lastActivityAt", "receivables")),
    *(("Customer", name) for name in ("lifetimeValue", "outstanding", "overdue", "oldestDueOn")),
    *(("Customer", name) for name in ("creditBalance", "unearned")),
    ("Product", "margin"),
    ("User", "salary"),
    ("Allocation", "undone"),
    ("WriteOff", "undone"),
    *(("ContractPayment", name) for name in ("received", "outstanding", "overdue")),
    ("User", "commission"),
    ("CompRule", "productIds"),
    *(("Commission", name) for name in ("attainedBefore", "attainedAfter", "explanation")),
    *(("Invoice", name) for name in ("outstanding", "paid", "paidBefore", "overdue", "credited")),
    ("Instalment", "outstanding"),
    ("CreditNote", "creditLeft"),
    ("Dispute", "outstanding"),
    ("Payment", "unallocated"),
    ("Payment", "refunded"),
    *(("Campaign", name) for name in ("leadCount", "qualifiedCount", "convertedCount", "conversionRate", "wonCount")),
    *(("EventSubscription", name) for name in ("document", "lag")),
    *(("Campaign", name) for name in ("wonRevenue", "costPerLead", "returnOnSpend")),
}


DAY = timedelta(days=1)
FISCAL = (4, 6)
"""When the company's year begins."""

BASE = "KWD"
BUCKETS = ("NOT_DUE", "DAYS_1_TO_30", "DAYS_31_TO_60", "DAYS_61_TO_90", "OVER_90_DAYS")


def rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-DECIMALS.get(currency, 2)), ROUND_HALF_UP)


def money(amount: Decimal | None, currency: str) -> dict[str, str] | None:
    """Money as the API writes it: with the currency's decimals."""
    return None if amount is None else {"amount": format(rounded(amount, currency), "f"), "currency": currency}


def is_of_today(salary: Row) -> bool:
    today, last = datetime.now(UTC).date(), salary["ends_on"]
    return salary["cancelled_at"] is None and salary["starts_on"] <= today and (last is None or last >= today)


class Standings:
    """How people stand in the plan that pays them, day by day; the company's people have attained nothing yet."""

    def __init__(self, rows: dict[str, list[Row]]) -> None:
        self.rows = rows
        self.today = datetime.now(ZoneInfo("Asia/Kathmandu")).date()
        self.rates: dict[str, list[Row]] = defaultdict(list)
        for rate in sorted(rows["fx_rates"], key=lambda row: (row["effective_on"], row["id"])):
            self.rates[rate["currency"]].append(rate)

    def plan(self, person: Any, day: date) -> tuple[Row, Row] | None:
        """The assignment and the version of a day."""
        for held in self.rows["comp_assignments"]:
            if held["user_id"] == person and held["cancelled_at"] is None and _lies(held, day):
                for version in self.rows["comp_plan_versions"]:
                    if version["plan_id"] == held["plan_id"] and version["status"] != "DRAFT" and _lies(version, day):
                        return held, version
        return None

    def of(self, person: Any) -> Any:
        found = self.plan(person, self.today)
        if found is None:
            return None
        held, version = found
        assert version["period"] == "YEAR", "The only one that the company's versions of today have."
        first = last = self.today
        while (first.month, first.day) != FISCAL and self.plan(person, first - DAY) == found:
            first -= DAY
        while ((last + DAY).month, (last + DAY).day) != FISCAL and self.plan(person, last + DAY) == found:
            last += DAY
        rules = [rule for rule in self.rows["comp_rules"] if rule["plan_version_id"] == version["id"]]
        role = "MANAGER" if all(rule["role"] == "MANAGER" for rule in rules) else "OWNER"
        quota = self.quota(person, role, version, held, first, last)
        currency = version["currency"]
        nothing = money(Decimal(0), currency)
        return {
            "startsOn": first.isoformat(),
            "endsOn": last.isoformat(),
            "earned": money(self.earned(person, currency, first, last), currency),
            "attainment": {"amount": nothing, "quota": money(quota, currency), "share": "0.0000" if quota else None},
            "nextTier": self.next_tier(rules, role, quota, currency),
        }

    def quota(self, person: Any, role: str, version: Row, held: Row, first: date, last: date) -> Decimal | None:
        teams = {team["id"] for team in self.rows["teams"] if team["manager_id"] == person}
        whole, found = Fraction(0), False
        for quota in self.rows["quotas"]:
            own = quota["user_id"] == person if role == "OWNER" else quota["team_id"] in teams
            of = [version["attains_measure"], version["attains_basis"], version["currency"]]
            if own and quota["cancelled_at"] is None and [quota["measure"], quota["basis"], quota["currency"]] == of:
                days = (quota["ends_on"] - quota["starts_on"]).days + 1
                for n in range((last - first).days + 1):
                    day = first + n * DAY
                    if quota["starts_on"] <= day <= quota["ends_on"]:
                        found = True
                        percent = _ramped(held, day) if role == "OWNER" else 100
                        whole += Fraction(quota["amount"]) * percent / 100 / days
        return Decimal(whole.numerator) / Decimal(whole.denominator) if found else None

    def earned(self, person: Any, currency: str, first: date, last: date) -> Decimal:
        earned = [row for row in self.rows["commissions"] if row["seller_id"] == person and row["kind"] != "IMPORTED"]
        total = Decimal(0)
        for row in earned:
            if first <= row["earned_on"] <= last:
                one, other = (self.rate(each, row["earned_on"]) for each in (row["currency"], currency))
                if row["currency"] == currency:
                    total += row["amount"]
                elif one and other:
                    total += row["amount"] * one / other
        return total

    def rate(self, currency: str, day: date) -> Decimal | None:
        if currency == BASE:
            return Decimal(1)
        known = [row["rate"] for row in self.rates[currency] if row["effective_on"] <= day]
        return known[-1] if known else None

    def next_tier(self, rules: list[Row], role: str, quota: Decimal | None, currency: str) -> Any:
        found = []
        for rule in rules:
            unit = quota if rule["tier_unit"] == "QUOTA" else Decimal(1)
            if unit is None or (rule["role"] == "MANAGER") != (role == "MANAGER"):
                continue
            for tier in self.rows["comp_tiers"]:
                if tier["rule_id"] == rule["id"] and tier["from_value"] * unit > 0:
                    found.append((rounded(tier["from_value"] * unit, currency), rule["position"], rule, tier))
        if not found:
            return None
        missing, _, rule, tier = min(found, key=lambda each: each[:2])
        return {"rule": rule["name"], "rate": format(tier["rate"], "f"), "missing": money(missing, currency)}


def _lies(row: Row, day: date) -> bool:
    return bool(row["starts_on"] <= day <= (row["ends_on"] or date.max))


def _ramped(held: Row, day: date) -> int:
    """Per cent of the quota on a day."""
    start, months = held["starts_on"], 0
    while _later(start, months + 1) <= day:
        months += 1
    ramp = held["ramp"] or []
    return int(ramp[months]) if months < len(ramp) else 100


def _later(day: date, months: int) -> date:
    """The company's people all start early in a month."""
    return date(day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1, day.day)


class Values:
    """Computed values for one viewer."""

    def __init__(self, rows: dict[str, list[Row]], sight: Sight) -> None:
        self.lines: dict[Any, list[Row]] = defaultdict(list)
        self.received: dict[Any, Decimal] = defaultdict(Decimal)
        self.ahead: dict[tuple[Any, str], Decimal] = defaultdict(Decimal)
        self.owed: dict[tuple[Any, str], Decimal] = defaultdict(Decimal)
        self.over: dict[tuple[Any, str], Decimal] = defaultdict(Decimal)
        self.traded: set[tuple[Any, str]] = set()
        self.under: dict[tuple[str, Any], list[Row]] = defaultdict(list)
        for line in rows["order_lines"]:
            self.lines[line["order_id"]].append(line)
        for payment in rows["payments"]:
            if payment["status"] == "RECEIVED":
                self.received[payment["order_id"]] += payment["amount"]
                if payment["order_id"] is None and sight.sees("Payment", payment):
                    self.ahead[payment["customer_id"], payment["currency"]] += payment["amount"]
                self.traded.add((payment["customer_id"], payment["currency"]))
        for order in rows["orders"]:
            place = order["customer_id"], order["currency"]
            is_booked = order["status"] in SOLD | {"UNAVAILABLE"}
            over = self.received[order["id"]] - (order["total_amount"] if is_booked else 0)
            if sight.sees("Payment", order):  # a customer's credit is seen as the customer's payments are
                self.over[place] += max(over, Decimal(0))
            if not sight.sees("Order", order):
                continue
            self.owed[place] += max(-over, Decimal(0)) if is_booked else 0
            if is_booked:
                self.traded.add(place)
        for kind in ("Order", "Payment", "Interaction", "Ticket"):
            for row in rows[TABLE_OF[kind]]:
                if sight.sees(kind, row):
                    self.under[kind, row["customer_id"]].append(row)
        self.left = left(rows)
        self.refunded: dict[Any, Decimal] = defaultdict(Decimal)
        for refund in rows["refunds"]:
            if refund["status"] == "SUCCEEDED":
                self.refunded[refund["payment_id"]] += refund["amount"]
        self.undone = {row["undoes_id"] for table in ("allocations", "write_offs") for row in rows[table]}
        self.written_off: dict[Any, Decimal] = defaultdict(Decimal)
        for row in rows["write_offs"]:
            amount = row["amount"] if row["undoes_id"] is None else -row["amount"]
            for document in (row["order_id"], row["invoice_id"]):
                self.written_off[document] += amount
        self.paid_before: dict[Any, Decimal] = defaultdict(Decimal)
        for part in rows["instalments"]:
            self.paid_before[part["invoice_id"]] += part["paid_before_amount"]
        order_of = {row["id"]: row["order_id"] for row in rows["invoices"]}
        self.credited: dict[Any, Decimal] = defaultdict(Decimal)
        for note in rows["credit_notes"]:
            self.credited[order_of[note["invoice_id"]]] += note["net_amount"]
        self.campaigns = Campaigns(rows, sight)
        self.standings = Standings(rows)
        self.plan_currency = {row["id"]: row["currency"] for row in rows["comp_plan_versions"]}
        self.contracts = {row["id"]: row["status"] for row in rows["contracts"]}
        self.plans: dict[Any, list[Row]] = defaultdict(list)
        for row in rows["contract_payments"]:
            self.plans[row["contract_id"]].append(row)
        self.settled: dict[tuple[Any, str], Decimal] = defaultdict(Decimal)
        for order in rows["orders"]:
            if order["status"] in SOLD | {"UNAVAILABLE"}:
                paid = min(self.received[order["id"]], order["total_amount"])
                self.settled[order["contract_id"], order["currency"]] += paid
        self.salaries = {row["user_id"]: row for row in rows["salaries"] if is_of_today(row)}
        self.sees_margins = sight.may_filter("Order", "margin")

    def of(self, kind: str, field: str, row: Row, currency: str | None) -> Any:
        if (kind, field) == ("User", "salary"):
            paid = self.salaries.get(row["id"])
            return None if paid is None else money(paid["amount"], paid["currency"])
        if kind == "Product":
            price, cost = row["price_amount"], row["cost_amount"]
            return None if price is None or cost is None else money(price - cost, row["currency"])
        if kind in ("Allocation", "WriteOff"):
            return row["id"] in self.undone
        if kind == "CompRule":
            ids = row["product_ids"]
            return None if ids is None else [f"prd_{id.hex}" for id in ids]
        if kind == "User":
            return self.standings.of(row["id"])
        if kind == "Commission":
            return self.commission(field, row)
        if kind == "ContractPayment":
            return money(self.planned(field, row), row["currency"])
        if kind == "Dispute":
            return money(Decimal(0), row["currency"])  # the books know nothing of the company's disputes
        if kind in ("Invoice", "Instalment", "CreditNote"):
            return money(self.document(field, row), row["currency"])
        if kind == "Payment":
            return money({"unallocated": self.left, "refunded": self.refunded}[field][row["id"]], row["currency"])
        if (kind, field) == ("Order", "revenue"):
            return self.order_revenue(row)
        if kind == "Order":
            return money(getattr(self, f"order_{field}")(row), row["currency"])
        if kind == "EventSubscription":
            return DOCUMENT if field == "document" else 0  # nothing has a position yet
        if kind == "Campaign":
            return getattr(self.campaigns, field)(row, currency or row["currency"])
        return getattr(self, field)(row, currency or row["currency"])

    def document(self, field: str, row: Row) -> Decimal:
        """The books know nothing of the company's invoices: what was paid of one was paid before."""
        if field == "credited":
            return Decimal(row["credited_amount"])
        before = self.paid_before[row["id"]] if field in ("paid", "paidBefore") else Decimal(0)
        return before - self.written_off[row["id"]] if field == "paid" else before

    def commission(self, field: str, row: Row) -> Any:
        if field == "explanation":
            return json.loads(row["parts"] or "[]")
        amount = row[{"attainedBefore": "attained_before", "attainedAfter": "attained_after"}[field]]
        return None if amount is None else money(amount, self.plan_currency[row["plan_version_id"]])

    def order_invoiced(self, order: Row) -> Decimal:
        return Decimal(order["invoiced_amount"])

    def order_paid(self, order: Row) -> Decimal:
        return self.received[order["id"]] - self.written_off[order["id"]]

    def order_outstanding(self, order: Row) -> Decimal:
        if order["status"] not in SOLD:
            return Decimal(0)
        return max(order["total_amount"] - self.received[order["id"]], Decimal(0))

    def order_cost(self, order: Row) -> Decimal | None:
        lines = self.lines[order["id"]]
        if not lines or any(line["unit_cost_amount"] is None for line in lines):
            return None
        costs = [rounded(line["quantity"] * line["unit_cost_amount"], order["currency"]) for line in lines]
        return sum(costs, Decimal(0))

    def order_margin(self, order: Row) -> Decimal | None:
        cost = self.order_cost(order)
        return None if cost is None else order["subtotal_amount"] - order["discount_amount"] - cost

    def planned(self, field: str, payment: Row) -> Decimal:
        """All were due before today."""
        received = self.plan_received(payment)
        if field == "overdue" and self.contracts[payment["contract_id"]] not in ("ACTIVE", "ENDED"):
            return Decimal(0)
        return received if field == "received" else payment["amount"] - received

    def plan_received(self, payment: Row) -> Decimal:
        before = [each["amount"] for each in self.plans[payment["contract_id"]] if each["n"] < payment["n"]]
        left = self.settled[payment["contract_id"], payment["currency"]] - sum(before, Decimal(0))
        return min(max(left, Decimal(0)), payment["amount"])

    def order_revenue(self, order: Row) -> Any:
        """Nothing is deferred here: no product has such a rule."""
        is_booked = order["status"] in SOLD | {"UNAVAILABLE"}
        net = order["subtotal_amount"] - order["discount_amount"] if is_booked else Decimal(0)
        found = {
            "booked": net,
            "recognised": net - self.credited[order["id"]],
            "deferred": Decimal(0),
            "refunded": self.credited[order["id"]],
            "received": self.order_paid(order),
            "outstanding": self.order_outstanding(order),
            "margin": self.order_margin(order) if is_booked else Decimal(0),
        }
        if not self.sees_margins:
            found["margin"] = None
        return {name: money(amount, order["currency"]) for name, amount in found.items()}

    def sold(self, customer: Row, currency: str) -> list[Row]:
        orders = self.under["Order", customer["id"]]
        return [order for order in orders if order["status"] in SOLD and order["currency"] == currency]

    def orderCount(self, customer: Row, _: str) -> int:
        return len(self.under["Order", customer["id"]])

    def lifetimeValue(self, customer: Row, currency: str) -> Any:
        return money(sum((order["total_amount"] for order in self.sold(customer, currency)), Decimal(0)), currency)

    def outstanding(self, customer: Row, currency: str) -> Any:
        owed = (self.order_outstanding(order) for order in self.sold(customer, currency))
        return money(sum(owed, Decimal(0)), currency)

    def overdue(self, customer: Row, currency: str) -> Any:
        return money(Decimal(0), currency)  # nothing has a due day

    def oldestDueOn(self, customer: Row, _: str) -> None:
        return None

    def creditBalance(self, customer: Row, currency: str) -> Any:
        return money(self.over[customer["id"], currency], currency)

    def unearned(self, customer: Row, currency: str) -> Any:
        return money(self.ahead[customer["id"], currency], currency)

    def receivables(self, customer: Row, currency: str) -> Any:
        names = ("outstanding", "overdue", "creditBalance", "unearned")
        found = {name: getattr(self, name)(customer, currency) for name in names}
        found["outstanding"] = money(self.owed[customer["id"], currency], currency)  # orders on hold included
        nothing = money(Decimal(0), currency)
        ageing = [
            {"bucket": each, "amount": found["outstanding"] if each == "NOT_DUE" else nothing} for each in BUCKETS
        ]
        return {**found, "ageing": ageing}

    def kept(self, kind: str, name: str, row: Row, currency: str | None = None) -> Any:
        """A value that records are filtered and ordered by; ... where there is none in the currency."""
        if currency not in (None, row["currency"]) and (kind != "Customer" or (row["id"], currency) not in self.traded):
            return ...
        value = self.of(kind, name, row, currency)
        return None if value is None else Decimal(value["amount"])

    def currencies(self, customer: Row, _: str) -> list[str]:
        return sorted({order["currency"] for order in self.under["Order", customer["id"]]})

    def lastActivityAt(self, customer: Row, _: str) -> Any:
        columns = {
            "Order": "ordered_at",
            "Payment": "received_at",
            "Interaction": "occurred_at",
            "Ticket": "created_at",
        }
        times = [row[column] for kind, column in columns.items() for row in self.under[kind, customer["id"]]]
        return max((time for time in times if time is not None), default=None)


def left(rows: dict[str, list[Row]]) -> dict[Any, Decimal]:
    """What is left of each payment when the books are made: the orders took what they could, in the order of the payments."""
    owed = {order["id"]: order["total_amount"] for order in rows["orders"] if order["status"] in COMMITTED}
    rests: dict[Any, Decimal] = defaultdict(Decimal)
    received = [payment for payment in rows["payments"] if payment["status"] == "RECEIVED"]
    for payment in sorted(received, key=lambda each: (each["received_at"], each["id"])):
        taken = min(payment["amount"], owed.get(payment["order_id"], Decimal(0)))
        owed[payment["order_id"]] = owed.get(payment["order_id"], Decimal(0)) - taken
        rests[payment["id"]] = payment["amount"] - taken
    return rests


class Campaigns:
    """What campaigns came to, counted over the leads and deals that one sees; finance counts every lead, seeing none."""

    def __init__(self, rows: dict[str, list[Row]], sight: Sight) -> None:
        counted = [lead for lead in rows["leads"] if "FINANCE" in sight.roles or sight.sees("Lead", lead)]
        self.leads = [lead for lead in counted if lead["status"] != "MERGED"]
        once = {"QUALIFIED", "CONVERTED"}
        self.qualified = {lead["id"] for lead in self.leads if lead["status"] in once}
        self.qualified |= {move["lead_id"] for move in rows["lead_transitions"] if move["to_status"] in once}
        deals = [deal for deal in rows["opportunities"] if deal["status"] == "WON" and sight.sees("Opportunity", deal)]
        self.won = {deal["id"]: deal for deal in deals}

    def of(self, campaign: Row, *, converted: bool = False) -> list[Row]:
        own = [lead for lead in self.leads if lead["campaign_id"] == campaign["id"]]
        return [lead for lead in own if lead["status"] == "CONVERTED"] if converted else own

    def deals(self, campaign: Row) -> list[Row]:
        ids = {lead["opportunity_id"] for lead in self.of(campaign, converted=True)}
        return [self.won[id] for id in ids if id in self.won]

    def leadCount(self, campaign: Row, _: str) -> int:
        return len(self.of(campaign))

    def qualifiedCount(self, campaign: Row, _: str) -> int:
        return sum(lead["id"] in self.qualified for lead in self.of(campaign))

    def convertedCount(self, campaign: Row, _: str) -> int:
        return len(self.of(campaign, converted=True))

    def conversionRate(self, campaign: Row, _: str) -> str | None:
        leads = self.of(campaign)
        return places(Decimal(100 * self.convertedCount(campaign, _)) / len(leads), 2) if leads else None

    def wonCount(self, campaign: Row, _: str) -> int:
        return len(self.deals(campaign))

    def revenue(self, campaign: Row, currency: str) -> Decimal:
        amounts = (deal["amount"] for deal in self.deals(campaign) if deal["currency"] == currency)
        return sum((amount for amount in amounts if amount is not None), Decimal(0))

    def wonRevenue(self, campaign: Row, currency: str) -> Any:
        return money(self.revenue(campaign, currency), currency)

    def costPerLead(self, campaign: Row, _: str) -> Any:
        spend, leads = campaign["spend_amount"], len(self.of(campaign))
        return None if spend is None or not leads else money(spend / leads, campaign["currency"])

    def returnOnSpend(self, campaign: Row, _: str) -> str | None:
        spend = campaign["spend_amount"]
        return places((self.revenue(campaign, campaign["currency"]) - spend) / spend, 4) if spend else None


def places(number: Decimal, count: int) -> str:
    return format(number.quantize(Decimal(1).scaleb(-count), ROUND_HALF_UP), "f")
