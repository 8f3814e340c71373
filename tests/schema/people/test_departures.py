"""Who is deactivated hands over: to whom, what, how it is told, and nothing slips through at the same moment."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from crmgql.domain.activities import tasks, tickets
from crmgql.domain.customers import customers
from crmgql.domain.leads import conversion, leads, merging
from crmgql.domain.opportunities import opportunities
from crmgql.domain.people import departures
from crmgql.domain.pools import pools
from crmgql.domain.routing import assign
from crmgql.errors import CrmError
from crmgql.events import outbox
from crmgql.records.records import Act
from crmgql.viewer import Viewer, Who
from tests.schema.cases_leads import lead
from tests.schema.cases_messages import task
from tests.schema.cases_pools import item
from tests.schema.world import NOW, World, id_of, money, unlike, uuid_of

SHOW = "leads opportunities tasks tickets customers queues"
NOTHING = dict.fromkeys(SHOW.split(), 0)
HELD = """
SELECT (SELECT count(*) FROM leads WHERE owner_id = $1 AND status IN ('NEW', 'NURTURING', 'QUALIFIED'))
    + (SELECT count(*) FROM opportunities WHERE owner_id = $1 AND status = 'OPEN')
    + (SELECT count(*) FROM tasks WHERE assignee_id = $1 AND status = 'OPEN')
    + (SELECT count(*) FROM tickets WHERE assignee_id = $1 AND status IN ('OPEN', 'PENDING'))
    + (SELECT count(*) FROM customers WHERE owner_id = $1) + (SELECT count(*) FROM lead_queues WHERE owner_id = $1)"""
NEWS = "SELECT kind, title, body FROM notifications WHERE user_id = $1 ORDER BY id"


async def held(world: World, user: UUID) -> int:
    return await world.database.fetchval(HELD, user)  # type: ignore[no-any-return]


async def leave(world: World, user: UUID, **given: Any) -> dict[str, int]:
    """What was handed over."""
    query = (
        f"mutation($input: UserDeactivateInput!) {{ userDeactivate(input: $input) {{ handedOver {{ {SHOW} }} "
        "user { active } userErrors { code message } } }"
    )
    answer = await world.ask(query, world.viewer(), input={"id": id_of("User", user), **given})
    payload = answer["data"]["userDeactivate"]
    assert payload["user"] == {"active": False}, answer
    return payload["handedOver"]  # type: ignore[no-any-return]


async def desk(world: World, user: UUID) -> dict[str, str]:
    """One open record of each type, and one that is closed."""
    customer = await world.customer(None, owner_id=user)
    queue = await world.insert("lead_queues", name=f"Queue of {user}", owner_id=user)
    ticket, done = await world.ticket(customer=customer), await world.ticket("RESOLVED", customer=customer)
    sql = "UPDATE tickets SET assignee_id = $1 WHERE id = ANY ($2)"
    await world.database.execute(sql, user, [uuid_of(ticket), uuid_of(done)])
    return {
        "Lead": await lead(world, user),
        "Opportunity": await world.opportunity(customer=customer, owner_id=user),
        "Task": await task(world, None, assignee_id=user),
        "Ticket": ticket,
        "Customer": customer,
        "LeadQueue": id_of("LeadQueue", queue),
        "closed Lead": await lead(world, user, status="LOST", lost_reason="Price"),
        "closed Opportunity": await world.opportunity("WON", customer=customer, owner_id=user),
        "closed Task": await task(world, None, assignee_id=user, status="CANCELLED"),
        "closed Ticket": done,
    }


async def holder(world: World, id: str) -> UUID | None:
    table = {"led": "leads", "opp": "opportunities", "tsk": "tasks", "tic": "tickets", "cus": "customers"}
    row = await world.row(table.get(id[:3], "lead_queues"), id)
    return row["owner_id"] if "owner_id" in row else row["assignee_id"]  # type: ignore[no-any-return]


# To whom


async def test_everything_open_goes_to_the_one_who_is_named(world: World) -> None:
    user, heir = await world.user("SELLER", name="Ada"), await world.user("SELLER")
    made = await desk(world, user)
    assert await leave(world, user, handOverTo=id_of("User", heir)) == dict.fromkeys(NOTHING, 1)
    for name, id in made.items():
        assert await holder(world, id) == (user if name.startswith("closed") else heir), name
    row = await world.row("leads", made["Lead"])
    assert (row["assigned_at"], row["accepted_at"], row["accept_by"]) == (NOW, NOW, None)
    assert await held(world, user) == 0
    [news] = await world.database.fetch(NEWS, heir)
    assert news["kind"] == "work.handedOver"
    assert news["title"] == "Yours now: 1 lead, 1 opportunity, 1 task, 1 ticket, 1 customer, 1 queue"
    assert news["body"].startswith("Ada was deactivated")


async def test_each_move_is_told_and_recorded_like_an_assignment(world: World) -> None:
    user, heir = await world.user("SELLER", name="Ada"), await world.user("SELLER")
    made = await desk(world, user)
    await leave(world, user, handOverTo=id_of("User", heir))
    told = {
        "Lead": "lead.assigned",
        "Opportunity": "opportunity.updated",
        "Task": "task.updated",
        "Ticket": "ticket.assigned",
        "Customer": "customer.assigned",
        "LeadQueue": "leadQueue.updated",
    }
    for name, kind in told.items():
        assert await world.told(made[name]) == [kind]
        column = "assignee_id" if name in ("Task", "Ticket") else "owner_id"
        assert (await world.changes(made[name]))[column] == [str(user), str(heir)]
        sql = "SELECT actor_id, customer_id, payload FROM events WHERE subject_id = $1"
        event = await world.database.fetchrow(sql, uuid_of(made[name]))
        payload = json.loads(event["payload"])
        assert (event["actor_id"], payload["version"]) == (world.people["ADMIN"], 2)
        assert payload["handedOverFrom"] == f"usr_{user.hex}"
        own_customer = name in ("Opportunity", "Ticket", "Customer")
        assert event["customer_id"] == (uuid_of(made["Customer"]) if own_customer else None)
    for name, id in made.items():
        assert not name.startswith("closed") or await world.told(id) == []
    sql = "SELECT * FROM assignment_decisions WHERE lead_id = $1"
    [decision] = await world.database.fetch(sql, uuid_of(made["Lead"]))
    assert (decision["reason"], decision["chosen_id"], decision["previous_id"]) == ("MANUAL", heir, user)
    assert decision["explanation"] == "Ada was deactivated: handed over."
    assert (await world.row("leads", made["Lead"]))["routing_id"] == decision["id"]


async def test_without_a_name_leads_are_routed_and_the_rest_is_the_managers(world: World) -> None:
    boss = await world.user("MANAGER")
    team = await world.insert("teams", name="West", manager_id=boss)
    user = await world.user("SELLER", name="Ada", team_id=team)
    made = await desk(world, user)
    assert await leave(world, user) == dict.fromkeys(NOTHING, 1)
    for name, id in made.items():
        expected = user if name.startswith("closed") else None if name == "Lead" else boss
        assert await holder(world, id) == expected, name
    row = await world.row("leads", made["Lead"])
    assert (row["assigned_at"], row["accepted_at"], row["accept_by"]) == (None, None, None)
    assert await world.told(made["Lead"]) == ["lead.unassigned"]
    sql = "SELECT status, queue FROM jobs WHERE kind = 'lead.route' AND arguments->>'lead_id' = $1"
    assert [tuple(each) for each in await world.database.fetch(sql, str(uuid_of(made["Lead"])))] == [
        ("PENDING", "routing")
    ]
    [news] = await world.database.fetch(NEWS, boss)
    assert news["title"] == "Yours now: 1 opportunity, 1 task, 1 ticket, 1 customer, 1 queue"


async def test_routing_takes_the_lead_up_and_leaves_out_who_left(world: World) -> None:
    user = await world.user("SELLER")
    id = await lead(world, user)
    await leave(world, user)
    async with world.engine.database.transaction() as tx:
        done = await assign.route(Act(tx, world.viewer()), lead_id=uuid_of(id))
    assert done["routed"] is False  # there is no rule set; the sweep tries again once there is
    assert (await world.row("leads", id))["owner_id"] is None


async def test_a_manager_of_the_nearest_team_above_who_is_there(world: World) -> None:
    gone, top, user = await world.user("MANAGER", active=False), await world.user("MANAGER"), None
    upper = await world.insert("teams", name="All", manager_id=top)
    middle = await world.insert("teams", name="Middle", manager_id=gone, parent_id=upper)
    lower = await world.insert("teams", name="Lower", parent_id=middle)
    user = await world.user("SELLER", team_id=lower)
    await world.database.execute("UPDATE teams SET manager_id = $1 WHERE id = $2", user, lower)  # never oneself
    id = await world.opportunity(owner_id=user)
    assert await leave(world, user) == {**NOTHING, "opportunities": 1}
    assert await holder(world, id) == top


async def test_where_there_is_no_manager_it_is_nobodys(world: World) -> None:
    user = await world.user("SELLER")
    made = await desk(world, user)
    before = await world.database.fetchval("SELECT count(*) FROM notifications")
    await leave(world, user)
    assert {await holder(world, id) for name, id in made.items() if not name.startswith("closed")} == {None}
    assert await world.database.fetchval("SELECT count(*) FROM notifications") == before


async def test_who_takes_it_over_themselves_is_not_told(world: World) -> None:
    user = await world.user("SELLER")
    await task(world, None, assignee_id=user)
    before = await world.database.fetch(NEWS, world.people["ADMIN"])
    given = {"handOverTo": id_of("User", world.people["ADMIN"])}
    assert await leave(world, user, **given) == {**NOTHING, "tasks": 1}
    assert await world.database.fetch(NEWS, world.people["ADMIN"]) == before


async def test_who_can_not_take_it(world: World) -> None:
    user = await world.user("SELLER")
    id, gone = id_of("User", user), id_of("User", await world.user("SELLER", active=False))
    await task(world, None, assignee_id=user)
    before = await world.counts()
    for heir, code in ((gone, "BAD_USER_INPUT"), (id, "BAD_USER_INPUT"), (unlike(id), "NOT_FOUND")):
        answer = await world.do("userDeactivate", id=id, handOverTo=heir)
        assert (answer.code, answer.field) == (code, "handOverTo")
    assert await world.counts() == before


async def test_what_is_reopened_is_nobodys_after_its_owner_left(world: World) -> None:
    user = await world.user("SELLER")
    made = await desk(world, user)
    await leave(world, user)
    for verb, name in (("lead", "Lead"), ("opportunity", "Opportunity"), ("task", "Task"), ("ticket", "Ticket")):
        assert (await world.do(f"{verb}Reopen", id=made[f"closed {name}"])).code is None
        assert await holder(world, made[f"closed {name}"]) is None
    assert await held(world, user) == 0


@pytest.mark.parametrize("survives", ["closed", "open"])
async def test_merging_brings_nobody_back(world: World, survives: str) -> None:
    user = await world.user("SELLER")
    closed, open = await lead(world, user, status="LOST", lost_reason="Price"), await lead(world, None)
    await leave(world, user)
    one, other = (closed, open) if survives == "closed" else (open, closed)
    assert (await world.do("leadMerge", show="status", id=one, otherId=other)).done == {"status": "NEW"}
    assert await held(world, user) == 0


# How much it takes


async def test_as_many_statements_for_five_hundred_as_for_one(world: World) -> None:
    seen: dict[int, list[str]] = {}
    for number in (1, 2, 1, 500):  # the first times asyncpg asks about types
        boss = await world.user("MANAGER")
        user = await world.user("SELLER", team_id=await world.insert("teams", name="Many", manager_id=boss))
        for _ in range(number):
            await lead(world, user)
        customer = uuid_of(await world.customer(None, owner_id=user))
        stage = uuid_of(await world.stage("PROSPECTING"))
        await world.database.execute(
            "INSERT INTO opportunities (name, stage_id, customer_id, owner_id) SELECT 'D', $1, $2, $3 FROM generate_series(1, $4)",
            *(stage, customer, user, number),
        )
        await world.database.execute(
            "INSERT INTO tasks (subject, assignee_id) SELECT 'T', $1 FROM generate_series(1, $2)", user, number
        )
        statements: list[str] = []
        started = time.perf_counter()
        async with world.engine.database.transaction() as tx:
            with tx.connection.query_logger(lambda query, into=statements: into.append(query.query)):
                counts = await departures.deactivate(Act(tx, world.viewer()), id=user)
        assert counts == {**NOTHING, "leads": number, "opportunities": number, "tasks": number, "customers": 1}
        assert time.perf_counter() - started < 5
        assert await held(world, user) == 0
        seen[number] = statements
    # One event has a statement of its own.
    one, many = ([outbox.RECORD if each == outbox.RECORD_ONE else each for each in seen[n]] for n in (1, 500))
    assert one == many
    assert len(one) < 30


# At the same moment

Verb = Callable[[Act], Awaitable[Any]]


async def verbs(world: World, user: UUID) -> dict[str, tuple[Viewer, Verb]]:
    """Everything that makes somebody the holder of something open, with who does it."""
    admin, self = world.viewer(), Viewer(user, Who(frozenset({"SELLER"})), clock=lambda: NOW)
    ticket, pool_item = uuid_of(await world.ticket()), uuid_of(await item(world))
    opportunity, other = uuid_of(await world.opportunity()), uuid_of(await task(world))
    free, customer = uuid_of(await lead(world, None)), uuid_of(await world.customer())
    lost = uuid_of(await lead(world, user, status="LOST", lost_reason="Price"))
    closed = uuid_of(await world.opportunity("WON", owner_id=user))
    done = uuid_of(await task(world, None, assignee_id=user, status="CANCELLED"))
    mine, merged = uuid_of(await lead(world, user)), uuid_of(await lead(world, None))
    return {
        "lead assigned": (admin, lambda act: leads.assign(act, id=free, owner_id=user)),
        "lead created": (admin, lambda act: leads.create(act, name="Ann", owner_id=user)),
        "own lead": (self, lambda act: leads.create(act, name="Ann")),
        "lead reopened": (admin, lambda act: leads.reopen(act, id=lost)),
        "lead converted": (admin, lambda act: conversion.convert(act, id=mine)),
        "leads merged": (admin, lambda act: merging.merge(act, id=merged, other_id=lost)),
        "opportunity given": (admin, lambda act: opportunities.update(act, id=opportunity, owner_id=user)),
        "opportunity created": (admin, lambda act: opportunities.create(act, name="Deal", owner_id=user)),
        "own opportunity": (self, lambda act: opportunities.create(act, name="Deal")),
        "opportunity reopened": (admin, lambda act: opportunities.reopen(act, id=closed)),
        "task given": (admin, lambda act: tasks.update(act, id=other, assignee_id=user)),
        "task created": (admin, lambda act: tasks.create(act, subject="Call", assignee_id=user)),
        "own task": (self, lambda act: tasks.create(act, subject="Call")),
        "task reopened": (admin, lambda act: tasks.move(act, "reopen", id=done)),
        "ticket assigned": (admin, lambda act: tickets.assign(act, id=ticket, assignee_id=user)),
        "customer given": (admin, lambda act: customers.update(act, id=customer, owner_id=user)),
        "own customer": (self, lambda act: customers.create(act, name="Acme")),
        "claimed": (self, lambda act: pools.claim(act, id=pool_item)),
    }


VERBS = (
    "lead assigned", "lead created", "own lead", "lead reopened", "lead converted", "leads merged", "opportunity given",
    "opportunity created", "own opportunity", "opportunity reopened", "task given", "task created", "own task",
    "task reopened", "ticket assigned", "customer given", "own customer", "claimed",
)  # fmt: skip


async def within(world: World, viewer: Viewer, verb: Verb, begun: asyncio.Event, go: asyncio.Event) -> Any:
    """Does the verb in a transaction of its own, and commits when it may."""
    async with world.engine.database.transaction() as tx:
        try:
            answer: Any = await verb(Act(tx, viewer))
        except CrmError as error:
            answer = error
        begun.set()
        await go.wait()
        if isinstance(answer, CrmError):
            raise answer
        return answer


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("first", ["given", "left"])
async def test_what_is_given_at_the_same_moment_is_refused_or_handed_over(world: World, name: str, first: str) -> None:
    user, heir = await world.user("SELLER"), await world.user("SELLER")
    known = await verbs(world, user)
    assert tuple(known) == VERBS
    viewer, give = known[name]

    async def left(act: Act) -> Any:
        return await departures.deactivate(act, id=user, hand_over_to=heir)

    steps = [(viewer, give), (world.viewer(), left)]
    if first == "left":
        steps.reverse()
    begun, go = asyncio.Event(), asyncio.Event()
    one = asyncio.create_task(within(world, *steps[0], begun, go))
    await begun.wait()
    free = asyncio.Event()
    free.set()
    two = asyncio.create_task(within(world, *steps[1], asyncio.Event(), free))
    await asyncio.sleep(0.1)
    waits = not two.done()
    go.set()
    answers = await asyncio.gather(one, two, return_exceptions=True)

    assert waits, "the second one must not read past the first"
    assert not isinstance(answers[0], BaseException), answers
    assert await held(world, user) == 0
    if first == "given":
        assert sum(answers[1].values()) > 0
    else:
        assert answers[1] is None or isinstance(answers[1], CrmError | UUID)


async def test_whatever_happens_at_once_nobody_who_left_holds_anything(world: World) -> None:
    """All of it at once, through the API, where what got in each other's way is done again."""
    for _ in range(4):
        boss = await world.user("MANAGER")
        team = await world.insert("teams", name="Storm", manager_id=boss)
        user = await world.user("SELLER", team_id=team)
        id = id_of("User", user)
        mine = [await lead(world, user) for _ in range(3)]
        deals = [await world.opportunity(owner_id=user) for _ in range(3)]
        self = Viewer(user, Who(frozenset({"SELLER"})), clock=lambda: NOW)
        tries = [
            world.do("userDeactivate", id=id),
            world.do("leadConvert", id=mine[0]),
            world.do("leadLose", self, id=mine[1], reason="Price"),
            world.do("leadMerge", id=mine[1], otherId=mine[2]),
            world.do("leadAssign", id=await lead(world, None), ownerId=id),
            world.do("opportunityUpdate", self, id=deals[0], amount=money("5.00")),
            world.do("opportunityUpdate", id=await world.opportunity(), ownerId=id),
            world.do("opportunityLose", id=deals[1], reason="Price"),
            world.do("taskCreate", self, subject="Call", opportunityId=deals[2]),
            world.do("taskCreate", subject="Call", assigneeId=id),
            world.do("poolClaim", self, id=await item(world)),
            world.do("customerCreate", self, name="Acme"),
        ]
        answers = await asyncio.gather(*tries)
        assert answers[0].code is None
        assert {code for answer in answers for code in answer.codes} <= {
            *("BAD_USER_INPUT", "NOT_FOUND", "ILLEGAL_TRANSITION", "UNAUTHENTICATED", "FORBIDDEN", "CONFLICT")
        }
        assert await held(world, user) == 0


@pytest.mark.parametrize("given_away", [True, False])
async def test_a_change_under_way_is_neither_lost_nor_passed_over(world: World, given_away: bool) -> None:
    user, heir, other = await world.user("SELLER"), await world.user("SELLER"), await world.user("SELLER")
    id = await world.opportunity(owner_id=user)
    changes: dict[str, Any] = {"name": "Changed", **({"owner_id": other} if given_away else {})}
    begun, go, free = asyncio.Event(), asyncio.Event(), asyncio.Event()
    free.set()
    one = asyncio.create_task(
        within(world, world.viewer(), lambda act: opportunities.update(act, id=uuid_of(id), **changes), begun, go)
    )
    await begun.wait()
    two = asyncio.create_task(
        within(
            world,
            world.viewer(),
            lambda act: departures.deactivate(act, id=user, hand_over_to=heir),
            asyncio.Event(),
            free,
        )
    )
    await asyncio.sleep(0.1)
    go.set()
    _, counts = await asyncio.gather(one, two)
    row = await world.row("opportunities", id)
    assert (row["name"], row["owner_id"]) == ("Changed", other if given_away else heir)
    assert (row["version"], counts["opportunities"]) == ((2, 0) if given_away else (3, 1))


async def test_two_who_leave_at_once_to_each_other(world: World) -> None:
    one, other = await world.user("SELLER"), await world.user("SELLER")
    for user in (one, other):
        await task(world, None, assignee_id=user)
    answers = await asyncio.gather(
        world.do("userDeactivate", id=id_of("User", one), handOverTo=id_of("User", other)),
        world.do("userDeactivate", id=id_of("User", other), handOverTo=id_of("User", one)),
    )
    assert sorted(str(answer.code) for answer in answers) == ["BAD_USER_INPUT", "None"]
    gone = one if answers[0].code is None else other
    assert await held(world, gone) == 0


async def test_an_heir_who_leaves_meanwhile_is_not_the_heir(world: World) -> None:
    top, boss = await world.user("MANAGER"), await world.user("MANAGER")
    upper = await world.insert("teams", name="Upper", manager_id=top)
    team = await world.insert("teams", name="Team", manager_id=boss, parent_id=upper)
    user = await world.user("SELLER", team_id=team)
    await task(world, None, assignee_id=user)
    begun, go = asyncio.Event(), asyncio.Event()
    free = asyncio.Event()
    free.set()
    one = asyncio.create_task(within(world, world.viewer(), lambda act: departures.deactivate(act, id=boss), begun, go))
    await begun.wait()
    two = asyncio.create_task(
        within(world, world.viewer(), lambda act: departures.deactivate(act, id=user), asyncio.Event(), free)
    )
    await asyncio.sleep(0.1)
    go.set()
    await asyncio.gather(one, two)
    assert await world.database.fetchval("SELECT count(*) FROM tasks WHERE assignee_id = $1", top) == 1
    assert (await held(world, boss), await held(world, user)) == (0, 0)
