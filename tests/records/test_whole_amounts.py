"""The database gives whole amounts as 2.7E+7; nobody is to read them so."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql.domain.leads import leads
from crmgql.domain.opportunities import risks, scores
from crmgql.domain.routing import conditions
from crmgql.events.outbox import as_json
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW

YEN = (Decimal("2.700E+7"), "JPY")


def test_what_people_read() -> None:
    assert as_json({"budget": YEN[0]}) == '{"budget":"27000000"}'
    rule = conditions.parse({"field": "budget", "op": "gte", "value": {"amount": "1", "currency": "JPY"}})
    met, because = conditions.evaluate(rule, {conditions.BUDGET: YEN}, conditions.Exchange())
    assert (met, because) == (True, "budget is 27000000 JPY")
    assert scores._shown(YEN) == "27000000 JPY"
    facts = risks.Facts(0, None, False, None, 0, YEN[0], Decimal("5E+7"), True, 1, date(2026, 11, 1))
    assert risks.assess(facts)[1][0]["because"] == "Its amount was 50000000 and is 27000000 now."


async def test_the_audit_trail(crm, database) -> None:
    async with crm.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        id = await leads.create(act, name="Yen", budget=YEN)
        await leads.update(act, id=id, budget=(Decimal(31000000), "JPY"))
        assert isinstance(id, UUID)
        assert (await records.visible(act, leads.Lead, id, field="id"))["budget_amount"] == 31000000
    changes = await database.fetchval(
        "SELECT changes->>'budget_amount' FROM audit_entries WHERE action = 'lead.updated'"
    )
    assert changes == '["27000000", "31000000"]'
