"""Mutations of notifications."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.messages import notifications
from crmgql.engine.mutations import Done, Given, input, mutation
from crmgql.records.records import Act
from crmgql.schema.shared_inputs import UNSET
from crmgql.viewer import NOBODY


@input
class NotificationReadInput:
    id: strawberry.ID


@input
class NotificationReadAllInput:
    """With an id, everything up to that notification: name the newest you show, and what came meanwhile stays unread."""

    id: strawberry.ID | None = UNSET


@mutation("Notification", NotificationReadInput)
async def notification_read(act: Act, given: Given) -> UUID:
    """Marks one of your notifications as read."""
    return await notifications.mark_read(act, **given)


@mutation("Notification", NotificationReadAllInput, extras={"count": int})
async def notification_read_all(act: Act, given: Given) -> Done:
    """Marks your notifications as read; answers the newest of them and how many were unread."""
    newest, count = await notifications.mark_all_read(act, **given)
    return Done(newest or NOBODY, {"count": count})
