"""Declarations of events: `Kind`, and the types of payload fields.

Enters: values as verbs have them, such as a UUID or (Decimal, currency). Leaves: values as the API writes them, such as `led_…`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from crmgql.models.names import PREFIXES, api_id

GAP = "Gap"
"""The subject of a gap, which is no record."""

INTERNAL = frozenset({"ImportRun", "LoginAttempt", GAP})
"""Subjects that the API has no type for."""

NAME = re.compile(r"[a-z][a-zA-Z]*\.[a-z][a-zA-Z]*")


class NotDeclared(Exception):
    """A verb records an event that no kind declares: a programming error, raised before anything is written."""


class CustomerRule(StrEnum):
    """Whether an event of a kind carries its customer's id."""

    ALWAYS = "always"
    SOMETIMES = "if it has one"
    NEVER = "never"


ALWAYS, SOMETIMES, NEVER = CustomerRule


class Payload(BaseModel):
    """The data of an event besides its subject. Unknown names are refused; names are camelCase in the output."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Nothing(Payload):
    """No data besides the subject."""


class Changed(Payload):
    """The subject's version after the change."""

    version: int


def record_id(record: str) -> Any:
    """The type of an id of a record: `lead_id: record_id("Lead")`."""
    pattern = f"^{PREFIXES[record]}_[0-9a-f]{{32}}$"
    return Annotated[
        str,
        BeforeValidator(lambda value: api_id(record, value) if isinstance(value, UUID) else value),
        Field(pattern=pattern, json_schema_extra={"record": record}),
    ]


def _money(value: Any) -> Any:
    if isinstance(value, tuple):
        amount, currency = value
        return {"amount": amount, "currency": currency}
    return value


def _exact(value: Any) -> Any:
    return f"{value:f}" if isinstance(value, Decimal) else value


Exact = Annotated[str, BeforeValidator(_exact), Field(pattern=r"^-?\d+(\.\d+)?$")]
"""From Decimal: a decimal number as text."""


class Amount(BaseModel):
    """An exact amount: a decimal number as text, and its currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Exact
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]


Money = Annotated[Amount, BeforeValidator(_money)]
"""From (Decimal, currency)."""

FreeText = Annotated[str, Field(json_schema_extra={"personal": True})]
"""Text that somebody typed: it may name a person, so it is stored with the personal values."""


@dataclass(frozen=True)
class Kind:
    """One kind of event. `name` is in the past tense; `doc` is one sentence that says what happened.

    `customer`: whether the event carries its customer. A field that is added keeps the version, one that changes makes
    a new one.
    """

    name: str
    subject: str
    doc: str
    payload: type[Payload] = Changed
    customer: CustomerRule = NEVER
    version: int = 1

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise NotDeclared(f"{self.name!r} is not a valid name of an event, such as order.confirmed.")
        if self.subject not in PREFIXES and self.subject not in INTERNAL:
            raise NotDeclared(f"{self.name}: there is no type {self.subject}.")

    @property
    def personal(self) -> frozenset[str]:
        """The output names of the fields that may name a person."""
        return _personal(self.payload)

    def check(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload in its output form. Raises `NotDeclared`."""
        try:
            return self.payload.model_validate(payload).model_dump(mode="json", by_alias=True, exclude_none=True)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(str(part) for part in first["loc"])
            raise NotDeclared(f"{self.name} does not declare this payload: {path}: {first['msg']}") from None

    def check_subject(self, record: str, customer_id: UUID | None) -> None:
        """Raises `NotDeclared`."""
        if record != self.subject:
            raise NotDeclared(f"{self.name} is about a {self.subject}, not a {record}.")
        if (self.customer is ALWAYS and customer_id is None) or (self.customer is NEVER and customer_id is not None):
            raise NotDeclared(f"{self.name} carries a customer {self.customer}.")


PERSONAL_FIELDS: dict[type[Payload], frozenset[str]] = {}


def _personal(payload: type[Payload]) -> frozenset[str]:
    if payload not in PERSONAL_FIELDS:
        PERSONAL_FIELDS[payload] = frozenset(
            field.alias or name for name, field in payload.model_fields.items() if is_personal(field)
        )
    return PERSONAL_FIELDS[payload]


def is_personal(field: Any) -> bool:
    """Whether a payload's field is a `FreeText`, or one that may be missing."""
    extra = field.json_schema_extra or {}
    return bool(extra.get("personal")) or "'personal': True" in repr(field.annotation)
