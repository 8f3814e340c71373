"""The company's settings, and that days are the company's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from crmgql import db
from crmgql.dev import embedded
from crmgql.postgres import company as company_belief
from crmgql.viewer import Viewer, Who
from tests.conftest import named
from tests.schema.cases_messages import lead
from tests.schema.cases_pools import item, pool
from tests.schema.world import NOW, World, id_of, uuid_of

EVERYTHING = "name timezone firstDayOfWeek fiscalYearStartMonth fiscalYearStartDay defaultCurrency locale version"
MARCH = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
"""In Shanghai it is 07:30 on 1 March."""


@pytest_asyncio.fixture
async def shanghai(world: World) -> AsyncIterator[World]:
    """The company works in Shanghai, for one test."""
    assert (await world.do("companyUpdate", timezone="Asia/Shanghai")).done
    yield world
    assert (await world.do("companyUpdate", timezone="UTC")).done


@pytest_asyncio.fixture
async def put_back(world: World) -> AsyncIterator[None]:
    """What one test changes of the company is as it was for the next."""
    columns = "name, first_day_of_week, fiscal_year_start_month, fiscal_year_start_day, default_currency, locale"
    before = await world.database.fetchrow(f"SELECT {columns} FROM companies")
    yield
    await world.database.execute(f"UPDATE companies SET ({columns}) = ($1, $2, $3, $4, $5, $6)", *before)


def at(world: World, moment: datetime, role: str = "ADMIN") -> Viewer:
    return Viewer(world.people[role], Who(frozenset({role})), clock=lambda: moment)


async def test_everybody_reads_it(world: World) -> None:
    for role in ("ADMIN", "SELLER", "SUPPORT"):
        answer = await world.ask(f"{{ company {{ __typename id {EVERYTHING} }} }}", world.viewer(role))
        found = answer["data"]["company"]
        assert (found["__typename"], found["timezone"], found["defaultCurrency"]) == ("Company", "UTC", "USD")
        again = await world.ask(f'{{ node(id: "{found["id"]}") {{ ... on Company {{ name }} }} }}', world.viewer(role))
        assert again["data"]["node"]["name"] == found["name"]
    assert (await world.ask("{ company { name } }", None))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    narrow = world.viewer(scopes=frozenset({"leads:read"}), key=UUID(int=1))
    assert (await world.ask("{ company { name } }", narrow))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    roleless = Viewer(world.people["SELLER"], Who(frozenset()))
    assert (await world.ask("{ company { name } }", roleless))["data"] == {"company": None}


async def test_there_is_one(world: World) -> None:
    with pytest.raises(Exception, match="companies_only_one"):
        await world.insert("companies", name="Another")


async def test_it_is_changed(world: World, put_back: None) -> None:
    """All but the zone, of which other tests tell."""
    given: dict[str, Any] = {
        "name": "Works",
        "firstDayOfWeek": 7,
        "fiscalYearStartMonth": 2,
        "fiscalYearStartDay": 28,
        "defaultCurrency": "CNY",
        "locale": "zh_CN",
    }
    before = await world.database.fetchval("SELECT version FROM companies")
    changed = (await world.do("companyUpdate", show=f"id {EVERYTHING}", expectedVersion=before, **given)).done
    id = changed.pop("id")
    assert changed == {**given, "locale": "zh-CN", "timezone": "UTC", "version": before + 1}
    assert (await world.told(id))[-1] == "company.updated"
    assert (await world.changes(id))["fiscal_year_start_day"] == [1, 28]
    assert (await world.do("companyUpdate", expectedVersion=before, name="Late")).code == "VERSION_CONFLICT"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", None),
        ("timezone", "Middle-earth/Shire"),
        ("timezone", "localtime"),
        ("timezone", "europe/berlin"),
        ("timezone", ""),
        ("timezone", None),
        ("firstDayOfWeek", 0),
        ("firstDayOfWeek", 8),
        ("fiscalYearStartMonth", 13),
        ("fiscalYearStartDay", 32),
        ("fiscalYearStartDay", 0),
        ("defaultCurrency", None),
        ("locale", "xx-Nowhere-1"),
        ("locale", ""),
        ("locale", None),
    ],
)
async def test_what_makes_no_sense_is_refused(world: World, field: str, value: Any) -> None:
    before = await world.counts()
    answer = await world.do("companyUpdate", **{field: value})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert await world.counts() == before


async def test_no_fiscal_year_begins_on_a_day_that_is_not_in_every_year(world: World) -> None:
    answer = await world.do("companyUpdate", fiscalYearStartMonth=2, fiscalYearStartDay=29)
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", "fiscalYearStartDay")
    assert (await world.do("companyUpdate", defaultCurrency="XAU")).code == "BAD_USER_INPUT"


async def test_another_zone_has_what_goes_by_days_worked_out_anew(world: World) -> None:
    sql = "SELECT due_at FROM jobs WHERE kind = 'opportunities.score' AND status = 'PENDING'"
    await world.database.execute("DELETE FROM jobs WHERE kind = 'opportunities.score'")  # other tests' zones
    assert (await world.do("companyUpdate", name="Same zone")).done
    assert await world.database.fetch(sql) == []
    assert (await world.do("companyUpdate", timezone="Europe/Berlin")).done
    (job,) = await world.database.fetch(sql)
    assert job["due_at"] - NOW == timedelta(seconds=2 * company_belief.BELIEVED_S)
    assert (await world.do("companyUpdate", timezone="UTC")).done


async def test_other_processes_notice(
    world: World, shanghai: World, servers: embedded.Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await world.database.fetchval("SELECT current_database()")
    first, second = world.engine.database, await db.connect(named(servers.database_url, name))
    try:
        assert await second.zone() == ZoneInfo("Asia/Shanghai")
        assert (await world.do("companyUpdate", timezone="Asia/Tokyo")).done
        async with first.transaction() as tx:
            assert tx.zone == ZoneInfo("Asia/Tokyo")
        assert await second.zone() == ZoneInfo("Asia/Shanghai")
        monkeypatch.setattr(company_belief, "BELIEVED_S", 0.0)
        assert await second.zone() == ZoneInfo("Asia/Tokyo")
    finally:
        await second.close()


async def test_a_deal_won_on_the_first_of_march_is_marchs(shanghai: World) -> None:
    before = await won_by_month(shanghai)
    opportunity = await shanghai.opportunity()
    won = await shanghai.do("opportunityWin", at(shanghai, MARCH), "closedOn", id=opportunity)
    assert won.done == {"closedOn": "2026-03-01"}
    lost = await shanghai.do(
        "opportunityLose", at(shanghai, MARCH), "closedOn", id=await shanghai.opportunity(), reason="Dear"
    )
    assert lost.done == {"closedOn": "2026-03-01"}
    moved = await shanghai.do(
        "opportunityMove",
        at(shanghai, MARCH),
        "engagedOn",
        id=await shanghai.opportunity(),
        stageId=await shanghai.stage("PROPOSAL"),
    )
    assert moved.done == {"engagedOn": "2026-03-01"}
    february, march = before
    assert await won_by_month(shanghai) == (february, march + 1)
    mixed = 'query { funnel(firstDay: "2026-03-01", since: "2026-03-01T00:00:00Z") { won } }'
    assert (await shanghai.ask(mixed, at(shanghai, MARCH)))["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def won_by_month(world: World) -> tuple[int, int]:
    """How many deals were won in February and in March."""
    funnel = "query($from: Date, $to: Date) { funnel(firstDay: $from, lastDay: $to) { won } }"
    february, march = [
        (await world.ask(funnel, at(world, MARCH), **{"from": first, "to": last}))["data"]["funnel"]["won"]
        for first, last in (("2026-02-01", "2026-02-28"), ("2026-03-01", "2026-03-31"))
    ]
    return february, march


async def test_a_closing_date_passes_at_the_companys_midnight(shanghai: World) -> None:
    due = await shanghai.opportunity(expected_close=date(2026, 2, 28))
    late = "SELECT risk_factors::text FROM opportunities WHERE id = $1"
    for moment, passed in ((MARCH - timedelta(hours=8), False), (MARCH, True)):
        show = await shanghai.do("opportunityUpdate", at(shanghai, moment), id=due, name=f"Deal {moment:%H}")
        assert show.done
        found = await shanghai.database.fetchval(late, uuid_of(due))
        assert ("CLOSE_DATE_PASSED" in found) is passed, moment


async def test_campaigns_run_by_the_companys_days(shanghai: World) -> None:
    made = (await shanghai.do("campaignCreate", name="Spring", channel="EVENT")).done["id"]
    started = await shanghai.do("campaignStart", at(shanghai, MARCH), "startsOn", id=made)
    assert started.done == {"startsOn": "2026-03-01"}
    ended = await shanghai.do("campaignEnd", at(shanghai, MARCH + timedelta(hours=16)), "endsOn", id=made)
    assert ended.done == {"endsOn": "2026-03-01"}


async def test_results_are_counted_by_the_companys_days(shanghai: World) -> None:
    await lead(shanghai, "SELLER", lead_source="days", received_at=MARCH)
    query = "query($d: Date) { campaignResults(by: SOURCE, since: $d, until: $d) { leadSource leads } }"
    counted = {}
    for day in ("2026-02-28", "2026-03-01"):
        rows = (await shanghai.ask(query, at(shanghai, MARCH), d=day))["data"]["campaignResults"]
        counted[day] = sum(row["leads"] for row in rows if row["leadSource"] == "days")
    assert counted == {"2026-02-28": 0, "2026-03-01": 1}


async def test_claims_of_a_day_are_counted_from_the_companys_midnight(shanghai: World) -> None:
    home = await pool(shanghai, claim_limit_per_day=1)
    midnight = datetime(2026, 2, 28, 16, 0, tzinfo=UTC)
    seller = await shanghai.user("SELLER")

    async def claim(moment: datetime) -> str | None:
        offered = await item(shanghai, home, entered_at=midnight - timedelta(days=1))
        viewer = Viewer(seller, Who(frozenset({"SELLER"})), clock=lambda: moment)
        return (await shanghai.do("poolClaim", viewer, id=offered)).code

    assert await claim(midnight - timedelta(hours=1)) is None
    assert await claim(midnight - timedelta(seconds=1)) == "POOL_DAILY_LIMIT"
    assert await claim(midnight) is None
    assert await claim(midnight + timedelta(hours=23)) == "POOL_DAILY_LIMIT"


async def test_a_calendar_is_in_the_companys_zone_unless_it_says_otherwise(shanghai: World) -> None:
    made = await shanghai.do("businessCalendarCreate", show="timezone", name="Office days")
    assert made.done == {"timezone": "Asia/Shanghai"}
    other = await shanghai.do("businessCalendarCreate", show="timezone", name="Days there", timezone="Europe/Berlin")
    assert other.done == {"timezone": "Europe/Berlin"}


async def test_a_deal_that_only_says_the_day_stands_since_the_companys_midnight(shanghai: World) -> None:
    id = await shanghai.opportunity("WON", closed_on=date(2026, 3, 1))
    row = await shanghai.row("opportunities", id)
    assert row["stage_since"] == datetime(2026, 2, 28, 16, 0, tzinfo=UTC)
    assert id_of("Opportunity", row["id"]) == id


async def test_which_statuses_count_as_revenue(world: World) -> None:
    async def set_to(*statuses: str) -> Any:
        return await world.do("companyUpdate", "ADMIN", "revenueStatuses", revenueStatuses=list(statuses))

    for wrong in ((), ("DRAFT",), ("CONFIRMED", "CANCELLED")):
        answer = await set_to(*wrong)
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", "revenueStatuses")
    assert (await set_to("DELIVERED", "SHIPPED", "SHIPPED")).done == {"revenueStatuses": ["SHIPPED", "DELIVERED"]}
