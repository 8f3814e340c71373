"""How a mutation is declared: its record, its input, the verb that does it, and one sentence.

What only calls a verb is a row of a table:

    mutations.table(
        "Ticket",
        Row("ticketOpen", "Opens a ticket.", tickets.open, input=inputs.create("customer_id", tickets.FACTS)),
        Row("ticketHold", "Marks an open ticket as pending: it waits for the customer.", tickets.move, "hold"),
    )

What does more is a function. The values reach it, as they reach a verb, as keyword arguments: snake_case names, ids as
UUIDs, enums as text, money as (amount, currency).

    @mutation("User", inputs.update(users.FACTS), calls=users.update_user)
    async def user_update(act: Act, **values: Any) -> Done:
        "Changes what the input names."

What opens and ends sessions commits on its own, and mostly asks for no viewer:

    @session(LoginInput, extras=TOKENS)
    async def login(call: SessionCall, *, email: str, password: str) -> Done:
        "Logs in."

Each field of an input is compared with what its verb takes when the schema is built (`engine/input_checks`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Database
from crmgql.domain.people.login_attempts import Blocks
from crmgql.domain.people.sessions import Issue
from crmgql.engine import declare, inputs
from crmgql.engine.inputs import MoveInput
from crmgql.engine.strawberries import REQUIRED, Argument, Field, lazy, object_type, optional
from crmgql.errors import DeclarationError, Unavailable
from crmgql.planner import metadata
from crmgql.viewer import Clock, Viewer

Values = dict[str, Any]
"""A client's input, converted, by the names of a verb's parameters."""


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of a mutation: the record to show, further fields of the payload, a user whose rights or sessions changed."""

    record: UUID | None
    extras: dict[str, Any] = field(default_factory=dict)
    changed_user: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionCall:
    """A call of a mutation of sessions: `viewer` is None before the user is known, `remote` the client's address if known.

    `client` is the program that the client says it is, `blocks` what the process knows of those who failed too often.
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


Verb = Callable[..., Awaitable[Any]]
"""`(act, *fixed, **values)` → the record's id, or `Done`; of a session: `(call, **values)` → `Done`."""

Prepare = Callable[[Viewer, Values], Awaitable[Values]]
"""What is worked out of the input before the transaction opens, as it takes long and needs no database."""


class DuplicateMutation(DeclarationError):
    """Two mutations have one name."""


class UnknownRecord(DeclarationError):
    """A mutation answers with a record of no declared type."""


@dataclass(frozen=True)
class MutationDeclaration:
    """`verb` is called with `fixed` and the input's values, `calls` is the verb to which it passes them on, if it does.

    `extras` are further payload fields (name → annotation), answered as they are. A `session` commits on its own and,
    when `public`, needs no viewer. `asks` is what the verb always asks for beside the permission to change such records.
    `registered`: the verb gets the engine's registered documents before all else.
    """

    name: str
    record: str
    input: Any
    doc: str
    verb: Verb
    fixed: tuple[str, ...] = ()
    calls: Verb | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    session: bool = False
    prepare: Prepare | None = None
    public: bool = False
    asks: tuple[str, ...] = ()
    registered: bool = False

    @property
    def permissions(self) -> tuple[str, ...]:
        """What one needs for it; what opens and ends one's own sessions needs nothing."""
        if self.session:
            return ()
        write = access.ENTRIES[self.record].write
        assert write is not None, f"{self.name} changes a {self.record}, whose entry says that nobody does"
        return (write, *self.asks)

    @property
    def input_name(self) -> str:
        """The input's type: a class's own name; what is derived is named after the mutation."""
        return self._title + "Input" if isinstance(self.input, inputs.Derived) else self.input.__name__

    @property
    def payload(self) -> str:
        return f"{self._title}Payload"

    @property
    def _title(self) -> str:
        return self.name[0].upper() + self.name[1:]


MUTATIONS: dict[str, MutationDeclaration] = {}


def needs_viewer(field: str) -> bool:
    """Whether a root field is a mutation that strangers may not ask for."""
    return field in MUTATIONS and not MUTATIONS[field].public


class Row:
    """A mutation whose body only calls a verb, with `fixed` before the input's values. `asks`, `registered`: see
    `MutationDeclaration`."""

    def __init__(
        self,
        name: str,
        doc: str,
        verb: Verb,
        *fixed: str,
        input: Any = MoveInput,
        asks: tuple[str, ...] = (),
        prepare: Prepare | None = None,
        registered: bool = False,
    ) -> None:
        self.name, self.doc, self.verb, self.fixed, self.input = name, doc, verb, fixed, input
        self.asks, self.prepare, self.registered = asks, prepare, registered


def table(record: str, *rows: Row) -> None:
    """Declares mutations that answer with a record of one type."""
    for row in rows:
        _declare(
            MutationDeclaration(
                row.name,
                record,
                row.input,
                row.doc,
                row.verb,
                row.fixed,
                asks=row.asks,
                prepare=row.prepare,
                registered=row.registered,
            )
        )


def mutation(
    record: str,
    input: Any,
    *,
    extras: dict[str, Any] | None = None,
    calls: Verb | None = None,
    asks: tuple[str, ...] = (),
    prepare: Prepare | None = None,
    registered: bool = False,
) -> Callable[[Verb], Verb]:
    """Declares a mutation with a body of its own, which answers with a record of a type.

    A repeated `idempotencyKey` answers no `extras`. `calls`: the verb that takes all values, when the body has `**values`.
    """

    def declared(body: Verb) -> Verb:
        named = _named(body, record, input)
        _declare(
            MutationDeclaration(
                *named, body, calls=calls, extras=extras or {}, asks=asks, prepare=prepare, registered=registered
            )
        )
        return body

    return declared


def session(input: Any, *, extras: dict[str, Any] | None = None, public: bool = True) -> Callable[[Verb], Verb]:
    """Declares a mutation of sessions, which answers with the user. Its input takes no key: tokens are made once."""

    def declared(body: Verb) -> Verb:
        named = _named(body, "User", input)
        _declare(MutationDeclaration(*named, body, extras=extras or {}, session=True, public=public))
        return body

    return declared


def _named(body: Any, record: str, input: Any) -> tuple[str, str, Any, str]:
    return declare.camel(body.__name__), record, input, " ".join((body.__doc__ or "").split())


def _declare(declaration: MutationDeclaration) -> None:
    if declaration.name in MUTATIONS:
        raise DuplicateMutation(f"{declaration.name} is declared twice; take one of the two out.")
    MUTATIONS[declaration.name] = declaration


def build(known: metadata.Metadata) -> Any:
    """The mutation type with all inputs and payloads."""
    object_type(
        "UserError",
        [
            Field("code", str, "For programs: NOT_FOUND, CONFLICT, ILLEGAL_TRANSITION, …"),
            Field("field", optional(str), "The path in the input, such as lines.0.quantity."),
            Field("message", str, "For people: what was wrong and what would be right."),
        ],
        "A rejection that says what was wrong; nothing was changed.",
    )
    fields = [_field(declaration, known) for declaration in MUTATIONS.values()]
    return object_type("Mutation", fields, "Everything that can be changed; each field is one transaction.")


def _field(declaration: MutationDeclaration, known: metadata.Metadata) -> Field:
    if declaration.record not in known.nodes:
        raise UnknownRecord(f"{declaration.name}: {declaration.record!r} is not declared; declare it with @node.")
    record = declaration.record[0].lower() + declaration.record[1:]
    payload = [
        Field(record, optional(lazy(declaration.record)), "The record as it is now; null if you may not see it."),
        *(Field(name, optional(annotation)) for name, annotation in declaration.extras.items()),
        Field("userErrors", list[lazy("UserError")], "Empty when it was done."),  # type: ignore[misc]
    ]
    object_type(declaration.payload, payload)
    arguments = (Argument("input", _input(declaration, known), REQUIRED),)
    # Nullable, so that a field that fails takes nothing away from what others have already done.
    return Field(declaration.name, optional(lazy(declaration.payload)), declaration.doc, arguments)


def _input(declaration: MutationDeclaration, known: metadata.Metadata) -> Any:
    if not isinstance(declaration.input, inputs.Derived):
        return declaration.input
    node, frozen = declare.DECLARED[declaration.record], known.nodes[declaration.record]
    return inputs.build(declaration.input, declaration.input_name, node, frozen)
