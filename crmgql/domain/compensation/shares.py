"""Who is credited of an order, and with which part of it. Pure.

The sellers of the lines, or whom the order's splits name; who helped; and who leads the teams of the owners. Parts of owners are
cut from the whole in the order of their ids, so that they sum to it to the cent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from crmgql.models import CompRole

NOBODY, ALL = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class Split:
    user_id: UUID
    role: CompRole
    share: Decimal


@dataclass(frozen=True, slots=True)
class Share:
    """`line_id`: the line of which it is a part; None: of each."""

    user_id: UUID
    role: CompRole
    line_id: UUID | None
    share_from: Decimal
    share_to: Decimal
    team_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Teams:
    """`of`: a person's team; `managers`: by team who leads it; `parents`: the team above."""

    of: Mapping[UUID, UUID]
    managers: Mapping[UUID, UUID]
    parents: Mapping[UUID, UUID]

    def above(self, user_id: UUID) -> Iterator[UUID]:
        """Who leads the person's team and those above it, each once; never the person."""
        seen, team, teams = {user_id}, self.of.get(user_id), set()
        while team is not None and team not in teams:
            teams.add(team)
            manager = self.managers.get(team)
            if manager is not None and manager not in seen:
                seen.add(manager)
                yield manager
            team = self.parents.get(team)


def sold(seller_id: UUID | None, lines: Mapping[UUID, UUID | None], splits: Sequence[Split]) -> list[Share]:
    """What the deal itself says: its owners and who helped. A line without a seller of its own is the order's."""
    owners = sorted((each for each in splits if each.role is CompRole.OWNER), key=lambda each: each.user_id)
    shares, upto = [], NOBODY
    for each in owners:
        shares.append(Share(each.user_id, CompRole.OWNER, None, upto, upto + each.share))
        upto += each.share
    if not owners:
        sellers = {id: own or seller_id for id, own in lines.items()}
        whole = set(sellers.values()) or {seller_id}
        if len(whole) == 1:
            shares += [Share(user, CompRole.OWNER, None, NOBODY, ALL) for user in whole if user is not None]
        else:
            shares += [Share(user, CompRole.OWNER, id, NOBODY, ALL) for id, user in sellers.items() if user is not None]
    helped = sorted((each for each in splits if each.role is CompRole.OVERLAY), key=lambda each: each.user_id)
    return shares + [Share(each.user_id, CompRole.OVERLAY, None, NOBODY, each.share) for each in helped]


def with_managers(sold: Sequence[Share], teams: Teams) -> list[Share]:
    """With the managers above the owners, each with the sum of the owners' parts below, and everybody's team."""
    led: dict[tuple[UUID, UUID | None], Decimal] = defaultdict(Decimal)
    for each in sold:
        if each.role is CompRole.OWNER:
            for manager in teams.above(each.user_id):
                led[manager, each.line_id] += each.share_to - each.share_from
    named = [
        Share(each.user_id, each.role, each.line_id, each.share_from, each.share_to, teams.of.get(each.user_id))
        for each in sold
    ]
    return named + [
        Share(user, CompRole.MANAGER, line, NOBODY, part, teams.of.get(user)) for (user, line), part in led.items()
    ]


def same(one: Sequence[Share], other: Sequence[Share]) -> bool:
    """Whether the same deal is credited alike, whoever leads the teams meanwhile."""

    def deal(shares: Sequence[Share]) -> set[tuple[UUID, CompRole, UUID | None, Decimal, Decimal]]:
        return {
            (each.user_id, each.role, each.line_id, each.share_from, each.share_to)
            for each in shares
            if each.role is not CompRole.MANAGER
        }

    return deal(one) == deal(other)
