"""The examples of docs/howto/routing.md, run one after the other."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from crmgql.domain.routing import bulk, candidates
from crmgql.engine.operations import Engine, Request
from crmgql.models import RoutingReason
from tests.conftest import NOW, viewer
from tests.domain.routing.company import Firm

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "routing.md"


async def test_the_examples_work(firm: Firm, engine: Engine) -> None:
    admin, seller = await firm.seller("Root", roles=("ADMIN",)), await firm.seller("Ann")
    blocks = re.findall(r"```(graphql|json)\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    conditions, match = (orjson.loads(text) for kind, text in blocks if kind == "json")
    queue, ruleset, rule, profile, trial, activate = (text for kind, text in blocks if kind == "graphql")

    async def ask(query: str, **variables: Any) -> Any:
        body = await engine.answer(Request(query, None, variables, clock=lambda: NOW), viewer(admin, "ADMIN"))
        answer = orjson.loads(body)
        assert "errors" not in answer, answer
        (payload, *_) = answer["data"].values()
        assert not (isinstance(payload, dict) and payload.get("userErrors")), payload
        return answer["data"]

    queue_id = (await ask(queue))["leadQueueCreate"]["leadQueue"]["id"]
    made = (await ask(ruleset, queue=queue_id))["routingRulesetCreate"]
    assert [warning["code"] for warning in made["warnings"]] == ["EMPTY"]
    id = made["routingRuleset"]["id"]
    await ask(rule, ruleset=id, conditions=conditions, match=match)
    await ask(profile, seller=f"usr_{seller.hex}")
    # Monday 2026-10-26, 10:00 in Berlin.
    lead = await firm.lead(
        region="north",
        budget_amount=Decimal("60000.00"),
        currency="EUR",
        received_at=NOW.replace(month=10, day=26, hour=9),
    )
    tried = await ask(trial, ruleset=id)
    assert tried["routingWarnings"] == []
    assert tried["routingDryRun"]["leads"][0]["would"] == {"owner": "Ann", "queue": None, "reason": "MATCHED"}
    assert (await ask(activate, ruleset=id))["routingRulesetActivate"]["routingRuleset"] == {"status": "ACTIVE"}
    assert await firm.act(bulk.route_batch, limit=10, at=NOW.replace(month=10, day=26, hour=9)) == 1
    assert (await firm.row(lead))["owner_id"] == seller


def test_the_page_is_short_enough_and_names_every_reason() -> None:
    text = PAGE.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    named = {each for each in vars(candidates).values() if isinstance(each, str) and each.isupper()}
    said = {reason.value for reason in RoutingReason} - {"MATCHED", "EXISTING_ACCOUNT_OWNER", "MANUAL"}
    assert {each for each in named | said if f"`{each}`" not in text} == set()
