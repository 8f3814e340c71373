"""The importable nouns, derived from the models: fields, types, lengths, enums, bounds, defaults, nullability.

Enters: the Tortoise models and the text of their constraints. Leaves: one frozen `Noun` per name in `NOUNS`. What a
model can't say (amounts that start at zero, columns that are worked out) is in the three tables at the top.
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
from tortoise.models import Model

from crmgql import models
from crmgql.models.base import AmountField, TextArrayField

MODELS: dict[str, type[Model]] = {
    "users": models.User,
    "teams": models.Team,
    "products": models.Product,
    "customers": models.Customer,
    "contacts": models.Contact,
    "opportunities": models.Opportunity,
    "stage_transitions": models.StageTransition,
    "campaigns": models.Campaign,
    "leads": models.Lead,
    "orders": models.Order,
    "order_lines": models.OrderLine,
    "payments": models.Payment,
    "commissions": models.Commission,
    "interactions": models.Interaction,
    "tickets": models.Ticket,
}
NEVER = frozenset({"id", "created_at", "updated_at", "version", "source", "external_id", "password_hash"})
# Amounts that are zero unless a mapping says otherwise.
ZERO = {
    "orders": frozenset({"subtotal_amount", "shipping_amount", "tax_amount", "discount_amount"}),
    "order_lines": frozenset({"discount_amount", "shipping_amount"}),
}
# Columns the engine works out: nobody maps them.
DERIVED = {
    "customers": frozenset({"pool", "protected_until", "reclaim_warned_at"}),
    "orders": frozenset({"total_amount"}),
    "order_lines": frozenset({"line_amount"}),
    "opportunities": frozenset(
        [
            "pipeline",
            "pipeline_id",
            "status",
            "stage_since",
            "last_activity_at",
            "snoozed_until",
            "score",
            "score_factors",
            "risk",
            "risk_factors",
            "reassess_on",
            "highest_amount",
            "close_pushes",
            "stale_at",
            "stale_known",
            "stale_since",
            "stale_level",
            "stale_episode",
        ]
    ),
    "stage_transitions": frozenset({"seconds_in_stage"}),
    "leads": frozenset(
        [
            "intake_source",
            "merged_into",
            "routing",
            "accept_by",
            "queue",
            "queue_deadline",
            "pool",
            "protected_until",
            "reclaim_warned_at",
            "normal_email",
            "normal_phone",
            "domain",
        ]
    ),
}
# What is filled where it is blank: a stage by the database, a lead's times from one another.
FILLED = {
    "opportunities": frozenset({"stage"}),
    "leads": frozenset({"received_at", "status_since", "last_activity_at"}),
}
# References whose record names the customer too, besides those that a composite key says.
INHERITS = {"stage_transitions": ("opportunity",), "leads": ("contact", "opportunity")}
# What happened stays: a row that is there already is never changed.
APPEND_ONLY = frozenset({"stage_transitions"})
# Tables to find rows in by name that are no nouns themselves. A stage is one of the default pipeline by its name alone,
# of another one as "Pipeline/Stage".
STAGES = """
(SELECT p.name || '/' || s.name AS name, s.id, s.source, s.external_id FROM stages s JOIN pipelines p ON p.id = pipeline_id
    UNION ALL SELECT s.name, s.id, NULL, NULL FROM stages s JOIN pipelines p ON p.id = pipeline_id WHERE p.is_default)
AS stages"""
# What a reference may be looked up by, besides the external id.
LOOKED_UP_BY: dict[str, tuple[str, ...]] = {
    "users": ("email", "name"),
    "teams": ("name",),
    "products": ("sku", "name"),
    "customers": ("name", "email"),
    "orders": ("number",),
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
    fields: MappingProxyType[str, Field]
    inherits: tuple[str, ...]
    rules: MappingProxyType[str, str]

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
    (columns.JSONField, Kind.JSON),
    (AmountField, Kind.AMOUNT),
    (TextArrayField, Kind.TEXTS),
)


def _kind(field: Any) -> Kind | None:
    return next((kind for cls, kind in _KINDS if isinstance(field, cls)), None)


def _default(noun: str, name: str, field: Any) -> Any:
    """A default that is a plain value; one that the database works out (now, a sequence) is none to us."""
    if name in ZERO.get(noun, ()):
        return Decimal(0)
    default = getattr(field, "db_default", None)
    return default if isinstance(default, str | int | bool | list | dict) else None


def _fields(noun: str, model: type[Model], rules: _Rules) -> Iterator[Field]:
    tables = {cls.__name__: name for name, cls in MODELS.items()} | {"Stage": "stages"}
    for name, field in model._meta.fields_map.items():
        if name in NEVER or name in DERIVED.get(noun, ()):
            continue
        if isinstance(field, columns.relational.ForeignKeyFieldInstance):
            target = tables[str(field.model_name).rpartition(".")[2]]
            filled = name in FILLED.get(noun, ())
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
            default=_default(noun, name, field),
            max_length=rules.lengths.get(column, getattr(field, "max_length", None)),
            choices=rules.choices.get(column, ()),
            digits=getattr(field, "max_digits", None),
            decimals=getattr(field, "decimal_places", None),
            low=rules.low.get(column),
            high=rules.high.get(column),
            above=rules.above.get(column),
            currency=rules.currency.get(column),
            filled=name in FILLED.get(noun, ()),
        )


@cache
def noun(name: str) -> Noun:
    """The noun of that name; `name` must be in `MODELS`."""
    model = MODELS[name]
    meta: Any = model.Meta
    checks = [rule for rule in meta.constraints if isinstance(rule, CheckConstraint)]
    keys = getattr(meta, "composite_keys", ())
    children = tuple(key.columns[1].removesuffix("_id") for key in keys if key.columns[0] == "customer_id")
    fields = {field.name: field for field in _fields(name, model, _read_rules(checks))}
    rules = {str(check.name): str(check.check) for check in checks}
    inherits = children + INHERITS.get(name, ())
    return Noun(name, MappingProxyType(fields), inherits, MappingProxyType(rules))
