"""Posts as they arrive: verified, read, stored with what they say, and handed to a job. Nothing is acted on here.

Enters: a provider's name, headers and body as they came, the accounts there. Leaves: rows, of which an event that is known
already makes none. Always holds: what can't be verified is stored nowhere; what was verified is stored before it is accepted,
also when it can't be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from crmgql.db import Database
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.money import providers
from crmgql.domain.money.hooks.accounts import Known
from crmgql.domain.money.providers import reading
from crmgql.domain.money.providers.facts import Account, Answer, Fact, Headers, Kind
from crmgql.domain.money.providers.refusals import BodyInvalid, ContentSealed, KeyUnknown, SignatureWrong
from crmgql.errors import CrmError
from crmgql.events.canonical import as_json
from crmgql.ledger.postings import new_id
from crmgql.records.records import Act
from crmgql.viewer import Clock, system

MAX_BODY_BYTES = reading.MAX_BODY_BYTES
EVIDENCE = ("stripe-signature", "hmacsignature", "wechatpay-", "content-type")
"""What the headers begin with that are kept with a post."""

UNREAD = "sha256:"
"""What the event's id begins with of a post that could not be read."""

# Parameters: post, account, provider, events, body, headers, now.
STORE = """
WITH made AS (
    INSERT INTO provider_events (account_id, post_id, provider, event_id, kind, raw_kind, rank, occurred_at, success, live, names,
        reference, also, part, key, order_reference, amount, currency, cumulative, method, reason, created_at)
    SELECT $2, $1, $3, event_id, kind, raw_kind, rank, occurred_at, success, live, names, reference, also, part, key,
        order_reference, amount, currency, cumulative, method, reason, $7
    FROM jsonb_to_recordset($4::jsonb) AS g(event_id text, kind text, raw_kind text, rank smallint, occurred_at timestamptz,
        success boolean, live boolean, names text[], reference text, also text[], part text, key text, order_reference text,
        amount numeric, currency text, cumulative boolean, method text, reason text)
    ORDER BY event_id
    ON CONFLICT (account_id, event_id) DO NOTHING RETURNING id
), kept AS (
    INSERT INTO provider_posts (id, account_id, body, headers, created_at)
    SELECT $1, $2, $5::bytea, $6::jsonb, $7 WHERE $5::bytea IS NOT NULL AND EXISTS (SELECT FROM made)
)
SELECT id FROM made ORDER BY id"""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The provider's word of acceptance, and the events that were not known before."""

    answer: Answer
    event_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Read:
    """What is in a post; where it can't be read, `reason` says why and one fact of no kind stands for it."""

    facts: Sequence[Fact]
    reason: str | None = None


async def receive(
    database: Database, provider: str, accounts: Sequence[Known], headers: Headers, body: bytes, *, clock: Clock
) -> Arrived:
    """Stores what a post says. Raises what `verify` of the provider raises, of an account that it might be for."""
    now = clock()
    known = _verified(provider, accounts, headers, body, now)
    found = read(provider, body, known.at(now), now)
    async with database.transaction() as tx:
        act = Act(tx, system(clock))
        made = await store(act, known.id, provider, found, post_id=new_id(), body=body, headers=headers)
    return Arrived(providers.get(provider).accepted, made)


def _verified(provider: str, accounts: Sequence[Known], headers: Headers, body: bytes, now: datetime) -> Known:
    """The account whose secrets or keys sign this post. Of several refusals, the one that says most is raised."""
    refusal: CrmError | None = None
    for each in accounts:
        try:
            providers.get(provider).verify(headers, body, each.at(now), now=now)
        except CrmError as error:
            if refusal is None or isinstance(refusal, (SignatureWrong, KeyUnknown)):
                refusal = error
        else:
            return each
    assert refusal is not None, "There is an account, or its lack was refused before."
    raise refusal


def read(provider: str, body: bytes, account: Account, now: datetime) -> Read:
    """The facts in a post that was verified."""
    try:
        return Read(providers.get(provider).read(body, account))
    except (BodyInvalid, ContentSealed) as error:
        unread = UNREAD + hashlib.sha256(body).hexdigest()
        return Read(
            [Fact(provider=provider, event_id=unread, kind=Kind.UNKNOWN, raw_kind="-", occurred_at=now)], error.message
        )


async def store(
    act: Act,
    account_id: UUID,
    provider: str,
    found: Read,
    *,
    post_id: UUID,
    body: bytes | None = None,
    headers: Headers | None = None,
) -> list[UUID]:
    """Stores what is not known yet, with the post unless that is there, and has it followed; the ids of what is new."""
    rows = as_json([_row(each, found.reason) for each in found.facts])
    kept = as_json({name: value for name, value in (headers or {}).items() if name.lower().startswith(EVIDENCE)})
    given = (post_id, account_id, provider.upper(), rows, body, kept, act.now)
    made = [row["id"] for row in await act.tx.connection.fetch(STORE, *given)]
    await follow_later(act, made)
    return made


async def follow_later(act: Act, ids: Sequence[UUID]) -> None:
    """Has these events followed by a job each, unless one is under way."""
    if ids:
        arguments = [kinds.ProviderEventOf(provider_event_id=id) for id in ids]
        await jobs.enqueue_many(act, kinds.PROVIDER_EVENT_FOLLOW, arguments, unique_keys=[id.hex for id in ids])


def _row(fact: Fact, reason: str | None) -> dict[str, Any]:
    return {
        "event_id": fact.event_id,
        "kind": fact.kind,
        "raw_kind": fact.raw_kind,
        "rank": int(fact.rank),
        "occurred_at": fact.occurred_at,
        "success": fact.success,
        "live": fact.live,
        "names": names(fact),
        "reference": fact.reference,
        "also": list(fact.also),
        "part": fact.part,
        "key": fact.key,
        "order_reference": fact.order,
        "amount": fact.amount,
        "currency": fact.currency,
        "cumulative": fact.cumulative,
        "method": fact.method,
        "reason": reason,
    }


def names(fact: Fact) -> list[str]:
    """By what it belongs together with others."""
    return sorted({each for each in (fact.reference, fact.part, *fact.also) if each})
