"""The token by which a stream stays open: asked for again and again, replaced in place, at some time at its end.

Always holds: a stream stays its user's. A new token of somebody else is refused, and the old one goes on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from crmgql import access
from crmgql.domain.people.identity import Identities
from crmgql.errors import Forbidden, Unauthenticated
from crmgql.viewer import Clock, Viewer, system_clock

WARNING = timedelta(seconds=60)
"""So long before the end a client is warned."""

EXPIRED = "token expired"


class Session:
    """`ends`: when the token does; None: never. `first` is the viewer at the beginning."""

    __slots__ = ("authorization", "clock", "ends", "first", "identities", "sees", "warned")

    def __init__(
        self, identities: Identities, authorization: str, first: Viewer, ends: datetime | None, clock: Clock
    ) -> None:
        self.identities = identities
        self.authorization = authorization
        self.first = first
        self.ends = ends
        self.clock = clock
        self.warned = False
        self.sees: frozenset[str] | None = None

    async def who(self) -> Viewer:
        """The viewer as of now. Raises `Unauthenticated`."""
        if self.expired:
            raise Unauthenticated(f"{EXPIRED}: send a new one before the end, or connect again.")
        viewer = await self.identities.identify(self.authorization, self.clock)
        return viewer if self.sees is None else replace(viewer, who=access.seeing_only(viewer.who, self.sees))

    async def renew(self, authorization: str) -> None:
        """Goes on with another token. Raises `Unauthenticated`, `Forbidden`; the old one stays then."""
        viewer = await self.identities.identify(authorization, self.clock)
        if viewer.user_id != self.first.user_id:
            raise Forbidden("This token is another user's: a stream stays its user's.")
        self.ends = await self.identities.ends(authorization, self.clock)
        self.authorization = authorization
        self.warned = False

    @property
    def expired(self) -> bool:
        return self.ends is not None and self.clock() >= self.ends

    def warning(self) -> str | None:
        """When the token ends, once it is time to say so."""
        if self.warned or self.ends is None or self.ends - self.clock() > WARNING:
            return None
        self.warned = True
        return text(self.ends)


async def opened(identities: Identities | None, authorization: str, clock: Clock = system_clock) -> Session:
    """Raises `Unauthenticated`."""
    assert identities is not None
    viewer = await identities.identify(authorization, clock)
    return Session(identities, authorization, viewer, await identities.ends(authorization, clock), clock)


def text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds").replace("+00:00", "Z")
