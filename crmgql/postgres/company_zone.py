"""The company's time zone, as a process knows it: read once, believed for a few seconds.

Everything that asks what day it is needs the zone, and it changes once in years: so it costs a statement every few
seconds, and none per transaction. The process that changed it reads it again at once, others within `BELIEVED_S`.
"""

from __future__ import annotations

from time import monotonic
from zoneinfo import ZoneInfo

from crmgql.postgres.connection import Connection

BELIEVED_S = 5.0
READ = "SELECT timezone FROM companies"


class CompanyZone:
    """What one process believes."""

    def __init__(self) -> None:
        self._zone: ZoneInfo | None = None
        self._read_at = 0.0

    async def current(self, connection: Connection) -> ZoneInfo:
        """The zone. Without a company, as while a database is emptied, it is UTC."""
        now = monotonic()
        if self._zone is None or now - self._read_at >= BELIEVED_S:
            zone = ZoneInfo(await connection.fetchval(READ) or "UTC")
            self._zone, self._read_at = zone, now
        return self._zone

    def forget(self) -> None:
        """Has it read again the next time."""
        self._zone = None
