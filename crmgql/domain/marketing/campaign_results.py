"""The results of leads, per channel, campaign or source.

Enters: how to group, a period, the viewer. Leaves: plain rows, most leads first. Always holds: leads and opportunities
count as far as the viewer may see them (finance, who sees no single lead, gets the figures of all); the spend is compared
with leads only for viewers who see all leads, in one currency, and only if all of it falls into the period.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import asyncpg

from crmgql import access
from crmgql.db import Database
from crmgql.errors import BadUserInput
from crmgql.records import checks, days, money
from crmgql.records.records import Row
from crmgql.viewer import Viewer

CHANNEL, CAMPAIGN, SOURCE = "CHANNEL", "CAMPAIGN", "SOURCE"
KEYS = {CHANNEL: "campaign.channel", CAMPAIGN: "campaign.id", SOURCE: "lead.lead_source"}
MOST = 1000
"""The most groups that are returned."""

LEADS = """
WITH lead AS ({leads})
SELECT {key} AS key, lead.status, count(*) AS leads,
    count(*) FILTER (WHERE lead.status IN ('QUALIFIED', 'CONVERTED') OR once.lead_id IS NOT NULL) AS qualified
FROM lead LEFT JOIN campaigns campaign ON campaign.id = lead.campaign_id
LEFT JOIN (
    SELECT DISTINCT lead_id FROM lead_transitions WHERE to_status IN ('QUALIFIED', 'CONVERTED')
) once ON once.lead_id = lead.id
WHERE lead.status <> 'MERGED' AND ({since}::timestamptz IS NULL OR lead.received_at >= {since})
    AND ({until}::timestamptz IS NULL OR lead.received_at < {until})
GROUP BY 1, 2"""

DEALS = """
WITH lead AS ({leads}), deal AS ({deals}), pair AS (
    SELECT DISTINCT {key} AS key, lead.opportunity_id
    FROM lead LEFT JOIN campaigns campaign ON campaign.id = lead.campaign_id
    WHERE lead.status = 'CONVERTED' AND lead.opportunity_id IS NOT NULL
        AND ({since}::timestamptz IS NULL OR lead.received_at >= {since})
        AND ({until}::timestamptz IS NULL OR lead.received_at < {until})
)
SELECT pair.key, stages.id AS stage_id, stages.name AS stage, pipelines.name AS pipeline, stages.status, deal.currency,
    count(*) AS opportunities, coalesce(sum(deal.amount), round(0::numeric, currency_scale(deal.currency))) AS amount
FROM pair JOIN deal ON deal.id = pair.opportunity_id
JOIN stages ON stages.id = deal.stage_id JOIN pipelines ON pipelines.id = stages.pipeline_id
GROUP BY pair.key, stages.id, stages.name, pipelines.name, stages.status, stages.position, deal.currency
ORDER BY pipelines.name, stages.position"""

# A campaign counts if all its days are in the period, and not if none is; if some are, how much was spent on them is unknown.
SPENT = """
SELECT {key} AS key, campaign.currency, sum(campaign.spend_amount) AS amount,
    bool_and(coalesce(
        ($1::date IS NULL OR campaign.starts_on >= $1) AND ($2::date IS NULL OR campaign.ends_on <= $2), false
    )) AS inside
FROM campaigns campaign
WHERE campaign.spend_amount IS NOT NULL
    AND ($1 IS NULL OR campaign.ends_on IS NULL OR campaign.ends_on >= $1)
    AND ($2 IS NULL OR campaign.starts_on IS NULL OR campaign.starts_on <= $2)
GROUP BY 1, 2 ORDER BY 2"""

NAMES = "SELECT id, name, channel FROM campaigns WHERE id = ANY($1)"


async def results(
    database: Database, viewer: Viewer, *, by: str, since: date | None = None, until: date | None = None
) -> list[Row]:
    """One row per group, for leads received from `since` to `until`, both days included, in the company's time zone.

    Raises `Forbidden` for roles that have no part in campaigns, `BadUserInput` for a period that ends before it starts.
    """
    _require(viewer)
    for name, day in (("since", since), ("until", until)):
        if day is not None:
            checks.check_year(day, name)
    if since is not None and until is not None and until < since:
        raise BadUserInput(f"The period would end on {until}, before it starts on {since}.", field="until")
    zone = await database.zone()
    period = {
        "since": since and days.start_of(since, zone),
        "until": until and days.start_of(until + timedelta(days=1), zone),
    }
    leads, deals = (access.counted(record, viewer.who) for record in ("Lead", "Opportunity"))
    key = KEYS[by]
    async with database.snapshot() as connection:
        groups = _Groups(by, whole=access.may(viewer.who, "lead.figures"))
        sql, values = access.statement(LEADS.replace("{key}", key), viewer, selects={"leads": leads}, **period)
        groups.add_leads(await connection.fetch(sql, *values))
        selects = {"leads": leads, "deals": deals}
        sql, values = access.statement(DEALS.replace("{key}", key), viewer, selects=selects, **period)
        groups.add_deals(await connection.fetch(sql, *values))
        if by != SOURCE:
            groups.add_spent(await connection.fetch(SPENT.format(key=key), since, until))
        names = await connection.fetch(NAMES, list(groups.keys)) if by == CAMPAIGN else []
    return groups.rows({row["id"]: dict(row) for row in names})


def _require(viewer: Viewer) -> None:
    access.require(viewer, "spend.read", "Reading results of campaigns")
    for record in ("Campaign", "Lead", "Opportunity"):
        access.require_read(viewer.who, record)


class _Groups:
    """Figures by group, filled from one statement after the other. `whole`: the viewer sees all leads."""

    def __init__(self, by: str, *, whole: bool) -> None:
        self.by = by
        self.whole = whole
        self.statuses: defaultdict[Any, dict[str, int]] = defaultdict(dict)
        self.qualified: defaultdict[Any, int] = defaultdict(int)
        self.stages: defaultdict[Any, dict[Any, Row]] = defaultdict(dict)
        self.revenue: defaultdict[Any, dict[str, Decimal]] = defaultdict(dict)
        self.spent: defaultdict[Any, dict[str, Decimal]] = defaultdict(dict)
        self.unsure: set[Any] = set()

    @property
    def keys(self) -> set[Any]:
        return {key for key in (*self.statuses, *self.spent, *self.unsure) if key is not None}

    def add_leads(self, rows: list[asyncpg.Record]) -> None:
        for row in rows:
            self.statuses[row["key"]][row["status"]] = row["leads"]
            self.qualified[row["key"]] += row["qualified"]

    def add_deals(self, rows: list[asyncpg.Record]) -> None:
        for row in rows:
            place = {"stageId": row["stage_id"], "opportunities": 0}
            place |= {name: row[name] for name in ("stage", "pipeline", "status")}
            self.stages[row["key"]].setdefault(row["stage_id"], place)["opportunities"] += row["opportunities"]
            if row["status"] == "WON":
                won = self.revenue[row["key"]]
                won[row["currency"]] = won.get(row["currency"], Decimal(0)) + row["amount"]

    def add_spent(self, rows: list[asyncpg.Record]) -> None:
        for row in rows:
            self.spent[row["key"]][row["currency"]] = row["amount"]
            if not row["inside"]:
                self.unsure.add(row["key"])

    def rows(self, names: dict[Any, Row]) -> list[Row]:
        made = [self._row(key, names) for key in (self.statuses.keys() | self.spent.keys())]
        return sorted(made, key=lambda row: (-row["leads"], row["key"] is None, str(row["key"])))[:MOST]

    def _row(self, key: Any, names: dict[Any, Row]) -> Row:
        statuses, stages = self.statuses[key], list(self.stages[key].values())
        leads, converted = sum(statuses.values()), statuses.get("CONVERTED", 0)
        spent = None if key in self.unsure or self.by == SOURCE else self.spent[key]
        return {
            "key": key,
            **self._named(key, names),
            "leads": leads,
            "statuses": [{"status": status, "leads": count} for status, count in sorted(statuses.items())],
            "qualified": self.qualified[key],
            "converted": converted,
            "conversionRate": _ratio(Decimal(converted * 100), leads, 2),
            "stages": stages,
            "won": sum(stage["opportunities"] for stage in stages if stage["status"] == "WON"),
            "wonRevenue": _money(self.revenue[key]),
            "spend": None if spent is None else _money(spent),
            **self._compared(leads, spent, self.revenue[key]),
        }

    def _named(self, key: Any, names: dict[Any, Row]) -> Row:
        if self.by == CAMPAIGN:
            campaign = names.get(key, {})
            return {"campaignId": key, "campaignName": campaign.get("name"), "channel": campaign.get("channel")}
        return {"channel": key} if self.by == CHANNEL else {"leadSource": key}

    def _compared(self, leads: int, spent: dict[str, Decimal] | None, revenue: dict[str, Decimal]) -> Row:
        """The spend compared with its results; None where the viewer sees a part of the leads, or for several currencies."""
        if not self.whole or spent is None or len(spent) != 1:
            return {"costPerLead": None, "returnOnSpend": None}
        ((currency, amount),) = spent.items()
        each = _ratio(amount, leads, money.scale(currency))
        cost = None if each is None else {"amount": each, "currency": currency}
        gain = revenue.get(currency, Decimal(0)) - amount
        return {"costPerLead": cost, "returnOnSpend": _ratio(gain, amount, 4)}


def _ratio(part: Decimal, whole: Decimal | int, places: int) -> Decimal | None:
    if not whole:
        return None
    return (part / whole).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _money(amounts: dict[str, Decimal]) -> list[Row]:
    return [{"amount": amount, "currency": currency} for currency, amount in sorted(amounts.items())]
