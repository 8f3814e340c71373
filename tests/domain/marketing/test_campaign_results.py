"""What leads came to, per channel, campaign and source: against a count in plain Python over random companies."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from crmgql.db import Database
from crmgql.domain.marketing import campaign_results
from crmgql.engine.operations import Engine, Request
from crmgql.errors import BadUserInput, Forbidden
from crmgql.viewer import Viewer
from tests.conftest import viewer

Row = dict[str, Any]
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
STATUSES = ("NEW", "NURTURING", "QUALIFIED", "CONVERTED", "CONVERTED", "CONVERTED", "LOST", "MERGED")
CURRENCIES = ("EUR", "USD", "JPY")
PERIODS = [(None, None), (date(2026, 3, 10), None), (None, date(2026, 4, 10)), (date(2026, 3, 8), date(2026, 4, 20))]


class Company:
    """Campaigns, leads and opportunities drawn by dice, in the database and as plain rows."""

    def __init__(self, database: asyncpg.Connection, seed: int) -> None:
        self.database = database
        self.dice = random.Random(seed)

    async def add(self, table: str, **values: Any) -> Row:
        columns, places = ", ".join(values), ", ".join(f"${number}" for number in range(1, len(values) + 1))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING *"
        return dict(await self.database.fetchrow(sql, *values.values()))

    async def populate(self) -> Company:
        """A manager over one of two sellers, and everything that they sell."""
        manager = await self.add("users", name="Max", roles=["MANAGER"])
        team = await self.add("teams", name="North", manager_id=manager["id"])
        ours = await self.add("users", name="Ann", roles=["SELLER"], team_id=team["id"])
        theirs = await self.add("users", name="Bob", roles=["SELLER"])
        self.manager: UUID = manager["id"]
        self.team = {manager["id"], ours["id"]}
        self.people = [None, manager["id"], ours["id"], theirs["id"]]
        self.stages = [dict(row) for row in await self.database.fetch("SELECT * FROM stages")]
        self.campaigns = [await self.campaign(number) for number in range(9)]
        self.deals = [await self.deal() for _ in range(30)]
        self.leads: list[Row] = []
        for _ in range(150):
            self.leads.append(await self.lead())
        return self

    def day(self) -> date:
        return (FIRST + timedelta(days=self.dice.randrange(60))).date()

    async def campaign(self, number: int) -> Row:
        pick, currency = self.dice.choice, self.dice.choice(CURRENCIES)
        starts_on, ends_on = sorted((self.day(), self.day()))
        values = {"starts_on": pick((None, starts_on, starts_on)), "ends_on": pick((None, ends_on, ends_on))}
        spend = pick((None, self.amount(currency), self.amount(currency)))
        named = {"name": f"Campaign {number}", "channel": pick(("EMAIL", "SEARCH", "SOCIAL")), "currency": currency}
        return await self.add("campaigns", spend_amount=spend, **named, **values)

    async def deal(self) -> Row:
        pick, currency = self.dice.choice, self.dice.choice(CURRENCIES)
        stage = pick(self.stages)
        customer = await self.add("customers", name="Acme", owner_id=pick(self.people))
        closed_on = None if stage["status"] == "OPEN" else self.day()
        values = {"name": "Deal", "owner_id": pick(self.people), "customer_id": customer["id"], "currency": currency}
        values |= {"stage_id": stage["id"], "closed_on": closed_on, "amount": pick((None, self.amount(currency)))}
        return {**await self.add("opportunities", **values), "customer_owner": customer["owner_id"]}

    async def lead(self) -> Row:
        pick, moment = self.dice.choice, FIRST + timedelta(minutes=self.dice.randrange(60 * 24 * 60))
        status = pick(STATUSES) if self.leads else "NEW"
        values = dict.fromkeys(("status_since", "received_at", "last_activity_at"), moment)
        values |= {"name": "Lead", "status": status, "owner_id": pick(self.people)}
        values |= {"lead_source": pick((None, "web", "event"))}
        values |= {"campaign_id": (pick([None, *self.campaigns]) or {}).get("id")}
        if status == "CONVERTED":
            values |= {"converted_at": moment, "opportunity_id": (pick([None, *self.deals]) or {}).get("id")}
        if status == "LOST":
            values |= {"lost_reason": "Too dear"}
        if status == "MERGED":
            values |= {"merged_into_id": self.leads[0]["id"]}
        made, past = await self.add("leads", **values), pick((None, "QUALIFIED", "NURTURING"))
        if past:
            await self.add("lead_transitions", lead_id=made["id"], to_status=past, occurred_at=moment)
        return {**made, "past": past}

    def amount(self, currency: str) -> Decimal:
        return Decimal(self.dice.randrange(1, 1_000_000)).scaleb(0 if currency == "JPY" else -2)


def expected(company: Company, by: str, since: date | None, until: date | None, *, team: bool) -> dict[Any, Row]:
    """The same figures, counted record by record. `team`: of what the manager sees."""
    campaigns = {row["id"]: row for row in company.campaigns}
    deals = {row["id"]: row for row in company.deals}

    def key(lead: Row) -> Any:
        if by == "SOURCE":
            return lead["lead_source"]
        campaign = campaigns.get(lead["campaign_id"], {})
        return campaign.get("id" if by == "CAMPAIGN" else "channel")

    def sees(row: Row) -> bool:
        return not team or row["owner_id"] in company.team or row.get("customer_owner") in company.team

    leads = defaultdict(list)
    for lead in company.leads:
        day = lead["received_at"].date()
        if lead["status"] != "MERGED" and (since or day) <= day <= (until or day) and sees(lead):
            leads[key(lead)].append(lead)
    spent: dict[Any, Any] = defaultdict(lambda: defaultdict(Decimal))
    if by != "SOURCE":
        add_spent(company, by, since, until, spent)
    rows = {}
    for group in leads.keys() | spent.keys():
        converted = [lead for lead in leads[group] if lead["status"] == "CONVERTED"]
        theirs = {lead["opportunity_id"] for lead in converted} - {None}
        seen = [deals[id] for id in theirs if sees(deals[id])]
        won: dict[str, Decimal] = defaultdict(Decimal)
        for deal in seen:
            if deal["status"] == "WON":
                won[deal["currency"]] += deal["amount"] or 0
        qualified = sum(
            lead["status"] in ("QUALIFIED", "CONVERTED") or lead["past"] == "QUALIFIED" for lead in leads[group]
        )
        rows[group] = {
            "leads": len(leads[group]),
            "statuses": dict(Counter(lead["status"] for lead in leads[group])),
            "qualified": qualified,
            "converted": len(converted),
            "conversionRate": ratio(100 * len(converted), len(leads[group]), "0.01"),
            "stages": dict(Counter(deal["stage_id"] for deal in seen)),
            "won": sum(deal["status"] == "WON" for deal in seen),
            "wonRevenue": dict(won),
            **compared(None if by == "SOURCE" else spent[group], len(leads[group]), won, whole=not team),
        }
    return rows


def add_spent(company: Company, by: str, since: date | None, until: date | None, spent: dict[Any, Any]) -> None:
    """A group's spend by currency; under the key None, that nobody knows which part of it lies in the period."""
    for campaign in company.campaigns:
        first, last = campaign["starts_on"] or date.min, campaign["ends_on"] or date.max
        if campaign["spend_amount"] is None or last < (since or date.min) or first > (until or date.max):
            continue
        group = spent[campaign["id" if by == "CAMPAIGN" else "channel"]]
        group[campaign["currency"]] += campaign["spend_amount"]
        if first < (since or date.min) or last > (until or date.max):
            group[None] = Decimal(0)


def compared(spent: Any, leads: int, won: dict[str, Decimal], *, whole: bool) -> Row:
    if spent is None or None in spent:
        return {"spend": None, "costPerLead": None, "returnOnSpend": None}
    if not whole or len(spent) != 1:
        return {"spend": dict(spent), "costPerLead": None, "returnOnSpend": None}
    ((currency, amount),) = spent.items()
    each = ratio(amount, leads, "1" if currency == "JPY" else "0.01")
    gain = won.get(currency, Decimal(0)) - amount
    return {"spend": dict(spent), "costPerLead": each, "returnOnSpend": ratio(gain, amount, "0.0001")}


def ratio(part: Decimal | int, whole: Decimal | int, step: str) -> Decimal | None:
    return (Decimal(part) / whole).quantize(Decimal(step), ROUND_HALF_UP) if whole else None


def plain(row: Row) -> Row:
    """An answered row in the shape of an expected one."""
    amounts = {each["currency"]: each["amount"] for each in row["wonRevenue"]}
    return {
        **{name: row[name] for name in ("leads", "qualified", "converted", "conversionRate", "won", "returnOnSpend")},
        "statuses": {each["status"]: each["leads"] for each in row["statuses"]},
        "stages": {each["stageId"]: each["opportunities"] for each in row["stages"]},
        "wonRevenue": amounts,
        "spend": row["spend"] and {each["currency"]: each["amount"] for each in row["spend"]},
        "costPerLead": row["costPerLead"] and row["costPerLead"]["amount"],
    }


@pytest.mark.parametrize("seed", range(4))
async def test_the_figures_are_those_of_a_count(crm: Database, database: asyncpg.Connection, seed: int) -> None:
    company = await Company(database, seed).populate()
    manager = viewer(company.manager, "MANAGER")
    everything = [viewer(company.manager, role) for role in ("ADMIN", "MARKETER", "FINANCE")]
    seen: Counter[str] = Counter()
    for by in ("CHANNEL", "CAMPAIGN", "SOURCE"):
        for since, until in PERIODS:
            for who in (everything[seed % 3], manager):
                rows = await campaign_results.results(crm, who, by=by, since=since, until=until)
                counted = expected(company, by, since, until, team=who is manager)
                assert {row["key"]: normal(plain(row)) for row in rows} == {
                    key: normal(row) for key, row in counted.items()
                }
                assert [row["leads"] for row in rows] == sorted((row["leads"] for row in rows), reverse=True)
                seen.update(name for row in rows for name, value in row.items() if value)
    assert {"wonRevenue", "costPerLead", "returnOnSpend", "spend", "stages"} <= seen.keys()


def normal(row: Row) -> Row:
    """No spend is no spend, whether it is absent or nothing."""
    return {**row, "spend": row["spend"] or ({} if row["spend"] is not None else None)}


async def test_a_campaign_says_the_same_as_its_row(engine: Engine, database: asyncpg.Connection) -> None:
    company = await Company(database, 99).populate()
    shared = "leads: leadCount qualified: qualifiedCount converted: convertedCount conversionRate won: wonCount returnOnSpend"
    query = f"""{{
        campaigns(first: 100) {{ nodes {{ id {shared} costPerLead {{ amount currency }} }} }}
        campaignResults(by: CAMPAIGN) {{ campaignId leads qualified converted conversionRate won returnOnSpend
            costPerLead {{ amount currency }} }}
    }}"""
    for role in ("ADMIN", "MANAGER"):
        answer = json.loads(await engine.answer(Request(query), viewer(company.manager, role)))
        rows = {row.pop("campaignId"): row for row in answer["data"]["campaignResults"]}
        fields = {node.pop("id"): node for node in answer["data"]["campaigns"]["nodes"]}
        assert rows.keys() - {None} <= fields.keys()
        for id, row in rows.items():
            assert id is None or row == fields[id]


async def ask(engine: Engine, who: Viewer, arguments: str, part: str = "leads") -> Row:
    query = f"{{ campaignResults({arguments}) {{ {part} }} }}"
    answer: Row = json.loads(await engine.answer(Request(query), who))
    return answer


async def test_through_graphql(engine: Engine, database: asyncpg.Connection) -> None:
    company = await Company(database, 7).populate()
    who = viewer(company.manager, "ADMIN")
    everything = """channel leadSource leads conversionRate statuses { status leads }
        stages { stageId stage pipeline status opportunities } wonRevenue { amount currency } spend { amount currency }"""
    rows = (await ask(engine, who, 'by: CHANNEL, since: "2026-03-05", until: "2026-03-05"', everything))["data"]
    day = date(2026, 3, 5)
    counted = expected(company, "CHANNEL", day, day, team=False)
    assert {row["channel"]: row["leads"] for row in rows["campaignResults"]} == {
        k: v["leads"] for k, v in counted.items()
    }
    row = (await ask(engine, who, "by: CHANNEL", everything))["data"]["campaignResults"][0]
    assert row["stages"][0]["stageId"].startswith("stg_")
    assert all(isinstance(money["amount"], str) for money in row["wonRevenue"] + row["spend"])


async def test_a_period_that_ends_before_it_starts(crm: Database, engine: Engine) -> None:
    who = viewer(UUID(int=1), "ADMIN")
    with pytest.raises(BadUserInput) as caught:
        await campaign_results.results(crm, who, by="SOURCE", since=date(2026, 2, 2), until=date(2026, 2, 1))
    assert caught.value.field == "until"
    assert (await ask(engine, who, 'by: SOURCE, until: "2200-12-31"'))["data"]["campaignResults"] == []
    for bad in ('since: "0001-01-01"', 'until: "9999-12-31"'):
        answer = await ask(engine, who, f"by: SOURCE, {bad}")
        assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": bad.partition(":")[0]}


@pytest.mark.parametrize("role", ["SELLER", "SUPPORT", "INTEGRATION"])
async def test_who_has_no_part_in_campaigns(crm: Database, role: str) -> None:
    with pytest.raises(Forbidden):
        await campaign_results.results(crm, viewer(UUID(int=1), role), by="CHANNEL")


async def test_the_scopes_that_a_key_needs(crm: Database) -> None:
    scopes = frozenset({"marketing:read", "leads:read", "opportunities:read"})
    for role in ("ADMIN", "FINANCE"):
        assert await campaign_results.results(crm, viewer(UUID(int=1), role, scopes=scopes), by="CHANNEL") == []
        for scope in scopes:
            narrow = viewer(UUID(int=1), role, scopes=scopes - {scope})
            with pytest.raises(Forbidden):
                await campaign_results.results(crm, narrow, by="CHANNEL")
