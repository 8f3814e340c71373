"""The company, as a process knows it: read once, believed for a few seconds.

Everything that asks what day it is needs the time zone, and whatever posts money the base currency; both change once in
years: so they cost a statement every few seconds, and none per transaction. The process that changed the company reads it
again at once, others within `BELIEVED_S`. The database itself refuses an entry in another base currency than that of the books.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from uuid import UUID
from zoneinfo import ZoneInfo

from crmgql.postgres.connection import Connection

BELIEVED_S = 5.0
READ = "SELECT id, timezone, currency FROM companies JOIN books ON company_id = id"


@dataclass(frozen=True, slots=True)
class Company:
    """`currency` is that of its books."""

    id: UUID
    zone: ZoneInfo
    currency: str


NONE = Company(UUID(int=0), ZoneInfo("UTC"), "USD")
"""What is believed while there is no company, as while a database is emptied."""


async def read(connection: Connection) -> Company:
    row = await connection.fetchrow(READ)
    return Company(row["id"], ZoneInfo(row["timezone"]), row["currency"]) if row else NONE


class CompanyBelief:
    """What one process believes."""

    def __init__(self) -> None:
        self._company: Company | None = None
        self._read_at = 0.0

    async def current(self, connection: Connection) -> Company:
        now = monotonic()
        if self._company is None or now - self._read_at >= BELIEVED_S:
            self._company, self._read_at = await read(connection), now
        return self._company

    def forget(self) -> None:
        """Has it read again the next time."""
        self._company = None
