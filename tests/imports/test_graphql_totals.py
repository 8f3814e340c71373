"""The two real data sets, imported from their mapping files and asked for through GraphQL: equal to the cent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from crmgql.domain.jobs import kinds
from crmgql.engine.operations import Engine, Request
from tests.conftest import NOW, viewer
from tests.domain import work
from tests.imports.conftest import STATUSES, run_once

ROOT = Path(__file__).resolve().parents[2]
ADMIN = viewer(uuid.UUID(int=0), "ADMIN")
METHODS = {
    "credit_card": "CREDIT_CARD",
    "boleto": "BOLETO",
    "voucher": "VOUCHER",
    "debit_card": "DEBIT_CARD",
    "not_defined": "OTHER",
}

FOUND = """
SELECT kind, count(*) AS number, sum(amount) FILTER (WHERE amount < 0) AS less, sum(amount) FILTER (WHERE amount > 0) AS more
FROM reconciliation_exceptions WHERE status = 'OPEN' GROUP BY kind"""
NOT_OWED = """
SELECT count(*) FROM orders o WHERE (o.status = 'CANCELLED' OR NOT EXISTS (SELECT FROM order_lines WHERE order_id = o.id))
    AND EXISTS (SELECT FROM payments WHERE order_id = o.id AND amount > 0)"""


async def ask(engine: Engine, query: str) -> dict[str, Any]:
    return json.loads(await engine.answer(Request(query), ADMIN))["data"]


async def grouped(engine: Engine, field: str, filters: Mapping[str, str], part: str) -> dict[str, Any]:
    """One aliased connection per group, in requests of at most 40 aliases."""
    answers: dict[str, Any] = {}
    names = list(filters)
    for start in range(0, len(names), 40):
        some = names[start : start + 40]
        body = " ".join(f"g{index}: {field}(where: {filters[name]}) {{ {part} }}" for index, name in enumerate(some))
        data = await ask(engine, "{ " + body + " }")
        answers |= {name: data[f"g{index}"] for index, name in enumerate(some)}
    return answers


def cents(connection: dict[str, Any], field: str) -> Decimal:
    sums = connection["sums"][field]
    assert len(sums) <= 1
    return Decimal(sums[0]["amount"]) if sums else Decimal(0)


async def same_sums(engine: Engine, field: str, money: str, expected: Mapping[str, Any], condition: Any) -> None:
    """Each group's sum of a money field is what the totals say."""
    answers = await grouped(
        engine, field, {name: condition(name) for name in expected}, f"sums {{ {money} {{ amount }} }}"
    )
    assert {name: cents(answer, money) for name, answer in answers.items()} == {
        name: Decimal(total) for name, total in expected.items()
    }


def month(field: str, name: str, *, time: bool = True) -> str:
    year, number = (int(part) for part in name.split("-"))
    following = f"{year + number // 12}-{number % 12 + 1:02}"
    end = "-01T00:00:00Z" if time else "-01"
    return f'{{{field}: {{gte: "{name}{end}", lt: "{following}{end}"}}}}'


async def imported(database: Any, shared_data: Path, name: str, folder: str, tmp_path: Path) -> dict[str, Any]:
    mapping = ROOT / "examples" / "import" / f"{name}.toml"
    options = {"base_dir": shared_data / folder, "rejects_path": tmp_path / "rejects.csv", "now": NOW}
    report = await run_once(database, mapping, **options)
    assert report.total.rejected == 0
    return json.loads((shared_data / folder / "totals.json").read_text("utf-8"))


async def test_olist(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    totals = await imported(database, shared_data, "olist", "olist_sample", tmp_path)
    whole = await ask(
        engine,
        """{ customers { totalCount } products { totalCount } users(where: {source: {isNull: false}}) { totalCount }
             payments { totalCount sums { amount { amount currency } } }
             orders { totalCount sums { subtotal { amount } shipping { amount } total { amount } } }
             orderLines { totalCount sums { amount { amount } shipping { amount } } } }""",
    )
    assert whole["customers"]["totalCount"] == totals["distinct_customer_unique_id"]
    assert whole["products"]["totalCount"] == totals["products"]
    assert whole["users"]["totalCount"] == totals["sellers"]
    assert whole["payments"]["totalCount"] == totals["payments"]
    assert whole["payments"]["sums"]["amount"] == [{"amount": totals["payment_total"], "currency": "BRL"}]
    assert whole["orders"]["totalCount"] == totals["orders"]
    assert cents(whole["orders"], "total") == Decimal(totals["items_plus_freight_total"])
    assert whole["orderLines"]["totalCount"] == totals["items"]
    assert cents(whole["orderLines"], "amount") == Decimal(totals["item_price_total"])
    assert cents(whole["orderLines"], "shipping") == Decimal(totals["freight_total"])
    counts = await grouped(
        engine,
        "orders",
        {name: f"{{status: {{eq: {STATUSES[name]}}}}}" for name in totals["orders_by_status"]},
        "totalCount",
    )
    assert {name: answer["totalCount"] for name, answer in counts.items()} == totals["orders_by_status"]
    await same_sums(
        engine,
        "payments",
        "amount",
        totals["payment_total_by_type"],
        lambda name: f"{{method: {{eq: {METHODS[name]}}}}}",
    )
    await same_sums(
        engine,
        "payments",
        "amount",
        totals["payment_total_by_order_status"],
        lambda name: f"{{order: {{status: {{eq: {STATUSES[name]}}}}}}}",
    )
    await same_sums(
        engine,
        "payments",
        "amount",
        totals["payment_total_by_purchase_month"],
        lambda name: f"{{order: {month('orderedAt', name)}}}",
    )
    await same_sums(
        engine,
        "payments",
        "amount",
        totals["payment_total_by_customer_state"],
        lambda name: f'{{customer: {{state: {{eq: "{name}"}}}}}}',
    )
    await reconciled(engine, database, totals)


async def reconciled(engine: Engine, database: Any, totals: dict[str, Any]) -> None:
    """Reconciliation finds what the files contradict themselves in, and tells of it in a few words."""
    await work.user(database, "Fin", roles=["FINANCE"])
    await work.run(engine.database, database, kinds.MONEY_RECONCILE, now=NOW)
    found = {row["kind"]: row for row in await database.fetch(FOUND)}
    assert found.keys() == {"ORDER_PAYMENT_MISMATCH", "ORDER_PAID_NOT_OWED", "DUPLICATE_PAYMENT", "UNUSUAL_PAYMENT"}
    differing = found["ORDER_PAYMENT_MISMATCH"]
    assert differing["number"] == totals["traps"]["payment_differs_from_items_plus_freight"]["any"] == 42
    less = totals["receivable(items_plus_freight minus payments, orders where positive)"]["amount"]
    more = totals["overpaid(payments minus items_plus_freight, where positive)"]["amount"]
    assert (differing["less"], differing["more"]) == (-Decimal(less), Decimal(more))
    assert found["ORDER_PAID_NOT_OWED"]["number"] == await database.fetchval(NOT_OWED)
    told = {row["title"] for row in await database.fetch("SELECT title FROM notifications")}
    assert "An order and its payments differ (42 times)" in told
    assert len(told) == len(found)


async def by(engine: Engine, group: str, name: str) -> dict[str | None, dict[str, Decimal]]:
    """What the books say of each group, in the only currency."""
    shown = f"{name} booked {{ amount }} received {{ amount }} currency"
    data = await ask(engine, f"{{ revenue(groupBy: [{group}]) {{ groups {{ {shown} }} }} }}")
    groups = data["revenue"]["groups"]
    assert {each["currency"] for each in groups} == {"BRL"}
    return {each[name]: {key: Decimal(each[key]["amount"]) for key in ("booked", "received")} for each in groups}


async def test_olist_in_the_books(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    totals = await imported(database, shared_data, "olist", "olist_sample", tmp_path)
    for group, name, figures in (
        ("MONTH", "month", "payment_total_by_purchase_month"),
        ("STATE", "state", "payment_total_by_customer_state"),
    ):
        received = {key: each["received"] for key, each in (await by(engine, group, name)).items()}
        assert received == {key: Decimal(amount) for key, amount in totals[figures].items()}
    categories = await by(engine, "CATEGORY", "category")
    sold = await database.fetch(
        "SELECT p.category, sum(l.line_amount) FROM orders o JOIN order_lines l ON l.order_id = o.id"
        " JOIN products p ON p.id = l.product_id WHERE o.committed AND o.status <> 'UNAVAILABLE' GROUP BY 1"
    )
    assert {key: each["booked"] for key, each in categories.items() if each["booked"]} == dict(map(tuple, sold))
    assert sum(each["received"] for each in categories.values()) == Decimal(totals["payment_total"])


async def test_maven(engine: Engine, database: Any, shared_data: Path, tmp_path: Path) -> None:
    totals = await imported(database, shared_data, "maven", "crm_maven", tmp_path)
    won = "status: {eq: WON}"
    whole = await ask(
        engine, f"{{ opportunities(where: {{{won}}}) {{ totalCount sums {{ amount {{ amount currency }} }} }} }}"
    )
    assert whole["opportunities"]["totalCount"] == totals["opportunities_by_stage"]["Won"]
    assert whole["opportunities"]["sums"]["amount"] == [
        {"amount": totals["won_close_value_total"] + ".00", "currency": "USD"}
    ]
    stages = await grouped(
        engine,
        "opportunities",
        {name: f'{{stage: {{name: {{eq: "{name}"}}}}}}' for name in totals["opportunities_by_stage"]},
        "totalCount",
    )
    assert {name: answer["totalCount"] for name, answer in stages.items()} == totals["opportunities_by_stage"]
    for figures, condition in (
        ("won_by_manager", 'owner: {{team: {{manager: {{name: {{eq: "{}"}}}}}}}}'),
        ("won_by_region", 'owner: {{region: {{eq: "{}"}}}}'),
        ("won_by_agent", 'owner: {{name: {{eq: "{}"}}}}'),
        ("won_by_product_normalised", 'product: {{name: {{eq: "{}"}}}}'),
        ("won_by_sector_normalised", 'customer: {{industry: {{eq: "{}"}}}}'),
    ):
        await same_sums(
            engine,
            "opportunities",
            "amount",
            totals[figures],
            lambda name, condition=condition: "{" + won + ", " + condition.format(name) + "}",
        )
    await same_sums(
        engine,
        "opportunities",
        "amount",
        totals["won_by_close_month"],
        lambda name: f"{{and: [{{{won}}}, {month('closedOn', name, time=False)}]}}",
    )
    blank = await ask(engine, "{ opportunities(where: {customer: null}) { totalCount } }")
    assert blank["opportunities"]["totalCount"] == 1425
