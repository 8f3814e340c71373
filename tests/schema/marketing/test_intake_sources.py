"""Intake sources: the key is shown once, and only its hash is kept."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from crmgql.domain.people import tokens
from tests.schema.cases_marketing import campaign, intake_source
from tests.schema.world import World, uuid_of


async def test_create_and_read_back(world: World) -> None:
    given = {"name": "Landing page", "ratePerMinute": 7, "leadSource": "ads", "campaignId": await campaign(world)}
    origins = ["https://Shop.example.com/", "http://localhost:3000", "https://shop.example.com"]
    show = "id name active ratePerMinute allowedOrigins leadSource hint campaign { id }"
    answer = await world.do("intakeSourceCreate", "MARKETER", show, allowedOrigins=origins, **given)
    key, made = answer.payload["key"], answer.done
    row = await world.row("intake_sources", made["id"])
    assert row["key_hash"] == tokens.digest(key)
    assert made["hint"] == key[:12] != key
    assert made["allowedOrigins"] == ["https://shop.example.com", "http://localhost:3000"]
    assert (made["campaign"], made["active"]) == ({"id": given["campaignId"]}, True)
    assert await world.told(made["id"]) == ["intakeSource.created"]


async def test_neither_key_nor_hash_is_written_down(world: World) -> None:
    answer = await world.do("intakeSourceCreate", name="Quiet page")
    rotated = await world.do("intakeSourceRotateKey", id=answer.done["id"])
    assert await world.told(answer.done["id"]) == ["intakeSource.created", "intakeSource.keyRotated"]
    written = [
        await world.database.fetchval(f"SELECT json_agg(t)::text FROM {table} t")
        for table in ("events", "audit_entries")
    ]
    for key in (answer.payload["key"], rotated.payload["key"]):
        for text in written:
            assert key not in text
            assert tokens.digest(key) not in text


async def test_a_repeated_request_does_not_show_the_key_again(world: World) -> None:
    given = {"name": "Once", "idempotencyKey": uuid4().hex}
    first = await world.do("intakeSourceCreate", **given)
    again = await world.do("intakeSourceCreate", **given)
    assert again.done == first.done
    assert (first.payload["key"] is None, again.payload["key"]) == (False, None)


async def test_rotating_ends_the_old_key(world: World) -> None:
    first = await world.do("intakeSourceCreate", name="Turning")
    second = await world.do("intakeSourceRotateKey", show="id hint", id=first.done["id"])
    assert second.payload["key"] != first.payload["key"]
    row = await world.row("intake_sources", first.done["id"])
    assert row["key_hash"] == tokens.digest(second.payload["key"])
    assert second.done["hint"] == second.payload["key"][:12]


async def test_off_and_on_again(world: World) -> None:
    id = await intake_source(world)
    assert (await world.do("intakeSourceDeactivate", show="active", id=id)).done == {"active": False}
    answer = await world.do("intakeSourceDeactivate", id=id)
    assert (answer.code, answer.field) == ("ILLEGAL_TRANSITION", "id")
    assert (await world.do("intakeSourceUpdate", show="active", id=id, active=True)).done == {"active": True}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "\u200b"}, "name"),
        ({"ratePerMinute": 0}, "ratePerMinute"),
        ({"ratePerMinute": 6001}, "ratePerMinute"),
        ({"leadSource": "x" * 51}, "leadSource"),
        *(
            ({"allowedOrigins": ["https://good.example", bad]}, "allowedOrigins.1")
            for bad in (
                "*",
                "null",
                "example.com",
                "https://a.example/path",
                "https://a@b.example",
                "ftp://a.example",
                "\ud800",
            )
        ),
        ({"allowedOrigins": [f"https://{number}.example" for number in range(51)]}, "allowedOrigins"),
    ],
)
async def test_values_that_do_not_fit(world: World, given: dict[str, Any], field: str) -> None:
    existing = await intake_source(world)
    before = await world.counts()
    base = {"name": f"Page {uuid4().hex}"}
    for mutation, fixed in (("intakeSourceCreate", base), ("intakeSourceUpdate", {"id": existing})):
        answer = await world.do(mutation, **{**fixed, **given})
        assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert await world.counts() == before


async def test_a_name_is_taken_in_any_case(world: World) -> None:
    await world.do("intakeSourceCreate", name="Fair")
    answer = await world.do("intakeSourceCreate", name="FAIR")
    assert (answer.code, answer.field) == ("CONFLICT", "name")


async def test_who_sees_sources(world: World) -> None:
    id = await intake_source(world)
    for role in ("ADMIN", "MARKETER", "MANAGER", "SELLER", "FINANCE", "SUPPORT", "INTEGRATION"):
        answer = await world.ask(f'{{ intakeSource(id: "{id}") {{ id }} }}', world.viewer(role))
        assert bool(answer["data"]["intakeSource"]) == (role in ("ADMIN", "MARKETER"))
    fields = await world.ask('{ __type(name: "IntakeSource") { fields { name } } }', world.viewer())
    assert "keyHash" not in json.dumps(fields)
    assert uuid_of(id)
