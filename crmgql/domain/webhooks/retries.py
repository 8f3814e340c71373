"""What follows from an answer: accepted, later, refused, gone; and how long to wait. Pure.

An answer is about the event (a status that is not 2xx, no answer in time), or about the server (no connection, 429, or a
`Retry-After`): then all events of the endpoint wait, and none of them counts it as a failure of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from crmgql.outbound.client import Answer, Failure

FIRST_S, FACTOR, LONGEST_S = 5.0, 3.0, 4 * 3600.0
"""5 s, 15 s, 45 s, …, then every four hours."""

JITTER = 0.2
LONGEST_RETRY_AFTER_S = 24 * 3600.0
GIVEN_UP_AFTER = timedelta(hours=72)
"""Without a success for so long an endpoint is disabled."""

POISON = 8
"""An event that failed so often, while others succeed, is given up: some five hours after its first attempt."""

BREAKER = 5
"""After so many failures in a row, of whichever events, one request at a time finds out whether the receiver is well again."""

UNREACHABLE = frozenset({"NOT_CONNECTED", "NOT_RESOLVED", "ADDRESS_REFUSED"})


class Verdict(StrEnum):
    ACCEPTED = "ACCEPTED"
    FAILED = "FAILED"
    """This event was not taken."""

    LATER = "LATER"
    """No event can be sent now."""

    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class Judged:
    """`after_s`: how long the receiver wants to be left alone."""

    verdict: Verdict
    after_s: float | None = None


def judge(came: Answer | Failure, *, now: datetime) -> Judged:
    if isinstance(came, Failure):
        return Judged(Verdict.LATER if came.code in UNREACHABLE else Verdict.FAILED)
    if came.is_accepted:
        return Judged(Verdict.ACCEPTED)
    if came.status == 410:
        return Judged(Verdict.GONE)
    after_s = retry_after(came.headers.get("retry-after", ""), now=now) if came.status in (429, 503) else None
    return Judged(Verdict.LATER if came.status == 429 or after_s is not None else Verdict.FAILED, after_s)


def retry_after(text: str, *, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header: a number of them, or a date. None for anything else."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        seconds = float(text)
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER_S)


def wait(failures: int) -> timedelta:
    """Before an event's next attempt after so many failures."""
    return _shaken(FIRST_S * FACTOR ** min(failures - 1, 20))


def endpoint_wait(failing_for: timedelta) -> timedelta:
    """Before the next request to an endpoint that has accepted nothing for so long: twice that, so that each wait is three times
    the one before. How many requests failed says nothing: many are under way when a receiver is down for a moment."""
    return _shaken(max(FIRST_S, failing_for.total_seconds() * (FACTOR - 1)))


def _shaken(seconds: float) -> timedelta:
    return timedelta(seconds=min(seconds, LONGEST_S) * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
