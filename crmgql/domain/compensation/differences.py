"""What has to be posted so that what is posted is what is due. Pure.

Always holds: what is posted and the changes are together what is due, for each event, order, rule and role; posted, they leave no changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from crmgql.domain.compensation.dues import Due
from crmgql.models import CompRole


class Posting(StrEnum):
    """The first for an event and a rule, from above 0 or below; all later ones."""

    EARN = "EARN"
    CLAWBACK = "CLAWBACK"
    ADJUST = "ADJUST"


@dataclass(frozen=True, slots=True)
class Posted:
    """A commission as it was posted, on the day of its event."""

    event_id: UUID
    order_id: UUID
    version_id: UUID
    rule_id: UUID
    role: CompRole
    day: date
    currency: str
    base: Decimal
    amount: Decimal
    whole_amount: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be posted: amounts to add to what is posted. `due` is what they come to then, None if nothing is due any more."""

    kind: Posting
    event_id: UUID
    order_id: UUID
    version_id: UUID
    rule_id: UUID
    role: CompRole
    day: date
    currency: str
    base: Decimal
    amount: Decimal
    whole_amount: Decimal
    due: Due | None

    @property
    def posted(self) -> Posted:
        """It as it is when it is posted."""
        return Posted(
            self.event_id,
            self.order_id,
            self.version_id,
            self.rule_id,
            self.role,
            self.day,
            self.currency,
            self.base,
            self.amount,
            self.whole_amount,
        )


def differences(dues: Iterable[Due], posted: Iterable[Posted]) -> list[Change]:
    """What to post, in the order of days and events. `posted`: all that was posted for events of the window. Where the amounts are
    equal there is nothing to post."""
    before: dict[tuple[UUID, UUID, UUID, CompRole], list[Posted]] = defaultdict(list)
    for each in posted:
        before[each.event_id, each.order_id, each.rule_id, each.role].append(each)
    due = {each.key: each for each in dues}
    keys = sorted(due.keys() | before.keys(), key=str)
    found = [change for key in keys for change in _changes(due.get(key), before.get(key, []))]
    return sorted(found, key=lambda change: (change.day, change.event_id))


def _changes(due: Due | None, posted: list[Posted]) -> Iterator[Change]:
    like: Due | Posted = due or posted[0]
    is_due = (due.base, due.amount, due.whole_amount) if due else (Decimal(0),) * 3
    before = [sum((getattr(each, name) for each in posted), Decimal(0)) for name in ("base", "amount", "whole_amount")]
    base, amount, whole = (now - then for now, then in zip(is_due, before, strict=True))
    if amount:
        first = Posting.EARN if amount > 0 else Posting.CLAWBACK
        yield Change(
            Posting.ADJUST if posted else first,
            like.event_id,
            like.order_id,
            like.version_id,
            like.rule_id,
            like.role,
            like.day,
            like.currency,
            base,
            amount,
            whole,
            due,
        )
