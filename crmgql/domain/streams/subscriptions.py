"""Named subscriptions: made, changed, deleted.

Enters: a document (what is delivered of an event), triggers (which events count), a filter. Leaves: a subscription that every
transport serves. Always holds: its document was valid for its owner when it was written.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from crmgql import access
from crmgql.access import Reach
from crmgql.domain.streams import payloads, registry
from crmgql.domain.streams.payloads import Registered
from crmgql.errors import BadUserInput, Forbidden, IllegalTransition, NotFound
from crmgql.events import cursors, positions, triggers
from crmgql.models import EventSubscription
from crmgql.models.streams import DocumentPurpose, ReadAs
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row
from crmgql.viewer import Viewer

FACTS = "name kinds fields filter read_as active"
CONFLICTS = {"event_subscriptions_name": ("name", "There is a subscription of this name already; choose another.")}
LONGEST_FILTER = 8192
"""Bytes of JSON: it is read anew with each pull."""

OWNER = "SELECT roles FROM users WHERE id = $1 AND active FOR SHARE"
END_LEASE = "lease_by = NULL, lease_token = NULL, lease_until = NULL, pulled = NULL"


@takes(EventSubscription, FACTS, ORIGIN)
async def create(
    act: Act,
    registered: Registered,
    *,
    document: str,
    owner_id: UUID | None = None,
    after: str | None = None,
    **values: Any,
) -> UUID:
    """A subscription that begins after a cursor, or now. Raises `BadUserInput`, `Conflict`, `Forbidden`, `NotFound`, and what is
    wrong with the cursor.

    It reads with the rights of its owner, who is the viewer unless another one is named, within the scopes of an API key.
    """
    access.require_write(act.viewer, "EventSubscription")
    checks.check(EventSubscription, {name: value for name, value in values.items() if value is not None})
    triggers.check(values.get("kinds") or (), values.get("fields") or ())
    scopes = act.viewer.who.scopes
    owner = await _owner(act, owner_id, scopes)
    read_as = ReadAs(values.get("read_as") or ReadAs.DELIVERY)
    await _check_document(registered, document, values.get("filter"), read_as, owner)
    values |= {
        "owner_id": owner.user_id,
        "scopes": None if scopes is None else sorted(scopes),
        "document_hash": await registry.register(act, document, DocumentPurpose.PAYLOAD),
        "cursor": await _start(act, after),
    }
    row = await records.create(act, EventSubscription, values, kind="eventSubscription.created", conflicts=CONFLICTS)
    return row["id"]  # type: ignore[no-any-return]


@takes(EventSubscription, FACTS)
async def update(
    act: Act,
    registered: Registered,
    *,
    id: UUID,
    document: str | None = None,
    expected_version: int | None = None,
    **changes: Any,
) -> UUID:
    """Changes the given values; the cursor stays where it is. What an API key changes is from then on within its scopes, too."""
    access.require_write(act.viewer, "EventSubscription")
    row = await lock(act, id, expected_version=expected_version)
    checks.check(EventSubscription, changes)
    after = {**row, **changes}
    triggers.check(after["kinds"], after["fields"])
    scopes = payloads.scopes_of(row)
    narrowed = access.narrowed(scopes, act.viewer.who.scopes)
    if narrowed is not None and narrowed != access.narrowed(scopes):
        changes["scopes"] = sorted(narrowed)
    if document is not None or "filter" in changes or "read_as" in changes:
        text = document if document is not None else await registry.text_of(act, row["document_hash"])
        owner = await _reader(act, row["owner_id"], narrowed)
        await _check_document(registered, str(text), after["filter"], ReadAs(after["read_as"]), owner)
        changes["document_hash"] = await registry.register(act, str(text), DocumentPurpose.PAYLOAD)
    await records.change(act, EventSubscription, row, changes, kind="eventSubscription.updated", conflicts=CONFLICTS)
    return id


async def delete(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Ends it for good, and the lease of whoever pulls from it. It can still be read."""
    access.require_write(act.viewer, "EventSubscription")
    row = await lock(act, id, expected_version=expected_version)
    changes = {"deleted_at": act.now, "active": False}
    await records.change(act, EventSubscription, row, changes, kind="eventSubscription.deleted")
    await end_lease(act, id)
    return id


async def end_lease(act: Act, id: UUID) -> None:
    await act.tx.connection.execute(f"UPDATE event_subscriptions SET {END_LEASE} WHERE id = $1", id)


async def lock(act: Act, id: UUID, *, expected_version: int | None = None) -> Row:
    """A subscription that the viewer may change and follow, locked. Raises `NotFound`, `Forbidden`, `IllegalTransition`."""
    row = await records.lock(act, EventSubscription, id, expected_version=expected_version)
    require_own(act.viewer, row)
    if row["deleted_at"] is not None:
        raise IllegalTransition("The subscription was deleted; make a new one.", field="id")
    return row


def require_own(viewer: Viewer, row: Row) -> None:
    """Raises `Forbidden` unless it is the viewer's own, or they may change and follow everybody's."""
    if row["owner_id"] != viewer.user_id and not _may_write_all(viewer):
        raise Forbidden("This subscription is somebody else's; its owner may change and follow it.", field="id")


def require_active(row: Row) -> None:
    """Raises `IllegalTransition` for one that was deleted or switched off."""
    if not row["active"]:
        raise IllegalTransition("The subscription is switched off; set it active first, or make a new one.", field="id")


def triggers_of(row: Row) -> triggers.Triggers:
    """Which events a subscription counts, apart from its filter."""
    return triggers.of(row["kinds"], row["fields"])


async def _owner(act: Act, owner_id: UUID | None, scopes: frozenset[str] | None) -> Viewer:
    """Whose rights a subscription reads with. Raises `Forbidden`, `NotFound`."""
    id = act.viewer.actor_id if owner_id is None else owner_id
    if id is None:
        raise BadUserInput("The system has no rights of its own to read with: name an owner.", field="ownerId")
    if id != act.viewer.user_id and not _may_write_all(act.viewer):
        raise Forbidden("A subscription reads with its owner's rights: you can make one for yourself.", field="ownerId")
    return await _reader(act, id, scopes)


async def _reader(act: Act, owner_id: UUID, scopes: frozenset[str] | None) -> Viewer:
    roles = await act.tx.connection.fetchval(OWNER, owner_id)
    if roles is None:
        raise NotFound("The owner of a subscription is an active user; this is none.", field="ownerId")
    return payloads.reader(act, owner_id, roles, scopes)


def _may_write_all(viewer: Viewer) -> bool:
    return access.reach(viewer.who, "subscription.write") is Reach.ALL


async def _check_document(
    registered: Registered, text: str, where: dict[str, Any] | None, read_as: ReadAs, owner: Viewer
) -> None:
    checks.check_text(text, "document", longest=registry.LONGEST, required=True)
    if where is not None and len(orjson.dumps(where)) > LONGEST_FILTER:
        raise BadUserInput(f"The filter is too large; {LONGEST_FILTER} bytes fit.", field="filter")
    await registered.check(text, where, read_as, owner)


async def _start(act: Act, after: str | None) -> str:
    if after is None:
        return (await positions.head(act.tx.connection)).text()
    cursor = cursors.parse(after)
    await positions.check(act.tx.connection, cursor)
    return cursor.text()
