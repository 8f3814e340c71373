"""What all tables share: the key, origin and version columns, and the ways to declare a constraint.

Shape only: no verb lives here. What is declared here is all that there is to say of a table: `crmgql migrations make`
writes the SQL from it, and a test compares it with the database. Tortoise's own migrations drop `Meta.constraints`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.fields.db_defaults import Now, SqlDefault
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint
from tortoise.models import Model, ModelMeta

UUIDV7 = SqlDefault("uuidv7()")
WITHOUT_OVERLAPS = " WITHOUT OVERLAPS"
"""After the last column of `unique`, a range: no two rows that are else equal have a day in common."""


class AmountField(fields.Field[Decimal], Decimal):  # type: ignore[misc]
    """An exact amount. The column has no fixed scale: a CHECK ties the scale to the currency's (0, 2 or 3)."""

    SQL_TYPE = "NUMERIC"
    skip_to_python_if_native = True


class NumberField(fields.Field[Decimal], Decimal):  # type: ignore[misc]
    """An exact number that is no amount, such as a rate: stored with as many decimals as it was given."""

    SQL_TYPE = "NUMERIC"
    skip_to_python_if_native = True
    max_digits = 24
    decimal_places = 12


class TextArrayField(fields.Field[list[str]], list):  # type: ignore[type-arg,misc]
    """A `text[]` column."""

    SQL_TYPE = "TEXT[]"
    skip_to_python_if_native = True


class UuidArrayField(fields.Field[list[UUID]], list):  # type: ignore[type-arg,misc]
    """A `uuid[]` column."""

    SQL_TYPE = "UUID[]"
    skip_to_python_if_native = True


class IntArrayField(fields.Field[list[int]], list):  # type: ignore[type-arg,misc]
    """An `integer[]` column."""

    SQL_TYPE = "INTEGER[]"
    skip_to_python_if_native = True


class TransactionIdField(fields.Field[int], int):
    """A transaction's number: 64 bits, rising, never used again by this server."""

    SQL_TYPE = "XID8"
    skip_to_python_if_native = True


class SnapshotField(fields.Field[str], str):  # type: ignore[misc]
    """Which transactions a statement saw."""

    SQL_TYPE = "PG_SNAPSHOT"
    skip_to_python_if_native = True


class DayRangeField(fields.Field[str], str):  # type: ignore[misc]
    """A `daterange` column."""

    SQL_TYPE = "DATERANGE"
    skip_to_python_if_native = True


@dataclass(frozen=True)
class CompositeKey:
    """A foreign key over the customer and a record: a child can't hang under another customer's record.

    `deferred`: it is checked when the transaction ends.
    """

    name: str
    columns: tuple[str, ...]
    table: str
    target: tuple[str, ...]
    deferred: bool = False


@dataclass(frozen=True)
class Dependencies:
    """Columns of which one determines much of the other: extended statistics for PostgreSQL's planner."""

    name: str
    columns: tuple[str, ...]


def check(name: str, condition: str) -> CheckConstraint:
    return CheckConstraint(check=condition, name=name)


def unique(name: str, *columns: str, where: str | None = None) -> UniqueConstraint:
    return UniqueConstraint(fields=columns, name=name, condition=where)


def amounts(table: str, *columns: str, currency: str = "currency") -> list[CheckConstraint]:
    """CHECKs that the currency is a code and that each amount has exactly its scale and fits the API's numbers."""
    return [
        check(f"{table}_{currency}_known", f"{currency} IS NULL OR currency_scale({currency}) IS NOT NULL"),
        *(check(f"{table}_{column}_scale", f"amount_fits({column}, {currency})") for column in columns),
    ]


def origin_unique(table: str) -> UniqueConstraint:
    return unique(f"{table}_origin", "source", "external_id", where="external_id IS NOT NULL")


def index(name: str, *columns: str) -> Index:
    return Index(fields=columns, name=name)


def partial(name: str, where: str, *columns: str) -> Index:
    """An index over some rows only; Tortoise's own can't say IS NULL."""
    made = index(name, *columns)
    made.extra = f" WHERE {where}"
    return made


class TrigramIndex(Index):
    """What a part of a text is found by."""

    INDEX_TYPE = "GIN"

    def __init__(self, name: str, column: str) -> None:
        super().__init__(fields=(f"{column} gin_trgm_ops",), name=name)


class KeyField(fields.UUIDField[UUID]):
    """A UUIDv7 key. Tortoise's own field would fill in a random UUIDv4; this one leaves the key to the database."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.pk:
            self.default = None


class Undescribed(ModelMeta):
    """Makes a model without reading its source, in which Tortoise would look for comments to describe columns with. That
    takes a quarter of a second of each start, and there are none."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> ModelMeta:
        return super().__new__(cls, name, bases, {**attributes, "_no_comments": True})


class Record(Model, metaclass=Undescribed):
    """A table's key and times. Keys are UUIDv7: ordered by creation, made by the database."""

    id = KeyField(primary_key=True, db_default=UUIDV7)
    created_at = fields.DatetimeField(db_default=Now())

    class Meta:
        abstract = True


class Editable(Record):
    """A record that may change: `version` counts its changes, `source`/`external_id` say where it came from."""

    updated_at = fields.DatetimeField(db_default=Now())
    version = fields.IntField(db_default=1)
    source: Any = fields.CharField(max_length=50, null=True)
    external_id: Any = fields.CharField(max_length=200, null=True)

    class Meta:
        abstract = True


class Document(Editable):
    """What an invoice and a credit note have in common: a number, and both parties' particulars as they were at issue."""

    number: Any = fields.CharField(max_length=64, null=True)
    series: Any = fields.CharField(max_length=10, null=True)
    year: Any = fields.IntField(null=True)
    n: Any = fields.IntField(null=True)
    before: Any = fields.IntField(null=True)
    issuer_name: Any = fields.CharField(max_length=200, null=True)
    issuer_address: Any = fields.CharField(max_length=1000, null=True)
    issuer_tax_id: Any = fields.CharField(max_length=50, null=True)
    recipient_name: Any = fields.CharField(max_length=200, null=True)
    recipient_address: Any = fields.CharField(max_length=1000, null=True)
    recipient_tax_id: Any = fields.CharField(max_length=50, null=True)

    class Meta:
        abstract = True


def one_of(column: str, values: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"
