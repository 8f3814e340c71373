"""Who asks: the user or API key behind a request, with roles, scopes and the clock.

Made once per request by the HTTP layer or a worker; everything below takes it as an argument and asks no one else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The machine's time. Only entry points pass it; domain code takes the viewer's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Who:
    """The part of a viewer that decides which plan fits: equal for everybody with the same roles and scopes."""

    roles: frozenset[str]
    scopes: frozenset[str] | None = None


NOBODY = UUID(int=0)
"""No user's id."""

SYSTEM = "SYSTEM"
"""The system's own role, which no user has."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """`who.scopes` is None for a person; an API key may do what its user may, within its scopes.

    `user_id` is `NOBODY` for the system itself, which works off jobs and may do everything.
    """

    user_id: UUID
    who: Who
    api_key_id: UUID | None = None
    clock: Clock = system_clock

    @property
    def roles(self) -> frozenset[str]:
        return self.who.roles

    @property
    def actor_id(self) -> UUID | None:
        """The user to name as the one who did it; None when the system does."""
        return None if self.user_id == NOBODY else self.user_id

    def now(self) -> datetime:
        return self.clock()


def system(clock: Clock = system_clock) -> Viewer:
    """The system itself: all-seeing, and nobody in the records of who did what."""
    return Viewer(NOBODY, Who(frozenset({SYSTEM})), clock=clock)
