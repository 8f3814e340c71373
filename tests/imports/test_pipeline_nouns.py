"""Opportunities and their moves from files: which stage is meant, since when, and what a rerun does."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.imports.conftest import NOW, Workshop

DEALS = """source = "test"
currency = "EUR"
[[step]]
noun = "opportunities"
file = "deals.csv"
external_id = "{id}"
[step.fields]
name = "Deal {id}"
stage = { template = "{stage}", by = "name" }
engaged_on = { template = "{engaged}", blank = "null" }
closed_on = { template = "{closed}", blank = "null" }
"""
MOVES = """source = "test"
[[step]]
noun = "opportunities"
file = "deals.csv"
external_id = "{id}"
[step.fields]
name = "Deal {id}"
[[step]]
noun = "stage_transitions"
file = "moves.csv"
external_id = "{id} {at}"
when = "{at}"
[step.fields]
opportunity = "{id}"
from_stage = { template = "{left}", by = "name" }
to_stage = { template = "{goes}", by = "name" }
occurred_at = "{at}"
"""
PLACED = """SELECT o.external_id, p.name, s.name, o.status, o.stage_since FROM opportunities o
JOIN stages s ON s.id = o.stage_id JOIN pipelines p ON p.id = o.pipeline_id ORDER BY 1"""


async def renewals(shop: Workshop) -> None:
    home = await shop.value("INSERT INTO pipelines (name) VALUES ('Renewals') RETURNING id")
    await shop.connection.execute(
        "INSERT INTO stages (pipeline_id, name, position, status)"
        " VALUES ($1, 'Engaging', 1, 'OPEN'), ($1, 'Won', 2, 'WON'), ($1, 'Lost', 3, 'LOST')",
        home,
    )


async def test_which_stage_is_meant(shop: Workshop) -> None:
    await renewals(shop)
    shop.file(
        "deals.csv",
        "id,stage,engaged,closed\na,Engaging,2025-05-01,\nb,Renewals/Engaging,,\nc,,,\n"
        "d,Won,2025-05-01,2025-06-01\ne,Nowhere,,\nf,Won,,\n",
    )
    await shop.run(DEALS)
    assert await shop.rows(PLACED) == [
        ("a", "Sales", "Engaging", "OPEN", datetime(2025, 5, 1, tzinfo=UTC)),
        ("b", "Renewals", "Engaging", "OPEN", NOW),
        ("c", "Sales", "Prospecting", "OPEN", NOW),
        ("d", "Sales", "Won", "WON", datetime(2025, 6, 1, tzinfo=UTC)),
    ]
    assert [(row["line"], row["column"]) for row in shop.rejects()] == [("6", "stage"), ("7", "closed")]
    assert await shop.value("SELECT bool_or(stale_known) FROM opportunities") is False


async def test_a_move_by_import_is_worked_out_by_the_next_sweep(shop: Workshop) -> None:
    shop.file("deals.csv", "id,stage,engaged,closed\na,Engaging,2025-05-01,\nb,Engaging,2025-05-01,\n")
    await shop.run(DEALS)
    await shop.connection.execute("UPDATE opportunities SET stale_known = true")
    assert (await shop.run(DEALS)).total.unchanged == 2
    shop.file("deals.csv", "id,stage,engaged,closed\na,Lost,2025-05-01,2025-07-01\nb,Engaging,2025-05-01,\n")
    assert (await shop.run(DEALS)).total.updated == 1
    rows = await shop.rows("SELECT external_id, status, stage_since, stale_known FROM opportunities ORDER BY 1")
    assert rows == [
        ("a", "LOST", datetime(2025, 7, 1, tzinfo=UTC), False),
        ("b", "OPEN", datetime(2025, 5, 1, tzinfo=UTC), True),
    ]


async def test_moves_are_written_once(shop: Workshop) -> None:
    shop.file("deals.csv", "id\na\n")
    shop.file(
        "moves.csv",
        "id,left,goes,at\na,,Prospecting,2025-05-01\na,Prospecting,Engaging,2025-05-03\na,,Won,\n",
    )
    first = await shop.run(MOVES)
    assert (first.total.inserted, first.total.skipped, shop.rejects()) == (3, 1, [])
    shop.file("moves.csv", "id,left,goes,at\na,Prospecting,Proposal,2025-05-03\na,Engaging,Lost,2025-05-04\n")
    again = await shop.run(MOVES)
    assert (again.total.inserted, again.total.updated, shop.rejects()) == (1, 0, [])
    moves = """SELECT f.name, t.name, seconds_in_stage FROM stage_transitions m LEFT JOIN stages f ON f.id = from_stage_id
        JOIN stages t ON t.id = to_stage_id ORDER BY m.occurred_at"""
    assert await shop.rows(moves) == [
        (None, "Prospecting", None),
        ("Prospecting", "Engaging", 2 * 86_400),
        ("Engaging", "Lost", 86_400),
    ]


async def test_in_another_currency_the_highest_amount_is_forgotten(shop: Workshop) -> None:
    deals = DEALS + 'amount = "{amount}"\ncurrency = "{currency}"\n'
    for amount, currency, highest in (("5", "EUR", 9), ("4", "EUR", 9), ("3", "JPY", None)):
        shop.file("deals.csv", f"id,stage,engaged,closed,amount,currency\na,,,,{amount},{currency}\n")
        await shop.run(deals)
        if amount == "5":
            await shop.connection.execute("UPDATE opportunities SET highest_amount = 9")
        assert await shop.value("SELECT highest_amount FROM opportunities") == highest
