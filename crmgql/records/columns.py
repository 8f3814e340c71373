"""Which columns a verb's `**values` may name: written once, beside the verb, and kept by it.

    FACTS = "subject description priority contact_id order_id"

    @takes(Ticket, FACTS, ORIGIN)
    async def open(act: Act, *, customer_id: UUID, **values: Any) -> UUID: ...

    @takes(Ticket, FACTS)
    async def update(act: Act, *, id: UUID, **changes: Any) -> UUID: ...

Whoever calls with another name gets a `TypeError`, as for a parameter that is not there. A name is a column, or an amount
with its currency (`budget` for `budget_amount`). What the API lets clients send is compared with it when the process
starts, and the names with the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from tortoise.fields import Field
from tortoise.models import Model

from crmgql.models.base import AmountField

ORIGIN = "source external_id"
"""Where a record came from. It is said when the record is made and never changes."""

FROZEN = frozenset(ORIGIN.split())

V = TypeVar("V", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that a verb takes beside its parameters, in the order in which they are listed."""

    model: type[Model]
    names: tuple[str, ...]


def takes(model: type[Model], *lists: str) -> Callable[[V], V]:
    """Says which columns a verb's `**values` may name; each list is names with spaces between them."""
    columns = Columns(model, split(*lists))

    def decorated(verb: V) -> V:
        known = {*inspect.signature(verb).parameters, *columns.names}

        @wraps(verb)
        def checked(*args: Any, **values: Any) -> Any:
            if unknown := values.keys() - known:
                raise TypeError(
                    f"{verb.__module__}.{verb.__name__} takes no {', '.join(sorted(unknown))}; name it in its @takes."
                )
            return verb(*args, **values)

        checked.columns = columns  # type: ignore[attr-defined]
        return cast(V, checked)

    return decorated


def of(verb: Callable[..., Any]) -> Columns | None:
    """What a verb's `@takes` says; None where it has none."""
    return getattr(verb, "columns", None)


def split(*lists: str) -> tuple[str, ...]:
    """The names of several lists, each once."""
    return tuple(dict.fromkeys(name for names in lists for name in names.split()))


def field_of(model: type[Model], name: str) -> Field[Any] | None:
    """The model's field behind a name that a verb takes: of a column, or of the amount `<name>_amount`; None: there is none."""
    meta = model._meta
    for attribute, column in meta.fields_db_projection.items():
        if name in (attribute, column):
            return meta.fields_map[attribute]
    amount = meta.fields_map.get(f"{name}_amount")
    return amount if isinstance(amount, AmountField) else None
