"""Who follows facts of customers and contacts: chapters above this one, which it can't import and which register here.

Enters: the row before and after a change. Always holds: what a follower does is done in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from crmgql.records.records import Act, Row

Follow = Callable[[Act, Row, frozenset[str]], Awaitable[None]]
"""Takes the record as it is now and the columns that changed."""

_customers: list[Follow] = []
_contacts: list[Follow] = []


def of_customers(follow: Follow) -> Follow:
    """Registers what is to be done when a customer's facts change."""
    _customers.append(follow)
    return follow


def of_contacts(follow: Follow) -> Follow:
    """Registers what is to be done when a contact's facts change."""
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
