"""Revenue by month, product, seller and so on: against what the orders and payments are, and never more than one may see."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.access import roles
from crmgql.domain.money import allocations, credit_notes, families, invoices, payments, revenue_reports, suspense
from crmgql.domain.sales import deferrals, orders, revenue
from crmgql.domain.sales.orders import Line
from crmgql.engine.operations import Engine, Request
from crmgql.errors import CrmError
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Item, Posting
from crmgql.models import Purpose
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who, system
from tests.conftest import NOW, viewer
from tests.domain import work

FIGURES = ("booked", "recognised", "credited", "received", "refunded", "cost", "margin")
KEYS = {
    "MONTH": "month",
    "QUARTER": "quarter",
    "CUSTOMER": "customer",
    "REGION": "region",
    "STATE": "state",
    "PRODUCT": "product",
    "CATEGORY": "category",
    "SELLER": "seller",
    "DEPARTMENT": "department",
    "CHANNEL": "channel",
}
QUERY = """query($by: [RevenueGrouping!], $since: Date, $until: Date, $currency: CurrencyCode, $to: RevenueConversion, $first: Int) {
  revenue(groupBy: $by, since: $since, until: $until, currency: $currency, convertTo: $to, first: $first) {
    convertedTo conversion hasMore groups { month quarter customerId customer region state productId product category
      sellerId seller departmentId department channel currency booked { ...M } recognised { ...M } credited { ...M }
      received { ...M } refunded { ...M } cost { ...M } margin { ...M } } } }
fragment M on Money { amount currency }"""
RATE = (
    "INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source) VALUES ('EUR', 'USD', $1, 1.17, 'TEST')"
)
ADMIN = viewer(UUID(int=0), "ADMIN")
Groups = dict[tuple[Any, ...], dict[str, Decimal]]


async def ask(engine: Engine, who: Viewer = ADMIN, **variables: Any) -> Any:
    return json.loads(await engine.answer(Request(QUERY, None, variables), who))


async def groups(engine: Engine, *by: str, who: Viewer = ADMIN, **variables: Any) -> Groups:
    """The figures by key and currency; one that is hidden is not there."""
    answer = await ask(engine, who, by=list(by), **variables)
    assert "errors" not in answer, answer
    found: Groups = {}
    for group in answer["data"]["revenue"]["groups"]:
        shown = {name: group[name] for name in FIGURES if group[name] is not None}
        assert {each["currency"] for each in shown.values()} == {group["currency"]}
        key = (*(group[KEYS[name]] for name in by), group["currency"])
        assert key not in found
        found[key] = {name: Decimal(each["amount"]) for name, each in shown.items()}
    return found


def some(figures: Mapping[str, Decimal]) -> dict[str, str]:
    """Those that are not zero, as they are written."""
    return {name: str(amount) for name, amount in figures.items() if amount}


def added(found: Groups) -> dict[str, dict[str, Decimal]]:
    """The sums by currency."""
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for key, figures in found.items():
        for name, amount in figures.items():
            sums[key[-1]][name] += amount
    return sums


class Shop:
    """Two sellers in two teams, three customers, three products."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection, engine: Engine) -> None:
        self.crm, self.database, self.engine, self.now = crm, database, engine, NOW

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[Act]:
        async with self.crm.transaction() as tx:
            yield Act(tx, system(lambda: self.now))

    async def open(self) -> Shop:
        self.north = await work.insert(self.database, "teams", name="North")
        self.ann = await work.user(self.database, "Ann", team_id=self.north)
        self.bob = await work.user(self.database, "Bob")
        places = (
            ("Acme", self.ann, "EMEA", "Bavaria"),
            ("Best", self.bob, "EMEA", None),
            ("Core", self.bob, None, "Bahia"),
        )
        self.customers = [
            await work.insert(
                self.database, "customers", name=name, currency="USD", owner_id=owner, region=region, state=state
            )
            for name, owner, region, state in places
        ]
        self.products = [
            await work.insert(
                self.database, "products", name=name, category=category, cost_amount=Decimal(cost), currency="USD"
            )
            for name, category, cost in (
                ("Anvil", "Tools", "4.00"),
                ("Hammer", "Tools", "0.50"),
                ("Paint", None, "1.05"),
            )
        ]
        await self.database.execute(RATE, date(2020, 1, 1))
        return self

    def line(self, price: str, product: int | None = None, currency: str = "USD") -> Line:
        return Line(
            Decimal(1),
            product_id=None if product is None else self.products[product],
            description="Thing",
            unit_price=(Decimal(price), currency),
        )

    async def sell(
        self, *lines: Line, customer: int = 0, seller: UUID | None = None, currency: str = "USD", **more: Any
    ) -> UUID:
        async with self.acting() as act:
            id = await orders.create(
                act,
                customer_id=self.customers[customer],
                lines=list(lines),
                currency=currency,
                seller_id=seller or self.ann,
                **more,
            )
            await orders.move(act, "confirm", id=id)
            return id

    async def pay(
        self, amount: str, *, order: UUID | None = None, customer: int = 0, currency: str = "USD", **more: Any
    ) -> UUID:
        async with self.acting() as act:
            customer_id = None if order else self.customers[customer]
            sent = (Decimal(amount), currency)
            return await payments.record(
                act, amount=sent, method="CASH", order_id=order, customer_id=customer_id, **more
            )

    async def amend(self, order: UUID, line: UUID, price: str) -> None:
        """Another price of a line of a committed order, as an import makes it."""
        async with self.acting() as act:
            await act.tx.connection.execute(
                "UPDATE order_lines SET unit_price_amount = $2, line_amount = round(quantity * $2, 2) - discount_amount WHERE id = $1",
                line,
                Decimal(price),
            )
            await act.tx.connection.execute(
                "UPDATE orders SET subtotal_amount = n, total_amount = n + shipping_amount + tax_amount - discount_amount"
                " FROM (SELECT sum(line_amount) AS n FROM order_lines WHERE order_id = $1) s WHERE id = $1",
                order,
            )
            await revenue.follow(act, [order], on=act.today)

    async def post(self, *entries: Entry) -> None:
        async with self.acting() as act:
            await book.post(act, entries)


@pytest.fixture
async def shop(crm: db.Database, database: asyncpg.Connection, engine: Engine) -> Shop:
    return await Shop(crm, database, engine).open()


async def test_an_order_that_is_paid_in_part(shop: Shop, engine: Engine) -> None:
    order = await shop.sell(shop.line("10.00", 0), tax=(Decimal("2.00"), "USD"))
    await shop.pay("7.00", order=order)
    figures = {"booked": "10.00", "recognised": "10.00", "received": "7.00", "cost": "4.00", "margin": "6.00"}
    names = ("2026-11", "2026-Q4", "Acme", "EMEA", "Bavaria", "Anvil", "Tools", "Ann", "North", None)
    for by, name in zip(KEYS, names, strict=True):
        assert {key: some(each) for key, each in (await groups(engine, by)).items()} == {(name, "USD"): figures}
    assert {key: some(each) for key, each in (await groups(engine)).items()} == {("USD",): figures}


async def test_discounts_and_receipts_are_spread_to_the_cent(shop: Shop, engine: Engine) -> None:
    lines = [shop.line("10.00", 0), shop.line("10.00", 1), shop.line("10.00", 2)]
    order = await shop.sell(*lines, discount=(Decimal("0.01"), "USD"))
    await shop.pay("20.00", order=order)
    found = await groups(engine, "PRODUCT")
    assert [some(found[name, "USD"]) for name in ("Anvil", "Hammer", "Paint")] == [
        {"booked": "10.00", "recognised": "10.00", "received": "6.67", "cost": "4.00", "margin": "6.00"},
        {"booked": "9.99", "recognised": "9.99", "received": "6.66", "cost": "0.50", "margin": "9.49"},
        {"booked": "10.00", "recognised": "10.00", "received": "6.67", "cost": "1.05", "margin": "8.95"},
    ]


async def test_an_amendment_goes_to_the_line_that_it_changed(shop: Shop, engine: Engine) -> None:
    order = await shop.sell(shop.line("10.00", 0), shop.line("20.00", 1))
    line = await shop.database.fetchval("SELECT id FROM order_lines WHERE product_id = $1", shop.products[1])
    shop.now = datetime(2026, 12, 5, 12, tzinfo=NOW.tzinfo)
    await shop.amend(order, line, "26.00")
    found = await groups(engine, "MONTH", "PRODUCT")
    assert {key: some(each)["booked"] for key, each in found.items()} == {
        ("2026-11", "Anvil", "USD"): "10.00",
        ("2026-11", "Hammer", "USD"): "20.00",
        ("2026-12", "Hammer", "USD"): "6.00",
    }
    shop.now = datetime(2027, 1, 5, 12, tzinfo=NOW.tzinfo)
    async with shop.acting() as act:
        await orders.move(act, "cancel", id=order)
    found = await groups(engine, "PRODUCT", since="2027-01-01")
    assert {key: some(each)["booked"] for key, each in found.items()} == {
        ("Anvil", "USD"): "-10.00",
        ("Hammer", "USD"): "-26.00",
    }
    assert await groups(engine, "PRODUCT") == {}


async def test_a_line_has_a_seller_of_its_own(shop: Shop, engine: Engine) -> None:
    await shop.sell(shop.line("10.00", 0), shop.line("20.00", 1))
    await shop.database.execute("UPDATE order_lines SET seller_id = $1 WHERE line_amount = 20", shop.bob)
    found = await groups(engine, "SELLER", "DEPARTMENT")
    assert {key: some(each)["booked"] for key, each in found.items()} == {
        ("Bob", None, "USD"): "20.00",
        ("Ann", "North", "USD"): "10.00",
    }


async def test_what_was_amended_of_a_line_is_its_sellers(shop: Shop, engine: Engine) -> None:
    """Orders without lines of other sellers are not spread over theirs."""
    order = await shop.sell(shop.line("10.00", 0), shop.line("20.00", 1))
    own = await shop.sell(shop.line("4.00", 0), shop.line("5.00", 1))
    await shop.database.execute("UPDATE order_lines SET seller_id = $1 WHERE line_amount = 20", shop.bob)
    for id, product, price in ((order, 1, "26.00"), (own, 0, "6.00")):
        line = await shop.database.fetchval(
            "SELECT id FROM order_lines WHERE order_id = $1 AND product_id = $2", id, shop.products[product]
        )
        await shop.amend(id, line, price)
    await shop.pay("36.00", order=order)
    for by in ("SELLER", "DEPARTMENT"):
        found = await groups(engine, by)
        assert [(str(each["booked"]), str(each["received"])) for each in found.values()] == [
            ("26.00", "26.00"),
            ("21.00", "10.00"),
        ]
    assert [str(each["booked"]) for each in (await groups(engine, "SELLER", "PRODUCT")).values()] == [
        "26.00",
        "16.00",
        "5.00",
    ]


async def test_a_channel_is_that_of_the_deals_lead_or_the_customers(shop: Shop, engine: Engine) -> None:
    stage = await shop.database.fetchval("SELECT id FROM stages ORDER BY position LIMIT 1")
    deal = await work.insert(shop.database, "opportunities", name="Deal", stage_id=stage, customer_id=shop.customers[0])
    campaign = await work.insert(shop.database, "campaigns", name="Autumn", channel="SEARCH")
    known: dict[str, Any] = {"status": "CONVERTED", "converted_at": NOW, "now": NOW}
    await work.lead(shop.database, opportunity_id=deal, customer_id=shop.customers[0], campaign_id=campaign, **known)
    await work.lead(shop.database, customer_id=shop.customers[1], lead_source="FAIR", **known)
    await shop.sell(shop.line("10.00"), opportunity_id=deal)
    await shop.sell(shop.line("20.00"), customer=1)
    await shop.pay("5.00", customer=1)
    await shop.sell(shop.line("30.00"), customer=2)
    assert {key[0]: some(each) for key, each in (await groups(engine, "CHANNEL")).items()} == {
        None: {"booked": "30.00", "recognised": "30.00", "margin": "30.00"},
        "FAIR": {"booked": "20.00", "recognised": "20.00", "received": "5.00", "margin": "20.00"},
        "SEARCH": {"booked": "10.00", "recognised": "10.00", "margin": "10.00"},
    }


def entry(
    shop: Shop, key: str, posting: Posting, *, order: UUID | None = None, customer: int = 0, **more: Any
) -> Entry:
    source = ("Order", order) if order else ("Customer", shop.customers[customer])
    values = {"source": source, "effective_on": NOW.date(), "customer_id": shop.customers[customer], **more}
    return Entry(kind="by hand", key=key, postings=[posting], **values)


def usd(source: Account, target: Account, amount: str) -> Posting:
    return Posting(source, target, "USD", Decimal(amount), Decimal(amount))


async def test_what_is_deferred_credited_and_paid_back(shop: Shop, engine: Engine) -> None:
    """As refunds, credit notes and recognition post it."""
    order = await shop.sell(shop.line("10.00", 0), shop.line("30.00", 1))
    receivable = Account(
        Purpose.RECEIVABLE, await shop.database.fetchval("SELECT id FROM open_items WHERE order_id = $1", order)
    )
    credit = Item(Purpose.CREDIT, "USD", order_id=order)
    bank, earned = Account(Purpose.BANK), Account(Purpose.REVENUE)
    await shop.post(
        entry(shop, "deferred", usd(Account(Purpose.DEFERRED), earned, "20.00"), order=order),
        entry(shop, "note", usd(receivable, Account(Purpose.REFUNDS), "4.00"), order=order),
        entry(shop, "paid", usd(credit.account, bank, "6.00"), items=[credit]),
        entry(shop, "settled", usd(receivable, credit.account, "1.00")),
        entry(shop, "paid back", usd(bank, credit.account, "5.00")),
    )
    whole = {
        "booked": "36.00",
        "recognised": "16.00",
        "credited": "4.00",
        "received": "6.00",
        "refunded": "5.00",
        "cost": "4.50",
        "margin": "11.50",
    }
    assert {key: some(each) for key, each in (await groups(engine)).items()} == {("USD",): whole}
    assert {key: some(each) for key, each in (await groups(engine, "SELLER")).items()} == {("Ann", "USD"): whole}
    found = await groups(engine, "PRODUCT")
    assert {key: some(each)["recognised"] for key, each in found.items()} == {
        ("Anvil", "USD"): "4.00",
        ("Hammer", "USD"): "12.00",
    }


async def test_what_is_credited_before_it_is_earned_is_credited_too(shop: Shop, engine: Engine) -> None:
    """Of 120.00 over a year 10.00 is earned: of 115.00 that a credit note takes back, 110.00 was to be earned later."""
    yearly = {"recognition": "OVER_TIME", "recognition_months": 12, "cost_amount": None, "currency": "USD"}
    shop.products[0] = await work.insert(shop.database, "products", name="Support", **yearly)
    order = await shop.sell(shop.line("120.00", 0), tax=(Decimal("12.00"), "USD"))
    async with shop.acting() as act:
        invoice = await invoices.issue(act, id=await invoices.create(act, order_id=order))
    shop.now = datetime(2026, 12, 2, 12, tzinfo=NOW.tzinfo)
    async with shop.acting() as act:
        await deferrals.recognise_due(act, most=10)
    earned = some((await groups(engine))["USD",])["recognised"]
    async with shop.acting() as act:
        (line,) = await act.tx.connection.fetch("SELECT id FROM invoice_lines")
        returned = credit_notes.Returned(line["id"], net=(Decimal("115.00"), "USD"))
        await credit_notes.issue(act, invoice_id=invoice, lines=[returned], reason="Ended early")
    deferred = Decimal("120.00") - Decimal(earned)
    left = str(Decimal(earned) - max(Decimal("115.00") - deferred, Decimal(0)))
    expected = {"booked": "5.00", "recognised": left, "credited": "115.00", "margin": left}
    assert {key: some(each) for key, each in (await groups(engine)).items()} == {("USD",): expected}
    assert {key: some(each) for key, each in (await groups(engine, "PRODUCT")).items()} == {
        ("Support", "USD"): expected
    }


async def test_money_over_transfer_counts_where_it_arrives(shop: Shop, engine: Engine) -> None:
    """Of nobody's money that was assigned, not of what a parent passes on; that settles the subsidiary's order."""
    acme, best, _ = shop.customers
    await shop.database.execute("UPDATE customers SET parent_id = $2 WHERE id = $1", best, acme)
    order = await shop.sell(shop.line("5.00", 0), customer=1)
    async with shop.acting() as act:
        receipt = await suspense.receive(act, amount=(Decimal("9.00"), "USD"), method="CASH")
        await suspense.assign(act, id=receipt, customer_id=acme)
    payment = await shop.database.fetchval("SELECT id FROM payments")
    async with shop.acting() as act:
        await families.allocate(act, id=payment, order_id=order, amount=(Decimal("4.00"), "USD"))
    sold = {"booked": "5.00", "recognised": "5.00", "cost": "4.00", "margin": "1.00"}
    assert {key[0]: some(each) for key, each in (await groups(engine, "CUSTOMER")).items()} == {
        "Acme": {"received": "9.00"},
        "Best": sold,
    }
    found = await groups(engine, "PRODUCT")
    assert some(found["Anvil", "USD"]) == sold | {"received": "4.00"}
    assert some(found[None, "USD"]) == {"received": "5.00"}


async def test_currencies_are_never_mixed(shop: Shop, engine: Engine) -> None:
    await shop.sell(shop.line("10.00", 0))
    await shop.sell(shop.line("20.00", 1, "EUR"), shop.line("10.03", None, "EUR"), currency="EUR")
    found = await groups(engine, "MONTH")
    assert {key: str(each["booked"]) for key, each in found.items()} == {
        ("2026-11", "EUR"): "30.03",
        ("2026-11", "USD"): "10.00",
    }
    assert list(await groups(engine, "MONTH", currency="EUR")) == [("2026-11", "EUR")]
    assert list(await groups(engine, "PRODUCT", currency="EUR")) == [("Hammer", "EUR"), (None, "EUR")]
    base = await groups(engine, "PRODUCT", to="BASE")
    assert {key: str(each["booked"]) for key, each in base.items()} == {
        ("Hammer", "USD"): "23.40",
        (None, "USD"): "11.74",
        ("Anvil", "USD"): "10.00",
    }
    answer = (await ask(engine, to="BASE"))["data"]["revenue"]
    assert (answer["convertedTo"], "rate" in answer["conversion"]) == ("USD", True)
    assert [each["booked"] for each in answer["groups"]] == [{"amount": "45.14", "currency": "USD"}]


async def test_days_are_the_companys_and_both_included(shop: Shop, engine: Engine) -> None:
    await shop.pay("1.00", received_at=datetime(2026, 1, 31, 23, tzinfo=NOW.tzinfo))
    await shop.pay("2.00", received_at=datetime(2026, 2, 1, 0, tzinfo=NOW.tzinfo))
    await shop.pay("4.00", received_at=datetime(2026, 4, 1, 0, tzinfo=NOW.tzinfo))

    async def received(*by: str, **days: Any) -> dict[Any, str]:
        return {key[0]: str(each["received"]) for key, each in (await groups(engine, *by, **days)).items()}

    assert await received("MONTH") == {"2026-01": "1.00", "2026-02": "2.00", "2026-04": "4.00"}
    assert await received("QUARTER") == {"2026-Q1": "3.00", "2026-Q2": "4.00"}
    for by in ("CUSTOMER", "SELLER"):
        assert list((await received(by, since="2026-02-01", until="2026-04-01")).values()) == ["6.00"]
        assert list((await received(by, since="2026-02-02", until="2026-03-31")).values()) == []
        assert list((await received(by, until="2026-01-31")).values()) == ["1.00"]


async def test_so_many_groups_at_most(shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for customer, price in enumerate(("20.00", "30.00", "10.00")):
        await shop.sell(shop.line(price), customer=customer)
    assert list(await groups(engine, "CUSTOMER", first=2)) == [("Best", "USD"), ("Acme", "USD")]
    assert (await ask(engine, by=["CUSTOMER"], first=2))["data"]["revenue"]["hasMore"] is True
    assert (await ask(engine, by=["CUSTOMER"], first=3))["data"]["revenue"]["hasMore"] is False
    monkeypatch.setattr(revenue_reports, "MOST_GROUPS", 2)
    (error,) = (await ask(engine, by=["CUSTOMER"]))["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", "groupBy")
    for wrong in ({"first": 0}, {"first": 3}, {"since": "2026-02-02", "until": "2026-02-01"}):
        (error,) = (await ask(engine, **wrong))["errors"]
        assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", list(wrong)[-1])


async def test_only_statuses_and_products_that_count(shop: Shop, engine: Engine) -> None:
    """Money that came in counts in any case."""
    held = await shop.sell(shop.line("10.00", 0), shop.line("20.00", 1))
    await shop.sell(shop.line("1.00", 0), shop.line("2.00", 1))
    await shop.pay("30.00", order=held)
    async with shop.acting() as act:
        await orders.move(act, "hold", id=held)
    for by in ([], ["MONTH"], ["CATEGORY"], ["SELLER"]):
        assert [(str(each["booked"]), str(each["received"])) for each in (await groups(engine, *by)).values()] == [
            ("3.00", "30.00")
        ]
    statuses = ["CONFIRMED", "UNAVAILABLE"]
    await shop.database.execute("UPDATE companies SET revenue_statuses = $1", statuses)
    assert [str(each["booked"]) for each in (await groups(engine)).values()] == ["33.00"]
    await shop.database.execute("UPDATE products SET counts_as_revenue = false WHERE id = $1", shop.products[0])
    for by in ([], ["MONTH"], ["CATEGORY"], ["SELLER"], ["CUSTOMER"]):
        assert [(str(each["booked"]), str(each["received"])) for each in (await groups(engine, *by)).values()] == [
            ("22.00", "30.00")
        ]
    found = await groups(engine, "PRODUCT")
    assert {key: (str(each["booked"]), str(each["received"])) for key, each in found.items()} == {
        ("Anvil", "USD"): ("0.00", "10.00"),
        ("Hammer", "USD"): ("22.00", "20.00"),
    }


# Who sees what


async def test_only_what_one_sees_counts(shop: Shop, engine: Engine) -> None:
    boss = await work.user(shop.database, "Boss", roles=["MANAGER"])
    await shop.database.execute("UPDATE teams SET manager_id = $1", boss)
    for customer in range(3):
        order = await shop.sell(shop.line("10.00", customer), shop.line("5.00"), customer=customer, seller=shop.bob)
        await shop.pay("20.00", order=order)
    everything = await groups(engine, "CUSTOMER")
    assert len(everything) == 3
    seen = {
        viewer(shop.ann, "SELLER"): {"Acme"},
        viewer(boss, "MANAGER"): {"Acme"},
        viewer(shop.bob, "SELLER"): {"Best", "Core"},
        viewer(UUID(int=9), "SELLER"): set(),
        viewer(UUID(int=9), "FINANCE"): {"Acme", "Best", "Core"},
    }
    for who, names in seen.items():
        theirs = {key: each for key, each in everything.items() if key[0] in names}
        for by in KEYS:
            found = added(await groups(engine, by, who=who))
            hidden = {"cost", "margin"} if "SELLER" in who.who.roles else set()
            whole = {name: amount for name, amount in added(theirs)["USD"].items() if name not in hidden}
            assert found.get("USD", {}) == whole, (by, who)


async def test_a_keys_scopes(shop: Shop, engine: Engine) -> None:
    order = await shop.sell(shop.line("10.00", 0))
    await shop.pay("4.00", order=order)

    def key(*scopes: str) -> Viewer:
        return Viewer(UUID(int=0), Who(frozenset(["ADMIN"]), frozenset(scopes)), UUID(int=1), clock=lambda: NOW)

    shown = await groups(engine, "MONTH", who=key("orders:read"))
    assert shown["2026-11", "USD"].keys() == set(FIGURES) - {"received", "refunded"}
    for by in KEYS.keys() - {"MONTH", "QUARTER"}:
        (error,) = (await ask(engine, key("orders:read", "payments:read"), by=[by]))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
    (error,) = (await ask(engine, key("payments:read")))["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"


async def test_orders_and_payments_are_each_seen_as_far_as_their_own_permission_goes(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "ROLES", dict(roles.ROLES))
    roles.declare("CLERK", "customer.read order.read payment.read.own product.read")
    for customer in range(2):
        order = await shop.sell(shop.line("10.00", 0), customer=customer)
        await shop.pay("4.00", order=order)
    for by in ("CUSTOMER", "PRODUCT"):
        found = await groups(engine, by, who=viewer(shop.ann, "CLERK"))
        assert {name: str(amount) for name, amount in added(found)["USD"].items()} == {
            **dict.fromkeys(("booked", "recognised"), "20.00"),
            **dict.fromkeys(("credited", "refunded"), "0.00"),
            "received": "4.00",
        }


# Random histories


def price(dice: Random) -> str:
    return f"{dice.randrange(1, 90)}.{dice.randrange(100):02}"


async def happen(shop: Shop, dice: Random) -> None:
    """An order or a payment of some month, an allocation, an undoing, an amendment or a cancellation, as far as it is allowed."""
    shop.now = datetime(2026, dice.randrange(1, 13), dice.randrange(1, 28), 12, tzinfo=NOW.tzinfo)
    customer, currency = dice.randrange(3), dice.choice(["USD", "EUR"])
    found = await shop.database.fetch("SELECT id, committed, currency FROM orders ORDER BY id")
    order = dice.choice(found) if found else None
    what = dice.choice(["sell", "sell", "pay", "pay for", "allocate", "undo", "amend", "cancel"])
    if what == "sell" or order is None:
        lines = [shop.line(price(dice), dice.choice([None, 0, 1, 2]), currency) for _ in range(dice.randrange(1, 4))]
        off = sum(line.unit_price[0] for line in lines if line.unit_price) * Decimal(dice.choice(["0", "0", "0.33"]))
        discount = (off.quantize(Decimal("0.01")), currency)
        seller = dice.choice([shop.ann, shop.bob])
        await shop.sell(*lines, customer=customer, seller=seller, currency=currency, discount=discount)
    elif what == "pay":
        await shop.pay(price(dice), customer=customer, currency=currency)
    elif what == "pay for":
        await shop.pay(price(dice), order=order["id"], currency=order["currency"])
    elif what == "amend" and order["committed"]:
        lines = await shop.database.fetch("SELECT id FROM order_lines WHERE order_id = $1 ORDER BY id", order["id"])
        await shop.amend(order["id"], dice.choice(lines)["id"], price(dice))
    elif what == "cancel":
        async with shop.acting() as act:
            await orders.move(act, "cancel", id=order["id"])
    elif what in ("allocate", "undo"):
        table = "payments" if what == "allocate" else "allocations"
        rows = await shop.database.fetch(f"SELECT id FROM {table} ORDER BY id")
        if rows:
            verb = allocations.allocate if what == "allocate" else allocations.undo
            async with shop.acting() as act:
                await verb(act, id=dice.choice(rows)["id"])


BOOKED = """
SELECT to_char(r.booked_on, 'YYYY-MM') AS month, c.name, r.currency, r.subtotal_amount - r.discount_amount
    - coalesce(before.subtotal_amount - before.discount_amount, 0) AS amount
FROM revenue_records r JOIN customers c ON c.id = r.customer_id
LEFT JOIN revenue_records before ON before.order_id = r.order_id AND before.revision = r.revision - 1"""
RECEIVED = """
SELECT to_char(received_at, 'YYYY-MM') AS month, c.name, p.currency, p.amount
FROM payments p JOIN customers c ON c.id = p.customer_id WHERE p.status = 'RECEIVED'"""
BY_PRODUCT = """
SELECT p.name, l.currency, l.line_amount * (o.subtotal_amount - o.discount_amount) / nullif(o.subtotal_amount, 0) AS amount
FROM orders o JOIN order_lines l ON l.order_id = o.id LEFT JOIN products p ON p.id = l.product_id WHERE o.committed"""


async def summed(database: asyncpg.Connection, sql: str) -> dict[tuple[Any, ...], Decimal]:
    sums: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for *key, amount in await database.fetch(sql):
        sums[tuple(key)] += amount or 0
    return {key: amount for key, amount in sums.items() if amount}


@pytest.mark.parametrize("seed", range(3))
async def test_groups_add_up_whatever_happened(shop: Shop, engine: Engine, seed: int) -> None:
    dice = Random(seed)
    for _ in range(60):
        with suppress(CrmError, asyncpg.CheckViolationError):
            await happen(shop, dice)
    found = await groups(engine, "MONTH", "CUSTOMER")
    for name, sql in (("booked", BOOKED), ("received", RECEIVED)):
        shown = {key: each[name] for key, each in found.items() if each[name]}
        assert shown == await summed(shop.database, sql)
    for converted in (None, "BASE"):
        whole = added(await groups(engine, to=converted))
        assert whole
        for by in (*([name] for name in KEYS), ["QUARTER", "PRODUCT", "SELLER"], ["MONTH", "CHANNEL", "CUSTOMER"]):
            assert added(await groups(engine, *by, to=converted)) == whole, by
    lines = await shop.database.fetchval("SELECT count(*) FROM revenue_lines")
    exact = await summed(shop.database, BY_PRODUCT)
    for key, figures in (await groups(engine, "PRODUCT")).items():
        assert abs(figures["booked"] - exact.pop(key, Decimal(0))) <= Decimal("0.01") * lines
    assert all(abs(amount) <= Decimal("0.01") * lines for amount in exact.values())
