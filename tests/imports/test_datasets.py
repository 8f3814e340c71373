"""The two real data sets, whole: every figure of their totals.json is reproduced by SQL over the imported tables."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmgql.imports.execution import run
from crmgql.imports.reports import Report
from tests.imports.conftest import DATA, NOW, ROOT, STATUSES, Workshop, run_once

TABLES = ("users", "teams", "products", "customers", "opportunities", "orders", "order_lines", "payments")


def _totals(folder: str) -> dict[str, Any]:
    path = DATA / folder / "totals.json"
    if not path.exists():
        pytest.skip(f"the data set {folder} is not beside the repository (shared/data/{folder})")
    totals: dict[str, Any] = json.loads(path.read_text())
    return totals


async def _import(shop: Workshop, name: str, folder: str, how: Any = run_once) -> Report:
    mapping = ROOT / "examples" / "import" / f"{name}.toml"
    report: Report = await how(
        shop.connection, mapping, base_dir=DATA / folder, rejects_path=Path(shop.folder / "r.csv"), now=NOW
    )
    return report


async def _decimals(shop: Workshop, query: str) -> dict[str, Decimal]:
    return {str(key): Decimal(value) for key, value in await shop.rows(query)}


def _expected(figures: dict[str, Any]) -> dict[str, Decimal]:
    return {key: Decimal(value) for key, value in figures.items()}


async def _fingerprint(shop: Workshop) -> list[Any]:
    """Everything in the tables, versions and times of change included."""
    return [await shop.value(f"SELECT md5(string_agg(t::text, '|' ORDER BY t.id)) FROM {table} t") for table in TABLES]


async def test_olist_to_the_cent(shop: Workshop) -> None:
    totals = _totals("olist_sample")
    report = await _import(shop, "olist", "olist_sample")
    assert report.total.rejected == 0
    assert report.total.skipped == totals["customers_rows"] - totals["distinct_customer_unique_id"]
    assert await shop.value("SELECT count(*) FROM customers") == totals["distinct_customer_unique_id"]
    assert await shop.value("SELECT count(*) FROM orders") == totals["orders"]
    assert await shop.value("SELECT count(*) FROM users") == totals["sellers"]
    assert await shop.value("SELECT count(*) FROM products") == totals["products"]
    assert await shop.value("SELECT count(*) FROM products WHERE category IS NULL") == 111
    assert await shop.value("SELECT sum(amount) FROM payments") == Decimal(totals["payment_total"])
    assert await shop.value("SELECT sum(installments) FROM payments") == totals["installments_sum"]
    rate = (
        "SELECT rate FROM fx_rates WHERE source = 'olist' AND effective_on < (SELECT min(ordered_at)::date FROM orders)"
    )
    assert await shop.value(rate) == Decimal("0.3")
    assert await shop.rows("SELECT DISTINCT rate FROM revenue_records") == [(Decimal("0.3"),)]
    assert await shop.value("SELECT max(amount) FROM payments") == Decimal(totals["largest_payment"])
    assert await shop.rows("SELECT sum(line_amount), sum(shipping_amount), count(*) FROM order_lines") == [
        (Decimal(totals["item_price_total"]), Decimal(totals["freight_total"]), totals["items"])
    ]
    assert await shop.rows("SELECT sum(subtotal_amount), sum(shipping_amount), sum(total_amount) FROM orders") == [
        (
            Decimal(totals["item_price_total"]),
            Decimal(totals["freight_total"]),
            Decimal(totals["items_plus_freight_total"]),
        )
    ]
    assert dict(await shop.rows("SELECT status, count(*) FROM orders GROUP BY 1")) == {
        STATUSES[key]: value for key, value in totals["orders_by_status"].items()
    }
    without = totals["traps"]["orders_without_items"]
    assert await shop.rows(
        "SELECT count(DISTINCT o.id), sum(p.amount) FROM orders o JOIN payments p ON p.order_id = o.id"
        " WHERE o.total_amount = 0 AND NOT EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.id)"
    ) == [(without["n"], Decimal(without["payments_on_them"]))]


async def test_olist_by_group(shop: Workshop) -> None:
    totals = _totals("olist_sample")
    await _import(shop, "olist", "olist_sample")
    paid = "FROM payments p JOIN orders o ON o.id = p.order_id JOIN customers c ON c.id = o.customer_id GROUP BY 1"
    assert await _decimals(shop, f"SELECT o.status, sum(p.amount) {paid}") == {
        STATUSES[key]: value for key, value in _expected(totals["payment_total_by_order_status"]).items()
    }
    month = "to_char(o.ordered_at AT TIME ZONE 'UTC', 'YYYY-MM')"
    assert await _decimals(shop, f"SELECT {month}, sum(p.amount) {paid}") == _expected(
        totals["payment_total_by_purchase_month"]
    )
    assert await _decimals(shop, f"SELECT c.state, sum(p.amount) {paid}") == _expected(
        totals["payment_total_by_customer_state"]
    )
    methods = {
        key if key != "not_defined" else "other": value for key, value in totals["payment_total_by_type"].items()
    }
    assert await _decimals(shop, "SELECT lower(method), sum(amount) FROM payments GROUP BY 1") == _expected(methods)
    sellers = await _decimals(
        shop,
        "SELECT u.external_id, sum(l.line_amount) FROM order_lines l JOIN users u ON u.id = l.seller_id GROUP BY 1",
    )
    top = _expected(totals["top_sellers_by_price"])
    assert {key: sellers[key] for key in top} == top
    categories = await _decimals(
        shop,
        "SELECT p.category, sum(l.line_amount) FROM order_lines l JOIN products p ON p.id = l.product_id GROUP BY 1",
    )
    english = _expected(totals["item_price_by_category_english"])
    untranslated = categories.pop("pc_gamer", Decimal(0)) + categories.pop(
        "portateis_cozinha_e_preparadores_de_alimentos", Decimal(0)
    )
    assert categories.pop("None") + untranslated == english.pop("(none)")
    assert categories == english
    late = "SELECT count(*) FROM orders WHERE status = 'DELIVERED' AND delivered_at > expected_delivery_at"
    assert await shop.value(late) == totals["delivered_late"]
    balance = (
        "SELECT count(*), sum(d) FROM (SELECT sum(p.amount) - o.total_amount AS d FROM payments p"
        " JOIN orders o ON o.id = p.order_id WHERE EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.id)"
        " GROUP BY o.id) t WHERE d <> 0"
    )
    differs = totals["traps"]["payment_differs_from_items_plus_freight"]
    assert await shop.rows(balance) == [(differs["any"], Decimal(differs["net"]))]
    assert await shop.value("SELECT count(*) FROM customers WHERE postal_code LIKE '0%'") > 0
    assert await shop.value("SELECT count(*) FROM customers WHERE length(postal_code) <> 5") == 0


async def test_maven_to_the_cent(shop: Workshop) -> None:
    totals = _totals("crm_maven")
    report = await _import(shop, "maven", "crm_maven")
    assert report.total.rejected == 0
    by_stage = "SELECT s.name, count(*) FROM opportunities o JOIN stages s ON s.id = o.stage_id GROUP BY 1"
    assert dict(await shop.rows(by_stage)) == totals["opportunities_by_stage"]
    won = "FROM opportunities o JOIN users u ON u.id = o.owner_id JOIN teams t ON t.id = u.team_id"
    won += " JOIN users m ON m.id = t.manager_id JOIN products p ON p.id = o.product_id"
    won += " LEFT JOIN customers c ON c.id = o.customer_id WHERE o.status = 'WON' GROUP BY 1"
    figures = {
        "won_by_manager": "m.name",
        "won_by_region": "u.region",
        "won_by_agent": "u.name",
        "won_by_product_normalised": "p.name",
        "won_by_sector_normalised": "c.industry",
        "won_by_close_month": "to_char(o.closed_on, 'YYYY-MM')",
    }
    for figure, expression in figures.items():
        assert await _decimals(shop, f"SELECT {expression}, sum(o.amount) {won}") == _expected(totals[figure]), figure
    assert await shop.value("SELECT sum(amount) FROM opportunities WHERE status = 'WON'") == Decimal(
        totals["won_close_value_total"]
    )
    commission = "SELECT sum(round(amount * 0.0375, 2)) FROM opportunities WHERE status = 'WON'"
    assert await shop.value(commission) == Decimal(totals["commission_3.75pct_half_up_total"])
    assert await shop.value("SELECT count(*) FROM opportunities WHERE customer_id IS NULL") == 1425
    assert await shop.value("SELECT count(*) FROM customers WHERE parent_id IS NOT NULL") == 15
    assert await shop.value("SELECT max(version) FROM customers") == 1
    assert await shop.value("SELECT annual_revenue_amount FROM customers WHERE name = 'Acme Corporation'") == Decimal(
        "1100040000.00"
    )
    assert await shop.rows("SELECT roles, count(*) FROM users GROUP BY 1 ORDER BY 2") == [
        (["MANAGER"], 6),
        (["SELLER"], 35),
    ]


@pytest.mark.parametrize(("name", "folder"), [("maven", "crm_maven"), ("olist", "olist_sample")])
async def test_a_rerun_changes_nothing(shop: Workshop, name: str, folder: str) -> None:
    _totals(folder)
    first = await _import(shop, name, folder)
    before = await _fingerprint(shop)
    again = await _import(shop, name, folder, run)
    assert again.total.inserted == again.total.updated == again.total.rejected == 0
    assert again.total.unchanged == first.total.inserted
    assert await _fingerprint(shop) == before
