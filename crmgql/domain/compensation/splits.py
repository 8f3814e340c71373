"""Who is credited of an order, where it is not all its sellers'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, SplitNotWhole
from crmgql.models import CommissionSplit, CompRole, Order, User
from crmgql.records import records
from crmgql.records.records import Act

MOST = 50
DECIMALS = 6
"""Of a share in per cent."""

KEPT = (
    "SELECT user_id, role, share FROM commission_splits WHERE customer_id = $1 AND order_id = $2 ORDER BY user_id, role"
)
DROP = "DELETE FROM commission_splits WHERE customer_id = $1 AND order_id = $2"


@dataclass(frozen=True, slots=True)
class Part:
    """A person's share, in per cent: of an owner, unless the role says of somebody who helped."""

    user_id: UUID
    share: Decimal
    role: str | None = None

    @property
    def as_role(self) -> CompRole:
        return CompRole.OWNER if self.role is None else CompRole(self.role)


async def set_parts(act: Act, *, id: UUID, parts: Sequence[Part], expected_version: int | None = None) -> UUID:
    """Credits an order to these people from now on: what was credited before is taken back, and credited to them, today.

    The owners' shares sum to 100; those of people who helped may be anything above 0. Without parts the sellers of the order and of
    its lines are credited. Raises `SplitNotWhole`, `NotFound`, `BadUserInput`.
    """
    access.require_write(act.viewer, "CommissionSplit")
    order = await records.lock(act, Order, id, expected_version=expected_version)
    _check(parts)
    people = await records.visible_many(act, User, [each.user_id for each in parts])
    for n, each in enumerate(parts):
        if each.user_id not in people:
            raise records.not_found(User, field=f"{_at(n)}userId")
    key = order["customer_id"], id
    wanted = sorted((each.user_id, each.as_role.value, each.share / 100) for each in parts)
    if [tuple(row) for row in await act.tx.connection.fetch(KEPT, *key)] == wanted:
        return id
    await act.tx.connection.execute(DROP, *key)
    payload = {"people": len({each.user_id for each in parts})}
    await records.change(act, Order, order, {}, kind="order.split", payload=payload, touch=True)
    own = {"customer_id": order["customer_id"], "order_id": id}
    rows = [own | {"user_id": user, "role": role, "share": share} for user, role, share in wanted]
    await records.insert_many(act, CommissionSplit, rows, each=_at)
    return id


def _check(parts: Sequence[Part]) -> None:
    if len(parts) > MOST:
        raise BadUserInput(f"An order is split among at most {MOST} people, not {len(parts)}.", field="parts")
    for n, each in enumerate(parts):
        exponent = each.share.as_tuple().exponent if each.share.is_finite() else "F"
        if not isinstance(exponent, int) or not 0 < each.share <= 100 or exponent < -DECIMALS:
            raise BadUserInput(
                f"A share is above 0, at most 100, and has at most {DECIMALS} decimals.", field=f"{_at(n)}share"
            )
        if each.as_role is CompRole.MANAGER:
            raise BadUserInput(
                "Managers are credited by themselves, as leaders of the owners' teams.", field=f"{_at(n)}role"
            )
    if len({(each.user_id, each.as_role) for each in parts}) < len(parts):
        raise BadUserInput("Somebody is named twice in the same role.", field="parts")
    owned = [each.share for each in parts if each.as_role is CompRole.OWNER]
    if parts and sum(owned) != 100:
        raise SplitNotWhole(f"The owners' shares sum to {sum(owned, Decimal(0))} per cent, not to 100.", field="parts")


def _at(number: int) -> str:
    return f"parts.{number}."
