"""Periods of the books: the lock that whoever closes days holds alone, and who may post to soft closed ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from crmgql import access
from crmgql.ledger import book
from crmgql.ledger.postings import Entry
from crmgql.records.records import Act

TAKE = "SELECT pg_advisory_xact_lock(periods_lock($1))"


async def take(act: Act) -> None:
    """Waits for everybody who is posting; who posts later waits for this transaction. Take it before anything is read that
    depends on what is posted."""
    await act.tx.connection.execute(TAKE, (await book.company_of(act)).id)


def adjusts(act: Act) -> bool:
    """Whether what the viewer posts to soft closed days is an adjusting entry. Somebody has to answer for one, so nothing
    that the system does by itself is."""
    viewer = act.viewer
    return (
        viewer.actor_id is not None
        and access.may(viewer.who, "period.adjust")
        and access.has_scope(viewer.who, "AccountingPeriod", "write")
    )


def adjusting(act: Act, entries: Iterable[Entry]) -> list[Entry]:
    """The entries, adjusting where the viewer's may be."""
    may = adjusts(act)
    return [replace(each, is_adjusting=may) for each in entries]
