"""Mutations of notifications."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql.domain.messages import notifications
from crmgql.engine import mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.records.records import Act
from crmgql.viewer import NOBODY


@input
class NotificationReadInput:
    id: strawberry.ID


@input
class NotificationReadAllInput:
    """With an id, all up to that notification: name the newest that you show, so that later ones stay unread."""

    id: strawberry.ID | None = UNSET


mutations.table(
    "Notification",
    Row(
        "notificationRead",
        "Marks one of your notifications as read.",
        notifications.mark_read,
        input=NotificationReadInput,
    ),
)


@mutation("Notification", NotificationReadAllInput, extras={"count": int})
async def notification_read_all(act: Act, *, id: UUID | None = None) -> Done:
    """Marks your notifications as read; returns the newest of them and how many were unread."""
    newest, count = await notifications.mark_all_read(act, id=id)
    return Done(newest or NOBODY, {"count": count})
