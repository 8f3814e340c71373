"""Invoices without orders, and what settled them, imported: what was owed on six days, to the cent, by how long it was due."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from crmgql.db import WITHOUT_DAYS, Transaction
from crmgql.domain.money import ageing
from crmgql.records.records import Act
from crmgql.viewer import system, system_clock
from tests.imports.conftest import DATA, NOW, ROOT, Workshop, run_once

FOLDER = DATA / "ar_ibm"
BUCKETS = {
    "receivable_ageing_30day": (ageing.FIRST_DAYS, ("not_due", "1-30", "31-60", "61-90", ">90")),
    "receivable_ageing_fine": ((1, 8, 16, 31), ("not_due", "1-7", "8-15", "16-30", ">30")),
}


@pytest.fixture
def totals() -> dict[str, Any]:
    if not (FOLDER / "totals.json").exists():
        pytest.skip("the data set ar_ibm is not beside the repository (shared/data/ar_ibm)")
    return json.loads((FOLDER / "totals.json").read_text())  # type: ignore[no-any-return]


async def test_all_that_was_owed_comes_out_as_of_any_day(shop: Workshop, totals: dict[str, Any]) -> None:
    mapping = ROOT / "examples" / "import" / "ar_ibm.toml"
    report = await run_once(shop.connection, mapping, base_dir=FOLDER, rejects_path=shop.folder / "r.csv", now=NOW)
    assert report.total.rejected == 0
    assert await shop.rows("SELECT count(*), sum(total_amount), min(number) FROM invoices") == [
        (totals["invoices"], Decimal(totals["amount_total"]), "0000611365")
    ]
    assert await shop.value("SELECT count(*) FROM customers") == totals["customers"]
    months = "SELECT to_char({}, 'YYYY-MM'), sum({}) FROM {} GROUP BY 1"
    for query, figures in (
        (months.format("issued_on", "total_amount", "invoices"), "amount_by_invoice_month"),
        (months.format("received_at AT TIME ZONE 'UTC'", "amount", "payments"), "cash_received_by_settled_month"),
    ):
        assert dict(await shop.rows(query)) == {name: Decimal(text) for name, text in totals[figures].items()}
    act = Act(Transaction(shop.connection, WITHOUT_DAYS), system(system_clock))
    compared = 0
    for table, (first_days, names) in BUCKETS.items():
        for day, wanted in totals[table].items():
            assert await aged(act, date.fromisoformat(day), first_days, names) == {
                name: (each["n"], Decimal(each["amount"])) for name, each in wanted.items()
            }
            compared += 1
    assert compared == 12
    assert await ageing.as_of(act, date(2014, 2, 1)) == {}  # all was settled
    assert await ageing.as_of(act, date(2013, 3, 31), known_at=NOW) == {}  # and nothing of it was known then


async def aged(act: Act, day: date, first_days: Any, names: Any) -> dict[str, tuple[int, Decimal]]:
    """The company's table of a day: of each bucket and in total, how many items and how much."""
    sums: dict[int, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for buckets in (await ageing.as_of(act, day, first_days=first_days)).values():
        for number, owed in buckets.items():
            sums[number] = [sums[number][0] + owed.items, sums[number][1] + owed.amount]
    found = {name: (sums[number][0], sums[number][1]) for number, name in enumerate(names)}
    return found | {"total": (sum(n for n, _ in found.values()), sum((x for _, x in found.values()), Decimal(0)))}
