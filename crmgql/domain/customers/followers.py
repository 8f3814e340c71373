"""Hooks on changes of customers and contacts: chapters above this one, which it can't import, register functions here.

Enters: the columns that changed, by record. Always holds: a follower runs in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from uuid import UUID

from crmgql.records.records import Act, Row

Changed = Mapping[UUID, Set[str]]
"""The names of the columns that changed, by the record's id."""

Follow = Callable[[Act, Changed], Awaitable[None]]

_customers: list[Follow] = []
_contacts: list[Follow] = []


def of_customers(follow: Follow) -> Follow:
    """Registers a function to run when customers change."""
    _customers.append(follow)
    return follow


def of_contacts(follow: Follow) -> Follow:
    """Registers a function to run when contacts change."""
    _contacts.append(follow)
    return follow


async def customers_changed(act: Act, changed: Changed) -> None:
    """Runs what is registered for customers."""
    await _run(_customers, act, changed)


async def contacts_changed(act: Act, changed: Changed) -> None:
    """Runs what is registered for contacts."""
    await _run(_contacts, act, changed)


def difference(before: Row, after: Row) -> Changed:
    """The columns in which a record differs, by its id; nothing if it does not differ."""
    columns = {column for column in after if after[column] != before[column]}
    return {after["id"]: columns} if columns else {}


async def _run(followers: list[Follow], act: Act, changed: Changed) -> None:
    if changed:
        for follow in followers:
            await follow(act, changed)
