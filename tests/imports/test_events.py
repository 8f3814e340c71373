"""What an import says of the records that it makes and changes."""

from __future__ import annotations

import json

import pytest

from crmgql.errors import SetupError
from tests.imports.conftest import Workshop

MAPPING = """
source = "test"
currency = "EUR"
[[step]]
noun = "customers"
file = "people.csv"
external_id = "{id}"
[step.fields]
name = "{name}"
[[step]]
noun = "payments"
file = "people.csv"
external_id = "{id}"
[step.fields]
customer = "{id}"
amount = "{paid}"
method = "CASH"
received_at = "2020-01-01"
"""
BATCH = 7
ROWS = 20


@pytest.fixture
def people(shop: Workshop) -> None:
    shop.file("people.csv", "id,name,paid\n" + "".join(f"{n},P{n},{n}.50\n" for n in range(1, ROWS + 1)))


async def test_each_record_is_one_event(shop: Workshop, people: None) -> None:
    for _ in range(2):
        await shop.run(MAPPING, batch_size=BATCH)
        counts = dict(await shop.rows("SELECT kind, count(*) FROM events GROUP BY 1"))
        counts.pop("import.finished")
        assert counts == {"customer.created": ROWS, "payment.received": ROWS}
    same = "SELECT count(*) FROM events e JOIN audit_entries a USING (id) WHERE a.action = e.kind"
    assert await shop.value(same) == 2 * ROWS + 4
    payload = json.loads(
        await shop.value("SELECT payload FROM events WHERE kind = 'payment.received' ORDER BY id LIMIT 1")
    )
    assert payload == {"version": 1, "amount": {"amount": "1.50", "currency": "EUR"}}


async def test_history_is_gaps_that_cover_every_record_and_all_audit_rows(shop: Workshop, people: None) -> None:
    for _ in range(2):
        await shop.run('events = "gap"\n' + MAPPING, batch_size=BATCH)
        kinds = dict(await shop.rows("SELECT kind, count(*) FROM events GROUP BY 1"))
        assert kinds.pop("import.finished") in (2, 4)
        assert kinds == {"gap.recorded": 6}  # three batches of each type; the second import changes nothing
        assert await shop.value("SELECT count(*) FROM audit_entries WHERE action LIKE '%.created'") == ROWS
        assert await shop.value("SELECT count(*) FROM audit_entries WHERE action = 'payment.received'") == ROWS
    gaps = [
        json.loads(payload) for (payload,) in await shop.rows("SELECT payload FROM events WHERE kind = 'gap.recorded'")
    ]
    for record, table, prefix in (("Customer", "customers", "cus_"), ("Payment", "payments", "pay_")):
        ranges = [(gap["first"], gap["last"]) for gap in gaps if gap["type"] == record]
        for (id,) in await shop.rows(f"SELECT id FROM {table}"):
            assert any(first <= prefix + id.hex <= last for first, last in ranges), (record, id)


async def test_the_setting_has_two_values(shop: Workshop, people: None) -> None:
    with pytest.raises(SetupError, match="events: 'none' is none of 'each', 'gap'"):
        await shop.run('events = "none"\n' + MAPPING)
