"""Payments of contracts' plans: who sees to one is told before it is due and when it is overdue, once, and a manager when it stays so."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import allocations, plan_alerts
from crmgql.domain.sales import contracts
from crmgql.domain.sales.contracts import Payment
from crmgql.records.records import Act
from crmgql.schema import build
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import confirmed
from tests.ledger.conftest import acting

TODAY = NOW.date()
TOLD = "SELECT u.name, n.kind, n.title FROM notifications n JOIN users u ON u.id = n.user_id ORDER BY n.id"
EVENTS = "SELECT kind, payload->>'threshold' AS threshold FROM events WHERE kind LIKE 'contract.payment%' ORDER BY id"
NOBODY = {"reminded": 0, "alerted": 0, "escalated": 0}


@pytest_asyncio.fixture(autouse=True)
async def people(database: asyncpg.Connection) -> dict[str, UUID]:
    assert build.built()
    team = await work.insert(database, "teams", name="North")
    made = {"Mona": await work.user(database, "Mona", roles=["MANAGER"], team_id=team)}
    await database.execute("UPDATE teams SET manager_id = $1", made["Mona"])
    made["Owen"] = await work.user(database, "Owen", team_id=team)
    made["Paula"] = await work.user(database, "Paula", team_id=team)
    return made


@pytest_asyncio.fixture
async def contract(crm: db.Database, customer: UUID, people: dict[str, UUID]) -> UUID:
    """Active, of Owen, with two payments: in 10 days, of Paula, who is reminded 7 days before; in 40 days, of nobody else."""
    async with acting(crm) as act:
        value = Decimal("100.00"), "USD"
        given = {"title": "Supply", "starts_on": TODAY, "value": value, "owner_id": people["Owen"]}
        id = await contracts.create(act, customer_id=customer, **given)
        plan = [
            Payment(TODAY + timedelta(10), share=Decimal(30), owner_id=people["Paula"], reminder_days=7),
            Payment(TODAY + timedelta(40), share=Decimal(70)),
        ]
        await contracts.set_plan(act, id=id, payments=plan)
        await contracts.move(act, "activate", id=id)
        return id


async def run(crm: db.Database, database: asyncpg.Connection, days: int, **more: int) -> Any:
    return await work.run(crm, database, kinds.CONTRACTS_REMIND, now=NOW + timedelta(days=days, **more))


async def told(database: asyncpg.Connection) -> list[tuple[str, str, str]]:
    return [(row["name"], row["kind"], row["title"]) for row in await database.fetch(TOLD)]


async def test_a_payment_is_told_of_once_for_each_stage(
    crm: db.Database, database: asyncpg.Connection, contract: UUID
) -> None:
    counts = []
    for days in (2, 3, 3, 10, 11, 11, 17, 18, 18):
        found = await run(crm, database, days)
        counts.append((days, *(found[name] for name in NOBODY)))
    assert counts == [
        (2, 0, 0, 0),
        (3, 1, 0, 0),
        (3, 0, 0, 0),
        (10, 0, 0, 0),  # due today is not overdue
        (11, 0, 1, 0),
        (11, 0, 0, 0),
        (17, 0, 0, 0),
        (18, 0, 0, 1),
        (18, 0, 0, 0),
    ]
    number = await database.fetchval("SELECT number FROM contracts")
    assert await told(database) == [
        ("Paula", "contract.paymentDue", f"Soon due: Acme, {number}"),
        ("Paula", "contract.paymentOverdue", f"Overdue: Acme, {number}"),
        ("Mona", "contract.paymentOverdue", f"Still overdue: Acme, {number}"),
    ]
    found = [tuple(row) for row in await database.fetch(EVENTS)]
    assert found == [
        ("contract.paymentDue", None),
        ("contract.paymentOverdue", "OWNER"),
        ("contract.paymentOverdue", "MANAGER"),
    ]


async def test_after_downtime_what_is_overdue_is_told_of_as_that(
    crm: db.Database, database: asyncpg.Connection, contract: UUID
) -> None:
    assert await run(crm, database, 60) == {"reminded": 0, "alerted": 2, "escalated": 2}
    assert await run(crm, database, 60) == NOBODY
    assert sorted((name, title.split(":")[0]) for name, _, title in await told(database)) == [
        ("Mona", "Still overdue"),
        ("Mona", "Still overdue"),
        ("Owen", "Overdue"),
        ("Paula", "Overdue"),
    ]


async def test_what_is_paid_is_not_told_of(
    crm: db.Database, database: asyncpg.Connection, customer: UUID, contract: UUID
) -> None:
    order = await confirmed(crm, customer, "100.00", contract_id=contract)
    await pay(crm, "29.99", order_id=order)
    assert (await run(crm, database, 3))["reminded"] == 1  # a cent is open
    await pay(crm, "0.01", order_id=order)
    assert await run(crm, database, 30) == NOBODY
    async with acting(crm) as act:  # until it is owed again
        (id, *_) = await act.tx.connection.fetchval("SELECT array_agg(id ORDER BY amount) FROM allocations")
        await allocations.undo(act, id=id)
    assert await run(crm, database, 30) == {"reminded": 0, "alerted": 1, "escalated": 1}
    body = await database.fetchval("SELECT body FROM notifications ORDER BY id DESC LIMIT 1")
    assert body == "Of payment 1 of the contract “Supply”, USD 0.01 is open, due on Nov 11, 2026."


@pytest.mark.parametrize(("status", "reminded"), [("DRAFT", 0), ("ACTIVE", 1), ("ENDED", 1), ("TERMINATED", 0)])
async def test_only_of_contracts_that_hold(
    crm: db.Database, database: asyncpg.Connection, contract: UUID, status: str, reminded: int
) -> None:
    await database.execute("UPDATE contracts SET status = $1", status)
    assert (await run(crm, database, 3))["reminded"] == reminded


async def test_the_company_says_when_its_day_begins(
    crm: db.Database, database: asyncpg.Connection, contract: UUID
) -> None:
    await database.execute("UPDATE companies SET timezone = 'Asia/Shanghai', locale = 'zh-CN'")
    async with crm.transaction() as tx:
        tx.forget_company()
    assert (await run(crm, database, 2, hours=3))["reminded"] == 0  # 23 h there
    assert (await run(crm, database, 2, hours=4))["reminded"] == 1  # midnight there
    number = await database.fetchval("SELECT number FROM contracts")
    row = await database.fetchrow("SELECT title, body FROM notifications")
    assert tuple(row) == (
        f"即将到期：Acme，{number}",
        "合同“Supply”第 1 期付款：未付 USD 30.00，到期日 2026年11月11日。",
    )


@pytest.mark.parametrize(
    ("gone", "who"),
    [((), "Paula"), (("Paula",), "Owen"), (("Paula", "Owen"), "Mona"), (("Paula", "Owen", "Mona"), "Ada")],
)
async def test_somebody_is_told(
    crm: db.Database, database: asyncpg.Connection, contract: UUID, gone: tuple[str, ...], who: str
) -> None:
    await work.user(database, "Ada", roles=["ADMIN"])
    await database.execute("UPDATE users SET active = false WHERE name = ANY ($1)", list(gone))
    await run(crm, database, 3)
    assert [name for name, _, _ in await told(database)] == [who]


async def test_of_two_runs_at_once_one_tells(crm: db.Database, database: asyncpg.Connection, contract: UUID) -> None:
    async def sweep() -> int:
        async with crm.transaction() as tx:
            act = Act(tx, system(lambda: NOW + timedelta(days=60)))
            return (await plan_alerts.tell(act, plan_alerts.ALERT, limit=10)).count

    assert sum(await asyncio.gather(*(sweep() for _ in range(4)))) == 2
    assert len(await told(database)) == 2


async def test_a_plan_that_is_set_anew_tells_of_what_is_new(
    crm: db.Database, database: asyncpg.Connection, contract: UUID, people: dict[str, UUID]
) -> None:
    await run(crm, database, 3)
    first = Payment(TODAY + timedelta(10), share=Decimal(30), owner_id=people["Paula"], reminder_days=7)
    last = Payment(TODAY + timedelta(5), share=Decimal(70), reminder_days=7)
    kept = await database.fetchval("SELECT id FROM contract_payments WHERE n = 1")
    async with acting(crm) as act:
        later = Payment(TODAY + timedelta(50), share=Decimal(70))
        await contracts.set_plan(act, id=contract, payments=[first, later])
    assert await database.fetchval("SELECT id FROM contract_payments WHERE n = 1") == kept
    assert (await run(crm, database, 3)) == NOBODY
    async with acting(crm) as act:  # what was the first is the second now
        await contracts.set_plan(act, id=contract, payments=[first, last])
    assert (await run(crm, database, 3))["reminded"] == 2


async def test_the_statements_are_as_many_for_one_as_for_many(
    crm: db.Database, database: asyncpg.Connection, contract: UUID
) -> None:
    async def statements() -> int:
        seen: list[str] = []
        async with crm.transaction() as tx:
            tx.connection.add_query_logger(lambda record: seen.append(record.query))
            act = Act(tx, system(lambda: NOW + timedelta(days=120)))
            told = await plan_alerts.tell(act, plan_alerts.ALERT, limit=500)
        assert told.count > 0
        return len(seen)

    more = (
        "INSERT INTO contract_payments (customer_id, contract_id, currency, n, due_on, amount)"
        " SELECT customer_id, id, currency, n, $1, 1.00 FROM contracts, generate_series($2::int, $3::int) AS n"
    )
    counts = [await statements()]  # with what only the first one asks for
    for first, last in ((3, 3), (4, 303)):
        await database.execute(more, TODAY + timedelta(days=60), first, last)
        counts.append(await statements())
    assert counts[1] == counts[2] <= counts[0]
