"""Which sellers may get a lead, and why the others may not. Pure.

What does not depend on the lead (absent, not at work, full) is computed once; the result of a rule's `seller_match` is
cached by the lead's values. So the leads of a batch share results, and each still gets the result that it would get alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from crmgql.domain.routing import matching
from crmgql.domain.routing.hours import ALWAYS, Hours
from crmgql.models import names

ELIGIBLE = "ELIGIBLE"
INACTIVE = "INACTIVE"
NOT_SELLER = "NOT_SELLER"
NO_MATCH = "NO_MATCH"
DECLINED = "DECLINED"
OPTED_OUT = "OPTED_OUT"
ABSENT = "ABSENT"
OUTSIDE_HOURS = "OUTSIDE_HOURS"
AT_CAPACITY = "AT_CAPACITY"
DAILY_LIMIT = "DAILY_LIMIT"
PROFILE_WRONG = "PROFILE_WRONG"
"""The working hours can't be read: they were not written through the API."""

NO_ROOM = frozenset({AT_CAPACITY, DAILY_LIMIT})
AWAY = frozenset({OPTED_OUT, ABSENT, OUTSIDE_HOURS, PROFILE_WRONG})


@dataclass(frozen=True, slots=True)
class Seller:
    """What routing knows of a user. `values` are the fields that `seller_match` may name, case-folded."""

    id: UUID
    name: str
    active: bool = True
    sells: bool = True
    teams: frozenset[UUID] = frozenset()
    values: Mapping[str, Any] = field(default_factory=dict)
    weight: int = 1
    max_open: int | None = None
    max_per_day: int | None = None
    hours: Hours | None = ALWAYS
    opted_out: bool = False
    absences: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(slots=True)
class Load:
    """A seller's open leads, and the leads assigned today (in the zone of the seller's hours, else the company's)."""

    open: int = 0
    today: int = 0


def is_absent(seller: Seller, now: datetime) -> bool:
    return any(start <= now < end for start, end in seller.absences)


def standing(seller: Seller, now: datetime) -> str | None:
    """Why a seller gets no leads at all now, regardless of limits; None if they do."""
    if not seller.active:
        return INACTIVE
    if not seller.sells:
        return NOT_SELLER
    if seller.opted_out:
        return OPTED_OUT
    if is_absent(seller, now):
        return ABSENT
    if seller.hours is None:
        return PROFILE_WRONG
    return None if seller.hours.at_work(now) else OUTSIDE_HOURS


def room(seller: Seller, load: Load, *, respect_capacity: bool) -> str | None:
    """Which limit a seller has reached; None if none."""
    if respect_capacity and seller.max_open is not None and load.open >= seller.max_open:
        return AT_CAPACITY
    if respect_capacity and seller.max_per_day is not None and load.today >= seller.max_per_day:
        return DAILY_LIMIT
    return None


@dataclass(frozen=True, slots=True)
class Candidates:
    """The sellers considered for a lead: who may get it, why the others may not, and both as JSON text."""

    eligible: tuple[Seller, ...]
    excluded: Mapping[UUID, str]
    text: str

    def cause(self) -> str:
        """The reason code of a rule that found nobody: the most frequent obstacle."""
        counted = Counter(self.excluded.values())
        full, away = sum(counted[each] for each in NO_ROOM), sum(counted[each] for each in AWAY)
        if full + away == 0:
            return "NO_ELIGIBLE_SELLER"
        return "NO_CAPACITY" if full >= away else "NO_AVAILABILITY"


def of(reasons: Sequence[tuple[Seller, str | None]]) -> Candidates:
    listed = {names.api_id("User", seller.id): reason or ELIGIBLE for seller, reason in reasons}
    return Candidates(
        tuple(seller for seller, reason in reasons if reason is None),
        {seller.id: reason for seller, reason in reasons if reason is not None},
        orjson.dumps(listed).decode(),
    )


NOBODY = of(())


class Targeted:
    """The sellers that a rule targets, for a series of decisions at one moment."""

    def __init__(
        self, sellers: Sequence[Seller], match: matching.Match, now: datetime, *, respect_capacity: bool
    ) -> None:
        self.sellers = sorted(sellers, key=lambda seller: seller.id)
        self.match = match
        self.respect_capacity = respect_capacity
        self._standing = {seller.id: standing(seller, now) for seller in self.sellers}
        self._full: dict[UUID, str] = {}
        self._cache: dict[tuple[Any, ...], Candidates] = {}
        self.available: tuple[Seller, ...] = ()

    def count_limits(self, loads: Mapping[UUID, Load]) -> None:
        """Computes who has reached a limit."""
        self._full = {}
        for seller in self.sellers:
            reason = room(seller, loads[seller.id], respect_capacity=self.respect_capacity)
            if reason is not None:
                self._full[seller.id] = reason
        self._cache.clear()
        self.available = tuple(
            seller for seller in self.sellers if not self._standing[seller.id] and seller.id not in self._full
        )

    def candidates(self, values: Mapping[str, Any], declined: frozenset[UUID]) -> Candidates:
        key = matching.key(self.match, values)
        if declined:
            return self._candidates(key, declined)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._candidates(key, declined)
        return found

    def _candidates(self, key: tuple[Any, ...], declined: frozenset[UUID]) -> Candidates:
        return of([(seller, self._reason(seller, key, declined)) for seller in self.sellers])

    def _reason(self, seller: Seller, key: tuple[Any, ...], declined: frozenset[UUID]) -> str | None:
        standing = self._standing[seller.id]
        if standing in (INACTIVE, NOT_SELLER):
            return standing
        if not matching.fits(self.match, seller.values, key):
            return NO_MATCH
        if seller.id in declined:
            return DECLINED
        return standing or self._full.get(seller.id)
