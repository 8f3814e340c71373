"""What is derived from the models agrees with the database."""

from __future__ import annotations

from typing import Any

from crmgql.imports import nouns
from crmgql.imports.nouns import Kind

SQL_TYPES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "integer",
    Kind.DECIMAL: "numeric",
    Kind.AMOUNT: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.DATETIME: "timestamptz",
    Kind.JSON: "jsonb",
    Kind.TEXTS: "text[]",
    Kind.REFERENCE: "uuid",
}


async def test_each_field_is_a_column_of_its_type_length_and_nullability(database: Any) -> None:
    names = {"text": ("character varying", "text"), "text[]": ("ARRAY",), "timestamptz": ("timestamp with time zone",)}
    for name in nouns.WRITERS:
        rows = await database.fetch("SELECT * FROM information_schema.columns WHERE table_name = $1", name)
        columns = {row["column_name"]: row for row in rows}
        for field in nouns.noun(name).fields.values():
            column = columns[field.column]
            sql = SQL_TYPES[field.kind]
            assert column["data_type"] in names.get(sql, (sql,)), (name, field)
            assert (column["is_nullable"] == "YES") == field.null, (name, field)
            if column["character_maximum_length"] is not None:
                assert column["character_maximum_length"] == field.max_length, (name, field)


async def test_required_columns_can_all_be_given(database: Any) -> None:
    for name in nouns.WRITERS:
        known = {field.column for field in nouns.noun(name).fields.values()} | nouns.WRITERS[name].derived
        known.add("source")  # the mapping's
        rows = await database.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL",
            name,
        )
        assert {row["column_name"] for row in rows} <= known


def test_no_secret_and_no_derived_column_can_be_imported() -> None:
    assert "password_hash" not in nouns.noun("users").fields
    assert "total_amount" not in nouns.noun("orders").fields
    assert "line_amount" not in nouns.noun("order_lines").fields


def test_enums_and_bounds_come_from_the_checks() -> None:
    assert nouns.noun("payments").fields["method"].choices[:2] == ("CREDIT_CARD", "DEBIT_CARD")
    assert "SELLER" in nouns.noun("users").fields["roles"].choices
    assert nouns.noun("payments").fields["installments"].high == 360
    assert nouns.noun("orders").fields["tax_amount"].low == 0
    assert nouns.noun("order_lines").fields["quantity"].above == 0
    assert nouns.noun("order_lines").inherits == ("order",)
    assert {field.kind for field in nouns.noun("products").fields.values()} >= {Kind.JSON, Kind.AMOUNT, Kind.TEXT}
