"""What a verb says that it takes, and that nothing else reaches a column."""

from __future__ import annotations

import inspect
from typing import Any
from uuid import UUID

import pytest

from crmgql.domain.customers import customers
from crmgql.domain.sales import orders
from crmgql.models import Customer, Lead, Ticket
from crmgql.records import columns, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW


@takes(Ticket, "subject  description subject", ORIGIN)
async def verb(act: Act, *, customer_id: UUID | None = None, **values: Any) -> dict[str, Any]:
    """What it says."""
    return {"customer_id": customer_id, **values}


async def test_a_verb_takes_its_parameters_and_the_columns_that_it_lists() -> None:
    act: Any = None
    assert await verb(act, subject="A", source="b") == {"customer_id": None, "subject": "A", "source": "b"}
    assert await verb(act=act, external_id="1") == {"customer_id": None, "external_id": "1"}
    listed = columns.of(verb)
    assert listed is not None
    assert (listed.model, listed.names) == (Ticket, ("subject", "description", "source", "external_id"))
    assert (verb.__name__, verb.__doc__) == ("verb", "What it says.")
    assert list(inspect.signature(verb).parameters) == ["act", "customer_id", "values"]


async def test_another_column_is_a_mistake_of_the_caller() -> None:
    act: Any = None
    with pytest.raises(TypeError, match=r"test_columns\.verb takes no created_at, status; name it in its @takes"):
        await verb(act, subject="A", status="OPEN", created_at=NOW)
    with pytest.raises(TypeError, match="takes no source"):
        await customers.update(act, id=UUID(int=1), source="elsewhere")
    with pytest.raises(TypeError, match="takes no total_amount"):
        await orders.create(act, customer_id=UUID(int=1), lines=[], total_amount=1)


def test_a_name_is_a_column_an_attribute_or_an_amount(bench: Any) -> None:
    for name in ("name", "campaign_id", "budget", "budget_amount"):
        assert columns.field_of(Lead, name) is not None, name
    for name in ("campaign", "nmae", "score_amount"):
        assert columns.field_of(Lead, name) is None, name


async def test_where_a_record_came_from_never_changes(crm: Any) -> None:
    async with crm.transaction() as tx:
        act = Act(tx, system(lambda: NOW))
        id = await customers.create(act, name="Acme", source="erp", external_id="1")
        row = await records.lock(act, Customer, id)
        for origin in ({"source": "crm"}, {"external_id": None}):
            with pytest.raises(TypeError, match="where a record came from"):
                await records.change(act, Customer, row, origin, kind="customer.updated")
