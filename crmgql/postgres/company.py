"""The company, as a process knows it: read once, believed for a few seconds.

Everything that asks what day it is needs the time zone, and whatever posts money the base currency; both change once in
years: so they cost a statement every few seconds, and none per transaction. The process that changed the company reads it
again at once, others within `BELIEVED_S`. The database itself refuses an entry in another base currency than that of the books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from crmgql.postgres.connection import Connection

BELIEVED_S = 5.0
READ = "SELECT id, timezone, currency, write_off_tolerances FROM companies JOIN books ON company_id = id"


@dataclass(frozen=True, slots=True)
class Company:
    """`currency` is that of its books. `tolerances`: by currency, up to which amount what is left open of an order is written off."""

    id: UUID
    zone: ZoneInfo
    currency: str
    tolerances: Mapping[str, Decimal] = field(default_factory=dict)


NONE = Company(UUID(int=0), ZoneInfo("UTC"), "USD")
"""What is believed while there is no company, as while a database is emptied."""


async def read(connection: Connection) -> Company:
    row = await connection.fetchrow(READ)
    if row is None:
        return NONE
    tolerances = {currency: Decimal(text) for currency, text in orjson.loads(row["write_off_tolerances"]).items()}
    return Company(row["id"], ZoneInfo(row["timezone"]), row["currency"], tolerances)


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
