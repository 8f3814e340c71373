"""The trial balance as of any day, the codes of accounts, and the entries that it is the sum of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql import db
from crmgql.access import roles
from crmgql.domain.money import account_codes
from crmgql.engine.operations import Engine, Request
from crmgql.errors import Forbidden, VersionConflict
from crmgql.models import names
from crmgql.viewer import Viewer, Who
from tests.conftest import NOW, viewer
from tests.domain import work
from tests.ledger import books, trial
from tests.ledger.conftest import DAY, acting

FINANCE = viewer(UUID(int=0), "FINANCE")
QUERY = """query($day: Date, $currency: CurrencyCode) { trialBalance(asOf: $day, currency: $currency) { asOf base { ...M }
    accounts { purpose type code name nameZh currency debit { ...M } credit { ...M } balance { ...M } base { ...M } } } }
fragment M on Money { amount currency }"""
ENTRIES = """query($customer: ID!) { ledgerEntries(first: 100) { nodes { id customer { id } postings { debit credit amount } } }
    customer(id: $customer) { ledgerEntries { totalCount } } }"""


async def answered(engine: Engine, who: Viewer, query: str = QUERY, **variables: Any) -> Any:
    return json.loads(await engine.answer(Request(query, None, variables), who))


async def balances(engine: Engine, **variables: Any) -> dict[tuple[str, str], Mapping[str, Any]]:
    answer = await answered(engine, FINANCE, **variables)
    found = answer["data"]["trialBalance"]
    total = sum((Decimal(each["base"]["amount"]) for each in found["accounts"]), Decimal(0))
    assert total == Decimal(found["base"]["amount"])
    return {(each["purpose"], each["currency"]): each for each in found["accounts"]}


async def test_it_is_the_sum_of_all_postings(crm: db.Database, database: asyncpg.Connection, engine: Engine) -> None:
    await books.keep(crm, database)
    for variables, day in (({}, date.max), ({"day": "2026-11-30"}, date(2026, 11, 30)), ({"day": str(DAY)}, DAY)):
        found = await balances(engine, **variables)
        shown = {
            key: (Decimal(each["balance"]["amount"]), Decimal(each["base"]["amount"])) for key, each in found.items()
        }
        assert {key: sums for key, sums in shown.items() if any(sums)} == await trial.as_of(database, day)
        assert sum(base for _, base in shown.values()) == 0
    assert await balances(engine, day="2026-10-31") == {}
    receivable = (await balances(engine))["RECEIVABLE", "USD"]
    assert (receivable["type"], receivable["debit"], receivable["credit"]) == (
        "ASSET",
        {"amount": "113.00", "currency": "USD"},
        {"amount": "10.00", "currency": "USD"},
    )
    assert {currency for _, currency in await balances(engine, currency="JPY")} == {"JPY"}


async def test_accounts_are_called_what_the_accountant_calls_them(
    crm: db.Database, database: asyncpg.Connection, engine: Engine
) -> None:
    await books.keep(crm, database)
    async with acting(crm) as act:
        id = await account_codes.set_code(act, purpose="RECEIVABLE", code="1200", name="Debtors", name_zh="应收账款")
        again = await account_codes.set_code(act, purpose="RECEIVABLE", code="1200", name="Debtors", name_zh="应收账款")
        assert again == id
        with pytest.raises(VersionConflict):
            await account_codes.set_code(act, purpose="BANK", code="1800", name="Bank", expected_version=1)
        with pytest.raises(VersionConflict):
            await account_codes.set_code(act, purpose="RECEIVABLE", code="1", name="Debtors", expected_version=2)
    async with acting(crm) as act:
        await account_codes.set_code(act, purpose="RECEIVABLE", code="1201", name="Debtors", expected_version=1)
    found = await balances(engine)
    assert [found["RECEIVABLE", "USD"][name] for name in ("code", "name", "nameZh")] == ["1201", "Debtors", None]
    assert found["REVENUE", "USD"]["code"] is None
    events = await database.fetch("SELECT payload FROM events WHERE kind = 'account.coded' ORDER BY id")
    assert [json.loads(row["payload"])["code"] for row in events] == ["1200", "1201"]


async def test_it_takes_the_permission_for_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "ROLES", dict(roles.ROLES))
    roles.declare("CLERK", "customer.read ledger.read.team")
    for role in ("CLERK", "MANAGER", "SELLER", "SUPPORT", "MARKETER", "INTEGRATION"):
        answer = await answered(engine, viewer(UUID(int=0), role))
        assert answer["errors"][0]["extensions"]["code"] == Forbidden.code
    key = Viewer(UUID(int=0), Who(frozenset(["ADMIN"]), frozenset(["payments:read"])), UUID(int=1), clock=lambda: NOW)
    assert (await answered(engine, key))["errors"][0]["extensions"]["code"] == Forbidden.code


async def test_entries_are_seen_with_their_customer_and_the_companys_own_by_who_sees_all(
    crm: db.Database, database: asyncpg.Connection, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await books.keep(crm, database)
    owner = await work.user(database, "Ann")
    await database.execute("UPDATE customers SET owner_id = $1 WHERE id = $2", owner, made.customer)
    monkeypatch.setattr(roles, "ROLES", dict(roles.ROLES))
    roles.declare("CLERK", "customer.read ledger.read.own")
    counts = await database.fetch("SELECT customer_id, count(*) FROM ledger_entries GROUP BY 1")
    by_customer = {row["customer_id"]: row["count"] for row in counts}
    assert by_customer.keys() == {made.customer, made.other, None}
    for who, seen in (
        (viewer(UUID(int=0), "FINANCE"), by_customer),
        (viewer(owner, "CLERK"), {made.customer: by_customer[made.customer]}),
        (viewer(UUID(int=9), "CLERK"), {}),
        (viewer(owner, "SELLER"), {}),
    ):
        answer = await answered(engine, who, ENTRIES, customer=names.api_id("Customer", made.customer))
        nodes = answer["data"]["ledgerEntries"]["nodes"]
        assert len(nodes) == sum(seen.values())
        assert (answer["data"]["customer"] or {}).get("ledgerEntries", {}).get("totalCount", 0) == seen.get(
            made.customer, 0
        )
        if seen:
            amounts = {(each["debit"], each["credit"], each["amount"]) for node in nodes for each in node["postings"]}
            assert ("RECEIVABLE", "REVENUE", "100.00") in amounts
