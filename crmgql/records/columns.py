"""Which columns a verb's `**values` may name: declared once, on the verb, and enforced at each call.

    FACTS = "subject description priority contact_id order_id"

    @takes(Ticket, FACTS, ORIGIN)
    async def open(act: Act, *, customer_id: UUID, **values: Any) -> UUID: ...

    @takes(Ticket, FACTS)
    async def update(act: Act, *, id: UUID, **changes: Any) -> UUID: ...

A call with another name raises `TypeError`, as for an unknown parameter. A name is a column, or an amount with its
currency (`budget` for `budget_amount`). When the process starts, the names are compared with the model, and the API's
inputs with the names.
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
"""Where a record came from. Set when the record is made; never changed."""

FROZEN = frozenset(ORIGIN.split())

V = TypeVar("V", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that a verb takes beside its parameters, in the order in which they are listed."""

    model: type[Model]
    names: tuple[str, ...]


def takes(model: type[Model], *lists: str) -> Callable[[V], V]:
    """Declares which columns a verb's `**values` may name; each list is names with spaces between them."""
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
    """The columns of a verb's `@takes`; None without one."""
    return getattr(verb, "columns", None)


def split(*lists: str) -> tuple[str, ...]:
    """The names of several lists, each once."""
    return tuple(dict.fromkeys(name for names in lists for name in names.split()))


def field_of(model: type[Model], name: str) -> Field[Any] | None:
    """The model's field for a name that a verb takes: a column, or the amount `<name>_amount`. None if there is none."""
    meta = model._meta
    for attribute, column in meta.fields_db_projection.items():
        if name in (attribute, column):
            return meta.fields_map[attribute]
    amount = meta.fields_map.get(f"{name}_amount")
    return amount if isinstance(amount, AmountField) else None
