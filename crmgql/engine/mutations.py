"""The words in which a mutation is declared: its record, its input, its verb.

    @mutation("Order", OrderCreateInput)
    async def order_create(act: Act, given: Given) -> UUID:
        "Makes a draft order."
        return await orders.create(act, **given)

`given` holds what the client gave: snake_case keys, ids as UUIDs, enums as text, money as (amount, currency).

What opens and ends sessions commits on its own, and mostly asks for no viewer:

    @session(LoginInput, extras=TOKENS)
    async def login(call: SessionCall, given: Given) -> Done:
        "Logs in."
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from crmgql.db import Database
from crmgql.domain.people.login_attempts import Blocks
from crmgql.domain.people.sessions import Issue
from crmgql.engine import declare
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, object_type, optional, publish
from crmgql.errors import Unavailable
from crmgql.records.records import Act
from crmgql.viewer import Clock, Viewer

Given = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What a mutation came to: the record to show, further fields of the payload, a user who now may other things."""

    record: UUID | None
    extras: dict[str, Any] = field(default_factory=dict)
    changed_user: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionCall:
    """Somebody at the door: `viewer` is None before they are known, `remote` their address where it is known.

    `client` is the program that they say they use, `blocks` what the process knows of those who failed too often.
    """

    database: Database
    viewer: Viewer | None
    remote: str | None
    client: str | None
    clock: Clock
    issuing: Issue | None
    blocks: Blocks

    @property
    def now(self) -> datetime:
        return self.clock()

    @property
    def issue(self) -> Issue:
        """What tokens are made with. Raises `Unavailable` where no secret is set up."""
        if self.issuing is None:
            raise Unavailable("Logging in is not set up here: the server has no key to sign tokens with.")
        return self.issuing


Verb = Callable[[Act, Given], Awaitable[UUID | Done]]
Prepare = Callable[[Viewer, Given], Awaitable[Given]]
"""What is worked out of the input before the transaction opens, as it takes long and needs no database."""

SessionVerb = Callable[[SessionCall, Given], Awaitable[Done]]


@dataclass(frozen=True)
class MutationDeclaration:
    """`extras` are further payload fields (name → annotation), answered as they are.

    One of `verb` and `session` is set: the second commits on its own and, when `public`, needs no viewer.
    """

    name: str
    record: str
    input: Any
    doc: str
    extras: dict[str, Any]
    verb: Verb | None = None
    prepare: Prepare | None = None
    session: SessionVerb | None = None
    public: bool = False

    @property
    def payload(self) -> str:
        return f"{self.name[0].upper()}{self.name[1:]}Payload"


MUTATIONS: dict[str, MutationDeclaration] = {}


def mutation(
    record: str, input: Any, *, extras: dict[str, Any] | None = None, prepare: Prepare | None = None
) -> Callable[[Verb], Verb]:
    """Declares a mutation that answers with a record of a type. What is done before is not told again in `extras`."""

    def declared(verb: Verb) -> Verb:
        name, doc = _documented(verb)
        MUTATIONS[name] = MutationDeclaration(name, record, input, doc, extras or {}, verb=verb, prepare=prepare)
        return verb

    return declared


def session(
    input: Any, *, extras: dict[str, Any] | None = None, public: bool = True
) -> Callable[[SessionVerb], SessionVerb]:
    """Declares a mutation of sessions, which answers with the user. Its input takes no key: tokens are made once."""

    def declared(verb: SessionVerb) -> SessionVerb:
        name, doc = _documented(verb)
        MUTATIONS[name] = MutationDeclaration(name, "User", input, doc, extras or {}, session=verb, public=public)
        return verb

    return declared


def _documented(verb: Any) -> tuple[str, str]:
    return declare.camel(verb.__name__), " ".join((verb.__doc__ or "").split())


def input(cls: type) -> Any:
    """An input type; every mutation's input also takes an `idempotencyKey`."""
    cls.__annotations__ = {**inspect.get_annotations(cls), "idempotency_key": "str | None"}
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
    # Nullable, so that a field that fails takes nothing away from what others have already done.
    return Field(declaration.name, optional(lazy(declaration.payload)), declaration.doc, arguments)
