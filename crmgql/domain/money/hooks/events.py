"""What people do with what providers said: say whose it is, have it followed again; and what waits is tried, and told of.

Always holds: what a provider said is never changed, and what is booked is booked once, whatever is done again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from crmgql import access
from crmgql.db import Transaction
from crmgql.domain.customers import customers
from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.money.hooks import arrivals, following
from crmgql.domain.people import users
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.events import outbox
from crmgql.models import Order, ProviderEvent
from crmgql.records import purges, records
from crmgql.records.records import Act, Row

LATE = timedelta(days=1)
AT_ONCE = 500
# Parameters: now, how many. What is to be tried, and what lost its job.
DUE = """
(SELECT id FROM provider_events WHERE status = 'WAITING' AND retry_at <= $1 ORDER BY retry_at, id LIMIT $2)
UNION ALL
(SELECT id FROM provider_events e WHERE status = 'RECEIVED' AND created_at < $1 - interval '10 minutes'
    AND NOT EXISTS (SELECT FROM jobs WHERE kind = 'providerEvent.follow' AND unique_key = replace(e.id::text, '-', '')
        AND status IN ('PENDING', 'RUNNING', 'WAITING'))
    ORDER BY id LIMIT $2)"""
# Parameters: now, the time before which it came, how many.
TELL = """
UPDATE provider_events SET told_at = $1 WHERE id IN (
    SELECT id FROM provider_events WHERE status = 'WAITING' AND told_at IS NULL AND created_at < $2 ORDER BY id LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, provider, raw_kind, reason, amount, currency"""
ASSIGN = "UPDATE provider_events SET customer_id = $2, order_id = $3 WHERE id = $1"
AGAIN = """
UPDATE provider_events SET status = 'RECEIVED', reason = NULL, retry_at = NULL, settled_at = NULL WHERE id = $1"""
PURGE = purges.sql("provider_posts", "created_at < $1", order="created_at")


async def assign(act: Act, *, id: UUID, order_id: UUID | None = None, customer_id: UUID | None = None) -> UUID:
    """Says whose a payment is of which nobody knew, and books it now. Raises `BadUserInput`, `IllegalTransition`, `NotFound`."""
    access.require_write(act.viewer, "ProviderEvent")
    event = await records.lock(act, ProviderEvent, id)
    if event["status"] != "WAITING" or event["payment_id"] is not None:
        raise IllegalTransition("Only what waits for somebody to say whose it is can be assigned.", field="id")
    if order_id is not None:
        order = await records.visible(act, Order, order_id, field="orderId", steady=True)
        if customer_id is not None:
            records.require_same_customer(order, customer_id, field="orderId")
        customer_id = order["customer_id"]
    elif customer_id is not None:
        await customers.living(act, customer_id, field="customerId")
    else:
        raise BadUserInput("Name the order, or the customer.", field="orderId")
    await act.tx.connection.execute(ASSIGN, id, customer_id, order_id)
    changes: outbox.Changes = {
        "customer_id": (event["customer_id"], customer_id),
        "order_id": (event["order_id"], order_id),
    }
    await _record(act, "providerEvent.assigned", event, changes)
    await following.follow(act, id)
    return id


async def replay(act: Act, *, id: UUID) -> UUID:
    """Has an event followed again, as if it had just come; nothing is booked twice."""
    access.require_write(act.viewer, "ProviderEvent")
    event = await records.lock(act, ProviderEvent, id)
    await act.tx.connection.execute(AGAIN, id)
    await arrivals.follow_later(act, [id])
    await _record(act, "providerEvent.replayed", event, {"status": (event["status"], "RECEIVED")})
    return id


async def retry(act: Act) -> int:
    """Has what waits followed again, and what lost its job; how many."""
    rows = await act.tx.connection.fetch(DUE, act.now, AT_ONCE)
    await arrivals.follow_later(act, [row["id"] for row in rows])
    return len(rows)


async def tell(act: Act) -> int:
    """Tells who may assign them of events that have waited for a day, each once; how many."""
    rows = await act.tx.connection.fetch(TELL, act.now, act.now - LATE, AT_ONCE)
    people = await users.holding(act, "providerEvent.write") if rows else []
    await notifications.notify_many(act, [_notice(person, row) for row in rows for person in people])
    events = [outbox.Entry("providerEvent.waited", ("ProviderEvent", row["id"])) for row in rows]
    await outbox.record_many(act.tx, act.viewer, events)
    return len(rows)


def _notice(person: UUID, row: Row) -> Notice:
    money = "" if row["amount"] is None else f" of {row['amount']} {row['currency']}"
    title = f"What {row['provider'].title()} says ({row['raw_kind']}{money}) is not booked since yesterday"
    return Notice(person, "providerEvent.waited", title, row["reason"], f"providerEvent {row['id']}")


async def purge_posts(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Deletes up to `limit` posts of before a time; what they say stays as events. Returns how many."""
    return await tx.connection.fetchval(PURGE, before, limit)  # type: ignore[no-any-return]


async def _record(act: Act, kind: str, event: Row, changes: outbox.Changes) -> None:
    await outbox.record_event(
        act.tx, act.viewer, kind=kind, subject=("ProviderEvent", event["id"]), customer_id=None, changes=changes
    )
