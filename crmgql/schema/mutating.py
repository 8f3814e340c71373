"""The words in which a mutation is declared: its record, its input, its verb.

    @mutation("Order", OrderCreateInput)
    async def order_create(act: Act, given: Given) -> UUID:
        "Makes a draft order."
        return await orders.create(act, **given)

`given` holds what the client gave: snake_case keys, ids as UUIDs, enums as text, money as (amount, currency).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import strawberry

from crmgql.domain.records import Act
from crmgql.schema import declare
from crmgql.schema.strawberries import REQUIRED, Argument, Field, lazy, object_type, optional, publish

Given = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What a mutation came to: the record to show, and further fields of the payload."""

    record: UUID
    extras: dict[str, Any]


Verb = Callable[[Act, Given], Awaitable[UUID | Done]]


@dataclass(frozen=True)
class MutationDeclaration:
    """`extras` are further payload fields (name → annotation), answered as they are. `replays` takes a key."""

    name: str
    record: str
    input: Any
    verb: Verb
    doc: str
    extras: dict[str, Any]
    replays: bool

    @property
    def payload(self) -> str:
        return f"{self.name[0].upper()}{self.name[1:]}Payload"


MUTATIONS: dict[str, MutationDeclaration] = {}


def mutation(
    record: str, input: Any, *, extras: dict[str, Any] | None = None, replays: bool = True
) -> Callable[[Verb], Verb]:
    """Declares a mutation that answers with a record of a type."""

    def declared(verb: Verb) -> Verb:
        name = declare.camel(verb.__name__)
        doc = " ".join((verb.__doc__ or "").split())
        MUTATIONS[name] = MutationDeclaration(name, record, input, verb, doc, extras or {}, replays)
        return verb

    return declared


def input(cls: type) -> Any:
    """An input type; every mutation's input also takes an `idempotencyKey`."""
    annotations = cls.__dict__.get("__annotations__", {})
    annotations["idempotency_key"] = "str | None"
    cls.__annotations__ = annotations
    cls.idempotency_key = strawberry.field(  # type: ignore[attr-defined]
        default=strawberry.UNSET,
        description="The same key with the same input has one effect, however often it is sent.",
    )
    return publish(cls.__name__, strawberry.input(cls))


def build() -> Any:
    """The mutation type with all payloads."""
    object_type(
        "UserError",
        [
            Field("code", str, "For programs: NOT_FOUND, CONFLICT, ILLEGAL_TRANSITION, …"),
            Field("field", optional(str), "The path in the input, such as lines.0.quantity."),
            Field("message", str, "For people: what was wrong and what would be right."),
        ],
        "A rejection that says what was wrong; nothing was changed.",
    )
    fields = [_field(declaration) for declaration in MUTATIONS.values()]
    return object_type("Mutation", fields, "Everything that can be changed; each field is one transaction.")


def _field(declaration: MutationDeclaration) -> Field:
    record = declaration.record[0].lower() + declaration.record[1:]
    payload = [
        Field(record, optional(lazy(declaration.record)), "The record as it is now; null if you may not see it."),
        *(Field(name, optional(annotation)) for name, annotation in declaration.extras.items()),
        Field("userErrors", list[lazy("UserError")], "Empty when it was done."),  # type: ignore[misc]
    ]
    object_type(declaration.payload, payload)
    arguments = (Argument("input", declaration.input, REQUIRED),)
    return Field(declaration.name, lazy(declaration.payload), declaration.doc, arguments)
