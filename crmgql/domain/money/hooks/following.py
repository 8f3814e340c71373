"""What becomes of what providers say: all events of a payment are folded and acted on together, as often as one of them comes.

Enters: the id of an event. Leaves: payments and entries, and the status of each event of its family. Always holds: the same
events come to the same, in whatever order, and each acts once; what can't be booked now waits, with its reason, and is lost never.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql.domain.money import providers
from crmgql.domain.money.hooks import accounts, arrivals, arrived, families, fees
from crmgql.domain.money.hooks.bookings import Outcome, Outcomes, Payments, noted, waits
from crmgql.domain.money.hooks.chargebacks import Chargebacks
from crmgql.domain.money.hooks.families import Family
from crmgql.domain.money.hooks.returns import Returns
from crmgql.domain.money.providers import order
from crmgql.domain.money.providers.facts import Kind
from crmgql.domain.money.providers.order import TOTAL, State, Subject
from crmgql.domain.money.providers.refusals import BodyInvalid, ContentSealed
from crmgql.errors import Conflict, CrmError, IdempotencyConflict, TimedOut, Unavailable
from crmgql.events.canonical import as_json
from crmgql.models import ProviderEventStatus
from crmgql.records import records
from crmgql.records.records import Act, Row

LONGEST_REASON = 500
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
PATIENCE = 10
"""One that has waited for so long is tried again after a tenth of it."""

PASSING = (Conflict, Unavailable, TimedOut)
"""What may be gone when it is tried again at once."""

POST = """
SELECT p.body, a.* FROM provider_posts p JOIN payment_accounts a ON a.id = p.account_id WHERE p.id = $1"""
# An event that is booked keeps what it was booked as. Parameters: the events, now.
SETTLE = """
UPDATE provider_events e SET status = s.status, reason = s.reason, retry_at = s.retry_at,
    settled_at = CASE WHEN s.status IN ('DONE', 'OUTDATED', 'NOTED') THEN coalesce(e.settled_at, $2::timestamptz) END,
    customer_id = CASE WHEN e.payment_id IS NULL AND s.payment_id IS NOT NULL THEN s.customer_id ELSE e.customer_id END,
    order_id = CASE WHEN e.payment_id IS NULL AND s.payment_id IS NOT NULL THEN s.order_id ELSE e.order_id END,
    payment_id = coalesce(e.payment_id, s.payment_id)
FROM jsonb_to_recordset($1::jsonb) AS s(id uuid, status text, reason text, retry_at timestamptz, customer_id uuid, order_id uuid,
    payment_id uuid)
WHERE e.id = s.id AND (e.status, e.reason, e.retry_at, e.payment_id)
    IS DISTINCT FROM (s.status, s.reason, s.retry_at, coalesce(e.payment_id, s.payment_id))"""
GIVE_UP = """
UPDATE provider_events SET status = 'WAITING', reason = $2, retry_at = $3 WHERE id = $1 AND status IN ('RECEIVED', 'WAITING')"""

OUTDATED = Outcome(ProviderEventStatus.OUTDATED, "Another event about the same counts more.")
TEST_MODE = noted("It is of the provider's other mode than the account: test or live.")
KNOWN = noted("It moves no money, or another event tells of that.")
UNKNOWN = noted("Its kind is not known here, or it is of another account.")


async def follow(act: Act, id: UUID) -> dict[str, int]:
    """Books what the event's family says; how many of its events are in which status. Raises `Conflict` to be repeated."""
    family = await families.gather(act, id)
    if family is None:
        return {}
    for row in family.rows:
        if families.is_unread(row):
            return await _read_again(act, row)
    state = order.fold(family.facts)
    outcomes = await _act_on(act, family, state)
    settled = {row["id"]: _settled(row, state, outcomes) for row in family.rows}
    await _settle(act, family, settled)
    return dict(Counter(each.status.value for each in settled.values()))


async def give_up(act: Act, id: UUID, reason: str) -> None:
    """An event whose job failed for good waits, to be seen and tried again."""
    await act.tx.connection.execute(GIVE_UP, id, reason[:LONGEST_REASON], act.now + LONGEST_WAIT)


async def _act_on(act: Act, family: Family, state: State) -> Outcomes:
    outcomes = await _attempt(act, state, ["PAYMENT"], (await Payments.of(act, family, state)).book)
    received = (await Payments.of(act, family, state)).received  # read again: what could not be booked is not there
    outcomes |= await _attempt(act, state, ["FEE"], lambda: fees.book_all(act, state.standing, received))
    outcomes |= await _attempt(act, state, ["REFUND", TOTAL], Returns(act, family, state, received).book)
    outcomes |= await _attempt(act, state, ["DISPUTE"], Chargebacks(act, family, state, received).book)
    return outcomes | await _attempt(act, state, ["PAYOUT"], lambda: arrived.book_all(act, state.standing))


async def _attempt(act: Act, state: State, kinds: Sequence[str], book: Callable[[], Awaitable[Outcomes]]) -> Outcomes:
    """What books subjects of these kinds, whole or not at all: what can't be booked as things are, waits."""
    try:
        async with records.savepoint(act):
            return await book()
    except CrmError as error:
        if isinstance(error, PASSING) and not isinstance(error, IdempotencyConflict):
            raise
        return {subject: waits(error.message) for subject in state.standing if subject[0] in kinds}


def _settled(row: Row, state: State, outcomes: Outcomes) -> Outcome:
    said = families.fact(row)
    if not families.counts(row):
        return TEST_MODE
    if said.kind in (Kind.NOTED, Kind.UNKNOWN):
        return KNOWN if said.kind is Kind.NOTED else UNKNOWN
    subject: Subject = order.subject_of(said)
    if state.standing[subject].event_id == said.event_id:
        return outcomes[subject]
    was = ProviderEventStatus(row["status"])
    return Outcome(was) if was is ProviderEventStatus.DONE else OUTDATED


async def _settle(act: Act, family: Family, settled: dict[UUID, Outcome]) -> None:
    rows = [_row(row, settled[row["id"]], act.now) for row in family.rows]
    await act.tx.connection.execute(SETTLE, as_json(rows), act.now)


def _row(row: Row, outcome: Outcome, now: datetime) -> dict[str, Any]:
    waiting, ours = outcome.status is ProviderEventStatus.WAITING, outcome.payment or {}
    return {
        "id": row["id"],
        "status": outcome.status,
        "reason": outcome.reason and outcome.reason[:LONGEST_REASON],
        "retry_at": now + wait(now - row["created_at"]) if waiting else None,
        "customer_id": ours.get("customer_id"),
        "order_id": ours.get("order_id"),
        "payment_id": ours.get("id"),
    }


def wait(age: timedelta) -> timedelta:
    """How long until something is tried again that has waited for so long. Pure."""
    return min(max(FIRST_WAIT, age / PATIENCE), LONGEST_WAIT)


async def _read_again(act: Act, row: Row) -> dict[str, int]:
    """Reads a post that could not be read when it came: with another key, or by a newer version, it may be."""
    kept = await act.tx.connection.fetchrow(POST, row["post_id"])
    if kept is None:
        outcome = noted("It could not be read, and the post is not kept any more.")
    else:
        known = accounts.known(dict(kept))
        try:
            facts = providers.get(known.provider.lower()).read(kept["body"], known.at(act.now))
        except (BodyInvalid, ContentSealed) as error:
            outcome = waits(error.message)
        else:
            found = arrivals.Read(facts)
            await arrivals.store(act, known.id, known.provider.lower(), found, post_id=row["post_id"])
            outcome = noted("It was read later; what it says is among the other events.")
    await act.tx.connection.execute(SETTLE, as_json([_row(row, outcome, act.now)]), act.now)
    return {outcome.status.value: 1}
