"""A rule set tried on what came: what would change, and nothing does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from crmgql.domain.routing import assign, bulk
from crmgql.engine.operations import Engine, Request
from tests.conftest import NOW, viewer
from tests.domain.routing.company import Firm

QUERY = """
query($id: ID!, $n: Int) {
  routingDryRun(rulesetId: $id, lastN: $n) {
    total changed
    leads { leadId name changed explanation now { owner queue reason } would { owner queue reason } }
    sellers { name now would }
    reasons { reason now would }
  }
  routingWarnings(rulesetId: $id) { code message ruleName }
}"""


async def ask(engine: Engine, viewer_: Any, ruleset: Any, last_n: int | None = None) -> dict[str, Any]:
    variables = {"id": f"rrs_{ruleset.hex}", "n": last_n}
    body = await engine.answer(Request(QUERY, None, variables, clock=lambda: NOW), viewer_)
    return orjson.loads(body)  # type: ignore[no-any-return]


async def counts(firm: Firm) -> list[int]:
    tables = ("leads", "assignment_decisions", "events", "audit_entries", "routing_shares", "notifications")
    return [await firm.database.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


async def test_what_would_change(firm: Firm, engine: Engine) -> None:
    ann, bob = await firm.seller("Ann"), await firm.seller("Bob", max_open=1)
    await firm.ruleset({"target": "USER", "target_user_id": ann})
    for number in range(4):
        lead = await firm.lead(f"Lead {number}", region="north", received_at=NOW + timedelta(seconds=number))
        await firm.act(assign.route, lead_id=lead)
    draft = await firm.ruleset(
        {"target": "USER", "target_user_id": bob, "conditions": {"field": "region", "op": "eq", "value": "North"}},
        fallback=False,
        status="DRAFT",
    )
    before = await counts(firm)
    answer = await ask(engine, viewer(ann, "MARKETER"), draft)
    tried = answer["data"]["routingDryRun"]
    assert (tried["total"], tried["changed"]) == (4, 4)
    latest, *_, first = tried["leads"]
    assert first["now"] == {"owner": "Ann", "queue": None, "reason": "MATCHED"}
    assert first["would"] == {"owner": "Bob", "queue": None, "reason": "MATCHED"}
    assert latest["would"] == {"owner": None, "queue": None, "reason": "NO_CAPACITY"}
    assert "Rule 1" in latest["explanation"]
    assert tried["sellers"] == [{"name": "Ann", "now": 4, "would": 0}, {"name": "Bob", "now": 0, "would": 1}]
    assert tried["reasons"] == [
        {"reason": "MATCHED", "now": 4, "would": 1},
        {"reason": "NO_CAPACITY", "now": 0, "would": 3},
    ]
    assert [each["code"] for each in answer["data"]["routingWarnings"]] == ["NO_FALLBACK"]
    assert await counts(firm) == before


async def test_the_active_rules_would_do_what_they_did(firm: Firm, engine: Engine) -> None:
    for number in range(5):
        await firm.seller(f"Seller {number}", weight=1 + number, max_open=30)
    ruleset = await firm.ruleset({"distribution": "WEIGHTED"})
    for number in range(60):
        await firm.lead(f"Lead {number}", received_at=NOW + timedelta(seconds=number))
    await firm.act(bulk.route_batch, limit=100)
    await firm.database.execute("DELETE FROM routing_shares")
    tried = (await ask(engine, viewer(await firm.seller("Root", roles=("ADMIN",)), "ADMIN"), ruleset))["data"][
        "routingDryRun"
    ]
    assert (tried["total"], tried["changed"]) == (60, 0)


async def test_hours_and_limits_are_those_of_the_time(firm: Firm, engine: Engine) -> None:
    seller = await firm.seller("Ann", hours={"timezone": "UTC", "fri": ["09:00-17:00"]}, max_per_day=1)
    for hours in (50, 49, 74):  # Friday 10:00 and 11:00, Thursday 10:00
        await firm.lead(f"{hours} h ago", received_at=NOW - timedelta(hours=hours))
    ruleset = await firm.ruleset({}, status="DRAFT")
    tried = (await ask(engine, viewer(seller, "ADMIN"), ruleset))["data"]["routingDryRun"]
    assert {each["name"]: each["would"]["reason"] for each in tried["leads"]} == {
        "74 h ago": "NO_AVAILABILITY",
        "50 h ago": "MATCHED",
        "49 h ago": "NO_CAPACITY",
    }


async def test_only_what_the_viewer_sees(firm: Firm, engine: Engine) -> None:
    manager, seller = await firm.seller("Boss", roles=("MANAGER",)), await firm.seller("Ann")
    team = await firm.insert("teams", name="North", manager_id=manager)
    await firm.database.execute("UPDATE users SET team_id = $1 WHERE id = $2", team, seller)
    ruleset = await firm.ruleset({}, status="DRAFT")
    await firm.lead("Mine", owner_id=seller)
    await firm.lead("Hidden")
    tried = (await ask(engine, viewer(manager, "MANAGER"), ruleset))["data"]["routingDryRun"]
    assert [each["name"] for each in tried["leads"]] == ["Mine"]
    refused = await ask(engine, viewer(seller, "SELLER"), ruleset)
    assert refused["data"]["routingDryRun"] is None
    assert {error["extensions"]["code"] for error in refused["errors"]} == {"NOT_FOUND"}


@pytest.mark.parametrize("last_n", [0, 1001, -1])
async def test_how_many(firm: Firm, engine: Engine, last_n: int) -> None:
    admin = await firm.seller("Root", roles=("ADMIN",))
    answer = await ask(engine, viewer(admin, "ADMIN"), await firm.ruleset(), last_n)
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_without_leads(firm: Firm, engine: Engine) -> None:
    admin = await firm.seller("Root", roles=("ADMIN",))
    tried = (await ask(engine, viewer(admin, "ADMIN"), await firm.ruleset()))["data"]["routingDryRun"]
    assert tried == {"total": 0, "changed": 0, "leads": [], "sellers": [], "reasons": []}
