"""Mutations of webhook endpoints."""

from __future__ import annotations

from typing import Any

import strawberry

from crmgql.domain.webhooks import endpoints, pings, replays
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.engine.scalars import Cursor
from crmgql.records.records import Act

SECRET = {"secret": str}


@input
class WebhookSecretRotateInput:
    """`overlapH`: so many hours requests are signed with the old secret too; 24 by default, 0 to 168."""

    id: strawberry.ID
    overlap_h: int | None = UNSET
    expected_version: int | None = UNSET


@mutation(
    "WebhookEndpoint",
    inputs.create(
        endpoints.FACTS,
        "owner_id",
        optional="owner_id api_version",
        origin=False,
        doc="Without kinds it gets all events that its owner may see, by default you; only administrators name others.",
    ),
    extras=SECRET,
    calls=endpoints.create,
)
async def webhook_endpoint_create(act: Act, **values: Any) -> Done:
    """Makes a webhook endpoint and challenges it. `secret` is shown only once: it is null if the request is repeated with the
    same idempotencyKey."""
    id, secret = await endpoints.create(act, **values)
    return Done(id, {"secret": secret})


@mutation("WebhookEndpoint", inputs.update(endpoints.FACTS), extras=SECRET, calls=endpoints.update)
async def webhook_endpoint_update(act: Act, **values: Any) -> Done:
    """Changes what the input names. A new URL is challenged and gets a new `secret`, shown only once."""
    id, secret = await endpoints.update(act, **values)
    return Done(id, {"secret": secret})


@mutation("WebhookEndpoint", WebhookSecretRotateInput, extras=SECRET, calls=endpoints.rotate_secret)
async def webhook_endpoint_rotate_secret(act: Act, **values: Any) -> Done:
    """Makes a new `secret`, shown only once; requests are signed with both for a while."""
    id, secret = await endpoints.rotate_secret(act, **values)
    return Done(id, {"secret": secret})


@input
class WebhookReplayInput:
    """One of `events` (up to 100), `after` (up to `until`, or to where the endpoint is; at most 10,000 positions), and `dead`."""

    id: strawberry.ID
    events: list[strawberry.ID] | None = UNSET
    after: Cursor | None = UNSET
    until: Cursor | None = UNSET
    dead: bool | None = UNSET
    expected_version: int | None = UNSET


@mutation("WebhookEndpoint", WebhookReplayInput, extras={"count": int}, calls=replays.replay)
async def webhook_replay(act: Act, **values: Any) -> Done:
    """Sends events again, under the same ids: some, those of a range, or all dead letters (up to 10,000). `count`: how many."""
    id, count = await replays.replay(act, **values)
    return Done(id, {"count": count})


mutations.table(
    "WebhookEndpoint",
    Row("webhookPing", "Has a ping sent; its `attempts` say what came of it.", pings.ping),
    Row("webhookEndpointChallenge", "Challenges a pending endpoint again.", endpoints.challenge),
    Row("webhookEndpointPause", "Sends nothing until it is resumed.", endpoints.pause),
    Row("webhookEndpointResume", "Goes on where a paused or disabled endpoint stopped.", endpoints.resume),
    Row("webhookEndpointDelete", "Deletes an endpoint; its log can be read until it is purged.", endpoints.delete),
)
