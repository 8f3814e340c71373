"""What comes into the sight of an endpoint's owner, and what leaves it: both are told, and of what left nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from crmgql.access import sights
from crmgql.domain.customers import customers
from crmgql.domain.opportunities import opportunities
from crmgql.domain.sales import orders
from crmgql.domain.streams import sightings
from crmgql.events import positions
from crmgql.models.names import api_id
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who
from tests.domain.work import insert, user
from tests.receiver import Got, Receiver
from tests.workers.test_webhooks import subscription
from tests.workers.webhook_shop import Shop, refusing

HIDDEN = {"sight": "LEFT", "customerId": None, "actorId": None}
NOTHING_ELSE = {"changed": [], "payload": {}}
KINDS = ["customer.*"]
DOCUMENT = """fragment Payload on Event {
  sight kind subjectId payload actor { id } who: subject { __typename ... on Customer { name } } changes { field } }"""


class Teams:
    """Two teams with a seller each, and endpoints at `/north` and `/south`."""

    def __init__(self, shop: Shop, receiver: Receiver) -> None:
        self.shop = shop
        self.receiver = receiver
        self.managers: dict[str, UUID] = {}
        self.sellers: dict[str, UUID] = {}

    async def found(self) -> Teams:
        for name in ("north", "south"):
            manager = self.managers[name] = await user(self.shop.database, name, roles=["MANAGER"])
            team = await insert(self.shop.database, "teams", name=name, manager_id=manager)
            self.sellers[name] = await user(self.shop.database, team_id=team)
        return self

    async def endpoints(self, **values: Any) -> list[UUID]:
        url = self.receiver.url.removesuffix("/hooks")
        owned = self.managers.items()
        return [await self.shop.endpoint(f"{url}/{name}", owner_id=owner, **values) for name, owner in owned]

    async def do(self, verb: Callable[..., Awaitable[UUID]], **given: Any) -> UUID:
        async with self.shop.crm.transaction() as tx:
            act = Act(tx, Viewer(self.shop.owner, Who(frozenset({"ADMIN"})), clock=self.shop.clock))
            done = await verb(act, **given)
        await positions.place(self.shop.database)
        return done

    async def customer(self, team: str) -> UUID:
        return await self.do(customers.create, name="Acme", owner_id=self.sellers[team])

    async def move(self, customer: UUID, team: str) -> None:
        await self.do(customers.update, id=customer, owner_id=self.sellers[team])

    async def order(self, customer: UUID) -> UUID:
        line = orders.Line(Decimal(1), description="Pump", unit_price=(Decimal(5), "USD"))
        return await self.do(orders.create, customer_id=customer, lines=[line])

    async def got(self) -> dict[str, list[Got]]:
        """What either endpoint gets now."""
        await self.shop.send()
        came = {name: [got for got in self.receiver.got if got.path == f"/{name}"] for name in self.managers}
        self.receiver.got.clear()
        return came


def told(came: list[Got]) -> list[tuple[str, str]]:
    return [(got.json["type"], got.json["data"]["sight"]) for got in came]


@pytest_asyncio.fixture
async def teams(shop: Shop, receiver: Receiver) -> Teams:
    return await Teams(shop, receiver).found()


async def test_a_customer_that_moves_leaves_one_endpoint_and_enters_another(teams: Teams) -> None:
    customer = await teams.customer("north")
    await teams.endpoints()
    await teams.do(customers.update, id=customer, website="https://acme.example")
    await teams.move(customer, "south")
    await teams.do(customers.update, id=customer, name="A secret of the south")
    came = await teams.got()
    (left,) = came["north"]
    about = {"type": "Customer", "id": api_id("Customer", customer)}
    assert left.json["type"] == "customer.assigned"
    assert left.json["data"] == {**HIDDEN, **NOTHING_ELSE, "subject": about}
    assert told(came["south"]) == [
        ("customer.updated", "SEEN"),
        ("customer.assigned", "ENTERED"),
        ("customer.updated", "SEEN"),
    ]
    entered = came["south"][1].json["data"]
    assert (entered["changed"], entered["customerId"], entered["payload"]) == (["ownerId"], about["id"], {"version": 3})


async def test_a_thin_endpoint_is_told_too(teams: Teams) -> None:
    customer = await teams.customer("north")
    await teams.endpoints(payload="THIN")
    await teams.move(customer, "south")
    came = await teams.got()
    about = {"type": "Customer", "id": api_id("Customer", customer)}
    assert [got.json["data"] for got in came["north"]] == [{**HIDDEN, "subject": about}]
    assert told(came["south"]) == [("customer.assigned", "ENTERED")]


async def test_what_hangs_on_a_customer_goes_with_it(teams: Teams) -> None:
    """An order is seen with its customer: it has no event of its own when that moves, and none afterwards."""
    customer = await teams.customer("north")
    await teams.endpoints(order_by="CUSTOMER")
    order = await teams.order(customer)
    assert told((await teams.got())["north"]) == [("order.created", "ENTERED")]
    await teams.do(orders.update, id=order, note="Not sent yet when its customer moves")
    await teams.move(customer, "south")
    await teams.do(orders.update, id=order, note="Of the south")
    came = await teams.got()
    assert told(came["north"]) == [("customer.assigned", "LEFT")]
    assert told(came["south"])[-2:] == [("customer.assigned", "ENTERED"), ("order.updated", "SEEN")]


async def test_a_deal_that_gets_another_owner(teams: Teams) -> None:
    """It leaves the sight of its old owner's team, unless that has its customer."""
    customer, north = await teams.customer("north"), teams.sellers["north"]
    deals = [
        await teams.do(opportunities.create, name="Pumps", amount=(Decimal(5), "USD"), owner_id=north, customer_id=each)
        for each in (None, customer)
    ]
    await teams.endpoints(kinds=["opportunity.*"])
    for deal in deals:
        await teams.do(opportunities.update, id=deal, owner_id=teams.sellers["south"])
    came = await teams.got()
    about = {"type": "Opportunity", "id": api_id("Opportunity", deals[0])}
    assert came["north"][0].json["data"] == {**HIDDEN, **NOTHING_ELSE, "subject": about}
    assert told(came["north"]) == [("opportunity.updated", "LEFT"), ("opportunity.updated", "SEEN")]
    assert told(came["south"]) == [("opportunity.updated", "ENTERED")] * 2


async def test_what_left_is_told_once_however_often_it_was_refused(teams: Teams) -> None:
    customer = await teams.customer("north")
    await teams.endpoints()
    teams.receiver.answer = refusing()
    await teams.move(customer, "south")
    await teams.shop.send()
    teams.receiver.answer = refusing("nothing")
    teams.receiver.got.clear()
    await teams.shop.wait_and_send(hours=1)
    assert told([got for got in teams.receiver.got if got.path == "/north"]) == [("customer.assigned", "LEFT")]
    assert await teams.shop.wait_and_send(hours=1) == 0


async def test_what_comes_back_before_it_was_told_never_left(teams: Teams) -> None:
    customer = await teams.customer("north")
    await teams.endpoints()
    await teams.move(customer, "south")
    await teams.move(customer, "north")
    came = await teams.got()
    assert told(came["north"]) == [("customer.assigned", "SEEN"), ("customer.assigned", "ENTERED")]
    assert told(came["south"]) == [("customer.assigned", "LEFT")]


async def test_what_was_never_seen_does_not_leave(teams: Teams) -> None:
    """Who reads no customers, or no events, is not told which ones moved."""
    customer = await teams.customer("north")
    await teams.endpoints()
    north = teams.managers["north"]
    await teams.shop.database.execute("UPDATE users SET roles = '{}' WHERE id = $1", north)
    await teams.move(customer, "south")
    assert (await teams.got())["north"] == []
    await teams.endpoints()
    scopes = ["orders:read"]
    key = await insert(teams.shop.database, "api_keys", user_id=north, name="k", hint="k", key_hash="k", scopes=scopes)
    await teams.shop.database.execute("UPDATE users SET roles = '{MANAGER}' WHERE id = $1", north)
    await teams.shop.database.execute("UPDATE webhook_endpoints SET api_key_id = $1 WHERE owner_id = $2", key, north)
    await teams.move(customer, "north")
    await teams.move(customer, "south")
    assert (await teams.got())["north"] == []


@pytest.mark.parametrize("filter", [None, {"kind": {"ne": "customer.erased"}}])
async def test_a_subscriptions_document_says_that_it_left(teams: Teams, filter: Any) -> None:
    """With a filter nobody is told: it may have held back the record before."""
    customer = await teams.customer("north")
    for name, owner in teams.managers.items():
        kept = await subscription(teams.shop, name=name, document=DOCUMENT, owner_id=owner, kinds=KINDS, filter=filter)
        url = f"{teams.receiver.url.removesuffix('hooks')}{name}"
        await teams.shop.endpoint(url, owner_id=teams.shop.owner, subscription_id=kept)
    await teams.move(customer, "south")
    came = await teams.got()
    about = {"kind": "customer.assigned", "subjectId": api_id("Customer", customer)}
    (entered,) = came["south"]
    assert entered.json["data"]["sight"] == entered.json["data"]["payload"]["sight"] == "ENTERED"
    assert entered.json["data"]["payload"]["who"] == {"__typename": "Customer", "name": "Acme"}
    if filter is not None:
        assert came["north"] == []
        return
    (left,) = came["north"]
    nothing_else = {"payload": {}, "actor": None, "who": None, "changes": []}
    assert left.json["data"]["payload"] == {"sight": "LEFT", **about, **nothing_else}
    assert left.json["data"] | HIDDEN == left.json["data"]


async def test_many_events_are_one_statement(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> None:
    moving = [await teams.customer("north") for _ in range(5)]
    await teams.endpoints()
    for customer in moving:
        await teams.move(customer, "south")
    asked = []
    read = sightings.read

    async def counted(connection: Any, viewer: Viewer, ids: list[UUID]) -> Any:
        asked.append(len(ids))
        return await read(connection, viewer, ids)

    monkeypatch.setattr(sightings, "read", counted)
    came = await teams.got()
    assert told(came["north"]) == [("customer.assigned", "LEFT")] * 5
    assert asked == [5, 5]


def test_who_sees_only_what_two_others_see() -> None:
    seen, entered, left = sights.SEEN, sights.ENTERED, sights.LEFT
    assert [sightings.both(seen, each) for each in (seen, entered, left)] == [seen, entered, left]
    assert [sightings.both(each, seen) for each in (entered, left)] == [entered, left]
    assert [sightings.both(left, left), sightings.both(entered, entered)] == [left, entered]
    assert sightings.both(entered, left) is sightings.both(left, entered) is None
