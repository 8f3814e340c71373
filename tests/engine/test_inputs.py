"""Inputs that are derived from a model, and the tables of mutations that name them."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig
from tortoise import fields as orm

from crmgql.engine import declare, freeze, inputs, mutations, scalars
from crmgql.engine.mutations import Row
from tests.planner.bench import Bench


def built(bench: Bench, record: str, derived: inputs.Derived) -> dict[str, str]:
    """The fields of a derived input with their types, as SDL has them."""
    made = inputs.build(derived, "TryInput", declare.DECLARED[record], bench.metadata.nodes[record])
    query = strawberry.type(type("Query", (), {"__annotations__": {"x": int}}))
    config = StrawberryConfig(scalar_map=scalars.SCALARS)
    schema = strawberry.Schema(query=query, types=[made], config=config)
    kind: Any = schema._schema.type_map["TryInput"]
    fields = {name: str(field.type) for name, field in kind.fields.items()}
    assert fields.pop("idempotencyKey") == "String"
    return fields


def test_a_new_record_takes_what_its_model_says(bench: Bench) -> None:
    assert built(bench, "Lead", inputs.create("name email website employee_count budget currency attributes")) == {
        "name": "String!",
        "email": "EmailAddress",
        "website": "URL",
        "employeeCount": "Int",
        "budget": "MoneyInput",
        "currency": "CurrencyCode",
        "attributes": "JSON",
        "source": "String",
        "externalId": "String",
    }
    assert built(bench, "Ticket", inputs.create("customer_id priority contact_id", origin=False)) == {
        "customerId": "ID!",
        "priority": "TicketPriority",
        "contactId": "ID",
    }
    assert built(bench, "User", inputs.create("roles", origin=False)) == {"roles": "[Role!]"}
    assert built(bench, "Payment", inputs.create("amount received_at", origin=False)) == {
        "amount": "MoneyInput!",
        "receivedAt": "DateTime",
    }


def test_what_the_model_does_not_tell_is_said(bench: Bench) -> None:
    derived = inputs.create(
        "occurred_at contact_id",
        optional="occurred_at",
        required="contact_id",
        also={"loud": bool | None, "tags": list[str]},
        origin=False,
    )
    assert built(bench, "Interaction", derived) == {
        "contactId": "ID!",
        "tags": "[String!]!",
        "occurredAt": "DateTime",
        "loud": "Boolean",
    }


def test_a_change_takes_the_id_and_everything_else_may_be_left_out(bench: Bench) -> None:
    assert built(bench, "Campaign", inputs.update("name starts_on", also={"name": str | None})) == {
        "id": "ID!",
        "expectedVersion": "Int",
        "name": "String",
        "startsOn": "Date",
    }


def test_a_mistake_names_input_field_and_fix(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(inputs.UnknownInputColumn, match=r"^TryInput\.nmae: Lead has no column 'nmae'; .*also={…}"):
        built(bench, "Lead", inputs.create("nmae"))
    monkeypatch.delitem(freeze.SCALARS, orm.CharField)
    with pytest.raises(
        inputs.UntypedInputColumn, match=r"^TryInput\.normalEmail: a CharField has no scalar; .*also={…}"
    ):
        built(bench, "Lead", inputs.create("normal_email"))


def test_a_mutation_is_declared_once_and_of_a_declared_type(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    verb = mutations.MUTATIONS["leadAccept"].verb
    with pytest.raises(mutations.DuplicateMutation, match="leadAccept is declared twice"):
        mutations.table("Lead", Row("leadAccept", "Again.", verb))
    monkeypatch.setattr(mutations, "MUTATIONS", {})
    mutations.table("Lede", Row("ledeAccept", "Misspelt.", verb))
    with pytest.raises(mutations.UnknownRecord, match="ledeAccept: 'Lede' is not declared; declare it"):
        mutations.build(bench.metadata)
