"""The importable nouns, derived from the models: fields, types, lengths, enums, bounds, defaults, nullability.

Enters: the Tortoise models and the text of their constraints. Leaves: one frozen `Noun` per name in `WRITERS`. What a
model can't say (amounts that start at zero, computed columns) its writer does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

from tortoise import fields as columns
from tortoise.migrations.constraints import CheckConstraint

from crmgql.domain.activities import bulk as activities
from crmgql.domain.catalog import bulk as catalog
from crmgql.domain.compensation import bulk as compensation
from crmgql.domain.customers import bulk as customers
from crmgql.domain.leads import bulk as leads
from crmgql.domain.marketing import bulk as marketing
from crmgql.domain.money import bulk as money
from crmgql.domain.opportunities import bulk as opportunities
from crmgql.domain.people import bulk as people
from crmgql.domain.sales import bulk as sales
from crmgql.models.base import AmountField, NumberField, TextArrayField
from crmgql.records.bulk import Writer

WRITERS: dict[str, Writer] = {
    "users": people.users,
    "teams": people.teams,
    "products": catalog.products,
    "customers": customers.customers,
    "contacts": customers.contacts,
    "opportunities": opportunities.opportunities,
    "stage_transitions": opportunities.stage_transitions,
    "campaigns": marketing.campaigns,
    "leads": leads.leads,
    "fx_rates": money.fx_rates,
    "orders": sales.orders,
    "order_lines": sales.order_lines,
    "invoices": money.invoices,
    "payments": money.payments,
    "credit_notes": money.credit_notes,
    "allocations": money.allocations,
    "commissions": compensation.commissions,
    "interactions": activities.interactions,
    "tickets": activities.tickets,
}
NEVER = frozenset({"id", "created_at", "updated_at", "version", "source", "external_id", "password_hash"})
# What a reference may be looked up by, besides the external id.
LOOKED_UP_BY: dict[str, tuple[str, ...]] = {
    "users": ("email", "name"),
    "teams": ("name",),
    "products": ("sku", "name"),
    "customers": ("name", "email"),
    "orders": ("number",),
    "invoices": ("number",),
    "credit_notes": ("number",),
    "opportunities": ("name",),
    "stages": ("name",),
    "campaigns": ("name",),
}


class Kind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    AMOUNT = "amount"
    BOOLEAN = "true/false"
    DATE = "date"
    DATETIME = "date and time"
    JSON = "object"
    TEXTS = "list"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Field:
    """One importable field. `default` is what a blank may become; None when there is nothing to fall back on.

    `filled`: something is put in place of a blank.
    """

    name: str
    column: str
    kind: Kind
    null: bool
    default: Any = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    digits: int | None = None
    decimals: int | None = None
    low: int | None = None
    high: int | None = None
    above: int | None = None
    currency: str | None = None
    target: str | None = None
    filled: bool = False

    @property
    def required(self) -> bool:
        return not self.null and self.default is None and not self.filled


@dataclass(frozen=True)
class Noun:
    """A table that can be imported. `inherits`: reference fields whose record also names the row's customer."""

    name: str
    writer: Writer
    fields: MappingProxyType[str, Field]
    inherits: tuple[str, ...]

    @property
    def currency_fields(self) -> frozenset[str]:
        return frozenset(field.currency for field in self.fields.values() if field.currency)


@dataclass
class _Rules:
    """What the CHECK texts of a model say about single columns."""

    choices: dict[str, tuple[str, ...]]
    lengths: dict[str, int]
    low: dict[str, int]
    high: dict[str, int]
    above: dict[str, int]
    currency: dict[str, str]


def _read_rules(checks: list[CheckConstraint]) -> _Rules:
    rules = _Rules({}, {}, {}, {}, {}, {})
    for text in (str(check.check) for check in checks):
        if found := re.fullmatch(r"(\w+) (?:IN \((.*)\)|<@ ARRAY\[(.*)\]::text\[\])", text):
            rules.choices[found[1]] = tuple(re.findall(r"'([^']+)'", found[2] or found[3]))
        elif found := re.fullmatch(r"length\((\w+)\) <= (\d+)", text):
            rules.lengths[found[1]] = int(found[2])
        elif found := re.fullmatch(r"amount_fits\((\w+), (\w+)\)", text):
            rules.currency[found[1]] = found[2]
        elif found := re.fullmatch(r"(\w+) BETWEEN (\d+) AND (\d+)", text):
            rules.low[found[1]], rules.high[found[1]] = int(found[2]), int(found[3])
        else:
            rules.low.update((name, int(bound)) for name, bound in re.findall(r"\b([a-z_]+) >= (\d+)", text))
            rules.above.update((name, int(bound)) for name, bound in re.findall(r"\b([a-z_]+) > (\d+)", text))
    return rules


_KINDS: tuple[tuple[type[Any], Kind], ...] = (
    (columns.CharField, Kind.TEXT),
    (columns.TextField, Kind.TEXT),
    (columns.DatetimeField, Kind.DATETIME),
    (columns.DateField, Kind.DATE),
    (columns.BooleanField, Kind.BOOLEAN),
    (columns.IntField, Kind.INTEGER),
    (columns.DecimalField, Kind.DECIMAL),
    (NumberField, Kind.DECIMAL),
    (columns.JSONField, Kind.JSON),
    (AmountField, Kind.AMOUNT),
    (TextArrayField, Kind.TEXTS),
)


def _kind(field: Any) -> Kind | None:
    return next((kind for cls, kind in _KINDS if isinstance(field, cls)), None)


def _default(writer: Writer, name: str, field: Any) -> Any:
    """A default that is a plain value; one that the database works out (now, a sequence) is none to us."""
    if name in writer.zero:
        return Decimal(0)
    default = getattr(field, "db_default", None)
    return default if isinstance(default, str | int | bool | list | dict) else None


def _fields(writer: Writer, rules: _Rules) -> Iterator[Field]:
    tables = {each.model.__name__: name for name, each in WRITERS.items()} | {"Stage": "stages"}
    for name, field in writer.model._meta.fields_map.items():
        if name in NEVER or name in writer.derived:
            continue
        if isinstance(field, columns.relational.ForeignKeyFieldInstance):
            target = tables[str(field.model_name).rpartition(".")[2]]
            filled = name in writer.filled
            yield Field(name, f"{name}_id", Kind.REFERENCE, bool(field.null), target=target, filled=filled)
            continue
        kind = _kind(field)
        if kind is None or getattr(field, "reference", None):
            continue
        column = str(field.source_field or name)
        yield Field(
            name,
            column,
            kind,
            bool(field.null),
            default=_default(writer, name, field),
            max_length=rules.lengths.get(column, getattr(field, "max_length", None)),
            choices=rules.choices.get(column, ()),
            digits=getattr(field, "max_digits", None),
            decimals=getattr(field, "decimal_places", None),
            low=rules.low.get(column),
            high=rules.high.get(column),
            above=rules.above.get(column),
            currency=rules.currency.get(column),
            filled=name in writer.filled,
        )


@cache
def noun(name: str) -> Noun:
    """The noun of that name; `name` must be in `WRITERS`."""
    writer = WRITERS[name]
    meta: Any = writer.model.Meta
    checks = [rule for rule in meta.constraints if isinstance(rule, CheckConstraint)]
    keys = getattr(meta, "composite_keys", ())
    children = tuple(key.columns[1].removesuffix("_id") for key in keys if key.columns[0] == "customer_id")
    fields = {field.name: field for field in _fields(writer, _read_rules(checks))}
    return Noun(name, writer, MappingProxyType(fields), children + writer.inherits)
