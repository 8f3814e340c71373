"""Sellers' profiles and absences, and the queues in which leads wait."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.people import users
from crmgql.domain.routing import hours
from crmgql.errors import BadUserInput, IllegalTransition, VersionConflict
from crmgql.models import Absence, LeadQueue, SellerProfile, User
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act

FACTS = "attributes max_open max_per_day weight hours opted_out"
QUEUE_FACTS = "name owner_id deadline_min"
CONFLICTS = {
    "seller_profiles_user": ("userId", "The profile was made by somebody else just now; read it again."),
    "seller_profiles_open": ("maxOpen", "Can't be negative."),
    "seller_profiles_day": ("maxPerDay", "Can't be negative."),
    "seller_profiles_weight": ("weight", "Must be 1 to 1000."),
    "absences_period": ("endsAt", "Must be after startsAt."),
    "lead_queues_name": ("name", "There is a queue of this name; choose another."),
    "lead_queues_deadline": ("deadlineMin", "Must be more than 0."),
}

PROFILE_OF = "SELECT id FROM seller_profiles WHERE user_id = $1"


@takes(SellerProfile, FACTS)
async def set_profile(act: Act, *, user_id: UUID, expected_version: int | None = None, **values: Any) -> UUID:
    """Makes a user's profile or changes what is named. Raises `Forbidden` for a user of another team."""
    access.require_write(act.viewer, "SellerProfile")
    await records.visible(act, User, user_id, field="userId")
    await users.require_reach(act, "sellerProfile.write", user_id, field="userId")
    if values.get("hours") is not None:
        hours.parse(values["hours"])
    id: UUID | None = await act.tx.connection.fetchval(PROFILE_OF, user_id)
    if id is None:
        if expected_version is not None:
            raise VersionConflict("This user has no profile yet.", field="expectedVersion")
        values["user_id"] = user_id
        made = await records.create(act, SellerProfile, values, kind="sellerProfile.created", conflicts=CONFLICTS)
        return made["id"]  # type: ignore[no-any-return]
    profile = await records.lock(act, SellerProfile, id, expected_version=expected_version)
    await records.change(act, SellerProfile, profile, values, kind="sellerProfile.updated", conflicts=CONFLICTS)
    return id


async def add_absence(
    act: Act, *, starts_at: datetime, ends_at: datetime, user_id: UUID | None = None, reason: str | None = None
) -> UUID:
    """Makes an absence, the viewer's own unless a user is named: a time without new leads."""
    access.require_write(act.viewer, "Absence")
    if user_id is not None:
        await records.visible(act, User, user_id, field="userId")
        await users.require_reach(act, "absence.write", user_id, field="userId")
    if ends_at <= starts_at:
        raise BadUserInput("Must be after startsAt.", field="endsAt")
    values = {"user_id": user_id or act.viewer.user_id, "starts_at": starts_at, "ends_at": ends_at, "reason": reason}
    absence = await records.create(act, Absence, values, kind="absence.created", conflicts=CONFLICTS)
    return absence["id"]  # type: ignore[no-any-return]


async def cancel_absence(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Cancels an absence; one that has begun ends now."""
    access.require_write(act.viewer, "Absence")
    absence = await records.lock(act, Absence, id, expected_version=expected_version)
    if absence["cancelled_at"] is not None:
        raise IllegalTransition("This absence is cancelled already.", field="id")
    await records.change(act, Absence, absence, {"cancelled_at": act.now}, kind="absence.cancelled")
    return id


@takes(LeadQueue, QUEUE_FACTS, ORIGIN)
async def create_queue(act: Act, **values: Any) -> UUID:
    """Makes a queue. After the deadline, a lead that no seller can get goes to the queue's owner."""
    access.require_write(act.viewer, "LeadQueue")
    if values.get("owner_id") is not None:
        await users.assignable(act, values["owner_id"], field="ownerId", permission="leadQueue.assign")
    queue = await records.create(act, LeadQueue, values, kind="leadQueue.created", conflicts=CONFLICTS)
    return queue["id"]  # type: ignore[no-any-return]


@takes(LeadQueue, QUEUE_FACTS)
async def update_queue(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; waiting leads keep their deadline."""
    access.require_write(act.viewer, "LeadQueue")
    queue = await records.lock(act, LeadQueue, id, expected_version=expected_version)
    if changes.get("owner_id") not in (None, queue["owner_id"]):
        await users.assignable(act, changes["owner_id"], field="ownerId", permission="leadQueue.assign")
    await records.change(act, LeadQueue, queue, changes, kind="leadQueue.updated", conflicts=CONFLICTS)
    return id
