"""Who follows facts of customers and contacts: chapters above this one, which it can't import and which register here.

Enters: the columns that changed, by record. Always holds: what a follower does is done in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from uuid import UUID

from crmgql.records.records import Act, Row

Changed = Mapping[UUID, Set[str]]
"""The columns that changed, by the record's id."""

Follow = Callable[[Act, Changed], Awaitable[None]]

_customers: list[Follow] = []
_contacts: list[Follow] = []


def of_customers(follow: Follow) -> Follow:
    """Registers what is to be done when facts of customers change."""
    _customers.append(follow)
    return follow


def of_contacts(follow: Follow) -> Follow:
    """Registers what is to be done when facts of contacts change."""
    _contacts.append(follow)
    return follow


async def customers_changed(act: Act, changed: Changed) -> None:
    """Calls whoever follows customers."""
    await _call(_customers, act, changed)


async def contacts_changed(act: Act, changed: Changed) -> None:
    """Calls whoever follows contacts."""
    await _call(_contacts, act, changed)


def difference(before: Row, after: Row) -> Changed:
    """The columns in which a record differs, by its id; nothing where it does not."""
    columns = {column for column in after if after[column] != before[column]}
    return {after["id"]: columns} if columns else {}


async def _call(followers: list[Follow], act: Act, changed: Changed) -> None:
    if changed:
        for follow in followers:
            await follow(act, changed)
