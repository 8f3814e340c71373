"""Notifications: who is told, once, and what reading them does."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql import db
from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.records.records import Act
from crmgql.viewer import NOBODY, system
from tests.schema.cases_messages import lead, notification
from tests.schema.world import NOW, World, id_of, uuid_of


async def notify(crm: db.Database, user_ids: list[UUID], **more: object) -> int:
    async with crm.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        return await notifications.notify(act, user_ids=user_ids, **{"kind": "x.happened", "title": "Notice", **more})


async def people(database, *active: bool) -> list[UUID]:
    sql = "INSERT INTO users (name, active) VALUES ('Ann', $1) RETURNING id"
    return [await database.fetchval(sql, each) for each in active]


async def test_each_is_told_once_and_who_left_is_not(crm, database) -> None:
    ann, bob, left = await people(database, True, True, False)
    assert await notify(crm, [ann, bob, left, ann]) == 2
    rows = await database.fetch("SELECT user_id, title, occurred_at, read_at FROM notifications ORDER BY user_id")
    assert [tuple(row) for row in rows] == [(id, "Notice", NOW, None) for id in sorted([ann, bob])]


async def test_the_same_news_again_is_not_news(crm, database) -> None:
    ann, bob = await people(database, True, True)
    assert await notify(crm, [ann], dedupe_key="1") == 1
    assert await notify(crm, [ann, bob], dedupe_key="1") == 1
    assert await notify(crm, [ann], dedupe_key="2") == 1
    assert await notify(crm, [ann]) == await notify(crm, [ann]) == 1
    assert await notify(crm, []) == 0


async def test_many_at_once_keep_their_own_words(crm, database) -> None:
    ann, bob = await people(database, True, True)
    customer = await database.fetchval("INSERT INTO customers (name) VALUES ('Acme') RETURNING id")
    news = [
        Notice(ann, "a.b", "One", "body", "k", customer_id=customer),
        Notice(bob, "a.c", "T" * 300, "b" * 3000, "k"),
        Notice(ann, "a.b", "Twice", dedupe_key="k"),
    ]
    async with crm.transaction() as tx:
        assert await notifications.notify_many(Act(tx, system(lambda: NOW)), news) == 2
    rows = {row["user_id"]: row for row in await database.fetch("SELECT * FROM notifications")}
    assert (rows[ann]["title"], rows[ann]["body"], rows[ann]["customer_id"]) == ("One", "body", customer)
    assert rows[bob]["title"] == "T" * 199 + "…"
    assert (len(rows[bob]["body"]), rows[bob]["customer_id"]) == (2000, None)


@given(st.text(max_size=50), st.integers(1, 30))
def test_what_is_cut_fits_and_begins_alike(text: str, longest: int) -> None:
    short = notifications.cut(text, longest)
    assert len(short) <= longest
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]) and len(text) > longest)


async def test_reading_one(world: World) -> None:
    id, other = await notification(world), await notification(world)
    customer = await world.customer()
    await world.database.execute(
        "UPDATE notifications SET customer_id = $1 WHERE id = $2", uuid_of(customer), uuid_of(id)
    )
    for _ in range(2):
        answer = await world.do("notificationRead", show="readAt", id=id)
        assert answer.done == {"readAt": "2026-11-01T12:00:00+00:00"}
    assert await world.told(id) == ["notification.read"]
    assert (await world.row("notifications", other))["read_at"] is None
    timeline = "SELECT count(*) FROM events WHERE customer_id = $1"
    assert await world.database.fetchval(timeline, uuid_of(customer)) == 0


@pytest.mark.parametrize("role", ["ADMIN", "MANAGER"])
async def test_nobody_reads_what_is_anothers(world: World, role: str) -> None:
    id = await notification(world, "SELLER")
    assert (await world.do("notificationRead", role, id=id)).code == "NOT_FOUND"
    assert (await world.do("notificationReadAll", role, id=id)).code == "NOT_FOUND"
    assert (await world.row("notifications", id))["read_at"] is None
    seen = await world.ask("{ notifications { nodes { id } } }", world.viewer(role))
    assert id not in [node["id"] for node in seen["data"]["notifications"]["nodes"]]


async def test_reading_all_up_to_what_was_shown(world: World) -> None:
    first, shown, later = [await notification(world, "FINANCE") for _ in range(3)]
    another = await notification(world, "SELLER")
    answer = await world.do("notificationReadAll", "FINANCE", id=shown)
    assert answer.done == {"id": shown}
    assert answer.payload["count"] == 2
    read = [id for id in (first, shown, later, another) if (await world.row("notifications", id))["read_at"]]
    assert read == [first, shown]
    rest = await world.do("notificationReadAll", "FINANCE")
    assert (rest.done, rest.payload["count"]) == ({"id": later}, 1)
    again = await world.do("notificationReadAll", "FINANCE")
    assert (again.done, again.payload["count"]) == ({"id": later}, 0)
    assert await world.told(later) == ["notification.allRead"]


async def test_reading_nothing_at_all(world: World) -> None:
    viewer = world.viewer("SUPPORT")
    nobody = await world.user("SUPPORT")
    answer = await world.do("notificationReadAll", type(viewer)(nobody, viewer.who, clock=lambda: NOW))
    assert (answer.codes, answer.record, answer.payload["count"]) == ([], None, 0)
    assert await world.told(id_of("Notification", NOBODY)) == []


async def test_what_it_is_about_shows_only_to_who_may_see_it(world: World) -> None:
    hidden = await lead(world, "STRANGER")
    id = await notification(world, "SELLER", lead_id=hidden, occurred_at=NOW - timedelta(days=1))
    seen = await world.ask(f'{{ notification(id: "{id}") {{ title lead {{ id }} }} }}', world.viewer("SELLER"))
    assert seen["data"]["notification"] == {"title": "A lead", "lead": None}
