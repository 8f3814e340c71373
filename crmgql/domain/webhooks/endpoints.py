"""Webhook endpoints: made, changed, paused, resumed, deleted, and what requests to them are signed with.

Always holds: an endpoint gets nothing before its URL has answered a challenge (`challenges`), a new URL is another receiver
and gets a new secret, and a secret is shown only when it is made. An API key neither sees more through an endpoint than by
itself, nor touches one that somebody else made.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.jobs import jobs
from crmgql.domain.jobs import kinds as job_kinds
from crmgql.domain.messages import notifications
from crmgql.domain.people import users
from crmgql.domain.streams import subscriptions
from crmgql.domain.webhooks.bounds import BOUNDS
from crmgql.domain.webhooks.keys import KEYS, new_salt
from crmgql.errors import BadUserInput, Forbidden
from crmgql.events import positions, triggers
from crmgql.models import EventSubscription, WebhookEndpoint
from crmgql.records import records
from crmgql.records.columns import takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "url description kinds fields order_by payload api_version ed25519"
API_VERSIONS = ("2026-11",)
"""Forms of what is sent, the newest last. A new one comes when a field is dropped or changes."""

OVERLAP_H, LONGEST_OVERLAP_H = 24, 168
"""How long the old secret goes on to be used beside a new one."""

LONGEST_REASON = 300
LIVE = frozenset({"PENDING", "ACTIVE", "PAUSED", "DISABLED"})
VERIFIED = LIVE - {"PENDING"}
MOVES = Moves(
    WebhookEndpoint,
    change=Move(LIVE),
    challenge=Move({"PENDING"}),
    ping=Move(VERIFIED),
    replay=Move(VERIFIED),
    verify=Move({"PENDING"}, "ACTIVE", "webhookEndpoint.verified", "verified_at"),
    pause=Move({"ACTIVE"}, "PAUSED", "webhookEndpoint.paused"),
    resume=Move({"PAUSED", "DISABLED"}, "ACTIVE", "webhookEndpoint.resumed"),
    disable=Move({"ACTIVE"}, "DISABLED", "webhookEndpoint.disabled"),
    delete=Move(LIVE, "DELETED", "webhookEndpoint.deleted"),
)
WELL = {"status_reason": None, "failures": 0, "failing_since": None, "retry_at": None}
NO_OLD_KEY = dict.fromkeys(("old_key_salt", "old_public_key", "old_key_until"))
GIVE_UP = """
UPDATE webhook_deliveries SET status = 'DEAD', next_attempt_at = NULL, finished_at = $2
WHERE endpoint_id = $1 AND status IN ('WAITING', 'RETRY')"""


@takes(WebhookEndpoint, FACTS)
async def create(
    act: Act, *, owner_id: UUID | None = None, subscription_id: UUID | None = None, **values: Any
) -> tuple[UUID, str]:
    """Makes an endpoint and has it challenged; returns its id and its secret. It gets all events from now on.

    Its owner, by default the viewer, is whose rules decide what it gets. Raises `AddressRefused`, `BadUserInput`, `Forbidden`,
    `NotFound`.
    """
    access.require_write(act.viewer, "WebhookEndpoint")
    values = {"api_version": API_VERSIONS[-1]} | {name: each for name, each in values.items() if each is not None}
    _check(values)
    if subscription_id is not None:
        await _check_subscription(act, subscription_id, values)
        values["subscription_id"] = subscription_id
    values |= {"owner_id": await _owner(act, owner_id), "api_key_id": act.viewer.api_key_id}
    values |= {**_new_key(), "challenged_at": act.now, "cursor": (await positions.head(act.tx.connection)).text()}
    endpoint = await records.create(act, WebhookEndpoint, values, kind="webhookEndpoint.created")
    return endpoint["id"], await _challenge(act, endpoint)


@takes(WebhookEndpoint, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> tuple[UUID, str | None]:
    """Changes what is named. With a new URL it is pending until that has answered a challenge; then returns the new secret."""
    endpoint, _ = await lock(act, "change", id, expected_version)
    _check({**endpoint, **changes}, changes)
    if endpoint["subscription_id"] is not None:
        _require_no_triggers(changes)
    moved = changes.get("url") not in (None, endpoint["url"])
    if moved:
        changes |= {
            **_new_key(),
            **NO_OLD_KEY,
            **WELL,
            "status": "PENDING",
            "verified_at": None,
            "challenged_at": act.now,
        }
    after = await records.change(act, WebhookEndpoint, endpoint, changes, kind="webhookEndpoint.updated")
    return id, await _challenge(act, after) if moved else None


async def challenge(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Challenges a pending endpoint again. Raises `IllegalTransition`."""
    endpoint, _ = await lock(act, "challenge", id, expected_version)
    changes = {"challenged_at": act.now, "status_reason": None}
    after = await records.change(act, WebhookEndpoint, endpoint, changes, kind="webhookEndpoint.challenged", touch=True)
    await _challenge(act, after)
    return id


async def pause(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Sends nothing until it is resumed; what happens meanwhile is sent then. Raises `IllegalTransition`."""
    endpoint, move = await lock(act, "pause", id, expected_version)
    await records.change(act, WebhookEndpoint, endpoint, move.changes(act.now), kind=move.event)
    return id


async def resume(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Goes on where a paused or disabled endpoint stopped. Raises `IllegalTransition`."""
    endpoint, move = await lock(act, "resume", id, expected_version)
    await records.change(act, WebhookEndpoint, endpoint, move.changes(act.now) | WELL, kind=move.event)
    return id


async def delete(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Sends nothing any more; the log can be read until it is purged. Raises `IllegalTransition`."""
    endpoint, move = await lock(act, "delete", id, expected_version)
    await records.change(act, WebhookEndpoint, endpoint, move.changes(act.now) | WELL, kind=move.event)
    await act.tx.connection.execute(GIVE_UP, id, act.now)
    return id


async def disable(act: Act, *, id: UUID, reason: str) -> None:
    """Stops an active endpoint, for the system: tells administrators and the owner. Nothing happens if it is not active now."""
    endpoint = await records.lock(act, WebhookEndpoint, id)
    if endpoint["status"] != "ACTIVE":
        return
    move = MOVES["disable"]
    changes = move.changes(act.now) | {"status_reason": reason[:LONGEST_REASON]}
    await records.change(act, WebhookEndpoint, endpoint, changes, kind=move.event)
    await notifications.notify(
        act,
        user_ids=[endpoint["owner_id"], *await users.administrators(act)],
        kind="webhookEndpoint.disabled",
        title=f"The webhook endpoint {endpoint['url']} was disabled",
        body=f"{reason} What happens meanwhile is sent when it is resumed.",
    )


async def rotate_secret(
    act: Act, *, id: UUID, expected_version: int | None = None, overlap_h: int | None = None
) -> tuple[UUID, str]:
    """Makes a new secret, returned only now. For `overlap_h` hours requests are also signed with the old one."""
    endpoint, _ = await lock(act, "change", id, expected_version)
    overlap_h = OVERLAP_H if overlap_h is None else overlap_h
    if not 0 <= overlap_h <= LONGEST_OVERLAP_H:
        raise BadUserInput(f"An overlap is 0 to {LONGEST_OVERLAP_H} hours.", field="overlapH")
    old = {
        "old_key_salt": endpoint["key_salt"],
        "old_public_key": endpoint["public_key"],
        "old_key_until": act.now + timedelta(hours=overlap_h),
    }
    changes = _new_key() | (old if overlap_h else NO_OLD_KEY)
    after = await records.change(act, WebhookEndpoint, endpoint, changes, kind="webhookEndpoint.secretRotated")
    return id, KEYS.pair(after["key_salt"]).secret


def _new_key() -> Row:
    """Columns of a new pair of keys. Raises `Unavailable`."""
    salt = new_salt()
    return {"key_salt": salt, "public_key": KEYS.pair(salt).public_key}


async def _challenge(act: Act, endpoint: Row) -> str:
    """Enqueues a challenge; returns the secret with which it will be signed."""
    arguments = job_kinds.ChallengeOf(endpoint_id=endpoint["id"], public_key=endpoint["public_key"])
    await jobs.enqueue(act, job_kinds.WEBHOOK_CHALLENGE, arguments, unique_key=endpoint["public_key"])
    return KEYS.pair(endpoint["key_salt"]).secret


async def lock(act: Act, verb: str, id: UUID, expected_version: int | None) -> tuple[Row, Move]:
    """The endpoint, locked for a verb. Raises `Forbidden`, and as `Moves.lock` does."""
    endpoint, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    if act.viewer.api_key_id is not None and endpoint["api_key_id"] != act.viewer.api_key_id:
        raise Forbidden("An API key changes only endpoints that it made: log in to change others.", field="id")
    return endpoint, move


async def _check_subscription(act: Act, id: UUID, values: Row) -> None:
    """Raises `NotFound`, `Forbidden`, `IllegalTransition`, and `BadUserInput` for kinds or fields beside a subscription's own."""
    row = await records.visible(act, EventSubscription, id, field="subscriptionId")
    subscriptions.require_own(act.viewer, row)
    subscriptions.require_active(row)
    _require_no_triggers(values)


def _require_no_triggers(values: Row) -> None:
    for name in ("kinds", "fields"):
        if values.get(name):
            raise BadUserInput("The subscription says which events: change it instead.", field=name)


async def _owner(act: Act, owner_id: UUID | None) -> UUID:
    """Whose rules apply: the viewer's own, or those of somebody whom only a person who sees all endpoints may name."""
    if owner_id is None or owner_id == act.viewer.user_id:
        return await users.oneself(act)
    users.require_person(act, ["owner_id"])
    owner = await users.assignable(act, owner_id, field="ownerId", permission="webhook.write")
    assert owner is not None
    return owner


def _check(values: Row, given: Row | None = None) -> None:
    """Raises `BadUserInput` and `AddressRefused` for a value that no endpoint can have; `given` are those that are new."""
    given = values if given is None else given
    if given.get("url") is not None:
        BOUNDS.target(given["url"])
    if given.get("api_version") not in (None, *API_VERSIONS):
        raise BadUserInput(f"There is no such version; there is {', '.join(API_VERSIONS)}.", field="apiVersion")
    if {"kinds", "fields"} & given.keys():
        triggers.check(values.get("kinds") or [], values.get("fields") or [])
