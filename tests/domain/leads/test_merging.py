"""Merging two leads: nothing is lost, one survives, nobody is in two places."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql import db
from crmgql.domain.leads import leads, merging
from crmgql.errors import BadUserInput, CrmError, IllegalTransition, NotFound
from crmgql.models import names
from crmgql.records.records import Act
from crmgql.viewer import Viewer, system
from tests.conftest import NOW, viewer

Database = asyncpg.Connection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(["size", "tags", "merged", "utm"])
TEXTS = st.none() | st.sampled_from(["x", "y", "z"])
IDS = st.none() | st.sampled_from([UUID(int=1), UUID(int=2)])
ROWS = st.fixed_dictionaries(
    {
        **dict.fromkeys(merging.KEPT, TEXTS),
        "name": st.sampled_from(["Ann", "Bob"]),
        "employee_count": st.none() | st.integers(0, 2),
        "campaign_id": IDS,
        "intake_source_id": IDS,
        "lead_source": TEXTS,
        "score": st.integers(0, 2),
        "budget_amount": st.none() | st.sampled_from([Decimal("1.00"), Decimal("2.00")]),
        "currency": st.sampled_from(["EUR", "USD"]),
        "status": st.sampled_from(["LOST", "NEW", "NURTURING", "QUALIFIED"]),
        "lost_reason": TEXTS,
        "email_opt_out": st.booleans(),
        "protected_until": st.none() | st.sampled_from([NOW, NOW + timedelta(days=1)]),
        "received_at": st.sampled_from([NOW, NOW - timedelta(days=1)]),
        "attributes": st.dictionaries(NAMES, JSON, max_size=3),
        "source": TEXTS,
        "external_id": TEXTS,
    }
)


@given(ROWS, ROWS)
def test_nothing_is_lost(survivor: dict[str, Any], other: dict[str, Any]) -> None:
    """Every value of both is in its column afterwards, or in a note under its name."""
    survivor, other = {**survivor, "id": uuid4()}, {**other, "id": uuid4()}
    merged = {**survivor, **merging.combine(survivor, other, now=NOW)}
    note = merged["attributes"]["merged"][-1]
    assert note["lead"] == names.api_id("Lead", other["id"])
    for lead, noted in ((survivor, note.get("replaced", {})), (other, note.get("values", {}))):
        for column in (*merging.KEPT, *merging.FIRST_TOUCH, "score", "lost_reason"):
            name = "".join(part.title() if n else part for n, part in enumerate(column.split("_")))
            if lead[column] is not None and lead[column] != merged[column]:
                assert merging._noted(column, lead[column]) == noted[name]
        if lead["budget_amount"] is not None:
            budget = {"amount": str(lead["budget_amount"]), "currency": lead["currency"]}
            kept = {"amount": str(merged["budget_amount"]), "currency": merged["currency"]}
            assert budget in (kept, noted.get("budget"))
        for name, value in lead["attributes"].items():
            if name != "merged":
                assert value in (merged["attributes"][name], note.get("attributes", {}).get(name))
            elif isinstance(value, list):
                assert all(each in merged["attributes"]["merged"] for each in value)
            else:
                assert {"attributes": {"merged": value}} in merged["attributes"]["merged"]
    for name in ("source", "external_id"):
        assert other[name] in (None, note.get("values", {}).get({"external_id": "externalId"}.get(name, name)))


@given(ROWS, ROWS)
def test_whose_value_stays(survivor: dict[str, Any], other: dict[str, Any]) -> None:
    survivor, other = {**survivor, "id": uuid4()}, {**other, "id": uuid4()}
    merged = {**survivor, **merging.combine(survivor, other, now=NOW)}
    for column in merging.KEPT:
        assert merged[column] == (other[column] if survivor[column] is None else survivor[column])
    earlier, later = sorted((survivor, other), key=lambda lead: lead["received_at"])
    for column in merging.FIRST_TOUCH:
        assert merged[column] == (later[column] if earlier[column] is None else earlier[column])
    assert merged["received_at"] == earlier["received_at"]
    assert merged["email_opt_out"] == (survivor["email_opt_out"] or other["email_opt_out"])
    assert merged["score"] == max(survivor["score"], other["score"])
    assert merging.FURTHER.index(merged["status"]) >= merging.FURTHER.index(other["status"])


async def make(crm: db.Database, **values: Any) -> UUID:
    async with crm.transaction() as tx:
        return await leads.create(Act(tx, system(lambda: NOW)), **{"name": "Somebody", **values})


async def merge(crm: db.Database, id: UUID, other_id: UUID, who: Viewer | None = None) -> None:
    async with crm.transaction() as tx:
        await merging.merge(Act(tx, who or system(lambda: NOW)), id=id, other_id=other_id)


async def row(database: Database, id: UUID, table: str = "leads") -> dict[str, Any]:
    return dict(await database.fetchrow(f"SELECT * FROM {table} WHERE id = $1", id))


async def insert(database: Database, table: str, **values: Any) -> UUID:
    columns, places = ", ".join(values), ", ".join(f"${n}" for n in range(1, len(values) + 1))
    return await database.fetchval(f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id", *values.values())  # type: ignore[no-any-return]


async def person(database: Database, name: str = "Ann", **values: Any) -> UUID:
    return await insert(database, "users", name=name, roles=["SELLER"], **values)


async def test_the_whole_of_a_merge(crm: db.Database, database: Database) -> None:
    ann = await person(database)
    survivor = await make(crm, name="Ann Lee", email="ann@acme.com", attributes={"size": "L"})
    early = NOW - timedelta(days=9)
    other = await make(
        crm, name="A. Lee", phone="+49 30 12345678", budget=(Decimal("9.00"), "EUR"), message="Hello", owner_id=ann,
        lead_source="event", received_at=early, email_opt_out=True, attributes={"size": "M", "utm": "x"},
        source="crm", external_id="7",
    )  # fmt: skip
    task = await insert(database, "tasks", subject="Call", lead_id=other)
    email = await insert(database, "email_messages", subject="Hi", body="Hi", to_address="a@b.com", lead_id=other)
    await merge(crm, survivor, other)
    after, gone = await row(database, survivor), await row(database, other)
    assert (after["name"], after["phone"], after["normal_phone"]) == ("Ann Lee", "+49 30 12345678", "+493012345678")
    assert (after["budget_amount"], after["currency"], after["message"]) == (Decimal("9.00"), "EUR", "Hello")
    assert (after["lead_source"], after["received_at"], after["email_opt_out"]) == ("event", early, True)
    assert (after["owner_id"], after["status"], after["version"]) == (ann, "NEW", 2)
    assert json.loads(after["attributes"]) == {
        "size": "L",
        "utm": "x",
        "merged": [
            {
                "lead": names.api_id("Lead", other),
                "at": NOW.isoformat(),
                "receivedAt": early.isoformat(),
                "values": {"name": "A. Lee", "source": "crm", "externalId": "7"},
                "attributes": {"size": "M"},
            }
        ],
    }
    assert (gone["status"], gone["merged_into_id"], gone["owner_id"], gone["name"]) == (
        "MERGED", survivor, ann, "A. Lee",
    )  # fmt: skip
    assert ((await row(database, task, "tasks"))["lead_id"], (await row(database, task, "tasks"))["version"]) == (
        survivor,
        2,
    )
    assert (await row(database, email, "email_messages"))["lead_id"] == survivor
    told = await database.fetch("SELECT kind, subject_id FROM events WHERE kind !~ 'created|dupl|received' ORDER BY id")
    assert sorted(map(tuple, told)) == [("lead.absorbed", survivor), ("lead.merged", other), ("task.updated", task)]
    audit = await database.fetchval("SELECT changes FROM audit_entries WHERE subject_id = $1", task)
    assert json.loads(audit) == {"lead_id": [str(other), str(survivor)]}
    decision = await row(database, after["routing_id"], "assignment_decisions")
    assert (decision["lead_id"], decision["chosen_id"], decision["reason"]) == (survivor, ann, "MANUAL")


async def test_the_further_status_stays(crm: db.Database, database: Database) -> None:
    survivor, other = await make(crm), await make(crm)
    await database.execute("UPDATE leads SET status = 'LOST', lost_reason = 'Budget' WHERE id = $1", survivor)
    await database.execute("UPDATE leads SET status = 'QUALIFIED' WHERE id = $1", other)
    await merge(crm, survivor, other)
    after = await row(database, survivor)
    assert (after["status"], after["lost_reason"], after["status_since"]) == ("QUALIFIED", None, NOW)
    assert json.loads(after["attributes"])["merged"][0]["replaced"] == {"lostReason": "Budget"}
    steps = await database.fetch("SELECT lead_id, from_status, to_status FROM lead_transitions ORDER BY id OFFSET 2")
    assert sorted(map(tuple, steps), key=str) == sorted(
        [(other, "QUALIFIED", "MERGED"), (survivor, "LOST", "QUALIFIED")], key=str
    )


async def converted(crm: db.Database, database: Database) -> tuple[UUID, UUID]:
    customer = await insert(database, "customers", name="Acme")
    id = await make(crm)
    sql = "UPDATE leads SET status = 'CONVERTED', converted_at = $2, customer_id = $3 WHERE id = $1"
    await database.execute(sql, id, NOW, customer)
    return id, customer


async def test_a_conversion_goes_over_once(crm: db.Database, database: Database) -> None:
    other, customer = await converted(crm, database)
    survivor = await make(crm)
    await merge(crm, survivor, other)
    after, gone = await row(database, survivor), await row(database, other)
    assert (after["status"], after["customer_id"], after["converted_at"]) == ("CONVERTED", customer, NOW)
    assert (gone["status"], gone["customer_id"], gone["converted_at"]) == ("MERGED", None, None)
    pool = await insert(database, "pools", name="P", kind="LEAD")
    pooled, third = await make(crm), (await converted(crm, database))[0]
    await database.execute("UPDATE leads SET pool_id = $2 WHERE id = $1", pooled, pool)
    item = await insert(database, "pool_items", pool_id=pool, lead_id=pooled, entered_at=NOW)
    await merge(crm, pooled, third)
    assert (await row(database, pooled))["pool_id"] is None
    assert (await row(database, item, "pool_items"))["left_at"] == NOW
    second, _ = await converted(crm, database)
    with pytest.raises(IllegalTransition, match="Both are converted"):
        await merge(crm, survivor, second)


async def test_places(crm: db.Database, database: Database) -> None:
    """Owner before queue, the survivor's before the other's; a pool is left; without a place it is routed."""
    ann, bob = await person(database), await person(database, "Bob")
    queue = await insert(database, "lead_queues", name="Q")
    pool = await insert(database, "pools", name="P", kind="LEAD")

    async def put(**place: Any) -> UUID:
        id = await make(crm)
        await database.execute("DELETE FROM jobs")
        for column, value in place.items():
            await database.execute(f"UPDATE leads SET {column} = $2 WHERE id = $1", id, value)
        if "pool_id" in place:
            await insert(database, "pool_items", pool_id=pool, lead_id=id, entered_at=NOW)
        return id

    for mine, its, expected in (
        ({"owner_id": ann}, {"owner_id": bob}, (ann, None, None)),
        ({"queue_id": queue}, {"owner_id": bob}, (bob, None, None)),
        ({"pool_id": pool}, {"owner_id": bob}, (bob, None, None)),
        ({"pool_id": pool}, {}, (None, None, pool)),
        ({}, {"queue_id": queue, "queue_deadline": NOW}, (None, queue, None)),
        ({"owner_id": ann}, {"pool_id": pool}, (ann, None, None)),
        ({}, {"pool_id": pool}, (None, None, None)),
    ):
        survivor, other = await put(**mine), await put(**its)
        await merge(crm, survivor, other)
        after, gone = await row(database, survivor), await row(database, other)
        assert (after["owner_id"], after["queue_id"], after["pool_id"]) == expected, (mine, its)
        assert (gone["queue_id"], gone["queue_deadline"], gone["pool_id"]) == (None, None, None)
        here = await database.fetch(
            "SELECT lead_id FROM pool_items WHERE left_at IS NULL AND lead_id = ANY($1)", [survivor, other]
        )
        assert [each["lead_id"] for each in here] == [survivor] * (expected[2] is not None)
        route = "SELECT count(*) FROM jobs WHERE kind = 'lead.route' AND status = 'PENDING' AND arguments ->> 'lead_id' = $1"
        assert await database.fetchval(route, str(survivor)) == (expected == (None, None, None))


@pytest.mark.parametrize("status", ["NEW", "NURTURING", "QUALIFIED"])
async def test_who_is_open_again_and_nowhere_is_routed(crm: db.Database, database: Database, status: str) -> None:
    survivor, other = await make(crm), await make(crm)
    pool = await insert(database, "pools", name="P", kind="LEAD")
    await database.execute("UPDATE leads SET status = 'LOST', lost_reason = 'Budget' WHERE id = $1", survivor)
    await database.execute("UPDATE leads SET status = $2, pool_id = $3 WHERE id = $1", other, status, pool)
    await database.execute("DELETE FROM jobs")
    await merge(crm, survivor, other)
    jobs = await database.fetch("SELECT arguments FROM jobs WHERE kind = 'lead.route'")
    assert [json.loads(job["arguments"])["lead_id"] for job in jobs] == [str(survivor)]


async def test_into_a_merged_lead_is_refused_and_names_the_survivor(crm: db.Database, database: Database) -> None:
    first, second, third, new = [await make(crm) for _ in range(4)]
    await merge(crm, second, first)
    await merge(crm, third, second)
    for id, other in ((first, new), (new, first), (second, new)):
        with pytest.raises(IllegalTransition, match=names.api_id("Lead", third)) as refused:
            await merge(crm, id, other)
        assert refused.value.field == ("otherId" if id == new else "id")
    with pytest.raises(BadUserInput):
        await merge(crm, new, new)
    with pytest.raises(NotFound) as missing:
        await merge(crm, new, uuid4())
    assert missing.value.field == "otherId"
    await merge(crm, third, new)


async def test_opposite_merges_at_once(crm: db.Database, database: Database) -> None:
    for _ in range(8):
        one, other = await make(crm), await make(crm)
        results = await asyncio.gather(merge(crm, one, other), merge(crm, other, one), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["IllegalTransition", "NoneType"]
        statuses = {(await row(database, id))["status"] for id in (one, other)}
        assert statuses == {"NEW", "MERGED"}


async def test_a_star_of_merges_at_once_leaves_one(crm: db.Database, database: Database) -> None:
    ids = [await make(crm, attributes={"mark": n}) for n in range(4)]
    merges = [merge(crm, ids[0], other) for other in ids[1:]]
    assert await asyncio.gather(*merges, return_exceptions=True) == [None] * 3
    attributes = json.loads((await row(database, ids[0]))["attributes"])
    assert sorted(each["attributes"]["mark"] for each in attributes["merged"]) == [1, 2, 3]


async def pair(database: Database, one: UUID, other: UUID, status: str = "OPEN") -> None:
    settled = None if status == "OPEN" else datetime(2026, 1, 1, tzinfo=UTC)
    values = {"lead_id": one, "other_id": other, "similarity": 95, "reasons": "{}", "settled_at": settled}
    await insert(database, "lead_duplicates", status=status, **values)


async def test_pairs_follow_the_survivor(crm: db.Database, database: Database) -> None:
    survivor, other, third, fourth, fifth, sixth = [await make(crm) for _ in range(6)]
    await pair(database, survivor, other)
    await pair(database, other, third)
    await pair(database, fourth, other)
    await pair(database, survivor, fourth)
    await pair(database, other, fifth, "DISMISSED")
    await pair(database, other, sixth)
    await pair(database, sixth, survivor, "DISMISSED")
    await merge(crm, survivor, other)
    found = await database.fetch("SELECT lead_id, other_id, status FROM lead_duplicates")
    pairs = {frozenset((each["lead_id"], each["other_id"])): each["status"] for each in found}
    assert pairs == {
        frozenset((survivor, other)): "MERGED",
        frozenset((other, third)): "MERGED",
        frozenset((survivor, third)): "OPEN",
        frozenset((other, fourth)): "MERGED",
        frozenset((survivor, fourth)): "OPEN",
        frozenset((other, fifth)): "DISMISSED",
        frozenset((other, sixth)): "MERGED",
        frozenset((sixth, survivor)): "DISMISSED",
    }


async def test_who_sees_both_may_merge_them(crm: db.Database, database: Database) -> None:
    ann, bob = await person(database), await person(database, "Bob")
    mine, also_mine, his = [await make(crm, owner_id=owner) for owner in (ann, ann, bob)]
    seller = viewer(ann, "SELLER")
    refused: list[str | None] = []
    for id, other in ((mine, his), (his, mine)):
        with pytest.raises(CrmError) as error:
            await merge(crm, id, other, seller)
        refused.append(error.value.field)
    assert refused == ["otherId", "id"]
    await merge(crm, mine, also_mine, seller)
    await merge(crm, his, mine)
    told = await database.fetch("SELECT user_id FROM notifications WHERE kind = 'lead.merged'")
    assert [each["user_id"] for each in told] == [ann]
