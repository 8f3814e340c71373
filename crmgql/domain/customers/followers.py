"""Hooks on changes of customers and contacts: chapters above this one, which it can't import, register functions here.

Enters: the row before and after a change. Always holds: a follower runs in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from crmgql.records.records import Act, Row

Follow = Callable[[Act, Row, frozenset[str]], Awaitable[None]]
"""Takes the changed record and the names of the columns that changed."""

_customers: list[Follow] = []
_contacts: list[Follow] = []


def of_customers(follow: Follow) -> Follow:
    """Registers a function to run when a customer changes."""
    _customers.append(follow)
    return follow


def of_contacts(follow: Follow) -> Follow:
    """Registers a function to run when a contact changes."""
    _contacts.append(follow)
    return follow


async def customer_changed(act: Act, before: Row, after: Row) -> None:
    await _changed(_customers, act, before, after)


async def contact_changed(act: Act, before: Row, after: Row) -> None:
    await _changed(_contacts, act, before, after)


async def _changed(followers: list[Follow], act: Act, before: Row, after: Row) -> None:
    columns = frozenset(column for column in after if after[column] != before[column])
    if columns:
        for follow in followers:
            await follow(act, after, columns)
