"""Exchange rates: set, replaced, refused, and read by everybody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.schema.world import World

GIVEN = {"currency": "NOK", "effectiveOn": "2026-11-01", "rate": "1.250"}
SHOWN = "id currency baseCurrency effectiveOn rate source"


async def put(world: World, **given: Any) -> dict[str, Any]:
    return (await world.do("fxRateSet", "FINANCE", show=SHOWN, **{**GIVEN, **given})).done


async def test_a_rate_is_set_in_the_base_currency_and_told(world: World) -> None:
    made = await put(world)
    said = {"currency": "NOK", "baseCurrency": "USD", "effectiveOn": "2026-11-01", "rate": "1.25"}
    assert made == {"id": made["id"], **said, "source": "MANUAL"}
    (row,) = await world.database.fetch("SELECT kind, payload FROM events WHERE subject_type = 'FxRate'")
    assert row["kind"] == "rate.set"
    assert json.loads(row["payload"]) == said
    query = '{ fxRates(where: {currency: {eq: "NOK"}}) { nodes { id rate } } }'
    answer = await world.ask(query, world.viewer("SUPPORT"))
    assert answer["data"] == {"fxRates": {"nodes": [{"id": made["id"], "rate": "1.25"}]}}


async def test_the_same_again_changes_nothing_and_another_is_a_newer_row(world: World) -> None:
    first = await put(world, effectiveOn="2026-11-02")
    assert await put(world, effectiveOn="2026-11-02", rate="1.25") == first
    second = await put(world, effectiveOn="2026-11-02", rate="0.000001")
    assert second["rate"] == "0.000001"
    back = await put(world, effectiveOn="2026-11-02")
    assert len({first["id"], second["id"], back["id"]}) == 3
    assert (await put(world, effectiveOn="2026-11-02", source="ECB"))["source"] == "ECB"


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"currency": "USD"}, "currency", "The books are in USD"),
        ({"rate": "0"}, "rate", "more than 0"),
        ({"rate": "-1"}, "rate", "more than 0"),
        ({"rate": "1000000000000"}, "rate", "too large"),
        ({"rate": "0.0000000000001"}, "rate", "12 decimals"),
        ({"source": " "}, "source", "blank"),
        ({"effectiveOn": "0202-01-01"}, "effectiveOn", "year"),
    ],
)
async def test_what_can_be_no_rate_is_refused(world: World, given: dict[str, Any], field: str, words: str) -> None:
    before = await world.counts()
    answer = await world.do("fxRateSet", "FINANCE", **{**GIVEN, **given})
    assert (answer.code, answer.field) == ("BAD_USER_INPUT", field)
    assert words in answer.rejections[0]["message"]
    assert await world.counts() == before
