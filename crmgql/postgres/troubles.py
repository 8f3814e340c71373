"""What a database says that is not about the request: it does not answer, takes too long, or can't write.

Enters: an asyncpg exception that leaves a `with` block. Leaves: an error of ours, and a line in the log with the
SQLSTATE. Always holds: only what the database did is translated; what else goes wrong in the block passes as it is.
"""

from __future__ import annotations

import asyncpg
import structlog

from crmgql.errors import BadUserInput, CrmError, DatabaseTrouble, DiskFull, TimedOut

log = structlog.get_logger("crmgql")

LOST: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg makes of a connection that was cut while it was being used
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    ConnectionError,
)
"""What a vanished or a struggling server looks like."""

FULL = "The database's disk is full: nothing can be written until there is room again."
NO_ROOM = "No space left on device"
"""How Linux calls it where PostgreSQL found no SQLSTATE of its own for it."""


class Troubles:
    """What one process has seen of its database's troubles. `with troubles:` around what asks the database."""

    def __init__(self) -> None:
        self.disk_full = False
        """Whether a write has failed for want of room, and none was proved to work since."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        if isinstance(error, asyncpg.DataError):
            # Mostly a client's mistake, but a mistake in a statement of ours looks the same. Its text may hold values.
            log.info("value refused by the database", sqlstate=error.sqlstate, reason=type(error).__name__)
            raise BadUserInput("A value does not fit its column.") from error
        trouble = error if isinstance(error, DatabaseTrouble) else translated(error)
        if trouble is None:
            return
        self._note(trouble, error.__cause__ or error if trouble is error else error)
        if trouble is not error:
            raise trouble from error

    def _note(self, trouble: CrmError, reason: BaseException) -> None:
        """One line. What the driver said is for whoever runs this, not for clients: it may hold addresses."""
        if isinstance(trouble, DiskFull):
            self.disk_full = True
        sqlstate = getattr(reason, "sqlstate", None)
        log.warning(
            "database trouble", code=trouble.code, sqlstate=sqlstate, reason=str(reason) or type(reason).__name__
        )


def translated(error: BaseException) -> DatabaseTrouble | TimedOut | None:
    """An error of ours for one of the database's own; None for all others."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return TimedOut("The database needed too long for this; ask for less, or filter by an indexed field.")
    if isinstance(error, asyncpg.DiskFullError) or (
        isinstance(error, asyncpg.PostgresIOError) and NO_ROOM in str(error)
    ):
        return DiskFull(FULL)
    if isinstance(error, LOST):
        return DatabaseTrouble("The database does not answer just now; try again.")
    return None
