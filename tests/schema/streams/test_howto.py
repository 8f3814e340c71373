"""What the page for integrators asks for, is answered."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.schema.streams.following import place
from tests.schema.world import World

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "follow-events.md"


async def test_the_requests_of_the_page_work(world: World) -> None:
    create, pull, commit = (json.loads(body) for body in re.findall(r"--json '(.*?)'", PAGE.read_text("utf-8"), re.S))
    viewer = world.viewer("INTEGRATION")
    made = await world.ask(create["query"], viewer, **create["variables"])
    id = made["data"]["subscriptionCreate"]["eventSubscription"]["id"]
    payment = await world.payment("PENDING")
    await world.do("paymentReceive", id=payment)
    await place(world)

    pulled = await world.ask(pull["query"], viewer, input=pull["variables"]["input"] | {"id": id})
    handed = pulled["data"]["subscriptionPull"]
    assert [event["kind"] for event in handed["events"]][-1] == "payment.received"
    assert handed["events"][-1]["payload"]["subject"]["id"] == payment

    given = commit["variables"]["input"] | {"id": id, "token": handed["token"], "cursor": handed["cursor"]}
    committed = await world.ask(commit["query"], viewer, input=given)
    assert committed["data"]["subscriptionCommit"]["eventSubscription"] == {"lag": 0}
