"""The stale sweep: once per episode and threshold, whatever happens around it."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest_asyncio

from crmgql import db, migrations
from crmgql.domain.opportunities import opportunities, score_rules, stale_alerts
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW

HOUR = timedelta(hours=1)
OWNER_DUE, MANAGER_DUE = NOW + 48 * HOUR, NOW + 96 * HOUR


class Office:
    """An owner with a manager, a director above and an administrator; a clock that a test sets."""

    def __init__(self, crm: db.Database, database: asyncpg.Connection) -> None:
        self.crm = crm
        self.database = database
        self.now = NOW

    async def populate(self) -> Office:
        self.admin = await self.user("ADMIN")
        self.director, self.manager = await self.user("MANAGER"), await self.user("MANAGER")
        self.top = await self.insert("teams", name="Top", manager_id=self.director)
        self.team = await self.insert("teams", name="North", manager_id=self.manager, parent_id=self.top)
        self.owner = await self.user("SELLER", team_id=self.team)
        return self

    async def insert(self, table: str, **values: Any) -> UUID:
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) RETURNING id"
        return await self.database.fetchval(sql, *values.values())  # type: ignore[no-any-return]

    async def user(self, *roles: str, **values: Any) -> UUID:
        return await self.insert("users", **{"name": "Somebody", "roles": list(roles), **values})

    async def deal(self, **values: Any) -> UUID:
        """One in the first stage since NOW, of the owner unless said otherwise."""
        return await self.insert(
            "opportunities", **{"name": "Deal", "owner_id": self.owner, "stage_since": NOW, **values}
        )

    async def do(self, verb: Any, *arguments: Any, **named: Any) -> Any:
        async with self.crm.transaction() as tx:
            return await verb(Act(tx, system(lambda: self.now)), *arguments, **named)

    async def sweep(self, at: datetime, limit: int = 1000) -> int:
        self.now, swept = at, 0
        while step := await self.do(stale_alerts.sweep, limit=limit):
            swept += step
        return swept

    async def alerts(self, deal: UUID) -> list[tuple[Any, ...]]:
        sql = "SELECT episode, threshold, user_id, due_at FROM stale_alerts WHERE opportunity_id = $1 ORDER BY id"
        return [tuple(row) for row in await self.database.fetch(sql, deal)]

    async def row(self, deal: UUID) -> dict[str, Any]:
        return dict(await self.database.fetchrow("SELECT * FROM opportunities WHERE id = $1", deal))

    async def told(self, deal: UUID) -> list[UUID]:
        sql = "SELECT user_id FROM notifications WHERE opportunity_id = $1 ORDER BY id"
        return [row["user_id"] for row in await self.database.fetch(sql, deal)]


@pytest_asyncio.fixture
async def office(crm: db.Database, database: asyncpg.Connection) -> Office:
    return await Office(crm, database).populate()


async def test_first_the_owner_then_the_manager(office: Office) -> None:
    deal = await office.deal()
    await office.sweep(NOW)
    row = await office.row(deal)
    assert (row["stale_known"], row["stale_at"], row["stale_level"]) == (True, OWNER_DUE, 0)
    await office.sweep(OWNER_DUE - timedelta(seconds=1))
    assert await office.alerts(deal) == []
    await office.sweep(OWNER_DUE)
    assert await office.alerts(deal) == [(1, "OWNER", office.owner, OWNER_DUE)]
    row = await office.row(deal)
    assert (row["stale_level"], row["stale_since"], row["stale_at"]) == (1, OWNER_DUE, MANAGER_DUE)
    assert (row["risk"], row["version"]) == ("HIGH", 1)
    await office.sweep(MANAGER_DUE)
    assert (await office.alerts(deal))[1:] == [(1, "MANAGER", office.manager, MANAGER_DUE)]
    row = await office.row(deal)
    assert (row["stale_level"], row["stale_at"], row["risk"]) == (2, None, "HIGH")
    assert "STAGNANT" in [each["factor"] for each in json.loads(row["risk_factors"])]
    assert await office.told(deal) == [office.owner, office.manager]
    events = await office.database.fetch(
        "SELECT kind, payload FROM events WHERE subject_id = $1 ORDER BY occurred_at", deal
    )
    assert [(row["kind"], json.loads(row["payload"])["threshold"]) for row in events] == [
        ("opportunity.stale", "OWNER"),
        ("opportunity.stale", "MANAGER"),
    ]


async def test_run_twice_it_alerts_once(office: Office) -> None:
    deals = [await office.deal() for _ in range(7)]
    await office.sweep(OWNER_DUE, limit=3)
    assert await office.sweep(OWNER_DUE) == 0
    for deal in deals:
        assert len(await office.alerts(deal)) == 1
    # As if an earlier sweep had alerted, and then been torn off before it moved on.
    await office.database.execute("UPDATE opportunities SET stale_level = 0, stale_at = $1", OWNER_DUE)
    await office.sweep(OWNER_DUE + HOUR)
    for deal in deals:
        assert (len(await office.alerts(deal)), await office.told(deal)) == (1, [office.owner])
    assert await office.database.fetchval("SELECT count(*) FROM events WHERE kind = 'opportunity.stale'") == 7
    assert await office.database.fetchval("SELECT count(*) FROM events WHERE kind = 'notification.received'") == 7


async def test_sweeps_at_the_same_time_share_the_work(office: Office) -> None:
    for _ in range(60):
        await office.deal()
    await office.sweep(NOW)
    office.now = OWNER_DUE

    async def one() -> int:
        swept = 0
        while step := await office.do(stale_alerts.sweep, limit=7):
            swept += step
        return swept

    swept = await asyncio.gather(*(one() for _ in range(3)))
    assert sum(swept) == 60
    for table, count in (("stale_alerts", 60), ("notifications", 60), ("events", 120), ("audit_entries", 120)):
        assert await office.database.fetchval(f"SELECT count(*) FROM {table}") == count, table


async def test_what_a_verb_holds_is_left_for_the_next_sweep(office: Office) -> None:
    held, free = await office.deal(), await office.deal()
    await office.sweep(NOW)
    office.now = OWNER_DUE
    async with office.crm.transaction() as tx:
        await opportunities.touched(Act(tx, system(lambda: office.now)), held)
        await asyncio.wait_for(office.do(stale_alerts.sweep), 5)
    assert await office.alerts(held) == []
    assert len(await office.alerts(free)) == 1
    assert await office.sweep(OWNER_DUE) == 0


async def test_after_downtime_there_is_one_alert_for_each_threshold(office: Office) -> None:
    long, short = await office.deal(), await office.deal(stage_since=NOW + 40 * 24 * HOUR)
    back = NOW + 42 * 24 * HOUR + HOUR
    await office.sweep(back)
    assert [(threshold, due) for _, threshold, _, due in await office.alerts(long)] == [
        ("OWNER", OWNER_DUE),
        ("MANAGER", MANAGER_DUE),
    ]
    assert [threshold for _, threshold, *_ in await office.alerts(short)] == ["OWNER"]
    assert (await office.row(short))["stale_at"] == NOW + 44 * 24 * HOUR
    assert await office.sweep(back + HOUR) == 0


async def test_what_happens_begins_another_episode(office: Office) -> None:
    deal = await office.deal()
    await office.sweep(OWNER_DUE)
    office.now = OWNER_DUE + HOUR
    await office.do(opportunities.touched, deal)
    row = await office.row(deal)
    assert (row["stale_level"], row["stale_episode"], row["stale_since"]) == (0, 2, None)
    assert (row["stale_at"], row["last_activity_at"]) == (OWNER_DUE + 49 * HOUR, OWNER_DUE + HOUR)
    kinds = await office.database.fetch("SELECT kind FROM events WHERE subject_id = $1 ORDER BY occurred_at", deal)
    assert [row["kind"] for row in kinds] == ["opportunity.stale", "opportunity.revived"]
    await office.do(opportunities.touched, deal, at=NOW)
    assert (await office.row(deal))["last_activity_at"] == OWNER_DUE + HOUR
    await office.sweep(OWNER_DUE + 49 * HOUR)
    assert [(episode, threshold) for episode, threshold, *_ in await office.alerts(deal)] == [
        (1, "OWNER"),
        (2, "OWNER"),
    ]


async def test_a_snoozed_one_sleeps_and_wakes_up(office: Office) -> None:
    deal = await office.deal()
    await office.sweep(OWNER_DUE)
    office.now = OWNER_DUE + HOUR
    until = OWNER_DUE + 500 * HOUR
    await office.do(opportunities.snooze, id=deal, until=until)
    assert await office.sweep(until - HOUR) == 0
    await office.sweep(until)
    assert [(each[:3]) for each in await office.alerts(deal)] == [
        (1, "OWNER", office.owner),
        (2, "OWNER", office.owner),
    ]
    await office.sweep(until + 48 * HOUR)
    assert (await office.alerts(deal))[2] == (2, "MANAGER", office.manager, until + 48 * HOUR)


async def test_unsnoozed_it_is_due_as_ever(office: Office) -> None:
    deal = await office.deal()
    await office.sweep(NOW)
    await office.do(opportunities.snooze, id=deal, until=NOW + 500 * HOUR)
    assert await office.sweep(NOW + 100 * HOUR) == 0
    await office.do(opportunities.unsnooze, id=deal)
    await office.sweep(NOW + 101 * HOUR)
    assert [due for *_, due in await office.alerts(deal)] == [OWNER_DUE, MANAGER_DUE]


async def test_closed_ones_are_quiet(office: Office) -> None:
    customer = await office.insert("customers", name="Acme")
    won, lost, reopened = [await office.deal(customer_id=customer) for _ in range(3)]
    await office.sweep(OWNER_DUE)
    office.now = OWNER_DUE + HOUR
    await office.do(opportunities.win, id=won)
    await office.do(opportunities.lose, id=lost, reason="Too dear")
    await office.do(opportunities.lose, id=reopened, reason="Too dear")
    for deal in (won, lost):
        row = await office.row(deal)
        assert (row["stale_at"], row["stale_level"], row["stale_since"], row["risk"]) == (None, 0, None, "LOW")
    office.now = OWNER_DUE + 2 * HOUR
    await office.do(opportunities.reopen, id=reopened)
    assert (await office.row(reopened))["stale_at"] == OWNER_DUE + 50 * HOUR
    await office.sweep(OWNER_DUE + 1000 * HOUR)
    assert [len(await office.alerts(deal)) for deal in (won, lost, reopened)] == [1, 1, 3]


async def test_who_is_told_when_somebody_is_missing(office: Office) -> None:
    second_admin = await office.user("ADMIN")
    await office.user("ADMIN", active=False)
    nobodys, loner = await office.deal(owner_id=None), await office.user("SELLER")
    alone, gone = await office.deal(owner_id=loner), await office.deal()
    led = await office.deal(owner_id=office.manager)
    await office.database.execute("UPDATE users SET active = false WHERE id = $1", office.owner)
    await office.sweep(OWNER_DUE)
    administrators = sorted([office.admin, second_admin])
    assert await office.told(nobodys) == administrators
    assert await office.told(alone) == [loner]
    assert await office.told(gone) == [office.manager]
    assert await office.told(led) == [office.manager]
    assert [user for _, _, user, _ in await office.alerts(nobodys)] == [None]
    await office.database.execute("UPDATE users SET active = false WHERE id = $1", office.manager)
    await office.sweep(MANAGER_DUE)
    assert (await office.told(alone))[1:] == administrators
    assert (await office.told(gone))[1:] == [office.director]
    assert (await office.told(led))[1:] == [office.director]


async def test_days_off_do_not_count(office: Office) -> None:
    days = await office.insert(
        "business_calendars", name="Berlin", timezone="Europe/Berlin", holidays=json.dumps({"dates": ["2026-11-03"]})
    )
    await office.database.execute("UPDATE pipelines SET calendar_id = $1", days)
    deal = await office.deal()  # on Sunday, 1 November
    await office.sweep(NOW)
    # Monday, then Wednesday, in Berlin's hours.
    assert (await office.row(deal))["stale_at"] == datetime.fromisoformat("2026-11-05T00:00:00+01:00")


async def test_other_patience_is_worked_out_anew(office: Office) -> None:
    deal = await office.deal()
    await office.sweep(OWNER_DUE)
    await office.database.execute("UPDATE stages SET stale_after_h = 200")
    await office.database.execute("UPDATE opportunities SET stale_known = false")
    await office.sweep(OWNER_DUE + HOUR)
    row = await office.row(deal)
    assert (row["stale_level"], row["stale_episode"], row["stale_at"]) == (0, 2, NOW + 200 * HOUR)
    await office.database.execute("UPDATE stages SET stale_after_h = NULL, escalate_after_h = NULL")
    await office.database.execute("UPDATE opportunities SET stale_known = false")
    assert await office.sweep(NOW + 500 * HOUR) == 1
    assert (await office.row(deal))["stale_at"] is None


async def test_slips_in_imported_dates_stop_nobody(office: Office) -> None:
    zone = "America/New_York"
    days = await office.insert("business_calendars", name="Days", timezone=zone)
    await office.database.execute("UPDATE pipelines SET calendar_id = $1", days)
    old, new, usual = [await office.deal() for _ in range(3)]
    for deal, since in ((old, "0001-01-01"), (new, "9999-12-31")):
        sql = f"UPDATE opportunities SET stage_since = '{since} 00:00Z' WHERE id = $1"
        await office.database.execute(sql, deal)
    await office.sweep(MANAGER_DUE + 9 * 24 * HOUR)
    assert [len(await office.alerts(deal)) for deal in (old, new, usual)] == [2, 0, 2]


async def test_only_the_due_ones_are_read(office: Office) -> None:
    await office.database.execute(
        "INSERT INTO opportunities (name, stage_since, stale_known, stale_at)"
        " SELECT 'Deal', $1::timestamptz, true, $1::timestamptz + i * interval '1 hour' FROM generate_series(1, 20000) i",
        NOW,
    )
    await office.database.execute("ANALYZE opportunities")
    plan = await office.database.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {stale_alerts.DUE}", NOW + 100 * HOUR, 1000)
    scan = json.loads(plan)[0]["Plan"]["Plans"][0]
    assert scan["Index Name"] == "opportunities_stale"
    assert scan["Actual Rows"] == 100
    assert scan.get("Rows Removed by Filter", 0) == 0


async def test_the_risk_does_not_read_the_audit_trail(office: Office) -> None:
    deal = await office.do(opportunities.create, name="Deal", amount=(Decimal(100), "EUR"))
    for day in (1, 2, 3):
        await office.do(opportunities.update, id=deal, expected_close=date(2027, 1, day))
    await office.do(opportunities.update, id=deal, amount=(Decimal(50), "EUR"))
    await office.do(opportunities.update, id=deal, amount=None, name="Other")
    row = await office.row(deal)
    assert (row["highest_amount"], row["close_pushes"]) == (100, 2)
    await office.do(opportunities.update, id=deal, amount=(Decimal(60), "EUR"))
    assert {"AMOUNT_CUT", "CLOSE_DATE_PUSHED"} <= await factors(office, deal)
    audited = "SELECT count(*) FROM audit_entries WHERE changes ?| ARRAY['highest_amount', 'close_pushes', 'risk']"
    assert await office.database.fetchval(audited) == 0
    await office.do(opportunities.update, id=deal, amount=(Decimal(1), "USD"))
    assert "AMOUNT_CUT" not in await factors(office, deal)
    # Another way of being refreshed changes nothing of it.
    await office.database.execute("UPDATE opportunities SET stale_known = false, highest_amount = 9, close_pushes = 7")
    await office.sweep(NOW)
    row = await office.row(deal)
    assert (row["highest_amount"], row["close_pushes"]) == (9, 7)
    assert {"AMOUNT_CUT", "CLOSE_DATE_PUSHED"} <= await factors(office, deal)


async def test_the_migration_finds_in_the_audit_trail_what_the_verbs_keep(office: Office) -> None:
    deals = [await office.do(opportunities.create, name="Deal", amount=(Decimal(100), "EUR")) for _ in range(4)]
    changes: list[dict[str, Any]] = [
        {"expected_close": date(2027, 2, 1), "amount": (Decimal(300), "EUR")},
        {"expected_close": date(2027, 3, 1), "amount": (Decimal(20), "EUR")},
        {"expected_close": date(2027, 1, 1), "name": "Other"},
        {"expected_close": date(2027, 4, 1), "amount": (Decimal(5), "USD")},
        {"expected_close": None, "amount": (Decimal(4), "USD")},
    ]
    for count, deal in enumerate(deals, start=2):
        for each in changes[:count]:
            await office.do(opportunities.update, id=deal, **each)
    await office.do(opportunities.lose, id=deals[0], reason="Too dear")
    columns = ("reassess_on", "highest_amount", "close_pushes")
    sql = f"SELECT {', '.join(columns)} FROM opportunities ORDER BY id"
    kept = [tuple(row) for row in await office.database.fetch(sql)]
    assert [row[1:] for row in kept] == [(300, 1), (300, 1), (5, 2), (5, 2)]
    for column in columns:
        await office.database.execute(f"ALTER TABLE opportunities DROP COLUMN {column}")
    migration = Path(migrations.__file__).parent / "0007_standings.sql"
    await office.database.execute(migration.read_text("utf-8"))
    assert [tuple(row) for row in await office.database.fetch(sql)] == kept


async def factors(office: Office, deal: UUID) -> set[str]:
    return {each["factor"] for each in json.loads((await office.row(deal))["risk_factors"])}


async def test_a_close_date_passes_by_itself(office: Office) -> None:
    today, far = NOW.date(), NOW + 3000 * HOUR
    deal = await office.deal(expected_close=today, snoozed_until=far)
    other = await office.deal(expected_close=date(9999, 12, 31), snoozed_until=far)
    await office.sweep(NOW)
    assert "CLOSE_DATE_PASSED" not in await factors(office, deal)
    assert (await office.row(other))["reassess_on"] is None
    assert await office.sweep(NOW + 11 * HOUR) == 0
    assert await office.sweep(NOW + 12 * HOUR, limit=1) == 1  # midnight
    assert "CLOSE_DATE_PASSED" in await factors(office, deal)
    assert await office.sweep(NOW + 13 * HOUR) == 0
    row = await office.row(deal)
    assert (row["version"], row["reassess_on"], row["risk"]) == (1, None, "HIGH")
    await office.do(opportunities.update, id=deal, expected_close=today + 5 * 24 * HOUR)
    assert "CLOSE_DATE_PASSED" not in await factors(office, deal)
    assert await office.sweep(NOW + 200 * HOUR) == 1
    assert "CLOSE_DATE_PASSED" in await factors(office, deal)


async def test_a_closed_deal_is_not_assessed_when_its_date_passes(office: Office) -> None:
    deal = await office.do(opportunities.create, name="Deal", expected_close=date(2026, 11, 3))
    await office.do(opportunities.lose, id=deal, reason="Too dear")
    assert (await office.row(deal))["reassess_on"] is None
    assert await office.sweep(NOW + 500 * HOUR) == 0


async def test_only_those_whose_date_passed_are_read(office: Office) -> None:
    await office.database.execute(
        "INSERT INTO opportunities (name, stage_since, stale_known, expected_close, reassess_on)"
        " SELECT 'Deal', now(), true, $1::date + i / 20, CASE WHEN i / 20 > 300 THEN $1::date + i / 20 + 1 END"
        " FROM generate_series(1, 20000) i",
        NOW.date(),
    )
    await office.database.execute("ANALYZE opportunities")
    day = NOW.date() + 305 * 24 * HOUR
    plan = await office.database.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {stale_alerts.PASSED}", day, 1000)
    scan = json.loads(plan)[0]["Plan"]["Plans"][0]
    assert (scan["Index Name"], scan["Actual Rows"]) == ("opportunities_reassess", 80)
    assert scan.get("Rows Removed by Filter", 0) == 0


async def test_all_open_ones_are_scored_anew_in_batches(office: Office) -> None:
    deals = [await office.deal() for _ in range(5)]
    await office.do(
        score_rules.create, name="Any", field="hasCustomer", operator="EQ", value={"value": False}, points=40
    )
    last, seen = None, 0
    for _ in range(2):  # a job that is run twice
        last = None
        while True:
            scored, last = await office.do(score_rules.rescore, after=last, limit=2)
            seen += scored
            if not scored:
                break
    assert seen == 10
    assert [(await office.row(deal))["score"] for deal in deals] == [40] * 5


async def test_risk_follows_what_was_changed(office: Office) -> None:
    deal = await office.do(opportunities.create, name="Deal")
    for month in (1, 2, 3):
        await office.do(
            opportunities.update, id=deal, expected_close=date(2027, month, 1), amount=(Decimal(10 - 3 * month), "EUR")
        )
    row = await office.row(deal)
    assert row["risk"] == "HIGH"
    assert [each["factor"] for each in json.loads(row["risk_factors"])] == [
        "CLOSE_DATE_PUSHED",
        "AMOUNT_CUT",
        "NO_CONTACT",
        "NOTHING_PLANNED",
    ]
